import Basics

/// Metrics of maps in 0…1: masks, and depth without a unit.
///
/// | metric | of one image |
/// |---|---|
/// | `iou` | (Σ p·y + 1e-6) / (Σ (p + y − p·y) + 1e-6): soft, nothing is thresholded |
/// | `rmse` | √ mean (p − y)² |
/// | `mae` | mean of the absolute differences |
///
/// A pixel counts if its truth is not NaN. **Source:** rvk007/Monocular-Depth-Estimation, `metrics.py`, with the root
/// mean square where that prints its reciprocal.
public struct MaskSums: MetricSums {
    private var intersection = 0.0
    private var union = 0.0
    private var squares = 0.0
    private var absolutes = 0.0
    public private(set) var validCount = 0

    public static let names = ["iou", "rmse", "mae"]

    public init() {}

    public mutating func add(prediction: Double, truth: Double) {
        intersection += prediction * truth
        union += prediction + truth - prediction * truth
        squares += (prediction - truth) * (prediction - truth)
        absolutes += abs(prediction - truth)
        validCount += 1
    }

    /// Measures one image; `truth` NaN = unknown.
    public init(prediction: UnsafeBufferPointer<Float>, truth: UnsafeBufferPointer<Float>) {
        precondition(prediction.count == truth.count, "MaskSums: \(prediction.count) against \(truth.count)")
        for index in truth.indices where !truth[index].isNaN {
            add(prediction: Double(prediction[index]), truth: Double(truth[index]))
        }
    }

    /// Measures two float32 maps of one size.
    public init(prediction: PixelArray, truth: PixelArray) throws(MetricError) {
        try checkMaps("mask", prediction, truth)
        self = prediction.withFloats { p in truth.withFloats { MaskSums(prediction: p, truth: $0) } }
    }

    public static func += (total: inout Self, other: Self) {
        total.intersection += other.intersection
        total.union += other.union
        total.squares += other.squares
        total.absolutes += other.absolutes
        total.validCount += other.validCount
    }

    public var values: [Double] {
        [
            validCount == 0 ? .nan : (intersection + 1e-6) / (union + 1e-6), quotient(squares, validCount).squareRoot(),
            quotient(absolutes, validCount),
        ]
    }
}
