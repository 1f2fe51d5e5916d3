import Basics
import Execution
import Kernels
import Models
import Optimizers
import Tensors

/// Measured time of whole steps on made-up pictures.
public enum Benchmark {
    public struct Result: Sendable {
        public let medianSeconds: Double
        public let minimumSeconds: Double
        /// Of one run.
        public let floatOperations: Double
        public let arenaByteCount: Int
        /// Time by kind of operation, largest first; empty without profiling.
        public let operations: [(name: String, seconds: Double, share: Double)]
    }

    public static func trainStep(
        _ network: any Network, batch: Int, height: Int, width: Int, repetitions: Int, profile: Bool,
        kernels: KernelContext
    ) throws -> Result {
        try check(batch: batch, repetitions: repetitions)
        let graph = try NetworkGraph(
            network, .training, batch: batch, height: height, width: width, keepOutputs: false)
        let state = try ModelState.empty(for: network)
        state.initialize(seed: 1)
        let engine = LaneEngine(network: graph, state: state, kernels: kernels)
        let optimizer = try RunConfiguration().makeOptimizer(state: state)
        fill(engine.executor)
        return try measure(engine.executor, repetitions: repetitions, profile: profile) {
            try engine.run(.deterministic)
            optimizer.update(
                parameters: state.parameterArena, gradients: engine.result, learningRate: 1e-4, context: kernels)
        }
    }

    public static func inference(
        _ network: any Network, batch: Int, height: Int, width: Int, repetitions: Int, profile: Bool,
        kernels: KernelContext
    ) throws -> Result {
        try check(batch: batch, repetitions: repetitions)
        let graph = try NetworkGraph(network, .prediction, batch: batch, height: height, width: width)
        let state = try ModelState.empty(for: network)
        state.initialize(seed: 1)
        let executor = Executor(
            graph.graph,
            memory: .inference(parameters: state.parameterArena, statistics: state.inferenceStatistics),
            kernels: kernels)
        fill(executor)
        return measure(executor, repetitions: repetitions, profile: profile) { executor.run(.deterministic) }
    }

    private static func check(batch: Int, repetitions: Int) throws {
        guard (1...4096).contains(batch) else { throw Failure(.usage, "batch \(batch): give 1…4096") }
        guard (1...10_000).contains(repetitions) else {
            throw Failure(.usage, "\(repetitions) repetitions: give 1…10000")
        }
    }

    private static func fill(_ executor: Executor) {
        for input in executor.graph.inputs {
            guard let view = executor.view(of: input) else { continue }
            let random = CounterRandom(1, "benchmark", UInt64(input.index))
            for i in 0..<view.count { view.base[i] = Float(random.uniform(UInt64(i))) }
        }
    }

    private static func measure(
        _ executor: Executor, repetitions: Int, profile: Bool, _ body: () throws -> Void
    ) rethrows -> Result {
        for _ in 0..<2 { try body() }
        if profile { executor.startProfiling() }
        var times: [Double] = []
        for _ in 0..<repetitions {
            let start = monotonicSeconds()
            try body()
            times.append(monotonicSeconds() - start)
        }
        times.sort()
        let graph = executor.graph
        var operationCount = 0
        var seconds: [String: Double] = [:]
        for (index, node) in graph.nodes.enumerated() {
            if let operation = node.operation as? any Runnable {
                operationCount += operation.floatOperationCount(
                    inputs: node.inputs.map(graph.shape(of:)), outputs: node.outputs.map(graph.shape(of:)))
            }
            if profile {
                let kernel = node.operation.attributes.first { $0.name == "kernel" }.map { " \($0.value)" } ?? ""
                seconds[node.operation.name + kernel, default: 0] +=
                    executor.nodeSeconds[index] / Double(max(1, executor.profiledRunCount))
            }
        }
        let total = seconds.values.reduce(0, +)
        return Result(
            medianSeconds: times[times.count / 2], minimumSeconds: times[0],
            floatOperations: Double(operationCount), arenaByteCount: executor.arenaByteCount,
            operations: seconds.sorted { ($0.value, $1.key) > ($1.value, $0.key) }
                .map { ($0.key, $0.value, $0.value / max(total, 1e-12)) })
    }
}
