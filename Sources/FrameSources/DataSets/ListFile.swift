import Basics

/// A text file with one pair a line: `left right [disparity]`, separated by spaces or tabs, relative to a folder. Empty
/// lines and those that begin with # are passed over. Either every line names a disparity map or none does.
///
/// Maps: PFM and NPY as they are; 16-bit PNG holding 256 times the disparity; 8-bit PNG need the scale given. The key is
/// the left view's path without its ending. Paths may not leave the folder.
///
/// **Source:** the lists of AANet (github.com/haofeixu/aanet, `filenames/`), which other networks took over.
public struct ListFile: FrameSource {
    public let path: String
    /// Folder of the paths; nil = that of the list.
    public let root: String?
    /// What the samples of PNG maps are divided by; nil = 256 for 16 bits, an error for 8.
    public let disparityScale: Float?

    public init(path: String, root: String? = nil, disparityScale: Float? = nil) {
        self.path = path
        self.root = root
        self.disparityScale = disparityScale
    }

    public var name: String { "list" }

    public func items() throws -> [FrameItem] {
        guard Files.exists(path) else {
            throw ImageError(path: path, "no such file", remedy: "give the list", exitCode: .missingInput)
        }
        guard !Files.isFolder(path) else {
            throw ImageError(path: path, "is a folder", remedy: "give the list file itself, and its folder by --root")
        }
        let own = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let folder = root ?? (own.isEmpty ? "/" : own)
        try SourceFolder.require(folder)
        var columns: Int?
        var keys: Set<String> = []
        let lines = try TextFile.lines(path)
        guard !lines.isEmpty else {
            throw ImageError(path: path, "names no pair", remedy: "give left right [disparity]")
        }
        return try lines.map { line in
            let names = line.split(whereSeparator: \.isWhitespace).map(String.init)
            guard names.count == 2 || names.count == 3, names.count == columns ?? names.count else {
                throw ImageError(
                    path: path, "'\(line.prefix(80))' has \(names.count) words",
                    remedy: "every line is 'left right', or every line is 'left right disparity'")
            }
            columns = names.count
            guard names.allSatisfy(TextFile.isInside) else {
                throw ImageError(
                    path: path, "'\(line.prefix(80))' leaves the folder", remedy: "paths are relative to --root")
            }
            let dot = names[0].lastIndex(of: ".") ?? names[0].endIndex
            let key = String(names[0][..<dot])
            guard keys.insert(key).inserted else {
                throw ImageError(path: path, "names \(key) twice", remedy: "every left view is one pair")
            }
            var files = SampleFiles.pair(key, left: "\(folder)/\(names[0])", right: "\(folder)/\(names[1])")
            if names.count == 3 {
                let scale = disparityScale
                files.maps.append(
                    .init(FieldName.disparity, "\(folder)/\(names[2])") { path, view in
                        try Self.disparity(path, scale: scale, like: view)
                    })
            }
            return files.item
        }
    }

    private static func disparity(_ path: String, scale: Float?, like view: PixelArray) throws -> PixelArray {
        if scale == nil, try ImageFile.read(path).element == .uint8 {
            throw ImageError(
                path: path, "8-bit disparities whose scale is not known", remedy: "give --disparity-scale")
        }
        return try PairLoader.disparity(path, divisor: scale ?? 256, like: view)
    }
}
