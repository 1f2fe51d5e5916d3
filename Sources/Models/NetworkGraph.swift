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
        /// Forward with stored statistics: maps and reconstructions only.
        case prediction
    }

    public let graph: Graph
    /// Names of the scalar outputs: `loss`, then the terms.
    public let lossNames: [String]
    public let maps: [NetworkResult.Map]
    public let reconstructions: [NetworkResult.Reconstruction]

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
            case .evaluation, .prediction: .inference
            }
        let builder = GraphBuilder(mode: mode)
        let inputs = network.inputs.map { builder.input($0.field, [batch, height, width, $0.channels]) }
        let result = network.describe(inputs)
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
        case .prediction:
            let wanted = Set(result.maps.map(\.output) + result.reconstructions.map(\.output))
            for (name, value) in result.outputs where wanted.contains(name) { builder.output(name, value) }
        }
        let plain = try builder.build()
        graph = fusing ? plain.fused() : plain
        self.lossNames = lossNames
        maps = result.maps
        reconstructions = result.reconstructions
    }
}
