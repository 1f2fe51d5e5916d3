import Graphs
import Kernels
import Operators

// Losses of this value against a target in which NaN means unknown; scalars.

extension Value {
    /// Mean |x − target| over known values.
    public func maskedAbsoluteDifference(to target: Value, file: String = #fileID, line: Int = #line) -> Value {
        apply(MaskedDifference(.absoluteDifference), [target], file: file, line: line)
    }

    /// [Σᵢ nᵢ Σd² − balance · Σᵢ (Σd)²] / max(Σᵢ nᵢ², 1), d = x − target over the nᵢ known values of sample i.
    public func scaleInvariantError(
        to target: Value, balance: Float, file: String = #fileID, line: Int = #line
    ) -> Value {
        apply(MaskedDifference(.scaleInvariant(balance: balance)), [target], file: file, line: line)
    }

    /// Mean over samples of 1 − the cosine between x and the target.
    public func cosineDistance(to target: Value, file: String = #fileID, line: Int = #line) -> Value {
        apply(MaskedDifference(.cosineDistance), [target], file: file, line: line)
    }

    /// Σ |∂y e| + |∂x e| of e = x − target, divided by the number of known pixels. [N, H, W, 1]
    public func edgeDifference(to target: Value, file: String = #fileID, line: Int = #line) -> Value {
        apply(EdgeDifference(), [target], file: file, line: line)
    }

    /// Mean over pictures of (1 − SSIM) / 2, clipped to 0 … 1. [N, H, W, 1], at least 11 pixels on both axes.
    /// - Parameter range: the largest difference that two values can have.
    public func dissimilarity(to target: Value, range: Float, file: String = #fileID, line: Int = #line) -> Value {
        apply(Dissimilarity(range: range), [target], file: file, line: line)
    }

    /// Mean over pictures of 1 − F1 of Sobel edges; `EdgeScore` has the formula. [N, H, W, 1]
    public func edgeScore(
        to target: Value, threshold: Double, sharpness: Double, file: String = #fileID, line: Int = #line
    ) -> Value {
        apply(EdgeScore(EdgeThreshold(threshold: threshold, sharpness: sharpness)), [target], file: file, line: line)
    }
}
