import Execution
import Graphs
import Kernels
import Tensors

/// A function of one number, element by element: scaling and shifting, clipping, reciprocal, logarithm, exponential.
/// Any shape → the same shape.
public struct NumberMapping: Runnable {
    public static let name = "NumberMapping"
    public let function: NumberMap

    public init(_ function: NumberMap) { self.function = function }

    public var attributes: [(name: String, value: String)] { [("function", "\(function)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        if case .clip(let lower, let upper) = function {
            try ShapeRules.require(lower <= upper, "clips to \(lower) … \(upper), which is empty")
        }
        return inputs
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        [site.inputs[0].apply(NumberMappingGradient(function), [site.outputGradient])]
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { [(0, 0)] }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [function] _ in site.kernels.map(function, site.input, output: site.output) }
    }
}

/// input, outputGradient → outputGradient · f'(input)
public struct NumberMappingGradient: Runnable {
    public static let name = "NumberMappingGradient"
    public let function: NumberMap

    public init(_ function: NumberMap) { self.function = function }

    public var attributes: [(name: String, value: String)] { [("function", "\(function)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try ShapeRules.equal(inputs[0], inputs[1], "input and gradient")
        return [inputs[0]]
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { [(0, 1)] }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [function] _ in
            site.kernels.mapGradient(
                function, site.inputs[0], outputGradient: site.inputs[1], inputGradient: site.output)
        }
    }
}

extension NumberMapping: ONNXExpressible {
    public func express(_ site: ONNXSite) throws(ONNXError) {
        let x = try site.input()
        switch function {
        case .affine(let scale, let offset):
            site.emit("Add", [site.node("Mul", [x, site.constant(scale)]), site.constant(offset)])
        case .clip(let lower, let upper):
            site.emit("Clip", [x, site.constant(lower), site.constant(upper)])
        case .reciprocal(let numerator):
            site.emit("Div", [site.constant(numerator), x])
        case .logarithm(let factor):
            // ln 0 is −∞ there and unknown here.
            let logarithm = site.node("Mul", [site.node("Log", [x]), site.constant(factor)])
            site.emit("Where", [site.node("Greater", [x, site.constant(0)]), logarithm, site.constant(.nan)])
        case .exponential(let factor):
            let argument = site.node("Mul", [x, site.constant(factor)])
            site.emit("Exp", [site.node("Min", [argument, site.constant(88)])])
        }
    }
}
