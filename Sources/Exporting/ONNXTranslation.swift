import Basics
import Graphs
import Operators
import Tensors

/// Translates a graph's nodes, one after the other, into those of ONNX.
struct ONNXTranslation {
    let graph: Graph
    let description: ONNXDescription
    /// Names that values of the graph have there.
    private var names: [Graph.ValueID: String] = [:]

    /// - Parameter reserved: names of inputs and outputs.
    init(_ graph: Graph, reserved: Set<String>) {
        self.graph = graph
        description = ONNXDescription(reserved: reserved)
    }

    /// Shape of a value there: pictures are channel first.
    static func dimensions(_ shape: Shape) -> [Int] {
        let d = shape.dimensions
        return d.count == 4 ? [d[0], d[3], d[1], d[2]] : d
    }

    /// Says under which name an input of the graph is to be had.
    mutating func bind(_ value: Graph.ValueID, to name: String) { names[value] = name }

    func name(of value: Graph.ValueID) -> String? { names[value] }

    /// - Parameter results: names that some values have to have, because they are outputs.
    /// - Throws: `Failure` (usage) naming the operation that has no counterpart.
    mutating func translate(results: [Graph.ValueID: String]) throws {
        let folded = foldedConvolutions(keeping: Set(results.keys))
        let skipped = Set(folded.values)
        for (index, node) in graph.nodes.enumerated() where !skipped.contains(index) {
            let operation = type(of: node.operation).name
            let place = node.path.isEmpty ? operation : "\(node.path): \(operation)"
            if let place = folded[index] {
                try fold(graph.nodes[place], node, results)
                continue
            }
            guard let expressible = node.operation as? any ONNXExpressible else {
                throw Failure(
                    .usage, "\(place) has no counterpart in ONNX; choose other outputs, or --format safetensors")
            }
            let site = site(node, outputs: nameOutputs(of: node, results))
            do {
                try expressible.express(site)
            } catch {
                throw Failure(.usage, "\(place) cannot be exported to ONNX: \(error.reason)")
            }
        }
    }

    private func site(_ node: Graph.Node, outputs: [String]) -> ONNXSite {
        ONNXSite(
            graph, node, path: node.path, description: description, inputNames: node.inputs.map { names[$0] },
            outputs: outputs)
    }

    private mutating func nameOutputs(of node: Graph.Node, _ results: [Graph.ValueID: String]) -> [String] {
        let operation = type(of: node.operation).name
        return node.outputs.enumerated().map { index, value in
            let own = (node.path.isEmpty ? operation : node.path + "." + operation) + (index == 0 ? "" : ".\(index)")
            let name = results[value] ?? description.unused(own)
            names[value] = name
            return name
        }
    }

    /// What a node does to a convolution before it, if it is a normalisation of one picture.
    private func normalization(_ node: Graph.Node) -> (by: ONNXNormalization, activation: Activation)? {
        switch node.operation {
        case let operation as BatchNormInference:
            (ONNXNormalization(inputs: node.inputs, epsilon: operation.epsilon), .none)
        case let operation as NormReLUInference where node.inputs.count == 5:
            (ONNXNormalization(inputs: node.inputs, epsilon: operation.epsilon), .relu)
        default: nil
        }
    }

    /// Normalisations that are free: those of a convolution that nobody else reads and that has no activation of its own.
    /// Any other one is behind an activation, or before zero padding, which it would not commute with.
    /// - Returns: the convolution's place by that of the normalisation.
    private func foldedConvolutions(keeping results: Set<Graph.ValueID>) -> [Int: Int] {
        var readerCounts: [Graph.ValueID: Int] = [:]
        for node in graph.nodes { for input in node.inputs { readerCounts[input, default: 0] += 1 } }
        var folded: [Int: Int] = [:]
        for (index, node) in graph.nodes.enumerated() where normalization(node) != nil {
            let picture = node.inputs[0]
            guard readerCounts[picture] == 1, !results.contains(picture), node.inputs.dropFirst().allSatisfy(isStored),
                let place = graph.producer(of: picture),
                let convolution = graph.nodes[place].operation as? Conv2D, convolution.activation == .none,
                graph.nodes[place].inputs.dropFirst().allSatisfy(isStored)
            else { continue }
            folded[index] = place
        }
        return folded
    }

    private func isStored(_ value: Graph.ValueID) -> Bool {
        let source = graph.values[value.index].source
        return source == .parameter || source == .buffer
    }

    private mutating func fold(
        _ convolution: Graph.Node, _ node: Graph.Node, _ results: [Graph.ValueID: String]
    ) throws {
        guard let operation = convolution.operation as? Conv2D, let normalization = normalization(node) else {
            preconditionFailure("\(convolution.path): nothing to fold")
        }
        let site = site(convolution, outputs: nameOutputs(of: node, results))
        do {
            try operation.express(site, normalizedBy: normalization.by, then: normalization.activation)
        } catch {
            throw Failure(.usage, "\(convolution.path) cannot be exported to ONNX: \(error.reason)")
        }
    }
}
