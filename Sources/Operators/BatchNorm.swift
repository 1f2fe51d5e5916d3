import Execution
import Graphs
import Kernels
import Tensors

/// Normalisation by the statistics of the batch itself.
///
/// input [.., C], gain [C], bias [C] → output [.., C], mean [C], variance [C] (population)
///
/// **Source:** Ioffe, Szegedy, ICML 2015, algorithm 1.
public struct BatchNorm: Runnable {
    public static let name = "BatchNorm"
    public let epsilon: Float

    public init(epsilon: Float) { self.epsilon = epsilon }

    public var attributes: [(name: String, value: String)] { [("epsilon", "\(epsilon)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 3...3)
        let channels = try Self.check(inputs[0], gain: inputs[1], bias: inputs[2])
        try ShapeRules.require(
            inputs[0].count > channels, "needs more than one value per channel; give a larger batch or picture")
        return [inputs[0], [channels], [channels]]
    }

    static func check(_ input: Shape, gain: Shape, bias: Shape) throws(ShapeError) -> Int {
        try ShapeRules.require(input.rank >= 1, "needs at least one axis")
        let channels = input[input.rank - 1]
        try ShapeRules.vector(gain, channels, "gain")
        try ShapeRules.vector(bias, channels, "bias")
        return channels
    }

    public func inputGradients(_ site: GradientSite) throws(ShapeError) -> [Value?] {
        guard site.outputGradients[1] == nil, site.outputGradients[2] == nil else {
            throw ShapeError("the gradient through exported batch statistics is not defined")
        }
        let results = site.inputs[0].builder.add(
            BatchNormGradient(epsilon: epsilon),
            [site.inputs[0], site.outputGradient, site.outputs[1], site.outputs[2], site.inputs[1]])
        return results.map { $0 }
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        kernels.batchNormWorkspaceCount(inputShape: inputs[0], threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [epsilon] _ in
            site.kernels.batchNormStatistics(
                site.inputs[0], mean: site.outputs[1], variance: site.outputs[2], workspace: site.workspace)
            site.kernels.batchNormApply(
                site.inputs[0], mean: site.outputs[1], variance: site.outputs[2], gain: site.inputs[1],
                bias: site.inputs[2], epsilon: epsilon, output: site.outputs[0])
        }
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { [(0, 0)] }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 7 * inputs[0].count }
}

/// input, outputGradient [.., C], mean, variance, gain [C] → gradients of input, gain and bias
public struct BatchNormGradient: Runnable {
    public static let name = "BatchNormGradient"
    public let epsilon: Float

    public init(epsilon: Float) { self.epsilon = epsilon }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 5...5)
        try ShapeRules.equal(inputs[0], inputs[1], "input and gradient")
        let channels = try BatchNorm.check(inputs[0], gain: inputs[4], bias: inputs[4])
        try ShapeRules.vector(inputs[2], channels, "mean")
        try ShapeRules.vector(inputs[3], channels, "variance")
        return [inputs[0], [channels], [channels]]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        kernels.batchNormWorkspaceCount(inputShape: inputs[0], threadCount: kernels.pool.threadCount)
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { [(0, 1)] }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [epsilon] _ in
            site.kernels.batchNormGradient(
                site.inputs[0], outputGradient: site.inputs[1], mean: site.inputs[2],
                variance: site.inputs[3], gain: site.inputs[4], epsilon: epsilon, inputGradient: site.outputs[0],
                gainGradient: site.outputs[1], biasGradient: site.outputs[2], workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 10 * inputs[0].count }
}

/// Normalisation by stored statistics. input [.., C], gain, bias, mean, variance [C] → [.., C]
public struct BatchNormInference: Runnable {
    public static let name = "BatchNormInference"
    public let epsilon: Float

    public init(epsilon: Float) { self.epsilon = epsilon }

    public var attributes: [(name: String, value: String)] { [("epsilon", "\(epsilon)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 5...5)
        let channels = try BatchNorm.check(inputs[0], gain: inputs[1], bias: inputs[2])
        try ShapeRules.vector(inputs[3], channels, "mean")
        try ShapeRules.vector(inputs[4], channels, "variance")
        return [inputs[0]]
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { [(0, 0)] }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [epsilon] _ in
            site.kernels.batchNormApply(
                site.inputs[0], mean: site.inputs[3], variance: site.inputs[4], gain: site.inputs[1],
                bias: site.inputs[2], epsilon: epsilon, output: site.outputs[0])
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 2 * inputs[0].count }
}

extension BatchNormInference: ONNXExpressible {
    public func express(_ site: ONNXSite) throws(ONNXError) {
        guard site.channelAxis == 1 else {
            throw ONNXError("normalises \(site.shape(0)), where channels are not axis 1")
        }
        // Here gain, bias, mean, variance; so there.
        let vectors = [try site.vector(1), try site.vector(2), try site.vector(3), try site.vector(4)]
        site.emit("BatchNormalization", [try site.input()] + vectors, ["epsilon": .number(epsilon)])
    }
}
