import Basics

/// Two views as one picture that shows depth.
public enum StereoPictures {
    /// Left view in the left half, right view in the right half; [H, 2W, C] of the views' type.
    public static func sideBySide(left: PixelArray, right: PixelArray) -> PixelArray {
        check(left, right)
        let rowBytes = left.width * left.channels * left.element.byteCount
        var bytes: [UInt8] = []
        bytes.reserveCapacity(2 * left.bytes.count)
        for y in 0..<left.height {
            bytes += left.bytes[(y * rowBytes)..<((y + 1) * rowBytes)]
            bytes += right.bytes[(y * rowBytes)..<((y + 1) * rowBytes)]
        }
        return PixelArray(
            height: left.height, width: 2 * left.width, channels: left.channels, element: left.element, bytes: bytes)
    }

    /// For glasses with a red filter on the left and a cyan one on the right: red of the left view, green and blue of the
    /// right one. RGB views of 8 bits.
    public static func anaglyph(left: PixelArray, right: PixelArray) -> PixelArray {
        check(left, right)
        precondition(left.channels == 3 && left.element == .uint8, "anaglyph of \(left.channels) \(left.element.name)")
        var result = right
        for i in stride(from: 0, to: left.bytes.count, by: 3) { result.bytes[i] = left.bytes[i] }
        return result
    }

    private static func check(_ left: PixelArray, _ right: PixelArray) {
        precondition(
            left.height == right.height && left.width == right.width && left.channels == right.channels
                && left.element == right.element,
            "views of \(left.height)x\(left.width)x\(left.channels) \(left.element.name) and "
                + "\(right.height)x\(right.width)x\(right.channels) \(right.element.name)")
    }
}
