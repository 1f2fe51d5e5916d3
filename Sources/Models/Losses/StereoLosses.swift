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
}
