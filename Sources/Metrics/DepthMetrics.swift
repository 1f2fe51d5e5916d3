import Basics
import Glibc

/// Errors of a depth map. p is the prediction, g the truth, both in metres, e = ln p − ln g.
///
/// * `abs_rel`: mean |p − g| / g. `sq_rel`: mean (p − g)² / g (metres). `rmse`: root of mean (p − g)² (metres).
/// * `rmse_log`: root of mean e². `log10`: mean |log₁₀ p − log₁₀ g|.
/// * `a1`, `a2`, `a3`: fraction of pixels with max(p/g, g/p) < 1.25, 1.25², 1.25³.
/// * `silog`: 100 √(mean e² − (mean e)²), KITTI's variant (others halve the second term and leave out the 100).
/// * `density`: fraction of pixels of known truth that have a prediction (one that is not NaN).
///
/// **Source:** Eigen, Puhrsch and Fergus, Depth Map Prediction from a Single Image (NIPS 2014), section 4.
public struct DepthSums: MetricSums {
    public private(set) var validCount = 0
    public private(set) var estimatedCount = 0
    private var relativeSum = 0.0
    private var squaredRelativeSum = 0.0
    private var squaredSum = 0.0
    private var logSum = 0.0
    private var squaredLogSum = 0.0
    private var absoluteLogSum = 0.0
    private var a1Count = 0
    private var a2Count = 0
    private var a3Count = 0

    public init() {}

    /// Takes in one pixel; both values are positive.
    mutating func add(prediction: Double, truth: Double) {
        validCount += 1
        estimatedCount += 1
        let difference = prediction - truth
        let logDifference = log(prediction) - log(truth)
        relativeSum += abs(difference) / truth
        squaredRelativeSum += difference * difference / truth
        squaredSum += difference * difference
        logSum += logDifference
        squaredLogSum += logDifference * logDifference
        absoluteLogSum += abs(logDifference)
        let ratio = max(prediction / truth, truth / prediction)
        if ratio < 1.25 { a1Count += 1 }
        if ratio < 1.25 * 1.25 { a2Count += 1 }
        if ratio < 1.25 * 1.25 * 1.25 { a3Count += 1 }
    }

    /// Takes in a pixel of known truth without a prediction.
    mutating func addMissing() { validCount += 1 }

    public static func += (total: inout Self, other: Self) {
        total.validCount += other.validCount
        total.estimatedCount += other.estimatedCount
        total.relativeSum += other.relativeSum
        total.squaredRelativeSum += other.squaredRelativeSum
        total.squaredSum += other.squaredSum
        total.logSum += other.logSum
        total.squaredLogSum += other.squaredLogSum
        total.absoluteLogSum += other.absoluteLogSum
        total.a1Count += other.a1Count
        total.a2Count += other.a2Count
        total.a3Count += other.a3Count
    }

    public static let names = [
        "abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "a1", "a2", "a3", "silog", "density",
    ]

    public var values: [Double] {
        [absRel, sqRel, rmse, rmseLog, log10, a1, a2, a3, silog, density]
    }

    public var absRel: Double { quotient(relativeSum, estimatedCount) }
    public var sqRel: Double { quotient(squaredRelativeSum, estimatedCount) }
    public var rmse: Double { quotient(squaredSum, estimatedCount).squareRoot() }
    public var rmseLog: Double { quotient(squaredLogSum, estimatedCount).squareRoot() }
    public var log10: Double { quotient(absoluteLogSum, estimatedCount) / log(10.0) }
    public var a1: Double { quotient(Double(a1Count), estimatedCount) }
    public var a2: Double { quotient(Double(a2Count), estimatedCount) }
    public var a3: Double { quotient(Double(a3Count), estimatedCount) }
    public var silog: Double {
        let mean = quotient(logSum, estimatedCount)
        let variance = quotient(squaredLogSum, estimatedCount) - mean * mean
        // Rounding may leave a tiny negative variance; NaN stays NaN.
        return 100 * (variance < 0 ? 0 : variance.squareRoot())
    }
    public var density: Double { quotient(Double(estimatedCount), validCount) }
}

/// How depth maps are compared. Order: mask min < g < max, crop, median scaling, then the prediction is clipped to
/// [min, max] (that of Monodepth2's evaluation).
public struct DepthProtocol: Sendable, Equatable {
    public var minimumMetres: Double
    public var maximumMetres: Double
    public var crop: Crop
    /// Multiply each prediction by median(g) / median(p). Off for networks trained on stereo: their scale is known.
    public var scalesByMedian: Bool

    public init(
        minimumMetres: Double = 1e-3, maximumMetres: Double, crop: Crop = .none, scalesByMedian: Bool = false
    ) {
        precondition(
            0 < minimumMetres && minimumMetres < maximumMetres && maximumMetres.isFinite,
            "DepthProtocol: range \(minimumMetres)…\(maximumMetres) m")
        self.minimumMetres = minimumMetres
        self.maximumMetres = maximumMetres
        self.crop = crop
        self.scalesByMedian = scalesByMedian
    }

