import Basics

/// Something that yields stereo pairs: a folder in a known layout, or a generator.
public protocol FrameSource: Sendable {
    /// Name of the layout, as on the command line.
    var name: String { get }

    /// What there is, in a fixed order, with unique keys. Reads folders, no pictures: an item that turns out broken
    /// says so when it is loaded, so that one run can list every broken input.
    /// - Throws: `FileError`, `ImageError`: 66 if a folder that the layout needs is not there, 65 if nothing is in it.
    func items() throws -> [FrameItem]

    /// The same, with lines on the way for whoever waits: what was found, counted and left out, and warnings.
    func items(note: (String) -> Void) throws -> [FrameItem]
}

extension FrameSource {
    public func items(note: (String) -> Void) throws -> [FrameItem] { try items() }
}

/// One sample that can be loaded when its turn comes, on any thread.
public struct FrameItem: Sendable {
    /// Part of a data set.
    public enum Part: String, Sendable, CaseIterable {
        case train, val, test
    }

    /// Unique within its source.
    public let key: String
    /// The part to which the publisher gave it; nil where he names none.
    public let part: Part?
    /// What looks alike and should stay in one part: a film, a scene, a drive; nil where there is no such thing.
    public let group: String?
    private let body: @Sendable () throws -> Record

    public init(
        key: String, part: Part? = nil, group: String? = nil, load: @escaping @Sendable () throws -> Record
    ) {
        self.key = key
        self.part = part
        self.group = group
        body = load
    }

    /// An item that cannot be loaded, for what is already known to be broken.
    init(key: String, part: Part? = nil, group: String? = nil, broken: ImageError) {
        self.init(key: key, part: part, group: group) { throw broken }
    }

    /// - Throws: `ImageError` (65), `FileError` (66, 74), with one line that names the file.
    public func load() throws -> Record { try body() }
}

/// Folders that users name, with the exit codes of the documented table.
enum SourceFolder {
    /// - Throws: `ImageError` (66) if `path` is not there, (65) if it is no folder.
    static func require(_ path: String) throws {
        guard Files.exists(path) else {
            throw ImageError(
                path: path, "no such folder", remedy: "check the path", exitCode: .missingInput)
        }
        guard Files.isFolder(path) else {
            let isFilm = Films.isFilm(path)
            throw ImageError(
                path: path, isFilm ? "is a film" : "is a file",
                remedy: isFilm ? "give --layout movie" : "give the folder that holds the pictures")
        }
    }

    /// - Throws: `ImageError` (66) naming the first of `names` that is no folder below `root`.
    static func require(_ names: [String], in root: String, layout: String) throws {
        try require(root)
        for name in names where !Files.isFolder(root + "/" + name) {
            throw ImageError(
                path: root, "no sub-folder \(name)", remedy: "the layout is \(layout)", exitCode: .missingInput)
        }
    }

    /// Names of the folders in `root`, hidden ones left out, sorted by bytes.
    static func folders(in root: String) throws -> [String] {
        try Files.list(root).filter { !$0.hasPrefix(".") && Files.isFolder(root + "/" + $0) }
    }

    /// Pictures below `root`, as `(key, path)`: the key is the path relative to `root` without extension. Sorted by the
    /// bytes of the path. Hidden names and other files are passed over. Goes at most `depth` folders deep.
    static func pictures(in root: String, formats: Set<ImageFile.Format>, depth: Int = 8) throws -> [Picture] {
        var found: [Picture] = []
        func visit(_ folder: String, _ prefix: String, _ left: Int) throws {
            for name in try Files.list(folder) where !name.hasPrefix(".") {
                let path = folder + "/" + name
                if Files.isFolder(path) {
                    if left > 0 { try visit(path, prefix + name + "/", left - 1) }
                } else if let format = ImageFile.Format(extensionOf: name), formats.contains(format) {
                    let end = name.lastIndex(of: ".") ?? name.endIndex
                    found.append(Picture(key: prefix + name[..<end], path: path))
                }
            }
        }
        try visit(root, "", depth)
        return found
    }

