import Basics

/// Pictures for a network that reads other fields than two views. One field: a picture, or a folder of pictures.
/// Several: a folder with one folder for each, which hold pictures of the same names.
public struct PictureFolders: FrameSource {
    public let root: String
    public let fields: [String]

    public init(root: String, fields: [String]) {
        precondition(!fields.isEmpty)
        self.root = root
        self.fields = fields
    }

    public var name: String { "pictures" }

    public func items() throws -> [FrameItem] {
        if fields.count == 1, Files.exists(root), !Files.isFolder(root) {
            let name = root.split(separator: "/").last.map(String.init) ?? root
            return [item(name.lastIndex(of: ".").map { String(name[..<$0]) } ?? name, [root])]
        }
        try SourceFolder.require(root)
        let folders = fields.count == 1 ? [root] : fields.map { root + "/" + $0 }
        for (field, folder) in zip(fields, folders) where !Files.isFolder(folder) {
            throw ImageError(
                path: root, "no sub-folder \(field)",
                remedy: "give \(fields.map { $0 + "/" }.joined(separator: " and ")) with the same file names",
                exitCode: .missingInput)
        }
        let columns = try folders.map {
            SourceFolder.byKey(try SourceFolder.pictures(in: $0, formats: PairLoader.pictureFormats))
        }
        let keys = Set(columns.flatMap(\.paths.keys)).sorted { $0.precedes($1) }
        guard !keys.isEmpty else {
            throw ImageError(path: root, "no pictures", remedy: "put .png or .jpg files there")
        }
        return keys.map { key in
            for column in columns {
                if let error = column.ambiguous[key] { return FrameItem(key: key, broken: error) }
            }
            let paths = columns.map { $0.paths[key] }
            if let missing = paths.firstIndex(of: nil), let present = paths.compactMap({ $0 }).first {
                return FrameItem(
                    key: key,
                    broken: ImageError(
                        path: present, "nothing of this name in \(fields[missing])/",
                        remedy: "every picture needs its partner"))
            }
            return item(key, paths.compactMap { $0 })
        }
    }

    private func item(_ key: String, _ paths: [String]) -> FrameItem {
        let fields = fields
        return FrameItem(key: key) {
            Record(key: key, fields: try zip(fields, paths).map { Record.Field($0, try ImageFile.read($1)) })
        }
    }
}
