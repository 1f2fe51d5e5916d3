import Basics
import Foundation

/// Rendered pairs whose ground truth is depth: TartanAir and Falling Things. Disparity = focal · baseline / depth, of both
/// views; a folder of pictures is a group.
///
/// | set | views | depth | geometry |
/// |---|---|---|---|
/// | TartanAir | `image_left/000000_left.png`, `image_right/000000_right.png` | `depth_{left,right}/000000_left_depth.npy`, metres | 320 pixels, 0.25 m |
/// | Falling Things | `000000.left.jpg`, `000000.right.jpg` | `000000.{left,right}.depth.png`, 16 bits of 0.1 mm | fx of `_camera_settings.json`, 0.06 m |
///
/// Both are recognised below the root, any number of folders down.
///
/// **Source:** Wang et al., IROS 2020 (tartanair_tools: disparity = 80 / depth); Tremblay et al., CVPRW 2018 (readme:
/// baseline 6 cm, depth in 1/100 cm).
public struct DepthScenes: FrameSource {
    public enum Kind: String, Sendable, CaseIterable {
        case tartanAir = "tartanair"
        case fallingThings = "fallingthings"
    }

    public let root: String
    public let kind: Kind

    public init(root: String, kind: Kind) {
        self.root = root
        self.kind = kind
    }

    public var name: String { kind.rawValue }

    public func items() throws -> [FrameItem] {
        try SourceFolder.require(root)
        let items = kind == .tartanAir ? try tartanAir() : try fallingThings()
        guard !items.isEmpty else {
            let wanted = kind == .tartanAir ? "image_left with *_left.png" : "folder with *.left.jpg"
            throw ImageError(
                path: root, "no sub-folder \(wanted) below", remedy: "give the folder into which it was unpacked",
                exitCode: .missingInput)
        }
        return items
    }

    private func tartanAir() throws -> [FrameItem] {
        let pictures = try SourceFolder.pictures(in: root, formats: [.png]).map(\.key)
        return try keys(pictures, [("image_left/", "_left"), ("image_right/", "_right")]).map { folder, number in
            let base = folder.isEmpty ? root : root + "/" + folder
            for name in ["image_left", "image_right", "depth_left"] where !Files.isFolder(base + "/" + name) {
                throw ImageError(
                    path: base, "no sub-folder \(name)", remedy: "download this part of TartanAir too",
                    exitCode: .missingInput)
            }
            let rig: @Sendable () throws -> Calibration = {
                Calibration(focalLengthPixels: 320, baselineMetres: 0.25, offsetPixels: 0)
            }
            return sample(
                folder, number, left: "\(base)/image_left/\(number)_left.png",
                right: "\(base)/image_right/\(number)_right.png",
                depthLeft: "\(base)/depth_left/\(number)_left_depth.npy",
                depthRight: Files.isFolder(base + "/depth_right")
                    ? "\(base)/depth_right/\(number)_right_depth.npy" : nil, stepsPerMetre: 1, rig)
        }
    }

    private func fallingThings() throws -> [FrameItem] {
        let pictures = try SourceFolder.pictures(in: root, formats: [.jpeg]).map(\.key)
        return keys(pictures, [("", ".left"), ("", ".right")]).map { folder, number in
            let base = folder.isEmpty ? root : root + "/" + folder
            let settings = base + "/_camera_settings.json"
            let rig: @Sendable () throws -> Calibration = {
                Calibration(
                    focalLengthPixels: try Self.focalLength(settings), baselineMetres: 0.06, offsetPixels: 0)
            }
            let start = "\(base)/\(number)"
            return sample(
                folder, number, left: start + ".left.jpg", right: start + ".right.jpg",
                depthLeft: start + ".left.depth.png", depthRight: start + ".right.depth.png", stepsPerMetre: 10000, rig)
        }
    }

    /// Folder and number of every pair of which a view is there, in the order of the bytes.
    private func keys(_ pictures: [String], _ views: [(folder: String, ending: String)])
        -> [(folder: String, number: String)]
    {
        var found: Set<String> = []
        for picture in pictures {
            for (folder, ending) in views where picture.hasSuffix(ending) {
                let stem = picture.dropLast(ending.count)
                let name = stem.split(separator: "/").last ?? ""
                let outer = stem.dropLast(name.count)
                if outer.hasSuffix(folder) { found.insert("\(outer.dropLast(folder.count))\(name)") }
            }
        }
        return found.sorted { $0.precedes($1) }.map { key in
            guard let slash = key.lastIndex(of: "/") else { return ("", key) }
            return (String(key[..<slash]), String(key[key.index(after: slash)...]))
        }
    }

    private func sample(
        _ folder: String, _ number: String, left: String, right: String, depthLeft: String, depthRight: String?,
        stepsPerMetre: Float, _ rig: @escaping @Sendable () throws -> Calibration
    ) -> FrameItem {
        var files = SampleFiles.pair(folder.isEmpty ? number : "\(folder)/\(number)", left: left, right: right)
        files.group = folder.isEmpty ? nil : folder
        files.calibration = rig
        let read: @Sendable (String, PixelArray) throws -> PixelArray = { path, view in
            let depth = try PairLoader.depth(path, divisors: (stepsPerMetre, stepsPerMetre), like: view)
            let geometry = try rig()
            let scale = geometry.focalLengthPixels * geometry.baselineMetres
            return PixelArray(
                height: depth.height, width: depth.width, channels: 1,
                floats: depth.withFloats { $0.map { scale / $0 } })
        }
        files.maps = [.init(FieldName.disparity, depthLeft, read)]
        if let depthRight { files.maps.append(.init(FieldName.disparityRight, depthRight, read)) }
        return files.item
    }

    private static func focalLength(_ path: String) throws -> Float {
        try PairLoader.require(path)
        let bytes = try Files.read(path, limit: 1 << 20)
        let object = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
        let cameras = object?["camera_settings"] as? [[String: Any]]
        let intrinsics = cameras?.first?["intrinsic_settings"] as? [String: Any]
        guard let focal = (intrinsics?["fx"] as? NSNumber)?.floatValue, focal > 0, focal.isFinite else {
            throw ImageError(
                path: path, "no camera_settings[0].intrinsic_settings.fx", remedy: "unpack the archive again")
        }
        return focal
    }
}
