import Tensors

/// One kind of computation with its attributes: what the graph knows about it. How it runs is the business of
/// `Execution`; a graph can be built, differentiated and printed without either.
public protocol Operation: Sendable {
    /// The name in printed graphs and profiles, e.g. `Conv2D`.
    static var name: String { get }
    /// Attributes for printing, in a fixed order.
    var attributes: [(name: String, value: String)] { get }
    /// Shapes of the outputs for these inputs.
    /// - Throws: `ShapeError` that says what is wrong and what would be right.
    func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape]
    /// Emits the nodes that compute the gradient with respect to each input, nil where it is not needed or zero.
    /// - Throws: `ShapeError` when the operation has no gradient.
    func inputGradients(_ site: GradientSite) throws(ShapeError) -> [Value?]
}

extension Operation {
    public var name: String { Self.name }
    public var attributes: [(name: String, value: String)] { [] }

    public func inputGradients(_ site: GradientSite) throws(ShapeError) -> [Value?] {
        throw ShapeError("\(name) has no gradient")
    }
}

/// Why an operation does not accept its inputs.
public struct ShapeError: Error, Equatable {
    public let reason: String
    public init(_ reason: String) { self.reason = reason }
}

/// What a gradient rule sees: the node being differentiated and the gradients that arrived at its outputs.
public struct GradientSite {
    public let inputs: [Value]
    public let outputs: [Value]
    /// Nil where no gradient reaches an output.
    public let outputGradients: [Value?]
    /// Whether anybody asks for the gradient of input `i`.
    public let isNeeded: [Bool]

    /// The gradient of the only output.
    public var outputGradient: Value { outputGradients[0]! }
}
