import Execution
import Graphs
import Tensors

/// Puts the channels of several values side by side. [.., C1], [.., C2], … → [.., C1 + C2 + …]
public struct Concat: Runnable {
    public static let name = "Concat"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.require(!inputs.isEmpty && inputs[0].rank >= 1, "needs inputs with channels")
        let leading = inputs[0].dimensions.dropLast()
        var channels = 0
        for shape in inputs {
            try ShapeRules.require(
                shape.dimensions.dropLast() == leading, "\(shape) and \(inputs[0]) differ in more than channels")
            channels += shape[shape.rank - 1]
        }
        return [Shape(leading + [channels])]
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        let counts = site.inputs.map { $0.shape[$0.shape.rank - 1] }
        return site.outputGradient.builder.add(Split(counts: counts), [site.outputGradient]).map { $0 }
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            var offset = 0
            for input in site.inputs {
                let channels = input.shape[input.shape.rank - 1]
                site.kernels.copyChannels(
                    from: input, channelOffset: 0, to: site.output, channelOffset: offset, count: channels,
                    accumulate: false)
                offset += channels
            }
        }
    }
}

/// Cuts the channels into groups. [.., C] → [.., counts[0]], [.., counts[1]], …
public struct Split: Runnable {
    public static let name = "Split"
    public let counts: [Int]

    public init(counts: [Int]) { self.counts = counts }

    public var attributes: [(name: String, value: String)] {
        [("channels", counts.map(String.init).joined(separator: "+"))]
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        try ShapeRules.require(inputs[0].rank >= 1, "needs channels")
        let channels = inputs[0][inputs[0].rank - 1]
        try ShapeRules.require(
            counts.reduce(0, +) == channels && counts.allSatisfy { $0 > 0 },
            "\(counts) do not make up \(channels) channels")
        return counts.map { Shape(inputs[0].dimensions.dropLast() + [$0]) }
    }

    public func inputGradients(_ site: GradientSite) throws(ShapeError) -> [Value?] {
        var parts: [Value] = []
        for (index, gradient) in site.outputGradients.enumerated() {
            parts.append(gradient ?? site.outputs[index].apply(Fill(value: 0)))
        }
        return [parts[0].apply(Concat(), Array(parts.dropFirst()))]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            var offset = 0
            for output in site.outputs {
                let channels = output.shape[output.shape.rank - 1]
                site.kernels.copyChannels(
                    from: site.input, channelOffset: offset, to: output, channelOffset: 0, count: channels,
                    accumulate: false)
                offset += channels
            }
        }
    }
}

/// A constant in the shape of its input, whose values it does not read.
public struct Fill: Runnable {
    public static let name = "Fill"
    public let value: Float

    public init(value: Float) { self.value = value }

    public var attributes: [(name: String, value: String)] { [("value", "\(value)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        return inputs
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] { [nil] }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [value] _ in site.kernels.fill(site.output, with: value) }
    }
}

extension Concat: ONNXExpressible {
    public func express(_ site: ONNXSite) throws(ONNXError) {
        var inputs: [String] = []
        for index in 0..<site.inputCount { inputs.append(try site.input(index)) }
        site.emit("Concat", inputs, ["axis": .integer(site.channelAxis)])
    }
}

extension Split: ONNXExpressible {
    public func express(_ site: ONNXSite) throws(ONNXError) {
        site.emit("Split", [try site.input(), site.constant(counts)], ["axis": .integer(site.channelAxis)])
    }
}
