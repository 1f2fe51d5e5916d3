import Basics

/// Backgrounds with something laid over them, as DepthMaskNet is trained on: `file_map.txt`, one line a sample, with the
/// tab-separated names of background, overlay, mask and depth map, and the folders that hold them: `bg/`, `bg_fg/`,
/// `bg_fg_mask/`, `bg_fg_depth_map/`. Names may lack their ending (.jpeg, .jpg, .png).
///
/// Fields: `background` and `image` (the overlay), uint8 as they are; `mask`, uint8, 255 = the thing; `depth`, float32,
/// sample / 255: it comes from a network that knows no metres, so 0 is a value and nothing is unknown.
///
/// **Source:** the data set's published layout: 100 backgrounds, 100 foregrounds, 400,000 overlays. Its authors split
/// samples at random, 70 : 30, so that every background is in both parts.
public struct Overlays: FrameSource {
    public let root: String
    /// Samples of one background are a group: no background is in two parts.
    public let keepsBackgroundsTogether: Bool

    public init(root: String, keepsBackgroundsTogether: Bool = false) {
        self.root = root
        self.keepsBackgroundsTogether = keepsBackgroundsTogether
    }

    public var name: String { "overlay" }

    static let folders = ["bg", "bg_fg", "bg_fg_mask", "bg_fg_depth_map"]

    public func items() throws -> [FrameItem] {
        let layout = "file_map.txt beside " + Self.folders.map { $0 + "/" }.joined(separator: ", ")
        try SourceFolder.require(Self.folders, in: root, layout: layout)
        let map = root + "/file_map.txt"
        guard Files.exists(map) else {
            throw ImageError(
                path: root, "no file file_map.txt", remedy: "the layout is \(layout)", exitCode: .missingInput)
        }
        var keys: Set<String> = []
        let items = try TextFile.lines(map).enumerated().map { number, line in
            let names = line.split(separator: "\t", omittingEmptySubsequences: false).map(TextFile.trimmed)
            guard names.count == 4, names.allSatisfy({ !$0.isEmpty && TextFile.isInside($0) }) else {
                throw ImageError(
                    path: map, "'\(line.prefix(80))' (sample \(number + 1)) is not four names with tabs between",
                    remedy: "lines are background, overlay, mask, depth map")
            }
            let key = Self.stem(names[1])
            guard keys.insert(key).inserted else {
                throw ImageError(path: map, "names overlay \(key) twice", remedy: "every overlay is one sample")
            }
            return item(key, names)
        }
        guard !items.isEmpty else { throw ImageError(path: map, "holds no line", remedy: "unpack the archive again") }
        return items
    }

    private static func stem(_ name: Substring) -> String {
        guard ImageFile.Format(extensionOf: String(name)) != nil, let dot = name.lastIndex(of: ".") else {
            return String(name)
        }
        return String(name[..<dot])
    }

    private func item(_ key: String, _ names: [Substring]) -> FrameItem {
        let root = root
        // Looked for when the item is loaded: a listing of 400,000 lines asks the file system for nothing.
        func find(_ column: Int) -> @Sendable () -> String {
            let (folder, name) = (Self.folders[column], String(names[column]))
            return {
                let base = "\(root)/\(folder)/\(name)"
                if ImageFile.Format(extensionOf: name) != nil { return base }
                return [".jpeg", ".jpg", ".png"].map { base + $0 }.first(where: Files.exists) ?? base + ".jpeg"
            }
        }
        let (background, overlay, mask, depth) = (find(0), find(1), find(2), find(3))
        return FrameItem(key: key, group: keepsBackgroundsTogether ? Self.stem(names[0]) : nil) {
            let paths = [background(), overlay(), mask(), depth()]
            for path in paths { try PairLoader.require(path) }
            let image = try PairLoader.picture(paths[1])
            let behind = try PairLoader.picture(paths[0])
            guard behind.height == image.height, behind.width == image.width else {
                throw ImageError(
                    path: paths[0],
                    "\(behind.width)x\(behind.height) pixels, but the overlay has \(image.width)x\(image.height)",
                    remedy: "both pictures of a sample need one size")
            }
            return Record(
                key: key,
                fields: [
                    .init(FieldName.background, behind), .init(FieldName.image, image),
                    .init(FieldName.mask, try Self.gray(paths[2], like: image, "mask")),
                    .init(FieldName.depth, try Self.relativeDepth(paths[3], like: image)),
                ])
        }
    }

    /// One channel of 8 bits. Colour files whose channels agree are gray ones that were saved as colour.
    private static func gray(_ path: String, like view: PixelArray, _ what: String) throws -> PixelArray {
        var array = try ImageFile.read(path)
        if array.channels == 3, array.element == .uint8 {
            let pixels = stride(from: 0, to: array.count, by: 3)
            guard
                pixels.allSatisfy({ array.bytes[$0] == array.bytes[$0 + 1] && array.bytes[$0] == array.bytes[$0 + 2] })
            else { throw ImageError(path: path, "is in colour; a \(what) is gray", remedy: "give a gray map") }
            array = PixelArray(
                height: array.height, width: array.width, channels: 1, element: .uint8,
                bytes: pixels.map { array.bytes[$0] })
        }
        try PairLoader.requireMap(array, path, like: view, what)
        guard array.element == .uint8 else {
            throw ImageError(path: path, "a \(what) of \(array.element.name)", remedy: "it has 8 bits")
        }
        return array
    }

    private static func relativeDepth(_ path: String, like view: PixelArray) throws -> PixelArray {
        let array = try gray(path, like: view, "depth map")
        return PixelArray(
            height: array.height, width: array.width, channels: 1, floats: array.bytes.map { Float($0) / 255 })
    }
}
