import Tensors

/// Replaces groups of nodes by nodes that compute the same values another way. Values keep their numbers.
public struct GraphRewriter {
    public let graph: Graph
    private var slots: [Graph.Node?]
    private var readers: [Graph.ValueID: Set<Int>] = [:]
    /// Values that somebody outside the nodes reads.
    private let results: Set<Graph.ValueID>

    public init(_ graph: Graph) {
        self.graph = graph
        slots = graph.nodes
        results = Set(graph.outputs.map(\.value) + graph.parameterGradients + graph.statistics.map(\.value))
        for index in graph.nodes.indices { connect(index) }
    }

    private mutating func connect(_ index: Int) {
        for input in slots[index]?.inputs ?? [] { readers[input, default: []].insert(index) }
    }

    public var indices: Range<Int> { slots.indices }

    /// The node in a place; nil where it was merged into another one.
    public func node(_ index: Int) -> Graph.Node? { slots[index] }

    /// Places of the nodes that read a value.
    public func readers(of value: Graph.ValueID) -> Set<Int> { readers[value] ?? [] }

    public func isResult(_ value: Graph.ValueID) -> Bool { results.contains(value) }

    /// Whether nobody but the nodes in these places reads the value.
    public func isPrivate(_ value: Graph.ValueID, to places: Set<Int>) -> Bool {
        !results.contains(value) && readers(of: value).isSubset(of: places)
    }

    /// Whether all readers of the values stand behind a place, so that a node there may compute them.
    public func isReadOnly(_ values: [Graph.ValueID], after place: Int) -> Bool {
        values.allSatisfy { readers(of: $0).allSatisfy { $0 > place } }
    }

    public func producer(of value: Graph.ValueID) -> Int? {
        slots.indices.first { slots[$0]?.outputs.contains(value) == true }
    }

    public func shape(of value: Graph.ValueID) -> Shape { graph.shape(of: value) }

    /// Puts `node` in place of the node at `place` and drops the others of the group.
    public mutating func replace(_ group: some Sequence<Int>, at place: Int, by node: Graph.Node) {
        for index in group {
            for input in slots[index]?.inputs ?? [] { readers[input]?.remove(index) }
            slots[index] = nil
        }
        precondition(slots[place] == nil, "\(node.path): the place \(place) does not belong to the group")
        slots[place] = node
        connect(place)
    }

    /// The new graph, verified.
    public func finish() -> Graph {
        let nodes = slots.compactMap(\.self)
        var values = graph.values
        for (index, node) in nodes.enumerated() {
            for (outputIndex, output) in node.outputs.enumerated() {
                let old = values[output.index]
                values[output.index] = Graph.ValueInfo(
                    shape: old.shape, source: .node(index: index, output: outputIndex), name: old.name)
            }
        }
        let result = Graph(
            values: values, nodes: nodes, inputs: graph.inputs, parameters: graph.parameters, buffers: graph.buffers,
            outputs: graph.outputs, parameterGradients: graph.parameterGradients, statistics: graph.statistics
        ).withoutDeadNodes()
        result.verify()
        return result
    }
}
