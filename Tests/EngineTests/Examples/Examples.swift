import Execution
import Kernels
import Operators
import Tensors

/// Example instances of every operation. The suites in OperationTests run over all of them; an operation without an
/// example fails.
enum Examples {
    static let all: [OperationExample] =
        convolutions + normalisation + pointwise + arrangement + stereo + masks + fused + pictures
        + losses + views
}

private func geometry(_ kernel: Int, stride: Int = 1, padding: Int) -> ConvolutionGeometry {
    ConvolutionGeometry(kernelHeight: kernel, kernelWidth: kernel, stride: stride, padding: padding)
}

extension Examples {
    static let convolutions: [OperationExample] = [
        .init(
            Conv2D(geometry: geometry(3, padding: 1), activation: .none), [[2, 5, 7, 4], [3, 3, 4, 6], [6]],
            [.signed, .signed, .signed], differentiable: [0, 1, 2]),
        .init(
            Conv2D(geometry: geometry(1, padding: 0), activation: .none), [[2, 4, 6, 5], [1, 1, 5, 3]],
            [.signed, .signed], differentiable: [0, 1]),
        .init(
            Conv2D(geometry: geometry(1, padding: 0), activation: .relu), [[1, 3, 3, 1], [1, 1, 1, 4], [4]],
            [.awayFromZero, .awayFromZero, .zero], differentiable: [0, 1]),
        .init(
            Conv2D(geometry: geometry(5, stride: 2, padding: 2), activation: .none),
            [[1, 9, 8, 3], [5, 5, 3, 2], [2]],
            [.signed, .signed, .signed], differentiable: [0, 1, 2]),
        .init(
            Conv2D(geometry: geometry(1, stride: 2, padding: 0), activation: .none), [[2, 6, 8, 5], [1, 1, 5, 3]],
            [.signed, .signed], differentiable: [0, 1]),
        .init(
            Conv2D(geometry: geometry(7, stride: 2, padding: 3), activation: .none), [[1, 10, 12, 3], [7, 7, 3, 4]],
            [.signed, .signed], differentiable: [0, 1]),
        .init(
            Conv2D(geometry: geometry(11, stride: 4, padding: 2), activation: .none),
            [[1, 16, 20, 3], [11, 11, 3, 4], [4]], [.signed, .signed, .signed], differentiable: [0, 1, 2]),
        .init(
            Conv2D(geometry: geometry(9, stride: 2, padding: 1), activation: .none),
            [[1, 12, 14, 3], [9, 9, 3, 4], [4]], [.signed, .signed, .signed], differentiable: [0, 1, 2]),
        .init(
            TransposedConv2D(geometry: geometry(5, padding: 2)), [[2, 5, 7, 6], [6, 5, 5, 1], [1]],
            [.signed, .signed, .signed], differentiable: [0, 1, 2]),
        .init(
            TransposedConv2D(geometry: geometry(8, stride: 4, padding: 2)), [[1, 3, 4, 3], [3, 8, 8, 3]],
            [.signed, .signed], differentiable: [0, 1]),
        .init(
            TransposedConv2D(geometry: geometry(2, padding: 0)), [[1, 3, 4, 3], [3, 2, 2, 3]],
            [.signed, .signed], differentiable: [0, 1]),
        .init(
            Conv2DInputGradient(geometry: geometry(3, padding: 1), inputShape: [2, 5, 7, 4]),
            [[2, 5, 7, 6], [3, 3, 4, 6]], [.signed, .signed]),
        .init(
            Conv2DWeightGradient(geometry: geometry(3, padding: 1)), [[2, 5, 7, 4], [2, 5, 7, 6]], [.signed, .signed]),
        .init(ColumnSum(), [[3, 5, 7, 6]], [.signed]),
        .init(
            TransposedConv2D(geometry: geometry(2, stride: 2, padding: 0)), [[2, 3, 4, 5], [5, 2, 2, 3], [3]],
            [.signed, .signed, .signed], differentiable: [0, 1, 2]),
        .init(
            TransposedConv2D(geometry: geometry(8, stride: 8, padding: 0)), [[1, 2, 3, 4], [4, 8, 8, 6]],
            [.signed, .signed], differentiable: [0, 1]),
        .init(
            TransposedConv2D(geometry: geometry(4, stride: 2, padding: 1)), [[1, 3, 4, 2], [2, 4, 4, 3], [3]],
            [.signed, .signed, .signed], differentiable: [0, 1, 2]),
        .init(
            TransposedConv2DInputGradient(geometry: geometry(2, stride: 2, padding: 0), inputShape: [2, 3, 4, 5]),
            [[2, 6, 8, 3], [5, 2, 2, 3]], [.signed, .signed]),
        .init(
            TransposedConv2DWeightGradient(geometry: geometry(2, stride: 2, padding: 0)),
            [[2, 3, 4, 5], [2, 6, 8, 3]], [.signed, .signed]),
        .init(DepthwiseConv2D(), [[2, 6, 5, 7], [3, 3, 7]], [.signed, .signed], differentiable: [0, 1]),
        .init(DepthwiseConv2D(), [[1, 4, 9, 16], [5, 3, 16]], [.signed, .signed], differentiable: [0, 1]),
        .init(DepthwiseConv2DInputGradient(), [[2, 6, 5, 7], [3, 3, 7]], [.signed, .signed]),
        .init(
            DepthwiseConv2DWeightGradient(kernelHeight: 3, kernelWidth: 3), [[2, 6, 5, 7], [2, 6, 5, 7]],
            [.signed, .signed]),
    ]

