import Graphs
import Operators
import Tensors

/// A network built for a purpose and a size.
public struct NetworkGraph: Sendable {
    public enum Purpose: Sendable {
        /// Forward with dropout and batch statistics, loss, gradients.
        case training
        /// Forward with batch statistics, no dropout: only the statistics are computed.
        case calibration
        /// Forward with stored statistics, all outputs and the loss.
        case evaluation
        /// Forward with stored statistics: maps only.
        case prediction
        /// Forward with stored statistics, all outputs, without the loss and its targets.
        case inspection
    }

    public let graph: Graph
    /// Names of the scalar outputs: `loss`, then the terms.
    public let lossNames: [String]
    public let maps: [NetworkResult.Map]
    /// The network's summary, layer by layer; the network itself last.
    public let layers: [GraphLayer]

    /// - Parameter keepOutputs: whether a training graph keeps the network's outputs until the end of a run, for looking at
    ///   them, at the price of memory.
    /// - Parameter fusing: false leaves the graph as gradient rules wrote it (the reference that tests compare with).
    /// - Throws: `GraphError` with every shape that does not fit; `Failure` (bad data) if the size is no multiple of what
    ///   the network needs.
    public init(
        _ network: any Network, _ purpose: Purpose, batch: Int, height: Int, width: Int,
        keepOutputs: Bool = true, fusing: Bool = true
    ) throws {
        try network.check(height: height, width: width)
        let mode: GraphBuilder.Mode =
            switch purpose {
            case .training: .training
            case .calibration: .calibration
            case .evaluation, .prediction, .inspection: .inference
            }
        let recipe = network.recipe
        let builder = GraphBuilder(mode: mode, isFrozen: recipe.isFrozen)
        var values: [String: Value] = [:]
        for field in network.graphFields {
            let size = field.streamed.grid.size(height: height, width: width)
            values[field.name] = builder.input(field.name, [batch, size.height, size.width, field.channels])
            if field.hasMask {
                values[field.knownName] = builder.input(field.knownName, [batch, size.height, size.width, 1])
            }
        }
        let result = network.describe(FieldValues(values: values))
        builder.layer(
            "\(type(of: network))",
            result.maps.compactMap { map in
                map.kind == .view ? nil : result.outputs.first { $0.name == map.output }?.value
            }, parameterCount: 0)
        var lossNames: [String] = []
        switch purpose {
        case .calibration:
            break
        case .training, .evaluation:
            if purpose == .evaluation || keepOutputs {
                for (name, value) in result.outputs { builder.output(name, value) }
            }
            for (name, value) in [("loss", result.loss)] + result.terms {
                builder.output(name, value)
                lossNames.append(name)
            }
            if purpose == .training { builder.differentiate(result.loss, arithmetic: Arithmetic.self) }
        case .inspection:
            for (name, value) in result.outputs { builder.output(name, value) }
        case .prediction:
            let wanted = Set(result.maps.map(\.output) + result.maps.compactMap(\.rendering?.probability))
            for (name, value) in result.outputs where wanted.contains(name) { builder.output(name, value) }
        }
        let plain = try builder.build()
        graph = fusing ? plain.fused() : plain
        self.lossNames = lossNames
        maps = result.maps
        layers = builder.layers
    }
}

extension NetworkGraph {
    /// The layers as `torchsummary` prints them, sizes in PyTorch's order.
    public func summary() -> String {
        let rule = String(repeating: "-", count: 64) + "\n"
        let total = GraphLayer.grouped(graph.parameterCount)
        let trained = graph.trainedParameters.reduce(0) { $0 + $1.shape.count }
        return rule + "Layer (type) Output Shape Param #\n" + rule
            + layers.enumerated().map { $1.row($0 + 1) + "\n" }.joined()
            + rule + "Total params: \(total)\nTrainable params: \(GraphLayer.grouped(trained))\n"
            + "Non-trainable params: \(GraphLayer.grouped(graph.parameterCount - trained))\n" + rule
            + "parameters \(graph.parameterCount)\n"
    }
}
