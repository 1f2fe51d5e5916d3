import Execution
import Graphs
import Kernels
import Models
import Tensors

/// What a training step of one lane computes, moves and keeps, from its graph alone: nothing is allocated or run.
public struct StepWork: Sendable, Equatable {
    /// Multiply-adds as they are executed.
    public let multiplyAdds: Double
    /// Inputs and outputs of the graph's nodes.
    public let bytes: Double
    public let nodeCount: Int
    /// Scalars that are trained; padding included.
    public let parameterCount: Int
    /// What the optimizer reads and writes.
    public let optimizerBytes: Double
    /// Arena of the activations.
    public let arenaByteCount: Int
    /// Parameters, statistics, the lane's results and the optimizer's state.
    public let stateByteCount: Int

    /// - Throws: what building the network throws.
    public init(
        _ network: any Network, batch: Int, height: Int, width: Int, optimizerStates: Int, kernels: KernelContext
    ) throws {
        let training = try NetworkGraph(
            network, .training, batch: batch, height: height, width: width, keepOutputs: false)
        let graph = training.graph
        let works = graph.nodes.map { OperationTiming.Work($0, of: graph) }
        multiplyAdds = works.reduce(0) { $0 + $1.executedMultiplyAdds }
        bytes = works.reduce(0) { $0 + $1.bytes }
        nodeCount = graph.nodes.count
        parameterCount = Self.end(graph.parameters.map { ($0.offset, $0.shape.count) })
        let size = MemoryLayout<Float>.stride
        // Parameters and state are read and written, gradients read.
        optimizerBytes = Double((3 + 2 * optimizerStates) * parameterCount * size)
        arenaByteCount = MemoryPlan(outsideOf: graph, kernels: kernels).arenaCount * size
        let statisticCount = Self.end(graph.statistics.map { ($0.offset, $0.shape.count) })
        stateByteCount = ((2 + optimizerStates) * parameterCount + 3 * statisticCount) * size
    }

    private static func end(_ spans: [(offset: Int, count: Int)]) -> Int {
        spans.map { $0.offset + $0.count }.max() ?? 0
    }
}

extension MemoryPlan {
    /// The plan of an executor whose caller has memory for all parameters, statistics and gradients.
    init(outsideOf graph: Graph, kernels: KernelContext) {
        let external =
            graph.parameters.map(\.value) + graph.buffers.map(\.value) + graph.parameterGradients
            + graph.statistics.map(\.value)
        self.init(graph: graph, external: Set(external), kernels: kernels, reuse: true, keepsPacked: false)
    }
}
