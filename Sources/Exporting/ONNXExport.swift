import Basics
import Graphs
import Models
import Operators
import Tensors

/// A network as ONNX, for one size of pictures and batches of any size.
///
/// Inputs are the network's fields by name, [N, channels, height, width], as records have them: pictures and masks in
/// 0…1. Normalisation is part of the exported network. Maps are in the units of records, named as prediction names its
/// files: by kind and by the eye whose pixels they live in.
public struct ONNXExport {
    public enum Outputs: String, CaseIterable, Sendable {
        /// Maps, without pictures that are among the inputs already.
        case maps
        /// Also rebuilt inputs, and the network's other outputs (probabilities).
        case all
    }

    /// An input or output as the file has it; the first axis is the batch.
    public struct Port: Sendable, Equatable {
        public let name: String
        public let dimensions: [Int]
        /// Units, range and whose pixels, for people.
        public let meaning: String
        /// The graph's own name of the value.
        public let graphName: String
    }

    /// What a file tells about itself.
    public struct Origin: Sendable {
        public var settings: [(name: String, value: String)]
        /// Version of this program.
        public var version: String
        /// Metadata of the checkpoint: `step`, `statistics_step`, `data`, `kernels` are passed on.
        public var checkpoint: [String: String]

        public init(
            settings: [(name: String, value: String)], version: String, checkpoint: [String: String]
        ) {
            (self.settings, self.version, self.checkpoint) = (settings, version, checkpoint)
        }
    }

    public let inputs: [Port]
    public let outputs: [Port]
    private let file: ONNXFile
    private let graph: Graph

    /// - Throws: `Failure` (bad data) for a size that does not fit the network, (usage) for an operation that has no
    ///   counterpart.
    public init(
        _ network: any Network, height: Int, width: Int, outputs wanted: Outputs, origin: Origin
    ) throws {
        let built = try NetworkGraph(
            network, wanted == .all ? .inspection : .prediction, batch: 1, height: height, width: width, fusing: false)
        let results = Self.results(of: built, network, width: width, wanted)
        let graph = built.graph.computing(results.map { ($0.port.name, $0.value) })
        self.graph = graph
        let fields = network.inputs
        var translation = ONNXTranslation(
            graph, reserved: Set(fields.map(\.name) + results.map(\.port.name)))
        var inputs: [Port] = []
        for field in fields {
            guard let value = graph.inputs.first(where: { graph.values[$0.index].name == field.name }) else { continue }
            inputs.append(
                Port(
                    name: field.name, dimensions: ONNXTranslation.dimensions(graph.shape(of: value)),
                    meaning: field.streamed.kind == .picture ? "RGB, 0…1" : "map in the data set's units",
                    graphName: field.name))
            translation.bind(value, to: translation.description.encoded(field.name, by: field.encoding))
        }
        // Values that are outputs as they are take the output's name at once.
        var direct: [Graph.ValueID: String] = [:]
        for result in results where result.encoding == .plain && graph.producer(of: result.value) != nil {
            if direct[result.value] == nil { direct[result.value] = result.port.name }
        }
        try translation.translate(results: direct)
        for result in results where direct[result.value] != result.port.name {
            guard let name = translation.name(of: result.value) else {
                preconditionFailure("\(result.port.name) is no value of the network's")
            }
            translation.description.decode(name, by: result.encoding, to: result.port.name)
        }
        self.inputs = inputs
        outputs = results.map(\.port)
        file = ONNXFile(
            name: network.name, producerVersion: origin.version,
            inputs: inputs.map { .init(name: $0.name, dimensions: $0.dimensions) },
            outputs: outputs.map { .init(name: $0.name, dimensions: $0.dimensions) },
            description: translation.description,
            metadata: Self.metadata(
                network, height: height, width: width, inputs: inputs, results: results, graph: graph, origin: origin))
    }

    /// A graph as it is, inputs and outputs under their own names.
    /// - Throws: `Failure` (usage) for an operation that has no counterpart.
    public init(_ graph: Graph, name: String, version: String) throws {
        func port(_ name: String, _ value: Graph.ValueID) -> Port {
            Port(
                name: name, dimensions: ONNXTranslation.dimensions(graph.shape(of: value)), meaning: "",
                graphName: name)
        }
        self.graph = graph
        inputs = graph.inputs.map { port(graph.values[$0.index].name, $0) }
        outputs = graph.outputs.map { port($0.name, $0.value) }
        var translation = ONNXTranslation(graph, reserved: Set((inputs + outputs).map(\.name)))
        for (value, port) in zip(graph.inputs, inputs) { translation.bind(value, to: port.name) }
        try translation.translate(
            results: Dictionary(graph.outputs.map { ($0.value, $0.name) }, uniquingKeysWith: { first, _ in first }))
        file = ONNXFile(
            name: name, producerVersion: version,
            inputs: inputs.map { .init(name: $0.name, dimensions: $0.dimensions) },
            outputs: outputs.map { .init(name: $0.name, dimensions: $0.dimensions) },
            description: translation.description, metadata: [])
    }

    /// Nodes, for looking at them.
    public var nodes: [ONNXNode] { file.description.nodes }

