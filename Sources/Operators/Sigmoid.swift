import Execution
import Graphs
import Tensors

/// 1 / (1 + exp(−x)), element by element.
public struct Sigmoid: Runnable {
    public static let name = "Sigmoid"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        return inputs
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        [site.outputs[0].apply(SigmoidGradient(), [site.outputGradient])]
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { [(0, 0)] }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in site.kernels.sigmoid(site.input, output: site.output) }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 20 * outputs[0].count }
}

/// output y of a sigmoid, outputGradient → outputGradient · y · (1 − y)
public struct SigmoidGradient: Runnable {
    public static let name = "SigmoidGradient"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try ShapeRules.equal(inputs[0], inputs[1], "output and gradient")
        return [inputs[0]]
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { [(0, 1)] }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.sigmoidGradient(
                output: site.inputs[0], outputGradient: site.inputs[1], inputGradient: site.output)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 3 * outputs[0].count }
}

extension Sigmoid: ONNXExpressible {
    public func express(_ site: ONNXSite) throws(ONNXError) { site.emit("Sigmoid", [try site.input()]) }
}