    struct Picture {
        let key: String
        let path: String
    }

    /// By key; the second of two pictures with one key makes the key ambiguous.
    static func byKey(_ pictures: [Picture]) -> (paths: [String: String], ambiguous: [String: ImageError]) {
        var paths: [String: String] = [:]
        var ambiguous: [String: ImageError] = [:]
        for picture in pictures {
            if let other = paths[picture.key] {
                ambiguous[picture.key] = ImageError(
                    path: picture.path, "has the same name as \(other) but for its ending", remedy: "remove one of them"
                )
            } else {
                paths[picture.key] = picture.path
            }
        }
        return (paths, ambiguous)
    }
}

extension String {
    /// Order of UTF-8 bytes: the same in every locale.
    func precedes(_ other: String) -> Bool { utf8.lexicographicallyPrecedes(other.utf8) }
}

/// Reading and checking what a pair is made of.
enum PairLoader {
    static let pictureFormats: Set<ImageFile.Format> = [.png, .jpeg, .pnm]
    static let mapFormats: Set<ImageFile.Format> = [.png, .pfm, .npy]

    /// - Throws: `ImageError` (65) if there is no file at `path`.
    static func require(_ path: String) throws {
        guard Files.exists(path) else {
            throw ImageError(path: path, "not there, but the sample needs it", remedy: "unpack the archive again")
        }
    }

    /// - Throws: `ImageError` (65) unless the map at `path` has one channel and the view's size.
    static func requireMap(_ array: PixelArray, _ path: String, like view: PixelArray, _ what: String) throws {
        guard array.channels == 1 else {
            throw ImageError(path: path, "\(array.channels) channels; a \(what) has one", remedy: "give a gray map")
        }
        guard array.height == view.height, array.width == view.width else {
            throw ImageError(
                path: path, "\(array.width)x\(array.height) pixels, but the view has \(view.width)x\(view.height)",
                remedy: "a \(what) needs the size of its view")
        }
    }

    /// A picture of 1 or 3 channels, 8 or 16 bits.
    static func picture(_ path: String) throws -> PixelArray {
        let array = try ImageFile.read(path)
        guard array.element != .float32, array.channels == 1 || array.channels == 3 else {
            throw ImageError(
                path: path, "\(array.channels) channels of \(array.element.name) are no picture",
                remedy: "give a gray or RGB picture of 8 or 16 bits")
        }
        return array
    }

    /// Two views of one size and kind.
    static func views(left leftPath: String, right rightPath: String) throws -> [Record.Field] {
        let left = try picture(leftPath)
        let right = try picture(rightPath)
        guard left.height == right.height, left.width == right.width else {
            throw ImageError(
                path: rightPath,
                "\(right.width)x\(right.height) pixels, but the left view has \(left.width)x\(left.height)",
                remedy: "both views of a pair need one size")
        }
        guard left.channels == right.channels, left.element == right.element else {
            throw ImageError(
                path: rightPath,
                "\(right.channels) channels of \(right.element.name), but the left view has \(left.channels) of "
                    + left.element.name, remedy: "both views of a pair need one kind of pixel")
        }
        return [Record.Field(FieldName.left, left), Record.Field(FieldName.right, right)]
    }

    /// A disparity map as `[h, w, 1]` float32 with NaN for unknown. 8 and 16 bit samples are divided by `divisor` and 0
    /// is unknown; in float maps everything that is not finite is.
    static func disparity(_ path: String, divisor: Float, like view: PixelArray) throws -> PixelArray {
        let array = try ImageFile.read(path)
        try requireMap(array, path, like: view, "disparity map")
        let floats: [Float]
        switch array.element {
        case .uint8: floats = array.bytes.map { $0 == 0 ? .nan : Float($0) / divisor }
        case .uint16: floats = array.withUInt16s { $0.map { $0 == 0 ? .nan : Float($0) / divisor } }
        case .float32: floats = array.withFloats { $0.map { $0.isFinite ? $0 : .nan } }
        }
        return PixelArray(height: array.height, width: array.width, channels: 1, floats: floats)
    }
}
