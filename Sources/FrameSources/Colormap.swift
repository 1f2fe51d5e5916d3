import Basics

/// Colours for maps of one number per pixel.
public enum Colormap {
    /// Shown where a map knows nothing.
    public static let unknownColour: (UInt8, UInt8, UInt8) = (0, 0, 0)

    /// Turbo: `value` 0…1 (clamped) → red, green, blue. Blue = small = far, red = large = near.
    ///
    /// **Source:** A. Mikhailov, "Turbo, an improved rainbow colormap for visualization", Google AI blog, 2019; the
    /// polynomial approximation published with it (Apache-2.0).
    public static func turbo(_ value: Float) -> (red: UInt8, green: UInt8, blue: UInt8) {
        let x = min(max(value, 0), 1)
        func polynomial(_ c: (Float, Float, Float, Float, Float, Float)) -> UInt8 {
            let sum = c.0 + x * (c.1 + x * (c.2 + x * (c.3 + x * (c.4 + x * c.5))))
            return UInt8(min(max(sum * 255 + 0.5, 0), 255))
        }
        return (
            polynomial((0.13572138, 4.61539260, -42.66032258, 132.13108234, -152.94239396, 59.28637943)),
            polynomial((0.09140261, 2.19418839, 4.84296658, -14.18503333, 4.27729857, 2.82956604)),
            polynomial((0.10667330, 12.64194608, -60.58204836, 110.36276771, -89.90310912, 27.34824973))
        )
    }

    /// `[h, w, 1]` float32 → `[h, w, 3]` uint8. `range.lowerBound` is blue, `range.upperBound` red, values beyond are
    /// clamped, so negative disparities are as visible as positive ones. Unknown (not finite) pixels are black.
    public static func colours(of map: PixelArray, in range: ClosedRange<Float>) -> PixelArray {
        precondition(map.element == .float32 && map.channels == 1, "a colour-mapped map has one float32 channel")
        var picture = PixelArray(zerosOf: map.height, map.width, 3, .uint8)
        let span = range.upperBound - range.lowerBound
        let table = (0...1023).map { turbo(Float($0) / 1023) }
        map.withFloats { floats in
            for (index, value) in floats.enumerated() {
                var colour = unknownColour
                if value.isFinite {
                    let position = span > 0 ? (value - range.lowerBound) / span : 0.5
                    let entry = table[Int(min(max(position, 0), 1) * 1023 + 0.5)]
                    colour = (entry.red, entry.green, entry.blue)
                }
                (picture.bytes[index * 3], picture.bytes[index * 3 + 1], picture.bytes[index * 3 + 2]) = colour
            }
        }
        return picture
    }

    /// Smallest and largest known value of a map; nil if it knows nothing.
    public static func range(of map: PixelArray) -> ClosedRange<Float>? {
        map.withFloats { floats in
            var range: ClosedRange<Float>?
            for value in floats where value.isFinite {
                range = range.map { min($0.lowerBound, value)...max($0.upperBound, value) } ?? value...value
            }
            return range
        }
    }
}

/// Pictures beside and above each other.
public enum ContactSheet {
    /// Any picture as `[h, w, 3]` uint8: gray is repeated, 16 bits keep their upper 8, float maps are colour-mapped
    /// over their own range.
    public static func displayable(_ array: PixelArray) -> PixelArray {
        switch array.element {
        case .float32:
            let first = array.channels == 1 ? array : firstChannel(array)
            return Colormap.colours(of: first, in: Colormap.range(of: first) ?? 0...1)
        case .uint16:
            let bytes = array.withUInt16s { $0.map { UInt8($0 >> 8) } }
            return displayable(
                PixelArray(
                    height: array.height, width: array.width, channels: array.channels, element: .uint8, bytes: bytes))
        case .uint8:
            if array.channels == 3 { return array }
            let bytes = (0..<(array.height * array.width)).flatMap { pixel in
                repeatElement(array.bytes[pixel * array.channels], count: 3)
            }
            return PixelArray(height: array.height, width: array.width, channels: 3, element: .uint8, bytes: bytes)
        }
    }

    /// Pictures of any kind from left to right, tops aligned, `gap` white pixels between them.
    public static func row(_ pictures: [PixelArray], gap: Int = 4) -> PixelArray {
        lay(pictures, gap: gap, across: true)
    }

    /// Pictures of any kind from top to bottom, left sides aligned.
    public static func column(_ pictures: [PixelArray], gap: Int = 4) -> PixelArray {
        lay(pictures, gap: gap, across: false)
    }

    private static func lay(_ pictures: [PixelArray], gap: Int, across: Bool) -> PixelArray {
        precondition(!pictures.isEmpty && gap >= 0, "a sheet of \(pictures.count) pictures")
        let shown = pictures.map(displayable)
        let gaps = gap * (shown.count - 1)
        let heights = shown.map(\.height)
        let widths = shown.map(\.width)
        let height = across ? heights.max() ?? 0 : heights.reduce(gaps, +)
        let width = across ? widths.reduce(gaps, +) : widths.max() ?? 0
        var bytes = [UInt8](repeating: 255, count: height * width * 3)
        var (top, left) = (0, 0)
        for picture in shown {
            for y in 0..<picture.height {
                let target = ((top + y) * width + left) * 3
                let source = y * picture.width * 3
                bytes.replaceSubrange(
                    target..<(target + picture.width * 3), with: picture.bytes[source..<(source + picture.width * 3)])
            }
            if across { left += picture.width + gap } else { top += picture.height + gap }
        }
        return PixelArray(height: height, width: width, channels: 3, element: .uint8, bytes: bytes)
    }

    private static func firstChannel(_ array: PixelArray) -> PixelArray {
        let floats = array.withFloats { floats in
            stride(from: 0, to: floats.count, by: array.channels).map { floats[$0] }
        }
        return PixelArray(height: array.height, width: array.width, channels: 1, floats: floats)
    }
}
