import Basics

/// Errors of a disparity map, `[H, W]` in pixels of its own width.
///
/// A pixel counts if its truth is finite (NaN, or the infinity of PFM files, is unknown; zero and negative disparities
/// are ordinary values). Pixels whose prediction is not finite lower `density` and stay out of the other values, which
/// are then "estimated only"; `interpolatedLikeKITTI` fills them first for KITTI's ranking.
///
/// * `epe`: mean |p − g| in pixels. `rms`: root of mean (p − g)².
/// * `bad1`, `bad2`, `bad3`: fraction (0…1) of pixels with |p − g| > k.
/// * `d1`: fraction with |p − g| > 3 **and** |p − g| > 0.05 |g|.
/// * `density`: fraction of pixels of known truth that have a prediction.
///
/// **Source:** Menze and Geiger, Object Scene Flow for Autonomous Vehicles (CVPR 2015), section 5, and KITTI's
/// development kit (d1); Scharstein and Szeliski, A Taxonomy (IJCV 2002), section 5.1 (rms, bad-k).
public struct DisparitySums: MetricSums {
    public private(set) var validCount = 0
    /// Pixels with known truth and a prediction.
    public private(set) var estimatedCount = 0
    private var absoluteSum = 0.0
    private var squaredSum = 0.0
    private var bad1Count = 0
    private var bad2Count = 0
    private var bad3Count = 0
    private var d1Count = 0

    public init() {}

    /// Measures one image.
    public init(prediction: UnsafeBufferPointer<Float>, truth: UnsafeBufferPointer<Float>) {
        precondition(
            prediction.count == truth.count, "DisparitySums: \(prediction.count) predictions, \(truth.count) truths")
        for index in truth.indices where truth[index].isFinite {
            validCount += 1
            guard prediction[index].isFinite else { continue }
            estimatedCount += 1
            let expected = Double(truth[index])
            let error = abs(Double(prediction[index]) - expected)
            absoluteSum += error
            squaredSum += error * error
            if error > 1 { bad1Count += 1 }
            if error > 2 { bad2Count += 1 }
            if error > 3 {
                bad3Count += 1
                if error > 0.05 * abs(expected) { d1Count += 1 }
            }
        }
    }

    /// Measures one image of two float32 maps of one size.
    public init(prediction: PixelArray, truth: PixelArray) throws(MetricError) {
        try checkMaps("disparity", prediction, truth)
        self = prediction.withFloats { p in truth.withFloats { Self(prediction: p, truth: $0) } }
    }

    public static func += (total: inout Self, other: Self) {
        total.validCount += other.validCount
        total.estimatedCount += other.estimatedCount
        total.absoluteSum += other.absoluteSum
        total.squaredSum += other.squaredSum
        total.bad1Count += other.bad1Count
        total.bad2Count += other.bad2Count
        total.bad3Count += other.bad3Count
        total.d1Count += other.d1Count
    }

    public static let names = ["epe", "rms", "bad1", "bad2", "bad3", "d1", "density"]

    public var values: [Double] {
        [epe, rms, bad1, bad2, bad3, d1, density]
    }

    public var epe: Double { quotient(absoluteSum, estimatedCount) }
    public var rms: Double { quotient(squaredSum, estimatedCount).squareRoot() }
    public var bad1: Double { quotient(Double(bad1Count), estimatedCount) }
    public var bad2: Double { quotient(Double(bad2Count), estimatedCount) }
    public var bad3: Double { quotient(Double(bad3Count), estimatedCount) }
    public var d1: Double { quotient(Double(d1Count), estimatedCount) }
    public var density: Double { quotient(Double(estimatedCount), validCount) }
}

/// Fills the non-finite pixels of a disparity map `[H, W]`: gaps inside a row get the smaller of their two neighbours
/// (the background), gaps at the ends of a row its first or last value; then empty rows get the
/// row above them, those at the top the first one below. A map without any finite pixel stays as it is.
///
/// **Source:** `interpolateBackground` of KITTI's stereo development kit, which the benchmark runs before scoring.
public func interpolatedLikeKITTI(_ map: PixelArray) -> PixelArray {
    precondition(map.channels == 1, "interpolatedLikeKITTI: \(map.channels) channels")
    var result = map
    let (height, width) = (map.height, map.width)
    result.withMutableFloats { pixels in
        for row in 0..<height { fillRow(pixels, row * width, width) }
        for column in 0..<width {
            var known = (0..<height).filter { pixels[$0 * width + column].isFinite }[...]
            // Rows are full or empty now, so what remains are whole rows; inside, the row above continues.
            guard let first = known.popFirst() else { continue }
            var value = pixels[first * width + column]
            for row in 0..<first { pixels[row * width + column] = value }
            for row in first..<height {
                if pixels[row * width + column].isFinite {
                    value = pixels[row * width + column]
                } else {
                    pixels[row * width + column] = value
                }
            }
        }
    }
    return result
}

private func fillRow(_ pixels: UnsafeMutableBufferPointer<Float>, _ start: Int, _ width: Int) {
    var previous: Float?
    var column = 0
    while column < width {
        if pixels[start + column].isFinite {
            previous = pixels[start + column]
            column += 1
            continue
        }
        var end = column
        while end < width && !pixels[start + end].isFinite { end += 1 }
        let next: Float? = end < width ? pixels[start + end] : nil
        let fill: Float?
        if let previous, let next {
            fill = min(previous, next)
        } else {
            fill = previous ?? next
        }
        if let fill { for index in column..<end { pixels[start + index] = fill } }
        column = end
    }
}