    /// - Parameters:
    ///   - parameters: the network's, as its inference graph lays them out.
    ///   - statistics: those that inference uses.
    /// - Throws: `Failure` (usage) if the network is too large for the format; `FileError`.
    public func write(path: String, parameters: FloatArena, statistics: FloatArena) throws {
        var places: [Graph.ValueID: UnsafePointer<Float>] = [:]
        for parameter in graph.parameters {
            places[parameter.value] = UnsafePointer(parameters.base + parameter.offset)
        }
        for buffer in graph.buffers { places[buffer.value] = UnsafePointer(statistics.base + buffer.offset) }
        try file.write(path: path) { value in
            guard let place = places[value] else { preconditionFailure("value \(value.index) is not stored") }
            return place
        }
    }

    /// An output before it is written down.
    private struct Result {
        let value: Graph.ValueID
        let port: Port
        let encoding: FieldEncoding
        let margin: Int
    }

    private static func results(
        of built: NetworkGraph, _ network: any Network, width: Int, _ wanted: Outputs
    ) -> [Result] {
        let graph = built.graph
        let given = Set(network.inputs.map(\.name))
        var results: [Result] = []
        func add(
            _ value: Graph.ValueID, _ graphName: String, as name: String, _ meaning: String, _ encoding: FieldEncoding,
            _ margin: Int
        ) {
            let port = Port(
                name: name, dimensions: ONNXTranslation.dimensions(graph.shape(of: value)), meaning: meaning,
                graphName: graphName)
            results.append(Result(value: value, port: port, encoding: encoding, margin: margin))
        }
        for map in built.maps {
            let isRebuilt = map.kind == .view && map.truth.map(given.contains) ?? false
            guard wanted == .all || !isRebuilt, let value = graph.output(map.output) else { continue }
            add(value, map.output, as: map.name, map.meaning(width: width), map.encoding, map.margin)
        }
        if wanted == .all {
            let mapped = Set(built.maps.map(\.output))
            for (name, value) in graph.outputs where !mapped.contains(name) {
                add(value, name, as: exportedName(name, value, built), "as the network computes it", .plain, 0)
            }
        }
        return results
    }

    /// `prob.left` → `prob_right` where the maps that are computed from it live in the right view's pixels: outputs are
    /// named by the eye whose pixels they are, not by the view that they are computed from.
    private static func exportedName(_ name: String, _ value: Graph.ValueID, _ built: NetworkGraph) -> String {
        guard let dot = name.lastIndex(of: "."), Eye(rawValue: String(name[name.index(after: dot)...])) != nil else {
            return name
        }
        let eyes = Set(
            built.maps.compactMap { map in
                built.graph.output(map.output).flatMap {
                    built.graph.ancestors(of: [$0]).contains(value) ? map.eye : nil
                }
            })
        guard let eye = eyes.first, eyes.count == 1 else { return name }
        return "\(name[..<dot])_\(eye.rawValue)"
    }

    private static func metadata(
        _ network: any Network, height: Int, width: Int, inputs: [Port], results: [Result], graph: Graph, origin: Origin
    ) -> [(key: String, value: String)] {
        var entries = [
            ("model", network.name),
            ("settings", origin.settings.map { "\($0.name)=\($0.value)" }.joined(separator: " ")),
            ("version", origin.version), ("height", "\(height)"), ("width", "\(width)"),
            ("normalisation", "part of this file: give pictures as RGB in 0…1, channel first"),
        ]
        for key in ["step", "statistics_step", "data", "kernels"] {
            if let value = origin.checkpoint[key] { entries.append((key, value)) }
        }
        for port in inputs { entries.append(("input.\(port.name)", port.meaning)) }
        for result in results {
            entries.append(("output.\(result.port.name)", result.port.meaning))
            if result.margin > 0 { entries.append(("margin.\(result.port.name)", "\(result.margin)")) }
            // The disparities that probabilities belong to, channel by channel.
            if let node = graph.producer(of: result.value),
                let dot = graph.nodes[node].operation as? ChannelDot,
                !entries.contains(where: { $0.0 == "levels" })
            {
                entries.append(("levels", dot.coefficients.map { "\($0)" }.joined(separator: " ")))
            }
        }
        return entries.map { ($0.0, $0.1) }
    }
}

extension NetworkResult.Map {
    /// Units and whose pixels.
    fileprivate func meaning(width: Int) -> String {
        let place = eye.map { " in the \($0.rawValue) view's pixels" } ?? ""
        return switch kind {
        case .disparity: "disparity\(place): pixels of a picture \(width) wide, positive = nearer"
        case .depth: "depth\(place), metres"
        case .relativeDepth: "depth\(place), 0…1 without a unit"
        case .mask: "mask\(place), probability 0…1"
        case .view: "the \(eye.map { $0.rawValue + " " } ?? "")view, RGB, 0…1"
        }
    }
}

extension Graph {
    /// Values that these are computed from, and themselves.
    func ancestors(of values: Set<ValueID>) -> Set<ValueID> {
        var found = values
        for node in nodes.reversed() where node.outputs.contains(where: found.contains) { found.formUnion(node.inputs) }
        return found
    }
}
