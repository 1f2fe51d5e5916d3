import Basics

/// `left/` and `right/` with pictures of the same names (any extension), and, if they are there, `disparity/` and
/// `disparity_right/` with a map for every pair: PFM, NPY, or PNG holding 256 times the disparity (0 = unknown).
public struct FolderPairs: FrameSource {
    public let root: String
    public let isSwapped: Bool

    public init(root: String, isSwapped: Bool = false) {
        self.root = root
        self.isSwapped = isSwapped
    }

    public var name: String { "folders" }

    public func items() throws -> [FrameItem] {
        try SourceFolder.require(root)
        for folder in ["left", "right"] where !Files.isFolder(root + "/" + folder) {
            throw ImageError(
                path: root, "no sub-folder \(folder)",
                remedy: "the layout is left/ and right/ with the same file names", exitCode: .missingInput)
        }
        var columns = try ["left", "right"].map { try Column($0, in: root, PairLoader.pictureFormats) }
        // Disparities carry the sign of their views, so they stay out when the eyes are swapped.
        for folder in [FieldName.disparity, FieldName.disparityRight]
        where !isSwapped && Files.isFolder(root + "/" + folder) {
            columns.append(try Column(folder, in: root, PairLoader.mapFormats))
        }
        let keys = Set(columns.flatMap(\.paths.keys)).sorted { $0.precedes($1) }
        guard !keys.isEmpty else {
            throw ImageError(path: root, "no pictures in left/ and right/", remedy: "put .png or .jpg files there")
        }
        return keys.map { item($0, columns) }
    }

    private struct Column {
        let folder: String
        let paths: [String: String]
        let ambiguous: [String: ImageError]

        init(_ folder: String, in root: String, _ formats: Set<ImageFile.Format>) throws {
            self.folder = folder
            (paths, ambiguous) = SourceFolder.byKey(
                try SourceFolder.pictures(in: root + "/" + folder, formats: formats))
        }
    }

    private func item(_ key: String, _ columns: [Column]) -> FrameItem {
        for column in columns {
            if let error = column.ambiguous[key] { return FrameItem(key: key, broken: error) }
        }
        let paths = columns.map { $0.paths[key] }
        if let missing = paths.firstIndex(of: nil), let present = paths.compactMap({ $0 }).first {
            return FrameItem(
                key: key,
                broken: ImageError(
                    path: present, "nothing of this name in \(columns[missing].folder)/",
                    remedy: "every picture needs its partner"))
        }
        let found = paths.compactMap { $0 }
        let swapped = isSwapped
        let names = columns.map(\.folder)
        return FrameItem(key: key) {
            var fields = try PairLoader.views(left: found[swapped ? 1 : 0], right: found[swapped ? 0 : 1])
            for (name, path) in zip(names, found).dropFirst(2) {
                fields.append(
                    Record.Field(name, try PairLoader.disparity(path, divisor: 256, like: fields[0].array)))
            }
            return Record(key: key, fields: fields)
        }
    }
}
