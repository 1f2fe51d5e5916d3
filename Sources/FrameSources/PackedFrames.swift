import Basics

/// A folder of pictures that hold both views: left and right halves, or top and bottom halves. Sub-folders are searched
/// too; keys are relative paths without extension. Other files are passed over.
public struct PackedFrames: FrameSource {
    public enum Packing: String, Sendable, CaseIterable {
        /// Left half = left view.
        case sideBySide = "side-by-side"
        /// Top half = left view.
        case topBottom = "top-bottom"
    }

    public let root: String
    public let packing: Packing
    /// The other half is the left view.
    public let isSwapped: Bool

    public init(root: String, packing: Packing, isSwapped: Bool = false) {
        self.root = root
        self.packing = packing
        self.isSwapped = isSwapped
    }

    public var name: String { packing.rawValue }

    public func items() throws -> [FrameItem] {
        try SourceFolder.require(root)
        let pictures = try SourceFolder.pictures(in: root, formats: PairLoader.pictureFormats)
        guard !pictures.isEmpty else {
            throw ImageError(
                path: root, "no pictures in it", remedy: "put .png or .jpg files there, or give another folder")
        }
        let (paths, ambiguous) = SourceFolder.byKey(pictures)
        return paths.keys.sorted { $0.precedes($1) }.map { key in
            if let error = ambiguous[key] { return FrameItem(key: key, broken: error) }
            let path = paths[key] ?? ""
            return FrameItem(key: key) {
                Record(key: key, fields: try split(PairLoader.picture(path), path: path))
            }
        }
    }

    /// Cuts a packed picture into its views.
    /// - Throws: `ImageError` if the side to halve is odd.
    public func split(_ picture: PixelArray, path: String) throws(ImageError) -> [Record.Field] {
        let side = packing == .sideBySide ? picture.width : picture.height
        guard side % 2 == 0 else {
            throw ImageError(
                path: path, "odd \(packing == .sideBySide ? "width" : "height") \(side) has no two equal halves",
                remedy: "crop or pad the picture, or give the right --layout")
        }
        let pixel = picture.channels * picture.element.byteCount
        let rowBytes = picture.width * pixel
        let halves: [PixelArray]
        switch packing {
        case .topBottom:
            let middle = picture.height / 2 * rowBytes
            halves = [picture.bytes[..<middle], picture.bytes[middle...]].map {
                PixelArray(
                    height: picture.height / 2, width: picture.width, channels: picture.channels,
                    element: picture.element, bytes: Array($0))
            }
        case .sideBySide:
            halves = [0, rowBytes / 2].map { start in
                var bytes: [UInt8] = []
                bytes.reserveCapacity(picture.bytes.count / 2)
                for y in 0..<picture.height {
                    bytes += picture.bytes[(y * rowBytes + start)..<(y * rowBytes + start + rowBytes / 2)]
                }
                return PixelArray(
                    height: picture.height, width: picture.width / 2, channels: picture.channels,
                    element: picture.element, bytes: bytes)
            }
        }
        return [
            Record.Field(FieldName.left, halves[isSwapped ? 1 : 0]),
            Record.Field(FieldName.right, halves[isSwapped ? 0 : 1]),
        ]
    }
}
