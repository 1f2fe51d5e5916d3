import Execution
import Kernels
import Operators
import Tensors

extension Examples {
    private static let response = ResponseNormalization(radius: 2, bias: 2, scale: 0.3)

    static let pictures: [OperationExample] = [
        .init(AveragePool2D(window: 2), [[2, 4, 6, 5]], [.signed], differentiable: [0]),
        .init(AveragePool2D(window: 3), [[1, 3, 6, 17]], [.signed], differentiable: [0]),
        .init(AveragePool2DGradient(window: 2), [[2, 2, 3, 5]], [.signed]),
        .init(LeakyReLU(slope: 0.2), [[3, 7, 5]], [.awayFromZero], differentiable: [0]),
        .init(LeakyReLUGradient(slope: 0.2), [[3, 7, 5], [3, 7, 5]], [.signed, .signed]),
        .init(NumberMapping(.affine(scale: -2, offset: 0.5)), [[3, 37]], [.signed], differentiable: [0]),
        .init(NumberMapping(.clip(lower: -0.1, upper: 0.1)), [[3, 37]], [.signed]),
        .init(NumberMapping(.clip(lower: -2, upper: 0.1)), [[3, 37]], [.awayFromZero], differentiable: [0]),
        .init(NumberMapping(.reciprocal(numerator: 3)), [[3, 37]], [.large], differentiable: [0]),
        .init(NumberMapping(.logarithm(factor: 1.5)), [[3, 37]], [.large], differentiable: [0]),
        .init(NumberMapping(.logarithm(factor: 1.5)), [[3, 37]], [.partlyUnknown]),
        .init(NumberMapping(.exponential(factor: 0.5)), [[3, 37]], [.signed], differentiable: [0]),
        .init(NumberMappingGradient(.clip(lower: -0.1, upper: 0.1)), [[3, 37], [3, 37]], [.signed, .signed]),
        .init(NumberMappingGradient(.exponential(factor: 2)), [[3, 37], [3, 37]], [.signed, .signed]),
        .init(
            Crop(CropWindow(top: 1, left: 2, height: 3, width: 4, step: 1)), [[2, 5, 6, 3]], [.signed],
            differentiable: [0]),
        .init(
            Crop(CropWindow(top: 1, left: 0, height: 2, width: 3, step: 4)), [[2, 6, 9, 1]], [.signed],
            differentiable: [0]),
        .init(
            CropGradient(CropWindow(top: 1, left: 2, height: 3, width: 4, step: 1), inputShape: [2, 5, 6, 3]),
            [[2, 3, 4, 3]], [.signed]),
        .init(
            BilinearResize(height: 8, width: 10, alignedCorners: true), [[2, 4, 5, 3]], [.signed],
            differentiable: [0]),
        .init(
            BilinearResize(height: 8, width: 10, alignedCorners: false), [[2, 4, 5, 17]], [.signed],
            differentiable: [0]),
        .init(
            BilinearResize(height: 3, width: 7, alignedCorners: false), [[1, 7, 5, 4]], [.signed],
            differentiable: [0]),
        .init(
            BilinearResize(height: 3, width: 1, alignedCorners: true), [[1, 7, 5, 4]], [.signed],
            differentiable: [0]),
        .init(
            BilinearResizeGradient(inputShape: [2, 4, 5, 3], alignedCorners: false), [[2, 8, 10, 3]], [.signed]),
        .init(ResponseNorm(response), [[2, 3, 4, 7]], [.signed], differentiable: [0]),
        .init(ResponseNorm(response), [[1, 2, 3, 37]], [.signed], differentiable: [0]),
        .init(ResponseNormGradient(response), [[2, 3, 4, 21], [2, 3, 4, 21]], [.signed, .signed]),
        .init(
            Linear(outputShape: [7], activation: .none), [[3, 10], [10, 7], [7]], [.signed, .signed, .signed],
            differentiable: [0, 1, 2]),
        .init(
            Linear(outputShape: [2, 3, 11], activation: .none), [[2, 3, 4, 25], [300, 66]], [.signed, .signed],
            differentiable: [0, 1]),
        .init(
            Linear(outputShape: [290], activation: .relu), [[33, 140], [140, 290], [290]],
            [.positive, .positive, .positive], differentiable: [0, 1, 2]),
        .init(LinearInputGradient(inputShape: [18, 5, 3, 10]), [[18, 70], [150, 70]], [.signed, .signed]),
        .init(LinearWeightGradient(), [[5, 130], [5, 2, 35]], [.signed, .signed]),
        .init(SampleSum(), [[5, 2, 3, 4]], [.signed]),
        .init(
            NormReLU(epsilon: 1e-3, partCount: 2),
            [[2, 3, 4, 6], [2, 3, 4, 17], [6], [17], [6], [17], [23], [23]],
            [.signed, .signed, .signed, .signed, .positive, .positive, .signed, .signed]),
        .init(
            NormReLUGradient(epsilon: 1e-3, partCount: 2),
            [[2, 9, 7, 6], [2, 9, 7, 17], [6], [17], [6], [17], [23], [23], [2, 9, 7, 23]],
            [.signed, .signed, .signed, .signed, .positive, .positive, .signed, .signed, .signed]),
        .init(
            NormReLUInference(epsilon: 1e-3), [[2, 3, 4, 6], [2, 3, 4, 5], [11], [11], [11], [11]],
            [.signed, .signed, .signed, .signed, .signed, .positive]),
    ]

    /// Targets with NaN are not differentiated.
    static let losses: [OperationExample] =
        [MaskedLoss.absoluteDifference, .scaleInvariant(balance: 0.5), .cosineDistance].flatMap { loss in
            [
                OperationExample(
                    MaskedDifference(loss), [[3, 5, 7, 1], [3, 5, 7, 1]], [.large, .partlyUnknown],
                    differentiable: [0]),
                OperationExample(
                    MaskedDifferenceGradient(loss), [[2, 5, 7, 3], [2, 5, 7, 3], []],
                    [.signed, .partlyUnknown, .signed]),
            ]
        } + [
            .init(
                EdgeDifference(), [[2, 5, 8, 1], [2, 5, 8, 1]], [.distinct, .zero], differentiable: [0]),
            .init(EdgeDifference(), [[2, 5, 8, 1], [2, 5, 8, 1]], [.large, .partlyUnknown]),
            .init(
                EdgeDifferenceGradient(), [[2, 5, 8, 1], [2, 5, 8, 1], []], [.large, .partlyUnknown, .signed]),
            .init(
                Dissimilarity(range: 1), [[2, 13, 15, 1], [2, 13, 15, 1]], [.signed, .signed], differentiable: [0]),
            .init(Dissimilarity(range: 2), [[2, 13, 90, 1], [2, 13, 90, 1]], [.large, .partlyUnknown]),
            .init(
                DissimilarityGradient(range: 1), [[2, 13, 15, 1], [2, 13, 15, 1], []],
                [.signed, .positive, .signed]),
            .init(
                EdgeScore(EdgeThreshold(threshold: 0.5, sharpness: 2)), [[2, 6, 9, 1], [2, 6, 9, 1]],
                [.signed, .positive], differentiable: [0]),
            .init(
                EdgeScore(EdgeThreshold(threshold: 0.5, sharpness: 10)), [[2, 6, 12, 1], [2, 6, 12, 1]],
                [.positive, .partlyUnknown]),
            .init(
                EdgeScoreGradient(EdgeThreshold(threshold: 0.5, sharpness: 10)), [[2, 6, 12, 1], [2, 6, 12, 1], []],
                [.positive, .partlyUnknown, .signed]),
        ]
}
