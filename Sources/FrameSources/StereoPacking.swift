import Basics

/// Two views as one picture.
public enum StereoPacking {
    /// - Parameters:
    ///   - left, right: `[height, width, 3]` uint8 of one size.
    ///   - kind: one that holds both views.
    public static func picture(_ kind: FilmKind, left: PixelArray, right: PixelArray) -> PixelArray {
        precondition(
            left.height == right.height && left.width == right.width && left.channels == 3 && right.channels == 3,
            "views of \(left.width)x\(left.height) and \(right.width)x\(right.height)")
        let (height, width) = (left.height, left.width)
        switch kind {
        case .halfSideBySide:
            let half = (width + 1) / 2
            return StereoPictures.sideBySide(
                left: Resizing.area(left, height: height, width: half),
                right: Resizing.area(right, height: height, width: half))
        case .halfTopBottom:
            let half = (height + 1) / 2
            return above(
                Resizing.area(left, height: half, width: width), Resizing.area(right, height: half, width: width))
        case .topBottom: return above(left, right)
        case .anaglyph: return anaglyph(left, right)
        case .sideBySide, .depth, .gray, .gray16, .view:
            return StereoPictures.sideBySide(left: left, right: right)
        }
    }

    private static func above(_ left: PixelArray, _ right: PixelArray) -> PixelArray {
        PixelArray(
            height: 2 * left.height, width: left.width, channels: 3, element: .uint8, bytes: left.bytes + right.bytes)
    }

    /// For red and cyan glasses, the red one on the left eye: rows red, green, blue of left red, green, blue, right red,
    /// green, blue.
    ///
    /// **Source:** Dubois, "A projection method to generate anaglyph stereo images", ICASSP 2001.
    private static let dubois: [Double] = [
        0.4561, 0.500484, 0.176381, -0.0434706, -0.0879388, -0.00155529,
        -0.0400822, -0.0378246, -0.0157589, 0.378476, 0.73364, -0.0184503,
        -0.0152161, -0.0205971, -0.00546856, -0.0721527, -0.112961, 1.2264,
    ]
    private static let fixedDubois = dubois.map { Int32(($0 * 65_536).rounded()) }

    private static func anaglyph(_ left: PixelArray, _ right: PixelArray) -> PixelArray {
        var result = PixelArray(zerosOf: left.height, left.width, 3, .uint8)
        left.bytes.withUnsafeBufferPointer { left in
            right.bytes.withUnsafeBufferPointer { right in
                result.bytes.withUnsafeMutableBufferPointer { target in
                    fixedDubois.withUnsafeBufferPointer { m in
                        for i in stride(from: 0, to: target.count, by: 3) {
                            for c in 0..<3 {
                                var sum: Int32 = 0
                                for k in 0..<3 {
                                    sum &+= m[c * 6 + k] &* Int32(left[i + k])
                                    sum &+= m[c * 6 + 3 + k] &* Int32(right[i + k])
                                }
                                target[i + c] = UInt8(max(0, min(255, sum >> 16)))
                            }
                        }
                    }
                }
            }
        }
        return result
    }

    /// Even sides, the last row and column repeated, as coded colours need them.
    public static func even(_ picture: PixelArray) -> PixelArray {
        let (height, width) = (picture.height, picture.width)
        let (newHeight, newWidth) = (height + height % 2, width + width % 2)
        if (newHeight, newWidth) == (height, width) { return picture }
        let pixel = picture.channels * picture.element.byteCount
        var bytes: [UInt8] = []
        bytes.reserveCapacity(newHeight * newWidth * pixel)
        for y in 0..<newHeight {
            let row = min(y, height - 1) * width * pixel
            bytes += picture.bytes[row..<(row + width * pixel)]
            if newWidth > width { bytes += picture.bytes[(row + (width - 1) * pixel)..<(row + width * pixel)] }
        }
        return PixelArray(
            height: newHeight, width: newWidth, channels: picture.channels, element: picture.element, bytes: bytes)
    }
}
