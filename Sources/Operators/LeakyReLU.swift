import Execution
import Graphs
import Tensors

/// x where x > 0, else slope · x, element by element; NaN stays.
public struct LeakyReLU: Runnable {
    public static let name = "LeakyReLU"
    /// Above 0, so that the output's sign is the input's, and at most 1.
    public let slope: Float

    public init(slope: Float) { self.slope = slope }

    public var attributes: [(name: String, value: String)] { [("slope", "\(slope)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        try ShapeRules.require(slope > 0 && slope <= 1, "slope \(slope) is not in 0 … 1, without 0")
        return inputs
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        [site.outputs[0].apply(LeakyReLUGradient(slope: slope), [site.outputGradient])]
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { [(0, 0)] }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [slope] _ in site.kernels.leakyReLU(site.input, slope: slope, output: site.output) }
    }
}

/// output of a LeakyReLU, outputGradient → the gradient where the output is positive, slope times it elsewhere.
public struct LeakyReLUGradient: Runnable {
    public static let name = "LeakyReLUGradient"
    public let slope: Float

    public init(slope: Float) { self.slope = slope }

    public var attributes: [(name: String, value: String)] { [("slope", "\(slope)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try ShapeRules.equal(inputs[0], inputs[1], "output and gradient")
        return [inputs[0]]
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { [(0, 1)] }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [slope] _ in
            site.kernels.leakyReLUGradient(
                output: site.inputs[0], outputGradient: site.inputs[1], slope: slope, inputGradient: site.output)
        }
    }
}

extension LeakyReLU: ONNXExpressible {
    public func express(_ site: ONNXSite) throws(ONNXError) {
        site.emit("LeakyRelu", [try site.input()], ["alpha": .number(slope)])
    }
}
