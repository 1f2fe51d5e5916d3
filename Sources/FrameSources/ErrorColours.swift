import Basics

/// Colours of errors on a logarithmic scale: blue is below, red above the threshold at which a pixel counts as wrong.
public enum ErrorColours {
    /// Upper ends of the steps, in multiples of the threshold, with red, green, blue. The last has no end.
    ///
    /// **Source:** KITTI's stereo 2015 development kit, `log_colormap.h`.
    static let steps: [(end: Float, red: UInt8, green: UInt8, blue: UInt8)] = [
        (0.0625, 49, 54, 149), (0.125, 69, 117, 180), (0.25, 116, 173, 209), (0.5, 171, 217, 233), (1, 224, 243, 248),
        (2, 254, 224, 144), (4, 253, 174, 97), (8, 244, 109, 67), (16, 215, 48, 39), (.infinity, 165, 0, 38),
    ]

    /// Disparities: the smaller of |error| / 3 pixels and |error| / (5 % of the truth), so that 1 is where KITTI counts a
    /// pixel as wrong. Black where the truth is unknown, gray where the prediction is.
    public static func disparity(_ map: PixelArray, truth: PixelArray) -> PixelArray {
        picture(map, truth) { min($0 / 3, $0 / max(0.05 * abs($1), .leastNormalMagnitude)) }
    }

    /// Depths: |error| / (5 % of the truth).
    public static func depth(_ map: PixelArray, truth: PixelArray) -> PixelArray {
        picture(map, truth) { $0 / max(0.05 * abs($1), .leastNormalMagnitude) }
    }

    /// Maps in 0…1: |error| / 0.1.
    public static func share(_ map: PixelArray, truth: PixelArray) -> PixelArray {
        picture(map, truth) { error, _ in error / 0.1 }
    }

    /// With the scale's ten colours along the upper edge where there is room.
    private static func picture(_ map: PixelArray, _ truth: PixelArray, _ measure: (Float, Float) -> Float)
        -> PixelArray
    {
        precondition(map.height == truth.height && map.width == truth.width, "an error map of maps of unlike sizes")
        let (height, width) = (truth.height, truth.width)
        var result = PixelArray(zerosOf: height, width, 3, .uint8)
        map.withFloats { found in
            truth.withFloats { known in
                for index in 0..<known.count where known[index].isFinite {
                    guard found[index].isFinite else {
                        for c in 0..<3 { result.bytes[index * 3 + c] = 128 }
                        continue
                    }
                    let value = measure(abs(found[index] - known[index]), known[index])
                    let step = steps.first { value < $0.end } ?? steps[steps.count - 1]
                    (result.bytes[index * 3], result.bytes[index * 3 + 1], result.bytes[index * 3 + 2]) =
                        (step.red, step.green, step.blue)
                }
            }
        }
        // As the development kit draws it.
        let (bar, rows) = (20, 10)
        if width >= 2 * bar * steps.count && height >= 4 * rows {
            for (number, step) in steps.enumerated() {
                for y in 0..<rows {
                    for x in (number * bar)..<((number + 1) * bar) {
                        let index = (y * width + x) * 3
                        (result.bytes[index], result.bytes[index + 1], result.bytes[index + 2]) =
                            (step.red, step.green, step.blue)
                    }
                }
            }
        }
        return result
    }
}
