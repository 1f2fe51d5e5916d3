import CAllocationCounter
import Execution
import Kernels
import Models
import Optimizers
import Testing
import Threads
import Training

/// A step that allocates is slow on many cores and grows in long runs. Meaningful in release builds only: without
/// optimisation Swift allocates where the source does not. (OpenBLAS itself allocates for some products of very few columns;
/// the sizes here are those of real networks.)
@Suite(.serialized) struct AllocationTests {
    static var isOptimized: Bool {
        #if DEBUG
            false
        #else
            true
        #endif
    }

    @Test func theCounterCounts() {
        let before = allocation_counter_read()
        let array = [UInt8](repeating: 1, count: 100_000 + Int(before % 7))
        #expect(array.count > 0)
        #expect(allocation_counter_read() > before)
    }

    @Test(.enabled(if: isOptimized), arguments: [1, 2], ["wnet", "wnet-plus"])
    func aStepAllocatesNothing(threads: Int, model: String) throws {
        let network = try NetworkRegistry.make(
            model, settings: [("width", "16"), ("levels", "32"), ("dropout", "0.4")])
        let graph = try NetworkGraph(network, .training, batch: 2, height: 64, width: 96, keepOutputs: false)
        let state = try ModelState.empty(for: network)
        state.initialize(seed: 1)
        let pool = ForkJoinPool(threadCount: threads, spinMicroseconds: 0)
        defer { pool.shutDown() }
        let kernels = KernelContext(pool: pool)
        let engine = LaneEngine(network: graph, state: state, kernels: kernels)
        let optimizer = Adam(parameterCount: state.parameterArena.count)
        func step() throws {
            try engine.run(.deterministic)
            GradientClipping.globalNorm(1).apply(to: engine.result[0..<engine.layout.gradientCount], context: kernels)
            optimizer.update(
                parameters: state.parameterArena, gradients: engine.result, learningRate: 1e-3, context: kernels)
        }
        for _ in 0..<3 { try step() }
        // Other suites may allocate on their threads, so the quietest of several steps counts.
        var fewest = Int.max
        for _ in 0..<20 {
            let before = allocation_counter_read()
            try step()
            fewest = min(fewest, allocation_counter_read() - before)
        }
        #expect(fewest == 0)
    }

    /// Whoever watches for hangs sees each node, also while results are looked at; the exchange does not.
    @Test(arguments: [false, true]) func everyNodeIsSeen(checkNaN: Bool) throws {
        let network = try NetworkRegistry.make(
            "wnet", settings: [("width", "4"), ("levels", "8"), ("dropout", "0.4")])
        let graph = try NetworkGraph(network, .training, batch: 2, height: 32, width: 48, keepOutputs: false)
        let state = try ModelState.empty(for: network)
        state.initialize(seed: 1)
        let pool = ForkJoinPool(threadCount: 1, spinMicroseconds: 0)
        defer { pool.shutDown() }
        let engine = LaneEngine(network: graph, state: state, kernels: KernelContext(pool: pool))
        var (passed, finished): ([Int], [Int]) = ([], [])
        try engine.run(
            .deterministic, checkNaN: checkNaN, finished: { finished.append($0) }, passed: { passed.append($0) })
        let count = graph.graph.nodes.count
        #expect(passed == Array(0..<count))
        #expect(finished == (checkNaN ? [count] : Array(0..<count)))
    }
}
