import Basics

/// Pairs as files: left, right, left, right, …. Keys are the names of the left ones without their ending.
public struct FilePairs {
    public let files: [String]
    public let isSwapped: Bool

    public init(files: [String], isSwapped: Bool = false) {
        self.files = files
        self.isSwapped = isSwapped
    }

    /// - Throws: `Failure` (64: no pairs, a folder), `ImageError` (66: not there).
    public func items() throws -> [FrameItem] {
        guard files.count.isMultiple(of: 2) else {
            throw Failure(.usage, "\(files.count) files are no pairs; give left right left right …")
        }
        for file in files {
            guard Files.exists(file) else {
                throw ImageError(path: file, "no such picture", remedy: "check the path", exitCode: .missingInput)
            }
            guard !Files.isFolder(file) else { throw Failure(.usage, "\(file): is a folder; give files: left right …") }
        }
        return stride(from: 0, to: files.count, by: 2).map { index in
            let key = Self.key(of: files[index])
            let (left, right) = isSwapped ? (files[index + 1], files[index]) : (files[index], files[index + 1])
            return FrameItem(key: key) { Record(key: key, fields: try PairLoader.views(left: left, right: right)) }
        }
    }

    /// Name of a file without its ending.
    public static func key(of path: String) -> String {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        return name.lastIndex(of: ".").map { String(name[..<$0]) } ?? name
    }
}
