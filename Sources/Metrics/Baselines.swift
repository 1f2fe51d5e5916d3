import Basics

/// The trivial answers that every learned one must be shown beside. (The simplest, the other view unchanged, needs no
/// code: compare the two views.)
public enum Baselines {
    /// A picture moved by whole columns: out(x) = picture(x − columns), positive to the right. The columns that become
    /// free are filled with the edge pixel of their row.
    public static func shifted(_ picture: PixelArray, byColumns columns: Int) -> PixelArray {
        let pixelBytes = picture.channels * picture.element.byteCount
        let rowBytes = picture.width * pixelBytes
        var result = picture
        for y in 0..<picture.height {
            for x in 0..<picture.width {
                // Clamped before the subtraction, so that no shift overflows.
                let shift = min(max(columns, -picture.width), picture.width)
                let source = min(max(x - shift, 0), picture.width - 1)
                let from = y * rowBytes + source * pixelBytes
                let to = y * rowBytes + x * pixelBytes
                for byte in 0..<pixelBytes { result.bytes[to + byte] = picture.bytes[from + byte] }
            }
        }
        return result
    }

    /// The whole-column shift s in −maximumShift…maximumShift with which `shifted(source, byColumns: s)` comes nearest
    /// to `target`, by the mean absolute error over the columns that both have. Ties go to the smaller |s|, then to the
    /// positive one. The range is limited to half the width, so that at least half of the columns are compared.
    ///
    /// With the project's convention left(x) = right(x − d): the left view from the right one is s = d, the right view
    /// from the left one is s = −d.
    public static func bestGlobalShift(
        of source: PixelArray, to target: PixelArray, maximumShift: Int
    ) throws(MetricError) -> Int {
        precondition(maximumShift >= 0, "bestGlobalShift: maximum \(maximumShift)")
        try checkPictures(source, target)
        let (height, width, channels) = (target.height, target.width, target.channels)
        let limit = min(maximumShift, width / 2)
        guard limit > 0 else { return 0 }
        // 0, 1, −1, 2, −2, …: a strictly smaller error is needed to move on.
        let candidates = [0] + (1...limit).flatMap { [$0, -$0] }
        return samples(of: source).withUnsafeBufferPointer { source in
            samples(of: target).withUnsafeBufferPointer { target in
                var best = (shift: 0, error: Double.infinity)
                for shift in candidates {
                    let common = (width - abs(shift)) * channels
                    let sourceStart = max(-shift, 0) * channels
                    let targetStart = max(shift, 0) * channels
                    var sum = 0.0
                    for y in 0..<height {
                        let row = y * width * channels
                        for index in 0..<common {
                            sum += Double(abs(source[row + sourceStart + index] - target[row + targetStart + index]))
                        }
                    }
                    let error = sum / Double(height * common)
                    if error < best.error { best = (shift, error) }
                }
                return best.shift
            }
        }
    }

    /// The whole disparity d in −maximumShift…maximumShift that matches the two views best, left(x) = right(x − d), as
    /// `bestGlobalShift` measures it: a guess that sees the pictures but no truth.
    public static func bestGlobalDisparity(
        left: PixelArray, right: PixelArray, maximumShift: Int
    ) throws(MetricError) -> Int {
        try bestGlobalShift(of: right, to: left, maximumShift: maximumShift)
    }

    /// The constant that minimises the end-point error of a disparity map: the median of its finite values (the mean of
    /// the two middle ones if their number is even); NaN if there is none. It sees the truth: no constant can do
    /// better.
    public static func bestConstantDisparity(truth: UnsafeBufferPointer<Float>) -> Double {
        median(truth.filter(\.isFinite))
    }

    /// The same for a float32 map.
    public static func bestConstantDisparity(truth: PixelArray) throws(MetricError) -> Double {
        try checkMaps("disparity", truth, truth)
        return truth.withFloats { bestConstantDisparity(truth: $0) }
    }

    /// A disparity map that says the same everywhere.
    public static func constantMap(_ disparityPixels: Double, height: Int, width: Int) -> PixelArray {
        PixelArray(
            height: height, width: width, channels: 1,
            floats: [Float](repeating: Float(disparityPixels), count: height * width))
    }

    /// A view out of the other one: out(x) = picture(x + sign · d(x)), linearly between columns, the edge pixel beyond the
    /// edge. The left view from the right one has sign −1 and the left map, the right view +1 and the right map.
    /// - Parameter map: float32 `[H, W, 1]`; where it is not finite, the pixel is taken as it is.
    public static func warped(_ picture: PixelArray, by map: PixelArray, sign: Float) -> PixelArray {
        precondition(
            map.height == picture.height && map.width == picture.width && map.channels == 1,
            "warped: \(map.height)x\(map.width) for \(picture.height)x\(picture.width)")
        let (width, channels) = (picture.width, picture.channels)
        let source = samples(of: picture)
        var values = source
        map.withFloats { disparity in
            for y in 0..<picture.height {
                for x in 0..<width {
                    let d = disparity[y * width + x]
                    guard d.isFinite else { continue }
                    let position = min(max(Float(x) + sign * d, 0), Float(width - 1))
                    let first = min(Int(position), max(width - 2, 0))
                    let second = min(first + 1, width - 1)
                    let fraction = position - Float(first)
                    for c in 0..<channels {
                        let (a, b) = (
                            source[(y * width + first) * channels + c], source[(y * width + second) * channels + c]
                        )
                        values[(y * width + x) * channels + c] = a + fraction * (b - a)
                    }
                }
            }
        }
        return pixels(values, like: picture)
    }

    private static func pixels(_ values: [Float], like picture: PixelArray) -> PixelArray {
        var result = picture
        switch picture.element {
        case .uint8: result.bytes = values.map { UInt8($0.rounded()) }
        case .uint16:
            result.withMutableUInt16s { for index in values.indices { $0[index] = UInt16(values[index].rounded()) } }
        case .float32: result.withMutableFloats { for index in values.indices { $0[index] = values[index] } }
        }
        return result
    }
}
