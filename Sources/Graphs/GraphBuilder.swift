import Tensors

/// Collects nodes while a network is described, then becomes a `Graph`.
///
/// Shape errors do not stop the description: they are collected with the caller's file and line and thrown once by
/// `build`.
public final class GraphBuilder {
    public enum Mode: Sendable {
        /// Batch statistics, dropout.
        case training
        /// Batch statistics, no dropout: for estimating what inference uses.
        case calibration
        /// Stored statistics, no dropout.
        case inference
    }

    public let mode: Mode
    var values: [Graph.ValueInfo] = []
    var nodes: [Graph.Node] = []
    var inputs: [Graph.ValueID] = []
    var parameters: [Parameter] = []
    var buffers: [Buffer] = []
    var statistics: [Statistic] = []
    var outputs: [(name: String, value: Graph.ValueID)] = []
    var parameterGradients: [Graph.ValueID] = []
    /// Which parameters, by name, keep their values.
    private let isFrozen: (String) -> Bool
    /// Layers in the order in which they were finished, for people to read; the graph does not depend on them.
    public private(set) var layers: [GraphLayer] = []
    private var problems: [GraphError.Problem] = []
    private var scopes: [String] = []
    private var names: Set<String> = []
    private var parameterCount = 0
    private var statisticCount = 0

    public init(mode: Mode, isFrozen: @escaping (String) -> Bool = { _ in false }) {
        self.mode = mode
        self.isFrozen = isFrozen
    }

    /// Notes that a layer at the current place is finished.
    /// - Parameter parameterCount: scalars of its own, without those of layers inside.
    public func layer(_ type: String, _ results: [Value], parameterCount: Int) {
        layers.append(
            GraphLayer(type: type, path: path, shapes: results.map(\.shape), parameterCount: parameterCount))
    }

    /// Set while the gradient of a node is written down: its nodes are named after the node.
    var overridePath: String?

    /// The current place, e.g. `encoder1.conv1`.
    public var path: String { overridePath ?? scopes.joined(separator: ".") }

    /// Names everything that `body` adds with the prefix `name.`.
    public func scope<Result>(_ name: String, _ body: () throws -> Result) rethrows -> Result {
        scopes.append(name)
        defer { scopes.removeLast() }
        return try body()
    }

    private func qualified(_ name: String) -> String { scopes.isEmpty ? name : path + "." + name }

    public func input(_ name: String, _ shape: Shape) -> Value {
        let value = append(shape, .input, name)
        inputs.append(value.id)
        return value
    }

    /// Declares a parameter. Its name is the checkpoint's name; declaring one twice is an error.
    public func parameter(
        _ name: String, _ shape: Shape, layout: ParameterLayout, initializer: Initializer,
        file: String = #fileID, line: Int = #line
    ) -> Value {
        let name = qualified(name)
        claim(name, file, line)
        let value = append(shape, .parameter, name)
        parameters.append(
            Parameter(
                name: name, value: value.id, shape: shape, layout: layout, initializer: initializer,
                isTrained: !isFrozen(name), offset: parameterCount))
        // Every tensor starts on a 64-byte line, so that kernels may assume it.
        parameterCount += (shape.count + 15) / 16 * 16
        return value
    }

    /// Declares a tensor that inference reads from the statistics arena.
    public func buffer(
        _ name: String, _ shape: Shape, initial: Float, file: String = #fileID, line: Int = #line
    ) -> Value {
        let name = qualified(name)
        claim(name, file, line)
        let value = append(shape, .buffer, name)
        buffers.append(
            Buffer(name: name, value: value.id, shape: shape, initial: initial, offset: statisticCount))
        statisticCount += (shape.count + 15) / 16 * 16
        return value
    }

    /// Declares that training gathers `value` as a batch statistic. Offsets match those of `buffer` in the inference
    /// graph of the same network, because both are declared by the same layer in the same order.
    public func statistic(
        _ name: String, _ kind: Statistic.Kind, _ value: Value, momentum: Float, sampleCount: Int, initial: Float,
        file: String = #fileID, line: Int = #line
    ) {
        let name = qualified(name)
        claim(name, file, line)
        statistics.append(
            Statistic(
                name: name, kind: kind, value: value.id, shape: value.shape, momentum: momentum,
                sampleCount: sampleCount, offset: statisticCount, initial: initial))
        statisticCount += (value.shape.count + 15) / 16 * 16
    }

    private func claim(_ name: String, _ file: String, _ line: Int) {
        if !names.insert(name).inserted { report("the name \(name) is used twice", file, line) }
    }

    public func report(_ reason: String, _ file: String, _ line: Int) {
        problems.append(.init(file: file, line: line, path: path, reason: reason))
    }

    /// Adds a node. Where the operation refuses its inputs the problem is recorded and stand-in values are returned.
    public func add(
        _ operation: any Operation, _ operands: [Value], file: String = #fileID, line: Int = #line
    ) -> [Value] {
        for operand in operands { precondition(operand.builder === self, "a value of another graph") }
        let shapes: [Shape]
        do {
            shapes = try operation.outputShapes(for: operands.map(\.shape))
        } catch {
            report("\(operation.name): \(error.reason)", file, line)
            // The first operand's shape lets the description go on, so that later problems are found too.
            return [operands.first ?? append([], .input, "invalid")]
        }
        let nodeIndex = nodes.count
        let results = shapes.enumerated().map { index, shape in
            append(shape, .node(index: nodeIndex, output: index), path)
        }
        nodes.append(
            Graph.Node(operation: operation, inputs: operands.map(\.id), outputs: results.map(\.id), path: path))
        return results
    }

    public func output(_ name: String, _ value: Value, file: String = #fileID, line: Int = #line) {
        if outputs.contains(where: { $0.name == name }) { report("the output \(name) is declared twice", file, line) }
        outputs.append((name, value.id))
    }

    private func append(_ shape: Shape, _ source: Graph.Source, _ name: String) -> Value {
        values.append(.init(shape: shape, source: source, name: name))
        return Value(builder: self, id: .init(values.count - 1))
    }

    var hasProblems: Bool { !problems.isEmpty }

    /// The finished graph, verified.
    /// - Throws: `GraphError` with everything that was wrong in the description.
    public func build() throws(GraphError) -> Graph {
        guard problems.isEmpty else { throw GraphError(problems: problems) }
        let graph = Graph(
            values: values, nodes: nodes, inputs: inputs, parameters: parameters, buffers: buffers, outputs: outputs,
            parameterGradients: parameterGradients, statistics: statistics
        ).withoutDeadNodes()
        graph.verify()
        return graph
    }
}
