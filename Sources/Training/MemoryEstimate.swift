import Basics
import Kernels
import Models
import Tensors

/// What a rank of a run will need, found by planning it and by running one lane on made-up pictures.
public struct MemoryEstimate: Sendable {
    public let parameterCount: Int
    public let arenaByteCount: Int
    /// Activations, parameters, gradients, partial sums and optimizer state.
    public let byteCount: Int
    /// Time of one lane's forward and backward pass.
    public let laneSeconds: Double

    public init(
        network: any Network, laneBatch: Int, height: Int, width: Int, kernels: KernelContext,
        configuration: RunConfiguration
    ) throws {
        let graph = try NetworkGraph(
            network, .training, batch: laneBatch, height: height, width: width, keepOutputs: false)
        let state = try ModelState.empty(for: network)
        state.initialize(seed: configuration.seed)
        let engine = LaneEngine(network: graph, state: state, kernels: kernels)
        let optimizer = try configuration.makeOptimizer(state: state)
        parameterCount = state.parameterCount
        arenaByteCount = engine.executor.arenaByteCount
        var floats = state.parameterArena.count + 2 * engine.result.count
        floats += optimizer.stateArenas.reduce(0) { $0 + $1.arena.count }
        byteCount = arenaByteCount + floats * MemoryLayout<Float>.stride
        try engine.run(.deterministic)
        let start = monotonicSeconds()
        try engine.run(.deterministic)
        laneSeconds = monotonicSeconds() - start
    }
}
