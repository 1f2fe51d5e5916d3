import Tensors

/// A handle to a tensor of a graph that is being built. Layers and operations are methods on it, so that a chain of
/// layers reads as a chain.
public struct Value {
    public let builder: GraphBuilder
    public let id: Graph.ValueID

    public var shape: Shape { builder.values[id.index].shape }

    /// Applies an operation with one result to this value and `others`.
    public func apply(
        _ operation: any Operation, _ others: [Value] = [], file: String = #fileID, line: Int = #line
    ) -> Value {
        builder.add(operation, [self] + others, file: file, line: line)[0]
    }

    /// Runs `body` inside the named scope.
    public func scope(_ name: String, _ body: (Value) -> Value) -> Value {
        builder.scope(name) { body(self) }
    }
}
