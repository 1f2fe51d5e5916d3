import Execution
import Graphs
import Tensors

/// max(x, 0), element by element.
public struct ReLU: Runnable {
    public static let name = "ReLU"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        return inputs
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        [site.outputs[0].apply(ReLUGradient(), [site.outputGradient])]
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { [(0, 0)] }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in site.kernels.relu(site.input, output: site.output) }
    }
}

/// output of a ReLU, outputGradient → the gradient where the output is positive, 0 elsewhere.
public struct ReLUGradient: Runnable {
    public static let name = "ReLUGradient"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try ShapeRules.equal(inputs[0], inputs[1], "output and gradient")
        return [inputs[0]]
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { [(0, 1)] }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.reluGradient(
                output: site.inputs[0], outputGradient: site.inputs[1], inputGradient: site.output)
        }
    }
}

extension ReLU: ONNXExpressible {
    public func express(_ site: ONNXSite) throws(ONNXError) { site.emit("Relu", [try site.input()]) }
}
