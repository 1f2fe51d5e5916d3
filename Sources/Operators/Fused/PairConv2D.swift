import Execution
import Graphs
import Kernels
import Tensors

// Convolutions of two pictures side by side in their channels: the concatenation in front is never written, nor is the
// gradient that would be split. For the sizes that Winograd's algorithm fits (`PairConv2D.fits`).

/// first [N, H, W, C1], second [N, H, W, C2], weights [kh, kw, C1 + C2, Co], bias [Co]?
/// → [N, Ho, Wo, Co], (its mean, variance [Co])?
public struct PairConv2D: Runnable {
    public static let name = "PairConv2D"
    public let geometry: ConvolutionGeometry
    public let activation: Activation
    /// Of the result, for a normalisation behind it.
    public var givesStatistics: Bool

    public init(geometry: ConvolutionGeometry, activation: Activation, givesStatistics: Bool) {
        self.geometry = geometry
        self.activation = activation
        self.givesStatistics = givesStatistics
    }

    public var attributes: [(name: String, value: String)] {
        geometry.attributes + (activation == .relu ? [("activation", "relu")] : [])
            + (givesStatistics ? [("statistics", "true")] : [])
    }

    /// Whether a convolution of these sizes has kernels for pairs.
    public static func fits(input: Shape, weights: Shape, geometry: ConvolutionGeometry) -> Bool {
        KernelContext.convolution2DIsWinograd(input: input, weights: weights, geometry: geometry)
    }

    static func joined(_ first: Shape, _ second: Shape) throws(ShapeError) -> Shape {
        try Concat().outputShapes(for: [first, second])[0]
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 3...4)
        try ShapeRules.picture(inputs[0])
        let x = try Self.joined(inputs[0], inputs[1])
        let shapes = try Conv2D(geometry: geometry, activation: activation).outputShapes(for: [x] + inputs[2...])
        try ShapeRules.require(
            Self.fits(input: x, weights: inputs[2], geometry: geometry), "no kernel for pairs of \(inputs[0])")
        return shapes + (givesStatistics ? [[inputs[2][3]], [inputs[2][3]]] : [])
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.winogradWorkspaceCount(
            input: joinedShape(inputs[0], inputs[1]), weights: inputs[2], geometry: geometry,
            statistics: givesStatistics, threadCount: kernels.pool.threadCount)
    }

    public var packedInputs: [Int] { [2] }

    public func packedCount(inputs: [Shape], outputs: [Shape]) -> Int {
        KernelContext.winogradPackedCount(
            input: joinedShape(inputs[0], inputs[1]), weights: inputs[2], geometry: geometry)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let bias = site.inputs.count == 4 ? site.inputs[3] : nil
        let pair = PictureParts(site.inputs[0], site.inputs[1])
        let statistics = givesStatistics ? BatchStatistics(mean: site.outputs[1], variance: site.outputs[2]) : nil
        return { [self] _ in
            let packed = site.packed.weights {
                site.kernels.packWinograd(
                    weights: site.inputs[2], input: pair.shape, geometry: geometry, into: $0)
            }
            site.kernels.winogradConvolution2D(
                pair, weights: site.inputs[2].shape, packed: packed, bias: bias, output: site.outputs[0],
                statistics: statistics, geometry: geometry, activation: activation, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        2 * outputs[0].count * geometry.kernelHeight * geometry.kernelWidth * (inputs[0][3] + inputs[1][3])
            + (givesStatistics ? 4 * outputs[0].count : 0)
    }

    public func executedMultiplyAdds(inputs: [Shape], outputs: [Shape]) -> Int {
        KernelContext.convolution2DMultiplyAdds(
            .forward, input: joinedShape(inputs[0], inputs[1]), weights: inputs[2], geometry: geometry)
    }
}

/// outputGradient [N, Ho, Wo, Co], weights [kh, kw, C1 + C2, Co] → gradients of both pictures
public struct PairConv2DInputGradient: Runnable {
    public static let name = "PairConv2DInputGradient"
    public let geometry: ConvolutionGeometry
    public let firstShape: Shape
    public let secondShape: Shape

    public init(geometry: ConvolutionGeometry, firstShape: Shape, secondShape: Shape) {
        self.geometry = geometry
        self.firstShape = firstShape
        self.secondShape = secondShape
    }

    public var attributes: [(name: String, value: String)] { geometry.attributes }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        let x = try PairConv2D.joined(firstShape, secondShape)
        _ = try Conv2DInputGradient(geometry: geometry, inputShape: x).outputShapes(for: inputs)
        return [firstShape, secondShape]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.convolution2DInputGradientWorkspaceCount(
            input: joinedShape(firstShape, secondShape), weights: inputs[1], geometry: geometry,
            threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let pair = PictureParts(site.outputs[0], site.outputs[1])
        return { [geometry] _ in
            site.kernels.convolution2DInputGradient(
                outputGradient: site.inputs[0], weights: site.inputs[1], pair: pair, geometry: geometry,
                workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        2 * inputs[0].count * geometry.kernelHeight * geometry.kernelWidth * (firstShape[3] + secondShape[3])
    }

    public func executedMultiplyAdds(inputs: [Shape], outputs: [Shape]) -> Int {
        KernelContext.convolution2DMultiplyAdds(
            .inputGradient, input: joinedShape(firstShape, secondShape), weights: inputs[1], geometry: geometry)
    }
}

/// first [N, H, W, C1], second [N, H, W, C2], outputGradient [N, Ho, Wo, Co] → gradient of the weights
public struct PairConv2DWeightGradient: Runnable {
    public static let name = "PairConv2DWeightGradient"
    public let geometry: ConvolutionGeometry

    public init(geometry: ConvolutionGeometry) { self.geometry = geometry }

    public var attributes: [(name: String, value: String)] { geometry.attributes }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 3...3)
        return try Conv2DWeightGradient(geometry: geometry).outputShapes(
            for: [PairConv2D.joined(inputs[0], inputs[1]), inputs[2]])
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.convolution2DWeightGradientWorkspaceCount(
            input: joinedShape(inputs[0], inputs[1]), weights: outputs[0], geometry: geometry,
            threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let pair = PictureParts(site.inputs[0], site.inputs[1])
        return { [geometry] _ in
            site.kernels.convolution2DWeightGradient(
                pair: pair, outputGradient: site.inputs[2], weightGradient: site.output, geometry: geometry,
                workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        2 * inputs[2].count * geometry.kernelHeight * geometry.kernelWidth * (inputs[0][3] + inputs[1][3])
    }

    public func executedMultiplyAdds(inputs: [Shape], outputs: [Shape]) -> Int {
        KernelContext.convolution2DMultiplyAdds(
            .weightGradient, input: joinedShape(inputs[0], inputs[1]), weights: outputs[0], geometry: geometry)
    }
}

/// Of pictures that were checked before.
private func joinedShape(_ first: Shape, _ second: Shape) -> Shape {
    [first[0], first[1], first[2], first[3] + second[3]]
}