    static let normalisation: [OperationExample] = [
        .init(
            BatchNorm(epsilon: 1e-3), [[2, 4, 5, 6], [6], [6]], [.signed, .positive, .signed],
            differentiable: [0, 1, 2]),
        .init(
            BatchNormGradient(epsilon: 1e-3), [[2, 4, 5, 6], [2, 4, 5, 6], [6], [6], [6]],
            [.signed, .signed, .signed, .positive, .positive]),
        .init(
            BatchNormInference(epsilon: 1e-3), [[2, 3, 5, 6], [6], [6], [6], [6]],
            [.signed, .positive, .signed, .signed, .positive]),
    ]

    static let pointwise: [OperationExample] = [
        .init(ReLU(), [[3, 7, 5]], [.awayFromZero], differentiable: [0]),
        .init(ReLUGradient(), [[3, 7, 5], [3, 7, 5]], [.signed, .signed]),
        .init(Fill(value: 0.5), [[3, 5]], [.signed]),
        .init(
            LinearCombination(coefficients: [0.25, -1, 2]), [[2, 5, 3], [2, 5, 3], [2, 5, 3]],
            [.signed, .signed, .signed], differentiable: [0, 1, 2]),
        .init(Dropout(rate: 0.4, key: "example"), [[3, 4, 5, 6]], [.signed], differentiable: [0]),
        .init(Softmax(), [[2, 3, 4, 8]], [.signed], differentiable: [0]),
        .init(SoftmaxGradient(), [[2, 3, 4, 8], [2, 3, 4, 8]], [.distribution, .signed]),
        .init(ChannelDot(coefficients: (0..<8).map { Float($0 - 4) }), [[2, 3, 4, 8]], [.signed], differentiable: [0]),
        .init(ChannelDotGradient(coefficients: (0..<8).map { Float($0 - 4) }), [[2, 3, 4, 1]], [.signed]),
    ]

