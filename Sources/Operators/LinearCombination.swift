import Execution
import Graphs
import Tensors

/// Σ cᵢ xᵢ of values of one shape, added in order.
public struct LinearCombination: Runnable {
    public static let name = "LinearCombination"
    public let coefficients: [Float]

    public init(coefficients: [Float]) { self.coefficients = coefficients }

    public var attributes: [(name: String, value: String)] {
        [("coefficients", coefficients.map { "\($0)" }.joined(separator: " "))]
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.require(
            inputs.count == coefficients.count && !inputs.isEmpty,
            "takes \(coefficients.count) inputs, not \(inputs.count)")
        for shape in inputs { try ShapeRules.equal(shape, inputs[0], "inputs") }
        return [inputs[0]]
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        // Equal coefficients share one scaled gradient.
        var scaled: [Float: Value] = [1: site.outputGradient]
        return coefficients.enumerated().map { index, coefficient in
            guard site.isNeeded[index] else { return nil }
            if let value = scaled[coefficient] { return value }
            let value = site.outputGradient.apply(LinearCombination(coefficients: [coefficient]))
            scaled[coefficient] = value
            return value
        }
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { [(0, 0)] }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [coefficients] _ in
            coefficients.withUnsafeBufferPointer { coefficients in
                site.inputs.withUnsafeBufferPointer { inputs in
                    site.kernels.linearCombination(
                        inputs: inputs, coefficients: coefficients, output: site.output)
                }
            }
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        2 * outputs[0].count * coefficients.count
    }
}

/// The arithmetic of gradients that meet.
public enum Arithmetic: GradientArithmetic {
    public static func sum(_ values: [Value]) -> Value {
        values[0].apply(
            LinearCombination(coefficients: values.map { _ in 1 }), Array(values.dropFirst()))
    }

    public static func one(like value: Value) -> Value { value.apply(Fill(value: 1)) }
}

extension LinearCombination: ONNXExpressible {
    public func express(_ site: ONNXSite) throws(ONNXError) {
        var terms: [String] = []
        for index in 0..<site.inputCount { terms.append(try site.input(index)) }
        let common = coefficients[0]
        if coefficients.allSatisfy({ $0 == common }) {
            // One multiplication behind the sum.
            if common == 1 { return site.emit(terms.count == 1 ? "Identity" : "Sum", terms) }
            return site.emit("Mul", [terms.count == 1 ? terms[0] : site.node("Sum", terms), site.constant(common)])
        }
        let scaled = zip(terms, coefficients).map { term, coefficient in
            coefficient == 1 ? term : site.node("Mul", [term, site.constant(coefficient)])
        }
        site.emit("Sum", scaled)
    }
}
