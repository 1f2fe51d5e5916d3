import Execution
import Kernels
import Operators
import Tensors

extension Examples {
    private static let square3 = ConvolutionGeometry(kernelHeight: 3, kernelWidth: 3, stride: 1, padding: 1)
    private static let mask = Dropout(rate: 0.4, key: "example")

    /// Operations that only fusion makes: FusionTests compares them with the ones that they stand for.
    static let fused: [OperationExample] = [
        .init(
            PairConv2D(geometry: square3, activation: .relu, givesStatistics: true),
            [[2, 9, 12, 20], [2, 9, 12, 17], [3, 3, 37, 18], [18]],
            [.signed, .signed, .signed, .signed]),
        .init(
            PairConv2DInputGradient(
                geometry: square3, firstShape: [2, 9, 12, 20], secondShape: [2, 9, 12, 17]),
            [[2, 9, 12, 18], [3, 3, 37, 18]], [.signed, .signed]),
        .init(
            PairConv2DWeightGradient(geometry: square3), [[2, 9, 12, 20], [2, 9, 12, 17], [2, 9, 12, 18]],
            [.signed, .signed, .signed]),
        .init(
            SeparableConv2D(hasBias: true, activation: .relu, epsilon: nil, givesStatistics: true),
            [[2, 7, 9, 6], [3, 3, 6], [1, 1, 6, 34], [34]], [.signed, .signed, .signed, .signed]),
        .init(
            SeparableConv2D(hasBias: false, activation: .none, epsilon: 1e-3, givesStatistics: false),
            [[1, 21, 5, 17], [5, 3, 17], [1, 1, 17, 33], [17], [17], [17], [17]],
            [.signed, .signed, .signed, .signed, .positive, .positive, .signed]),
        .init(
            SeparableConv2DGradient(
                hasBias: true, activation: .relu, epsilon: 1e-3, outputEpsilon: 1e-3, needsInputGradient: true),
            [
                [2, 9, 7, 16], [3, 3, 16], [1, 1, 16, 18], [2, 9, 7, 18], [16], [16], [16], [16], [2, 9, 7, 18], [18],
                [18], [18], [18], [18],
            ],
            [
                .signed, .signed, .signed, .signed, .signed, .positive, .positive, .signed, .signed, .signed, .positive,
                .positive, .signed, .signed,
            ]),
        .init(
            SeparableConv2DGradient(
                hasBias: false, activation: .none, epsilon: nil, outputEpsilon: nil, needsInputGradient: false),
            [[1, 15, 4, 6], [3, 3, 6], [1, 1, 6, 8], [1, 15, 4, 8]], [.signed, .signed, .signed, .signed]),
        .init(
            UpsampleSum(factor: 0.25, scales: [4, 2], channels: 3..<8, epsilon: 1e-3, dropout: mask),
            [
                [2, 8, 12, 9], [9], [9], [9], [9], [2, 2, 3, 6], [6, 4, 4, 5], [5], [2, 4, 6, 3], [3, 2, 2, 5], [5],
            ],
            [
                .signed, .signed, .positive, .positive, .signed, .signed, .signed, .signed, .signed, .signed, .signed,
            ]),
        .init(
            UpsampleSum(factor: 1, scales: [2], channels: 0..<5, epsilon: nil, dropout: nil),
            [[1, 4, 6, 5], [1, 2, 3, 7], [7, 2, 2, 5], [5]], [.signed, .signed, .signed, .signed]),
        .init(
            UpsampleGradient(factor: 0.5, hasBias: false), [[2, 12, 8, 5], [2, 3, 2, 17], [17, 4, 4, 5]],
            [.signed, .signed, .signed]),
        .init(
            UpsampleGradient(factor: 1, hasBias: true), [[2, 70, 66, 5], [2, 35, 33, 7], [7, 2, 2, 5]],
            [.signed, .signed, .signed]),
        .init(
            NormalizedDropout(epsilon: 1e-3, dropout: mask), [[3, 4, 5, 6], [6], [6], [6], [6]],
            [.signed, .signed, .positive, .positive, .signed]),
        .init(PairDropout(factor: 0.25, dropout: mask), [[2, 4, 5, 6], [2, 4, 5, 3]], [.signed, .signed]),
        .init(
            SoftmaxSelection(
                selection: Selection(firstShift: -4, shiftStep: 1),
                disparity: ChannelDot(coefficients: (0..<8).map { Float($0 - 4) }), keepsProbability: true),
            [[2, 3, 9, 8], [2, 3, 9, 3]], [.signed, .signed]),
        .init(
            SoftmaxSelectionGradient(
                selection: Selection(firstShift: 4, shiftStep: -1),
                disparity: ChannelDot(coefficients: (0..<8).map { Float($0 - 4) })),
            [[2, 3, 9, 8], [2, 3, 9, 3], [2, 3, 9, 3], [2, 3, 9, 1]], [.signed, .signed, .signed, .signed]),
        .init(BatchNormStatistics(), [[2, 4, 5, 6]], [.signed]),
        .init(
            BatchNormGradientSums(epsilon: 1e-3), [[2, 4, 5, 6], [2, 4, 5, 6], [6], [6]],
            [.signed, .signed, .signed, .positive]),
        .init(
            BatchNormReLUGradient(epsilon: 1e-3), [[2, 4, 5, 6], [2, 4, 5, 6], [6], [6], [6], [6], [6]],
            [.signed, .signed, .signed, .positive, .positive, .signed, .signed]),
    ]
}
