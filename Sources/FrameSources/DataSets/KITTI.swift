import Basics

/// The KITTI stereo benchmarks as they are unpacked: `image_0`, `image_1` (2012, gray), `colored_0`, `colored_1` (2012,
/// colour) or `image_2`, `image_3` (2015), with `disp_noc`, `disp_occ` (2012) or `disp_noc_0`, `disp_occ_0` (2015).
///
/// Where ground truth is there, the pairs are those of the reference frames (`*_10.png`), each with a `disparity` of
/// the left view; frames without ground truth (`*_11.png`, the multi-view extension) are left out unless they are asked
/// for. Without a ground truth folder (`testing`), every pair is taken.
///
/// Further fields, where their folders are there: `visible` from `disp_noc` beside `disp_occ`, `objects` from `obj_map`
/// (2015), `calibration` from `calib` (2012) or `calib_cam_to_cam` (2015). `disp_*_1` is the disparity of the second
/// frame on the pixels of the first, for scene flow, and is not read.
///
/// **Source:** development kits of KITTI 2012 and 2015: disparity = sample / 256, 0 = unknown.
public struct KITTI: FrameSource {
    public enum GroundTruth: String, Sendable, CaseIterable {
        /// Pixels that both views see.
        case nonOccluded = "noc"
        /// All pixels.
        case all = "occ"
    }

    /// The root of the benchmark or of one of its halves (`training`, `testing`).
    public let root: String
    public let groundTruth: GroundTruth
    /// Take `colored_0`, `colored_1` though the gray views are there.
    public let prefersColour: Bool
    /// Take frames without ground truth too.
    public let takesAllFrames: Bool

    public init(
        root: String, groundTruth: GroundTruth = .nonOccluded, prefersColour: Bool = false,
        takesAllFrames: Bool = false
    ) {
        self.root = root
        self.groundTruth = groundTruth
        self.prefersColour = prefersColour
        self.takesAllFrames = takesAllFrames
    }

    public var name: String { "kitti" }

    private static let viewFolders = [("image_0", "image_1"), ("colored_0", "colored_1"), ("image_2", "image_3")]

    public func items() throws -> [FrameItem] {
        try SourceFolder.require(root)
        let (base, leftFolder, rightFolder) = try views()
        let truth = try truthFolder(base)
        let left = try pictures(base, leftFolder)
        let right = try pictures(base, rightFolder)
        let maps = try truth.map { try pictures(base, $0) }
        let seen = try visibleFolder(base, besides: truth)
        let hasObjects = Files.isFolder(base + "/obj_map")
        let calibration = calibrationFolder(base, leftFolder)
        var keys = Set(left.keys).union(right.keys)
        if let maps {
            if !takesAllFrames { keys = keys.filter { $0.hasSuffix("_10") } }
            keys.formUnion(maps.keys)
        }
        guard !keys.isEmpty else {
            throw ImageError(
                path: base, "no pictures in \(leftFolder)/", remedy: "unpack the benchmark's archive here again")
        }
        return keys.sorted { $0.precedes($1) }.map { key in
            func path(_ folder: String) -> String { "\(base)/\(folder)/\(key).png" }
            // Files that are not there name themselves when the item is loaded.
            var files = SampleFiles.pair(key, left: path(leftFolder), right: path(rightFolder))
            files.group = String(key.prefix { $0 != "_" })
            if let truth, let maps, maps[key] != nil || key.hasSuffix("_10") {
                files.maps.append(.init(FieldName.disparity, path(truth), PairLoader.disparityMap(divisor: 256)))
                if let seen { files.maps.append(.init(FieldName.visible, path(seen), Self.known)) }
                if hasObjects { files.maps.append(.init(FieldName.objects, path("obj_map"), PairLoader.numbers)) }
            }
            if let calibration {
                let scene = key.prefix { $0 != "_" }
                files.calibration = {
                    let path = "\(base)/\(calibration.folder)/\(scene).txt"
                    try PairLoader.require(path)
                    return try Calibration.kitti(path, left: calibration.left, right: calibration.right)
                }
            }
            return files.item
        }
    }

    /// 255 where a disparity map has a value, else 0.
    @Sendable private static func known(_ path: String, like view: PixelArray) throws -> PixelArray {
        let map = try PairLoader.disparity(path, divisor: 256, like: view)
        return PixelArray(
            height: map.height, width: map.width, channels: 1, element: .uint8,
            bytes: map.withFloats { $0.map { $0.isNaN ? 0 : 255 } })
    }

    /// Ground truth of non-occluded pixels, if that of all pixels is what is taken and both are there.
    private func visibleFolder(_ base: String, besides truth: String?) throws -> String? {
        guard let truth, truth.hasPrefix("disp_occ") else { return nil }
        let folder = "disp_noc" + truth.dropFirst("disp_occ".count)
        return Files.isFolder(base + "/" + folder) ? folder : nil
    }

    /// The cameras' names in the calibration follow from the views' folders: gray 0 and 1, colour 2 and 3.
    private func calibrationFolder(_ base: String, _ views: String) -> (folder: String, left: String, right: String)? {
        let isGray = views == "image_0"
        for (folder, prefix) in [("calib", "P"), ("calib_cam_to_cam", "P_rect_0")]
        where Files.isFolder(base + "/" + folder) {
            return (folder, prefix + (isGray ? "0" : "2"), prefix + (isGray ? "1" : "3"))
        }
        return nil
    }

    /// The folder with the views, and the views' names.
    private func views() throws -> (base: String, left: String, right: String) {
        var candidates = Self.viewFolders
        if prefersColour { candidates.swapAt(0, 1) }
        let bases = [root, root + "/training"]
        for base in bases {
            for (left, right) in candidates
            where Files.isFolder(base + "/" + left) && Files.isFolder(base + "/" + right) {
                return (base, left, right)
            }
        }
        // One of a pair tells which layout was meant.
        for base in bases {
            for (left, right) in candidates {
                let missing = [left, right].filter { !Files.isFolder(base + "/" + $0) }
                if missing.count == 1 {
                    throw ImageError(
                        path: base, "no sub-folder \(missing[0])", remedy: "unpack the benchmark's archive here again",
                        exitCode: .missingInput)
                }
            }
        }
        throw ImageError(
            path: root, "no sub-folder image_0 (nor colored_0, image_2), and none in training/",
            remedy: "give the folder into which KITTI was unpacked", exitCode: .missingInput)
    }

    private func truthFolder(_ base: String) throws -> String? {
        let other = GroundTruth.allCases.filter { $0 != groundTruth }
        let names = ([groundTruth] + other).flatMap { ["disp_\($0.rawValue)", "disp_\($0.rawValue)_0"] }
        return names.first { Files.isFolder(base + "/" + $0) }
    }

    private func pictures(_ base: String, _ folder: String) throws -> [String: String] {
        SourceFolder.byKey(try SourceFolder.pictures(in: base + "/" + folder, formats: [.png], depth: 0)).paths
    }
}
