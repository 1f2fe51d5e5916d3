import Basics

/// The KITTI stereo benchmarks as they are unpacked: `image_0`, `image_1` (2012, gray), `colored_0`, `colored_1` (2012,
/// colour) or `image_2`, `image_3` (2015), with `disp_noc`, `disp_occ` (2012) or `disp_noc_0`, `disp_occ_0` (2015).
///
/// Where ground truth is there, the pairs are those of the reference frames (`*_10.png`), each with a `disparity` of
/// the left view; frames without ground truth (`*_11.png`) are left out. Without a ground truth folder (`testing`),
/// every pair is taken.
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

    public init(root: String, groundTruth: GroundTruth = .nonOccluded, prefersColour: Bool = false) {
        self.root = root
        self.groundTruth = groundTruth
        self.prefersColour = prefersColour
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
        var keys = Set(left.keys).union(right.keys)
        if let maps { keys = keys.filter { $0.hasSuffix("_10") }.union(maps.keys) }
        guard !keys.isEmpty else {
            throw ImageError(
                path: base, "no pictures in \(leftFolder)/", remedy: "unpack the benchmark's archive here again")
        }
        return keys.sorted { $0.precedes($1) }.map { key in
            guard let leftPath = left[key], let rightPath = right[key] else {
                let missing = left[key] == nil ? leftFolder : rightFolder
                return broken(key, "\(base)/\(missing)/\(key).png")
            }
            if let truth, let maps, maps[key] == nil { return broken(key, "\(base)/\(truth)/\(key).png") }
            let map = maps?[key]
            return FrameItem(key: key) {
                var fields = try PairLoader.views(left: leftPath, right: rightPath)
                if let map {
                    fields.append(
                        Record.Field(
                            FieldName.disparity, try PairLoader.disparity(map, divisor: 256, like: fields[0].array)))
                }
                return Record(key: key, fields: fields)
            }
        }
    }

    private func broken(_ key: String, _ path: String) -> FrameItem {
        FrameItem(
            key: key,
            broken: ImageError(path: path, "not there, but the pair needs it", remedy: "unpack the archive again"))
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