    /// 0.001…80 m, Garg's crop.
    public static let kitti = DepthProtocol(maximumMetres: 80, crop: .garg)
    /// 0.001…10 m, no crop.
    public static let nyu = DepthProtocol(maximumMetres: 10)

    /// Measures one image, `[H, W]`.
    ///
    /// A pixel counts if its truth lies inside the range and the crop (NaN never does). A NaN prediction is missing; an
    /// infinite one (disparity 0) is clipped to the maximum.
    /// - Returns: the sums, and the factor of median scaling (nil if off or nothing was measured).
    public func measure(
        prediction: UnsafeBufferPointer<Float>, truth: UnsafeBufferPointer<Float>, height: Int, width: Int
    ) -> (sums: DepthSums, scale: Double?) {
        precondition(
            prediction.count == height * width && truth.count == height * width,
            "DepthProtocol: \(prediction.count) predictions, \(truth.count) truths for \(height)x\(width)")
        var sums = DepthSums()
        var predictions: [Float] = []
        var truths: [Float] = []
        let region = crop.region(height: height, width: width)
        for row in region.rows {
            for index in row * width + region.columns.lowerBound..<row * width + region.columns.upperBound {
                let expected = Double(truth[index])
                guard minimumMetres < expected && expected < maximumMetres else { continue }
                if prediction[index].isNaN {
                    sums.addMissing()
                } else {
                    predictions.append(prediction[index])
                    truths.append(truth[index])
                }
            }
        }
        let scale = scalesByMedian && !truths.isEmpty ? median(truths) / median(predictions) : nil
        for (predicted, expected) in zip(predictions, truths) {
            let scaled = Double(predicted) * (scale ?? 1)
            // Written so that NaN (scaling by the median of zeros) stays NaN.
            let clipped = scaled < minimumMetres ? minimumMetres : scaled > maximumMetres ? maximumMetres : scaled
            sums.add(prediction: clipped, truth: Double(expected))
        }
        return (sums, scale)
    }

    /// Measures one image of two float32 maps of one size, in metres.
    public func measure(
        prediction: PixelArray, truth: PixelArray
    ) throws(MetricError) -> (sums: DepthSums, scale: Double?) {
        try checkMaps("depth", prediction, truth)
        return prediction.withFloats { p in
            truth.withFloats { measure(prediction: p, truth: $0, height: truth.height, width: truth.width) }
        }
    }
}

/// The factors of median scaling over a set of images: what stands beside scaled results.
public struct MedianScales: Sendable, Equatable {
    private var scales: [Double] = []

    public init() {}

    public mutating func add(_ scale: Double) { scales.append(scale) }

    public var count: Int { scales.count }

    /// The median factor; NaN without images.
    public var median: Double {
        guard !scales.isEmpty else { return .nan }
        let sorted = scales.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }

    /// Population standard deviation of factor / median factor; NaN without images.
    public var relativeDeviation: Double {
        let ratios = scales.map { $0 / median }
        let mean = quotient(ratios.reduce(0, +), ratios.count)
        return quotient(ratios.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }, ratios.count).squareRoot()
    }
}

/// What turns disparities into depths: Z = f·B / (d + offset).
public struct StereoGeometry: Sendable, Equatable {
    /// Focal length in pixels of the map's width.
    public var focalPixels: Double
    public var baselineMetres: Double
    /// Difference of the principal points, x_right − x_left (`doffs` of Middlebury); 0 for rectified KITTI.
    public var offsetPixels: Double

    public init(focalPixels: Double, baselineMetres: Double, offsetPixels: Double = 0) {
        self.focalPixels = focalPixels
        self.baselineMetres = baselineMetres
        self.offsetPixels = offsetPixels
    }

    /// Depth in metres of a disparity in pixels. Infinite where the rays do not meet (d + offset ≤ 0): a prediction
    /// there is "far away", which a protocol clips to its maximum. NaN stays NaN.
    ///
    /// float32 arithmetic, as in the usual evaluations: exact ties at the thresholds of a1…a3 (disparities with few digits
    /// have them) then fall as in theirs.
    public func depthMetres(disparityPixels: Float) -> Float {
        let sum = disparityPixels + Float(offsetPixels)
        return sum <= 0 ? .infinity : Float(focalPixels * baselineMetres) / sum
    }

    /// Depth map of a float32 disparity map, same size.
    public func depth(ofDisparity map: PixelArray) -> PixelArray {
        var result = map
        result.withMutableFloats { pixels in
            for index in pixels.indices { pixels[index] = depthMetres(disparityPixels: pixels[index]) }
        }
        return result
    }
}
