import Basics
import Execution
import Kernels
import Models
import Streaming
import Tensors

/// What a rank of a run will need at most, found by planning it and by running one lane on made-up pictures.
public struct MemoryEstimate: Sendable {
    public struct Part: Sendable, Equatable {
        public let name: String
        public let byteCount: Int
    }

    public let parameterCount: Int
    public let arenaByteCount: Int
    /// What is held at the same time when most is.
    public let parts: [Part]
    /// Time of one lane's forward and backward pass.
    public let laneSeconds: Double

    /// Of all parts.
    public var byteCount: Int { parts.reduce(0) { $0 + $1.byteCount } }

    /// - Throws: what building the network and its optimizer throws; `Failure` (usage) if there are fewer lanes than
    ///   ranks.
    public init(
        network: any Network, data: TrainingData, ranks: Int, kernels: KernelContext, configuration: RunConfiguration
    ) throws {
        let (height, width, laneBatch) = (data.height, data.width, configuration.laneBatch)
        let size = MemoryLayout<Float>.stride
        let graph = try NetworkGraph(
            network, .training, batch: laneBatch, height: height, width: width, keepOutputs: false)
        let state = try ModelState.empty(for: network)
        state.initialize(seed: configuration.seed)
        let engine = LaneEngine(network: graph, state: state, kernels: kernels)
        let optimizer = try configuration.makeOptimizer(state: state)
        parameterCount = state.parameterCount
        arenaByteCount = engine.executor.arenaByteCount
        let optimizerCount = optimizer.stateArenas.reduce(0) { $0 + $1.arena.count }
        let stateCount =
            state.parameterArena.count + 2 * state.trainingStatistics.count + engine.result.count + optimizerCount
        let exchangeCount = try LaneExchange.floatCount(
            network: graph, layout: engine.layout, lanes: configuration.lanes, ranks: ranks,
            transport: configuration.transport)

        try engine.run(.deterministic)
        let start = monotonicSeconds()
        try engine.run(.deterministic)
        laneSeconds = monotonicSeconds() - start
        // What is not ours to plan: code, graphs, buffers of OpenBLAS. All arenas have been touched.
        let program = (ProcessUsage.residentByteCount() ?? 0) - arenaByteCount - stateCount * size

        let settings = data.loaderSettings(data.trainingFields)
        // Evaluation and writing come one after the other, while the training loader waits with full hands.
        let later = [
            try Self.calibration(
                network, data: data, statisticCount: state.trainingStatistics.count, kernels: kernels,
                configuration: configuration),
            try Self.validation(network, data: data, kernels: kernels),
        ]
        let snapshot = state.parameterArena.count + 2 * state.trainingStatistics.count + optimizerCount
        parts = [
            Part(name: "activations", byteCount: arenaByteCount),
            Part(name: "parameters, gradients and optimizer", byteCount: stateCount * size),
            Part(name: "partial sums and exchange", byteCount: exchangeCount * size),
            Part(name: "batches loaded ahead", byteCount: settings.byteCount(largestBatch: laneBatch, taskCount: .max)),
            Part(name: "evaluation", byteCount: later.max() ?? 0),
            // A copy of the state, and its tensors in the layout of the file, while training goes on.
            Part(name: "checkpoint being written", byteCount: 2 * snapshot * size),
            Part(name: "program", byteCount: max(0, program)),
        ]
    }

    /// What a rank will need at most, and the size of a checkpoint, planned without running anything or taking the memory.
    /// The program itself counts as large as it is now.
    /// - Throws: what building the network and its optimizer throws.
    public static func planned(
        network: any Network, data: TrainingData, ranks: Int, kernels: KernelContext, configuration: RunConfiguration
    ) throws -> (byteCount: Int, checkpointByteCount: Int) {
        let (height, width, laneBatch) = (data.height, data.width, configuration.laneBatch)
        let size = MemoryLayout<Float>.stride
        let graph = try NetworkGraph(
            network, .training, batch: laneBatch, height: height, width: width, keepOutputs: false)
        let (parameters, statistics) = try ModelState.counts(for: network)
        let layout = ReducedLayout(graph: graph, parameterCount: parameters, statisticCount: statistics)
        // A small one has as many arrays.
        let optimizerCount = try configuration.makeOptimizer(parameterCount: 16).stateArenas.count * parameters
        let arena = MemoryPlan(outsideOf: graph.graph, kernels: kernels).arenaCount
        let exchange = try LaneExchange.floatCount(
            network: graph, layout: layout, lanes: configuration.lanes, ranks: min(ranks, configuration.lanes),
            transport: configuration.transport)
        let later = [
            try calibration(
                network, data: data, statisticCount: statistics, kernels: kernels, configuration: configuration),
            try validation(network, data: data, kernels: kernels), (parameters + optimizerCount) * size,
        ]
        let settings = data.loaderSettings(data.trainingFields)
        let floats = arena + parameters + 2 * statistics + layout.count + optimizerCount + exchange
        let checkpoint = (parameters + 2 * statistics + optimizerCount) * size + (64 << 10)
        return (
            floats * size + settings.byteCount(largestBatch: laneBatch, taskCount: .max) + (later.max() ?? 0)
                + (ProcessUsage.residentByteCount() ?? 0), checkpoint
        )
    }

    private static func calibration(
        _ network: any Network, data: TrainingData, statisticCount: Int, kernels: KernelContext,
        configuration: RunConfiguration
    ) throws -> Int {
        let count = data.statisticsRecords(limit: Calibrator.recordLimit).count
        guard count > 0 else { return 0 }
        let batch = min(configuration.laneBatch, count)
        let arena = try arenaByteCount(network, .calibration, batch: batch, data: data, kernels: kernels)
        return arena + statisticCount * MemoryLayout<Float>.stride
            + data.loaderSettings(data.inputFields).byteCount(largestBatch: batch, taskCount: count / batch)
    }

    private static func validation(_ network: any Network, data: TrainingData, kernels: KernelContext) throws -> Int {
        let count = data.dataSet.count(.val)
        guard count > 0 else { return 0 }
        let settings = data.loaderSettings(data.validationFields)
        return try arenaByteCount(network, .evaluation, batch: 1, data: data, kernels: kernels)
            + settings.byteCount(largestBatch: 1, taskCount: count)
    }

    private static func arenaByteCount(
        _ network: any Network, _ purpose: NetworkGraph.Purpose, batch: Int, data: TrainingData, kernels: KernelContext
    ) throws -> Int {
        let graph = try NetworkGraph(network, purpose, batch: batch, height: data.height, width: data.width)
        return MemoryPlan(outsideOf: graph.graph, kernels: kernels).arenaCount * MemoryLayout<Float>.stride
    }
}
