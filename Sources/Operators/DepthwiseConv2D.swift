import Execution
import Graphs
import Kernels
import Tensors

/// One small kernel per channel, stride 1, zero padding that keeps the size (odd kernels).
///
/// input [N, H, W, C], weights [kh, kw, C] → [N, H, W, C]
public struct DepthwiseConv2D: Runnable {
    public static let name = "DepthwiseConv2D"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try ShapeRules.picture(inputs[0])
        try Self.check(weights: inputs[1], channels: inputs[0][3])
        return [inputs[0]]
    }

    static func check(weights: Shape, channels: Int) throws(ShapeError) {
        try ShapeRules.require(
            weights.rank == 3 && weights[2] == channels && weights[0] % 2 == 1 && weights[1] % 2 == 1,
            "weights \(weights) are not an odd kernel for \(channels) channels")
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        let (x, w) = (site.inputs[0], site.inputs[1])
        return [
            site.isNeeded[0] ? site.outputGradient.apply(DepthwiseConv2DInputGradient(), [w]) : nil,
            site.isNeeded[1]
                ? x.apply(
                    DepthwiseConv2DWeightGradient(kernelHeight: w.shape[0], kernelWidth: w.shape[1]),
                    [site.outputGradient]) : nil,
        ]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.depthwiseConvolution2D(
                site.inputs[0], weights: site.inputs[1], output: site.output)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        2 * outputs[0].count * inputs[1][0] * inputs[1][1]
    }
}

/// outputGradient [N, H, W, C], weights [kh, kw, C] → gradient of the input [N, H, W, C]
public struct DepthwiseConv2DInputGradient: Runnable {
    public static let name = "DepthwiseConv2DInputGradient"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try ShapeRules.picture(inputs[0], "gradient")
        try DepthwiseConv2D.check(weights: inputs[1], channels: inputs[0][3])
        return [inputs[0]]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.depthwiseConvolution2DInputGradient(
                outputGradient: site.inputs[0], weights: site.inputs[1], inputGradient: site.output)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        2 * outputs[0].count * inputs[1][0] * inputs[1][1]
    }
}

/// input [N, H, W, C], outputGradient [N, H, W, C] → gradient of the weights [kh, kw, C]
public struct DepthwiseConv2DWeightGradient: Runnable {
    public static let name = "DepthwiseConv2DWeightGradient"
    public let kernelHeight: Int
    public let kernelWidth: Int

    public init(kernelHeight: Int, kernelWidth: Int) {
        self.kernelHeight = kernelHeight
        self.kernelWidth = kernelWidth
    }

    public var attributes: [(name: String, value: String)] { [("kernel", "\(kernelHeight)x\(kernelWidth)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try ShapeRules.picture(inputs[0])
        try ShapeRules.equal(inputs[0], inputs[1], "input and gradient")
        return [[kernelHeight, kernelWidth, inputs[0][3]]]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        kernels.depthwiseConvolution2DWeightGradientWorkspaceCount(
            inputShape: inputs[0], kernelHeight: kernelHeight, kernelWidth: kernelWidth,
            threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.depthwiseConvolution2DWeightGradient(
                site.inputs[0], outputGradient: site.inputs[1], weightGradient: site.output,
                workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        2 * inputs[0].count * kernelHeight * kernelWidth
    }
}

extension DepthwiseConv2D: ONNXExpressible {
    public func express(_ site: ONNXSite) throws(ONNXError) {
        let w = site.shape(1)
        let (height, width, channels) = (w[0], w[1], w[2])
        let weights = try site.weights(1, order: [2, 0, 1], dimensions: [channels, 1, height, width])
        site.emit(
            "Conv", [try site.input(), weights],
            [
                "group": .integer(channels), "kernel_shape": .integers([height, width]),
                "pads": .integers([height / 2, width / 2, height / 2, width / 2]),
            ])
    }
}
