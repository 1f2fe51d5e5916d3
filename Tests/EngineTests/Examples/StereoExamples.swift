import Operators
import Tensors

extension Examples {
    /// Losses between two views, with weights and without. Weights are not differentiated.
    static let views: [OperationExample] = [
        .init(
            WeightedDifference(), [[2, 5, 7, 3], [2, 5, 7, 3], [2, 5, 7, 1]], [.positive, .negative, .positive],
            differentiable: [0]),
        .init(WeightedDifference(), [[2, 3, 9, 1], [2, 3, 9, 1]], [.negative, .positive], differentiable: [0]),
        .init(
            WeightedDifferenceGradient(), [[2, 5, 7, 3], [2, 5, 7, 3], [2, 5, 7, 1], []],
            [.signed, .signed, .positive, .signed]),
        .init(WeightedDifferenceGradient(), [[2, 5, 7, 3], [2, 5, 7, 3], []], [.signed, .signed, .signed]),
        .init(
            BoxDissimilarity(), [[2, 5, 9, 3], [2, 5, 9, 3], [2, 5, 9, 1]], [.positive, .positive, .positive],
            differentiable: [0]),
        .init(BoxDissimilarity(), [[1, 3, 20, 2], [1, 3, 20, 2]], [.signed, .positive], differentiable: [0]),
        .init(BoxDissimilarity(), [[2, 4, 3, 1], [2, 4, 3, 1]], [.positive, .positive], differentiable: [0]),
        .init(
            BoxDissimilarityGradient(), [[2, 5, 9, 3], [2, 5, 9, 3], [2, 5, 9, 1], []],
            [.positive, .positive, .positive, .signed]),
        .init(
            BoxDissimilarityGradient(), [[1, 6, 25, 3], [1, 6, 25, 3], []], [.positive, .positive, .signed]),
        .init(Coverage(sign: 1), [[2, 3, 9, 1]], [.signed]),
        .init(Coverage(sign: -1), [[1, 2, 33, 1]], [.distinct]),
        .init(
            ViewConsistency(sign: 1), [[2, 3, 9, 1], [2, 3, 9, 1]], [.fractional, .positive], differentiable: [0, 1]),
        .init(
            ViewConsistency(sign: -1), [[2, 3, 9, 1], [2, 3, 9, 1], [2, 3, 9, 1]],
            [.fractional, .positive, .positive],
            differentiable: [0, 1]),
        .init(
            ViewConsistencyGradient(sign: 1), [[2, 3, 9, 1], [2, 3, 9, 1], [2, 3, 9, 1], []],
            [.signed, .signed, .positive, .signed]),
        .init(ViewConsistencyGradient(sign: -1), [[1, 2, 33, 1], [1, 2, 33, 1], []], [.distinct, .signed, .signed]),
        .init(
            PeakDot(coefficients: (0..<9).map { Float($0) - 4 }, radius: 2), [[1, 2, 3, 9]], [.peaked],
            differentiable: [0]),
        .init(PeakDot(coefficients: [1, -2, 3], radius: 0), [[5, 3]], [.peaked]),
        .init(
            PeakDotGradient(coefficients: (0..<20).map { Float($0) }, radius: 3), [[2, 3, 4, 20], [2, 3, 4, 1]],
            [.distribution, .signed]),
    ]
}
