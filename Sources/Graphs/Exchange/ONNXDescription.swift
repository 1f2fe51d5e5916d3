import Tensors

/// Nodes and constants of a network that is being exported: what operations emit, before it has a file format.
public final class ONNXDescription {
    public private(set) var nodes: [ONNXNode] = []
    public private(set) var constants: [ONNXConstant] = []
    private var names: Set<String>
    /// Constants that were stored before, by what they hold.
    private var stored: [String: String] = [:]

    /// - Parameter reserved: names that are the caller's, such as those of inputs and outputs.
    public init(reserved: Set<String>) { names = reserved }

    /// A name that nothing has yet.
    public func unused(_ wanted: String) -> String {
        if names.insert(wanted).inserted { return wanted }
        var number = 2
        while !names.insert("\(wanted)_\(number)").inserted { number += 1 }
        return "\(wanted)_\(number)"
    }

    public func add(
        _ type: String, name: String, _ inputs: [String], to outputs: [String],
        _ attributes: [String: ONNXNode.Attribute]
    ) {
        nodes.append(
            ONNXNode(
                name: name, type: type, inputs: inputs, outputs: outputs,
                attributes: attributes.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }))
    }

    /// A node with one output, and that output's name.
    public func node(
        _ type: String, at path: String, _ inputs: [String], _ attributes: [String: ONNXNode.Attribute] = [:]
    ) -> String {
        let name = unused(path.isEmpty ? type : path + "/" + type)
        add(type, name: name, inputs, to: [name], attributes)
        return name
    }

    public func constant(_ values: [Float], _ dimensions: [Int], at path: String) -> String {
        let key = "\(dimensions) \(values.map(\.bitPattern))"
        return store(key, path + "/constant", dimensions, .floats(values))
    }

    public func constant(_ values: [Int], at path: String) -> String {
        store("integers \(values)", path + "/constant", [values.count], .integers(values))
    }

    func stored(_ value: Graph.ValueID, _ name: String, axes: [Int], order: [Int], dimensions: [Int]) -> String {
        store(
            "value \(value.index) \(axes) \(order) \(dimensions)", name, dimensions,
            .stored(value, axes: axes, order: order))
    }

    func add(_ name: String, dimensions: [Int], _ contents: ONNXConstant.Contents) -> String {
        let name = unused(name)
        constants.append(ONNXConstant(name: name, dimensions: dimensions, contents: contents))
        return name
    }

    private func store(_ key: String, _ name: String, _ dimensions: [Int], _ contents: ONNXConstant.Contents) -> String
    {
        if let known = stored[key] { return known }
        let name = add(name, dimensions: dimensions, contents)
        stored[key] = name
        return name
    }
}

/// What an operation sees of the network that is being exported: its inputs and outputs there.
public struct ONNXSite {
    public let description: ONNXDescription
    /// Where in the network.
    public let path: String
    let graph: Graph
    let node: Graph.Node
    let inputNames: [String?]
    public let outputs: [String]

    /// - Parameter inputNames: nil for parameters and buffers, which become constants when they are asked for.
    public init(
        _ graph: Graph, _ node: Graph.Node, path: String, description: ONNXDescription, inputNames: [String?],
        outputs: [String]
    ) {
        (self.graph, self.node, self.path, self.description) = (graph, node, path, description)
        (self.inputNames, self.outputs) = (inputNames, outputs)
    }

    public var inputCount: Int { node.inputs.count }

    /// Here, that is with channels last.
    public func shape(_ input: Int) -> Shape { graph.shape(of: node.inputs[input]) }
    public var outputShape: Shape { graph.shape(of: node.outputs[0]) }

    /// Of the first input, there.
    public var channelAxis: Int { shape(0).rank == 4 ? 1 : shape(0).rank - 1 }

    /// The value that a node computes, or an input of the network.
    public func input(_ index: Int = 0) throws(ONNXError) -> String {
        if let name = inputNames[index] { return name }
        let shape = shape(index)
        if shape.rank == 4 { return try weights(index, order: [0, 3, 1, 2]) }
        return try weights(index, order: Array(0..<shape.rank))
    }

    /// A parameter, its axes in another order.
    /// - Parameters:
    ///   - axes: extents to see it with, if they are not its own.
    ///   - dimensions: extents of the result, if they are not those of `axes` in `order`.
    /// - Throws: `ONNXError` if it is no parameter: weights that are computed are not supported.
    public func weights(
        _ index: Int, axes: [Int]? = nil, order: [Int], dimensions: [Int]? = nil
    ) throws(ONNXError) -> String {
        let value = node.inputs[index]
        let info = graph.values[value.index]
        guard info.source == .parameter || info.source == .buffer else {
            throw ONNXError("input \(index) is computed, not stored")
        }
        let axes = axes ?? info.shape.dimensions
        return description.stored(
            value, info.name, axes: axes, order: order, dimensions: dimensions ?? order.map { axes[$0] })
    }

    /// Weights of a convolution with a normalisation of its output folded in: its axes in another order, channels of the
    /// output first.
    public func weights(_ index: Int, order: [Int], normalizedBy normalization: ONNXNormalization) -> String {
        let (value, axes) = (node.inputs[index], shape(index).dimensions)
        return description.add(
            graph.values[value.index].name + ".normalized", dimensions: order.map { axes[$0] },
            .normalizedWeights(value, axes: axes, order: order, normalization))
    }

    /// The bias of such a convolution.
    /// - Parameter index: its own; nil: it has none.
    public func bias(_ index: Int?, normalizedBy normalization: ONNXNormalization) -> String {
        let value = index.map { node.inputs[$0] }
        let name = graph.values[(value ?? normalization.bias).index].name
        return description.add(
            name + ".normalized", dimensions: graph.shape(of: normalization.bias).dimensions,
            .normalizedBias(value, normalization))
    }

    /// A parameter that is a vector.
    public func vector(_ index: Int) throws(ONNXError) -> String { try weights(index, order: [0]) }

    public func constant(_ value: Float) -> String { description.constant([value], [], at: path) }
    public func constant(_ values: [Float], _ dimensions: [Int]) -> String {
        description.constant(values, dimensions, at: path)
    }
    public func constant(_ values: [Int]) -> String { description.constant(values, at: path) }

    /// A node between inputs and output.
    public func node(
        _ type: String, _ inputs: [String], _ attributes: [String: ONNXNode.Attribute] = [:]
    ) -> String {
        description.node(type, at: path, inputs, attributes)
    }

    /// The node that computes the outputs.
    public func emit(_ type: String, _ inputs: [String], _ attributes: [String: ONNXNode.Attribute] = [:]) {
        description.add(
            type, name: description.unused(path.isEmpty ? type : path + "/" + type), inputs, to: outputs, attributes)
    }
}
