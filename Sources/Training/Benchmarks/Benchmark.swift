import Basics
import Execution
import Kernels
import Models
import Tensors

/// Measured time of whole steps on made-up pictures.
public enum Benchmark {
    public struct Result: Sendable {
        public let medianSeconds: Double
        public let minimumSeconds: Double
        /// Of one run.
        public let floatOperations: Double
        public let arenaByteCount: Int
        /// The graph's nodes by kind of operation, longest first.
        public let operations: [OperationTiming]
        /// The same by place in the network.
        public let layers: [OperationTiming]
        /// Allocations of the process during the measured runs, per run; nil where they cannot be counted.
        public let allocationsPerStep: Double?
        /// The most memory that the process has held so far, bytes; nil where the system does not tell.
        public let peakResidentByteCount: Int?
    }

    /// One training step: forward, backward and update by the recipe's optimizer, without data and other ranks.
    /// - Throws: `Failure` (usage) for counts out of range; what building the network throws.
    public static func trainStep(
        _ network: any Network, batch: Int, height: Int, width: Int, repetitions: Int, kernels: KernelContext
    ) throws -> Result {
        try check(batch: batch, repetitions: repetitions)
        let graph = try NetworkGraph(
            network, .training, batch: batch, height: height, width: width, keepOutputs: false)
        let state = try ModelState.empty(for: network)
        state.initialize(seed: 1)
        let engine = LaneEngine(network: graph, state: state, kernels: kernels)
        var configuration = RunConfiguration()
        for (name, value) in network.recipe.options {
            try configuration.set(name, to: value, place: "recipe of \(network.name)")
        }
        let optimizer = try configuration.makeOptimizer(state: state)
        fill(engine.executor)
        return try measure(engine.executor, repetitions: repetitions) {
            try engine.run(.deterministic)
            optimizer.update(
                parameters: state.parameterArena, gradients: engine.result, learningRate: 1e-4, context: kernels)
        }
    }

    /// One prediction of all maps and reconstructions.
    /// - Throws: as `trainStep`.
    public static func inference(
        _ network: any Network, batch: Int, height: Int, width: Int, repetitions: Int, kernels: KernelContext
    ) throws -> Result {
        try check(batch: batch, repetitions: repetitions)
        let graph = try NetworkGraph(network, .prediction, batch: batch, height: height, width: width)
        let state = try ModelState.empty(for: network)
        state.initialize(seed: 1)
        let executor = Executor(
            graph.graph,
            memory: .inference(
                parameters: state.parameterArena, statistics: state.inferenceStatistics, areConstant: true),
            kernels: kernels)
        fill(executor)
        return measure(executor, repetitions: repetitions) { executor.run(.deterministic) }
    }

    static func check(batch: Int, repetitions: Int) throws {
        guard (1...4096).contains(batch) else { throw Failure(.usage, "batch \(batch): give 1…4096") }
        guard (1...10_000).contains(repetitions) else {
            throw Failure(.usage, "\(repetitions) repetitions: give 1…10000")
        }
    }

    /// The middle one, or the larger of the two in the middle.
    static func median(_ times: [Double]) -> Double { times.sorted()[times.count / 2] }

    static func fill(_ executor: Executor) {
        for input in executor.graph.inputs {
            guard let view = executor.view(of: input) else { continue }
            let random = CounterRandom(1, "benchmark", UInt64(input.index))
            for i in 0..<view.count { view.base[i] = Float(random.uniform(UInt64(i))) }
        }
    }

    private static func measure(
        _ executor: Executor, repetitions: Int, _ body: () throws -> Void
    ) rethrows -> Result {
        for _ in 0..<2 { try body() }
        // Two looks at the clock per node, 50 ns: the time of nodes is always known.
        executor.startProfiling()
        var times: [Double] = []
        times.reserveCapacity(repetitions)
        let allocationsBefore = ProcessUsage.allocationCount()
        for _ in 0..<repetitions {
            let start = monotonicSeconds()
            try body()
            times.append(monotonicSeconds() - start)
        }
        let allocations = ProcessUsage.allocationCount().flatMap { after in allocationsBefore.map { after - $0 } }
        let operations = OperationTiming.table(of: executor)
        return Result(
            medianSeconds: median(times), minimumSeconds: times.min() ?? 0,
            floatOperations: operations.reduce(0) { $0 + $1.floatOperations },
            arenaByteCount: executor.arenaByteCount, operations: operations,
            layers: OperationTiming.table(of: executor, byLayer: true),
            allocationsPerStep: allocations.map { Double($0) / Double(repetitions) },
            peakResidentByteCount: ProcessUsage.peakResidentByteCount())
    }
}