    static let arrangement: [OperationExample] = [
        .init(MaxPool2D(window: 2, stride: 2), [[2, 4, 6, 5]], [.distinct], differentiable: [0]),
        .init(MaxPool2D(window: 3, stride: 2), [[1, 7, 9, 3]], [.distinct], differentiable: [0]),
        .init(MaxPool2D(window: 3, stride: 2), [[1, 8, 6, 3]], [.distinct], differentiable: [0]),
        .init(MaxPool2D(window: 3, stride: 2, padding: 1), [[2, 8, 7, 18]], [.distinct], differentiable: [0]),
        .init(MaxPool2D(window: 2, stride: 1, padding: 1), [[1, 3, 4, 2]], [.distinct], differentiable: [0]),
        .init(
            MaxPool2DGradient(window: 2, stride: 2, padding: 0), [[2, 4, 6, 5], [2, 2, 3, 5]], [.distinct, .signed]),
        .init(Concat(), [[2, 3, 4, 5], [2, 3, 4, 2]], [.signed, .signed], differentiable: [0, 1]),
        .init(Split(counts: [2, 3]), [[2, 3, 4, 5]], [.signed], differentiable: [0]),
    ]

    static let stereo: [OperationExample] = [
        .init(
            Selection(firstShift: -4, shiftStep: 1), [[2, 3, 9, 3], [2, 3, 9, 8]], [.signed, .distribution],
            differentiable: [0, 1]),
        .init(
            Selection(firstShift: 4, shiftStep: -1), [[1, 2, 5, 3], [1, 2, 5, 8]], [.signed, .distribution],
            differentiable: [0, 1]),
        .init(
            Selection(firstShift: 5, shiftStep: -1, border: .edge), [[2, 3, 9, 3], [2, 3, 9, 11]],
            [.signed, .distribution], differentiable: [0, 1]),
        .init(
            Selection(firstShift: -5, shiftStep: 1, border: .reflect), [[1, 2, 9, 3], [1, 2, 9, 11]],
            [.signed, .distribution], differentiable: [0, 1]),
        .init(
            SelectionProbabilityGradient(firstShift: -4, shiftStep: 1, levels: 8, border: .zero),
            [[2, 3, 9, 3], [2, 3, 9, 3]],
            [.signed, .signed]),
        .init(
            SelectionImageGradient(firstShift: 4, shiftStep: -1, border: .edge), [[2, 3, 9, 8], [2, 3, 9, 3]],
            [.distribution, .signed]),
        .init(
            AbsoluteDifferenceMean(), [[2, 5, 7, 3], [2, 5, 7, 3]], [.positive, .negative], differentiable: [0, 1]),
        .init(
            AbsoluteDifferenceMeanGradient(), [[2, 5, 7, 3], [2, 5, 7, 3], []], [.signed, .signed, .signed]),
        .init(Smoothness(), [[2, 7, 9, 1], [2, 7, 9, 3]], [.signed, .positive], differentiable: [0]),
        .init(SmoothnessGradient(), [[2, 7, 9, 1], [2, 7, 9, 3], []], [.signed, .positive, .signed]),
    ]
}

extension Examples {
    static let masks: [OperationExample] = [
        .init(Sigmoid(), [[3, 7, 5]], [.signed], differentiable: [0]),
        .init(SigmoidGradient(), [[3, 7, 5], [3, 7, 5]], [.distribution, .signed]),
        .init(CrossEntropyMean(), [[2, 5, 7, 1], [2, 5, 7, 1]], [.signed, .positive], differentiable: [0]),
        .init(CrossEntropyMeanGradient(), [[2, 5, 7, 1], [2, 5, 7, 1], []], [.signed, .positive, .signed]),
        .init(
            RootMeanSquareError(epsilon: 1e-6), [[2, 5, 7, 1], [2, 5, 7, 1]], [.positive, .negative],
            differentiable: [0, 1]),
        .init(RootMeanSquareError(epsilon: 0.5), [[3, 4], [3, 4]], [.signed, .signed], differentiable: [0, 1]),
        .init(
            RootMeanSquareErrorGradient(), [[2, 5, 7, 1], [2, 5, 7, 1], [], []],
            [.signed, .positive, .positive, .signed]),
        .init(DiceLoss(), [[2, 5, 7, 1], [2, 5, 7, 1]], [.positive, .positive], differentiable: [0]),
        .init(DiceLossGradient(), [[2, 5, 7, 1], [2], []], [.positive, .positive, .signed]),
    ]
}
