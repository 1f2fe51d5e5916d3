import Execution
import Graphs
import Tensors

/// The dot product of each pixel's channels with constants: the expected disparity when the channels are probabilities
/// and the constants disparities. [.., S] → [.., 1]
public struct ChannelDot: Runnable {
    public static let name = "ChannelDot"
    public let coefficients: [Float]

    public init(coefficients: [Float]) { self.coefficients = coefficients }

    public var attributes: [(name: String, value: String)] {
        [("coefficients", "\(coefficients.first ?? 0)…\(coefficients.last ?? 0)")]
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        let x = inputs[0]
        try ShapeRules.require(
            x.rank >= 1 && x[x.rank - 1] == coefficients.count, "\(x) has not \(coefficients.count) channels")
        return [Shape(x.dimensions.dropLast() + [1])]
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        [site.outputGradient.apply(ChannelDotGradient(coefficients: coefficients))]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let constants = Constants(coefficients)
        return { _ in
            site.kernels.channelDot(site.input, coefficients: constants.pointer, output: site.output)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 2 * inputs[0].count }
}

/// outputGradient [.., 1] → [.., S]
public struct ChannelDotGradient: Runnable {
    public static let name = "ChannelDotGradient"
    public let coefficients: [Float]

    public init(coefficients: [Float]) { self.coefficients = coefficients }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        let g = inputs[0]
        try ShapeRules.require(g.rank >= 1 && g[g.rank - 1] == 1, "gradient \(g) has not one channel")
        return [Shape(g.dimensions.dropLast() + [coefficients.count])]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let constants = Constants(coefficients)
        return { _ in
            site.kernels.channelDotGradient(
                outputGradient: site.input, coefficients: constants.pointer, inputGradient: site.output)
        }
    }
}

/// Attribute values at a fixed address for the life of a bound step.
final class Constants: @unchecked Sendable {
    let pointer: UnsafeMutablePointer<Float>

    init(_ values: [Float]) {
        pointer = .allocate(capacity: max(1, values.count))
        pointer.initialize(from: values, count: values.count)
    }

    deinit { pointer.deallocate() }
}

extension ChannelDot: ONNXExpressible {
    /// A convolution with one tap, or a product.
    public func express(_ site: ONNXSite) throws(ONNXError) {
        let count = coefficients.count
        if site.shape(0).rank == 4 {
            site.emit(
                "Conv", [try site.input(), site.constant(coefficients, [1, count, 1, 1])],
                ["kernel_shape": .integers([1, 1])])
        } else {
            site.emit("MatMul", [try site.input(), site.constant(coefficients, [count, 1])])
        }
    }
}
