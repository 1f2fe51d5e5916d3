import Basics

/// The pass of a rendered film.
public enum RenderPass: String, Sendable, CaseIterable {
    /// Without motion blur, defocus and fog.
    case clean
    /// With them.
    case final
}

/// The three parts of Scene Flow as they are unpacked: `FlyingThings3D/`, `Monkaa/`, `Driving/`, whichever are there, or
/// one of them. Each holds `frames_cleanpass/`, `frames_finalpass/`, `disparity/`:
///
/// | part | below these |
/// |---|---|
/// | FlyingThings3D | `{TRAIN,TEST}/{A,B,C}/0000/{left,right}/0006.png` |
/// | Monkaa | `a_rain_of_stones_x2/{left,right}/0000.png` |
/// | Driving | `{15mm,35mm}_focallength/scene_{forwards,backwards}/{fast,slow}/{left,right}/0001.png` |
///
/// Disparities are PFM at the same place below `disparity/`, of both views, in pixels; their sign is dropped, because the
/// cameras are parallel and writers of the several archives differ in it. TEST is part `test`, TRAIN is part `train`; a
/// scene is a group. The focal length is 1050 pixels (450 for 15 mm), the baseline 1 unit of the scene, which is no metre.
///
/// **Source:** Mayer et al., CVPR 2016, and lmb.informatik.uni-freiburg.de/resources/datasets/SceneFlowDatasets.en.html:
/// sensor 32 mm wide, 960 pixels, baseline 1.
public struct SceneFlow: FrameSource {
    public let root: String
    public let pass: RenderPass
    /// Take the views alone, though `disparity/` may not be there.
    public let viewsOnly: Bool

    public init(root: String, pass: RenderPass = .final, viewsOnly: Bool = false) {
        self.root = root
        self.pass = pass
        self.viewsOnly = viewsOnly
    }

    public var name: String { "sceneflow" }

    static let parts = ["FlyingThings3D", "Monkaa", "Driving"]

    public func items() throws -> [FrameItem] {
        try SourceFolder.require(root)
        let frames = "frames_\(pass.rawValue)pass"
        let all = ["frames_cleanpass", "frames_finalpass", "disparity"]
        var items: [FrameItem] = []
        if all.contains(where: { Files.isFolder(root + "/" + $0) }) {
            items = try part(root, prefix: "", frames)
        } else {
            let folders = try SourceFolder.folders(in: root).filter { name in
                Self.parts.contains { $0.lowercased() == name.lowercased() }
            }
            guard !folders.isEmpty else {
                throw ImageError(
                    path: root, "no sub-folder FlyingThings3D, Monkaa or Driving, nor \(frames)",
                    remedy: "give the folder that holds the parts, or a part's own", exitCode: .missingInput)
            }
            for folder in folders { items += try part(root + "/" + folder, prefix: folder + "/", frames) }
        }
        guard !items.isEmpty else {
            throw ImageError(
                path: root, "no left/ with pictures below \(frames)/", remedy: "unpack the archives here again")
        }
        return items
    }

    private func part(_ folder: String, prefix: String, _ frames: String) throws -> [FrameItem] {
        try SourceFolder.require(
            viewsOnly ? [frames] : [frames, "disparity"], in: folder,
            layout: "frames_cleanpass/ or frames_finalpass/, and disparity/ (--views-only does without)")
        var items: [FrameItem] = []
        for scene in try scenes(in: folder + "/" + frames) {
            let base = "\(folder)/\(frames)/\(scene)"
            let sides = try ["left", "right"].map { side in
                Files.isFolder("\(base)/\(side)")
                    ? try SourceFolder.pictures(in: "\(base)/\(side)", formats: [.png], depth: 0).map(\.key) : []
            }
            for key in Set(sides[0]).union(sides[1]).sorted(by: { $0.precedes($1) }) {
                var files = SampleFiles.pair(
                    "\(prefix)\(scene)/\(key)", left: "\(base)/left/\(key).png", right: "\(base)/right/\(key).png")
                files.group = prefix + scene
                files.part = scene.hasPrefix("TEST/") ? .test : scene.hasPrefix("TRAIN/") ? .train : nil
                if !viewsOnly {
                    files.maps = [("left", FieldName.disparity), ("right", FieldName.disparityRight)].map {
                        .init($1, "\(folder)/disparity/\(scene)/\($0)/\(key).pfm", Self.magnitude)
                    }
                }
                let focal: Float = scene.contains("15mm_focallength") ? 450 : 1050
                files.calibration = {
                    Calibration(focalLengthPixels: focal, baselineMetres: 1, offsetPixels: 0)
                }
                items.append(files.item)
            }
        }
        return items
    }

    /// Relative paths of the folders that hold `left` or `right`, sorted by bytes.
    private func scenes(in root: String) throws -> [String] {
        var found: [String] = []
        func visit(_ prefix: String, _ depth: Int) throws {
            let folders = try SourceFolder.folders(in: root + "/" + prefix)
            if folders.contains("left") || folders.contains("right") {
                found.append(String(prefix.dropLast()))
            } else if depth > 0 {
                for name in folders { try visit("\(prefix)\(name)/", depth - 1) }
            }
        }
        try visit("", 4)
        return found
    }

    @Sendable private static func magnitude(_ path: String, like view: PixelArray) throws -> PixelArray {
        var map = try PairLoader.disparity(path, divisor: 1, like: view)
        map.withMutableFloats { floats in
            for index in floats.indices { floats[index] = abs(floats[index]) }
        }
        return map
    }
}
