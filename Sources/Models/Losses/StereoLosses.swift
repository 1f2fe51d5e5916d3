import Graphs
import Operators

extension Value {
    /// Mean absolute difference to `target`, a scalar.
    public func absoluteDifferenceMean(to target: Value, file: String = #fileID, line: Int = #line) -> Value {
        apply(AbsoluteDifferenceMean(), [target], file: file, line: line)
    }

    /// Smoothness of this disparity map [N, H, W, 1], relaxed where `image` has edges; a scalar.
    public func smoothness(weightedBy image: Value, file: String = #fileID, line: Int = #line) -> Value {
        apply(Smoothness(), [image], file: file, line: line)
    }

    /// Σ cᵢ xᵢ of scalars (or tensors of one shape), this one first.
    public func combined(
        _ coefficient: Float, with others: [(Float, Value)], file: String = #fileID, line: Int = #line
    ) -> Value {
        apply(
            LinearCombination(coefficients: [coefficient] + others.map(\.0)), others.map(\.1), file: file, line: line)
    }

    /// What this rebuilt view lacks of `target`: similarity · mean (1 − SSIM) / 2 + (1 − similarity) · mean |x − target|;
    /// a scalar. Pixels count with `weight` [N, H, W, 1] where there is one.
    public func reconstructionLoss(
        of target: Value, weight: Value?, similarity: Float, file: String = #fileID, line: Int = #line
    ) -> Value {
        let others = [target] + (weight.map { [$0] } ?? [])
        func difference() -> Value {
            weight == nil
                ? absoluteDifferenceMean(to: target, file: file, line: line)
                : apply(WeightedDifference(), others, file: file, line: line)
        }
        func dissimilarity() -> Value { apply(BoxDissimilarity(), others, file: file, line: line) }
        if similarity == 0 { return difference() }
        if similarity == 1 { return dissimilarity() }
        return dissimilarity().combined(similarity, with: [(1 - similarity, difference())], file: file, line: line)
    }

    /// How much of each pixel of the other view this disparity map's pixels reach, 0…1: x lands at x + sign · d(x).
    /// [N, H, W, 1]; gradients take it for a constant.
    public func coverage(sign: Int, file: String = #fileID, line: Int = #line) -> Value {
        apply(Coverage(sign: sign), file: file, line: line)
    }

    /// Mean of weight · |d(x) − other(x + sign · d(x))| for this disparity map d; a scalar.
    public func consistency(
        with other: Value, sign: Int, weight: Value?, file: String = #fileID, line: Int = #line
    ) -> Value {
        apply(ViewConsistency(sign: sign), [other] + (weight.map { [$0] } ?? []), file: file, line: line)
    }

    /// Expectation of `values` over the levels within `radius` of the most probable one. [.., S] → [.., 1]
    public func peakExpectation(
        of values: [Float], radius: Int, file: String = #fileID, line: Int = #line
    ) -> Value {
        apply(PeakDot(coefficients: values, radius: radius), file: file, line: line)
    }
}
