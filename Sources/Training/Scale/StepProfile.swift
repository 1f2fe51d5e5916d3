import Basics
import Execution
import Kernels
import Models

/// What a training step takes on one rank without others, and when its buckets are ready.
public struct StepProfile: Sendable, Equatable {
    public struct Bucket: Sendable, Equatable {
        public let byteCount: Int
        /// Share of a lane's time after which it is handed over, 0…1; grows from bucket to bucket.
        public let readyShare: Double

        public init(byteCount: Int, readyShare: Double) {
            (self.byteCount, self.readyShare) = (byteCount, readyShare)
        }
    }

    /// Forward and backward of one lane.
    public var laneSeconds: Double
    /// What follows the exchange: clipping, the optimizer, checksums.
    public var restSeconds: Double
    /// Of a step.
    public var dataWaitSeconds: Double
    /// In the order of their exchange.
    public let buckets: [Bucket]

    public init(laneSeconds: Double, restSeconds: Double, dataWaitSeconds: Double = 0, buckets: [Bucket]) {
        self.laneSeconds = laneSeconds
        self.restSeconds = restSeconds
        self.dataWaitSeconds = dataWaitSeconds
        self.buckets = buckets
    }

    public var byteCount: Int { buckets.reduce(0) { $0 + $1.byteCount } }

    /// Measures lanes of made-up pictures: medians.
    /// - Throws: `Failure` (usage) for counts out of range; what building the network throws.
    public static func measure(
        _ network: any Network, laneBatch: Int, height: Int, width: Int, repetitions: Int, kernels: KernelContext
    ) throws -> StepProfile {
        try Benchmark.check(batch: laneBatch, repetitions: repetitions)
        let graph = try NetworkGraph(
            network, .training, batch: laneBatch, height: height, width: width, keepOutputs: false)
        let state = try ModelState.empty(for: network)
        state.initialize(seed: 1)
        let engine = LaneEngine(network: graph, state: state, kernels: kernels)
        let optimizer = try RunConfiguration().makeOptimizer(state: state)
        Benchmark.fill(engine.executor)
        var (lanes, rests): ([Double], [Double]) = ([], [])
        for repetition in 0..<(repetitions + 2) {
            if repetition == 2 { engine.executor.startProfiling() }
            let start = monotonicSeconds()
            try engine.run(.deterministic)
            let computed = monotonicSeconds()
            optimizer.update(
                parameters: state.parameterArena, gradients: engine.result, learningRate: 1e-4, context: kernels)
            guard repetition >= 2 else { continue }
            lanes.append(computed - start)
            rests.append(monotonicSeconds() - computed)
        }
        return StepProfile(
            laneSeconds: Benchmark.median(lanes), restSeconds: Benchmark.median(rests),
            buckets: buckets(of: engine))
    }

    private static func buckets(of engine: LaneEngine) -> [Bucket] {
        var sums: [Double] = []
        for seconds in engine.executor.nodeSeconds { sums.append((sums.last ?? 0) + seconds) }
        let total = max(sums.last ?? 0, 1e-12)
        let cut = engine.layout.buckets(
            of: engine.network.graph, elementCount: LaneExchange.bucketElementCount)
        return cut.map {
            Bucket(
                byteCount: $0.range.count * MemoryLayout<Float>.stride,
                readyShare: $0.lastNode < 0 ? 0 : sums[min($0.lastNode, sums.count - 1)] / total)
        }
    }
}
