import Execution
import Graphs
import Tensors

/// exp(x) / Σ exp(x) over the last axis.
public struct Softmax: Runnable {
    public static let name = "Softmax"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        try ShapeRules.require(inputs[0].rank >= 1, "needs channels")
        return inputs
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        [site.outputs[0].apply(SoftmaxGradient(), [site.outputGradient])]
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { [(0, 0)] }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in site.kernels.softmax(site.input, output: site.output) }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 20 * inputs[0].count }
}

/// output y of a softmax, outputGradient g → y · (g − Σ y g)
public struct SoftmaxGradient: Runnable {
    public static let name = "SoftmaxGradient"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try ShapeRules.equal(inputs[0], inputs[1], "output and gradient")
        return [inputs[0]]
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { [(0, 1)] }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.softmaxGradient(
                output: site.inputs[0], outputGradient: site.inputs[1], inputGradient: site.output)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 4 * inputs[0].count }
}

extension Softmax: ONNXExpressible {
    public func express(_ site: ONNXSite) throws(ONNXError) {
        site.emit("Softmax", [try site.input()], ["axis": .integer(site.channelAxis)])
    }
}
