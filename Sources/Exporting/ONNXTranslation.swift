import Basics
import Graphs
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
        for node in graph.nodes {
            let operation = type(of: node.operation).name
            let place = node.path.isEmpty ? operation : "\(node.path): \(operation)"
            guard let expressible = node.operation as? any ONNXExpressible else {
                throw Failure(
                    .usage, "\(place) has no counterpart in ONNX; choose other outputs, or --format safetensors")
            }
            var outputs: [String] = []
            for (index, value) in node.outputs.enumerated() {
                let own = (node.path.isEmpty ? operation : node.path + "." + operation) + (index == 0 ? "" : ".\(index)")
                let name = results[value] ?? description.unused(own)
                names[value] = name
                outputs.append(name)
            }
            let site = ONNXSite(
                graph, node, path: node.path, description: description, inputNames: node.inputs.map { names[$0] },
                outputs: outputs)
            do {
                try expressible.express(site)
            } catch let error as ONNXError {
                throw Failure(.usage, "\(place) cannot be exported to ONNX: \(error.reason)")
            }
        }
    }
}
