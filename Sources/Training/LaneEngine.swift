import Execution
import Graphs
import Kernels
import Models
import Tensors

/// Computes one lane: forward, loss and backward of one micro-batch, into one array.
public final class LaneEngine {
    public let network: NetworkGraph
    public let layout: ReducedLayout
    public let executor: Executor
    /// Gradients, batch statistics and losses of the lane computed last.
    public let result: FloatArena
    private let losses: [TensorView]
    /// The losses exist once forward is over; the first bucket needs them.
    let lossNode: Int

    /// - Parameter holding: see `Executor`.
    public init(
        network: NetworkGraph, state: ModelState, kernels: KernelContext, holding: HeldConstants? = nil
    ) {
        self.network = network
        layout = ReducedLayout(graph: network, state: state)
        result = FloatArena(count: layout.count)
        let executor = Executor(
            network.graph,
            memory: .training(
                parameters: state.parameterArena, result: result, batchStatisticsOffset: layout.statisticOffset),
            kernels: kernels, holding: holding)
        self.executor = executor
        losses = network.lossNames.map { name in
            guard let view = executor.output(name) else { preconditionFailure("no output \(name)") }
            return view
        }
        lossNode = network.graph.outputs.filter { network.lossNames.contains($0.name) }
            .reduce(-1) { max($0, network.graph.producer(of: $1.value) ?? -1) }
    }

    /// Memory of an input, [N, H, W, C].
    public func input(_ field: String) -> TensorView {
        guard let view = executor.input(field) else { preconditionFailure("the network has no input \(field)") }
        return view
    }

    /// Runs the lane on what was written to the inputs. The losses are in `result` from `lossNode` on.
    /// - Parameters:
    ///   - finished: called after each node; if `checkNaN`, once after the last: what is not sound shall reach nobody.
    ///   - passed: called after each node in any case, before `finished`.
    /// - Throws: `Executor.NonFinite` only when `checkNaN`.
    public func run(
        _ state: borrowing RunState, checkNaN: Bool = false, finished: (Int) -> Void = { _ in },
        passed: (Int) -> Void = { _ in }
    ) throws {
        if checkNaN {
            try executor.runChecked(state, passed: passed)
            storeLosses()
            finished(network.graph.nodes.count)
            return
        }
        executor.run(state) { node in
            if node == lossNode { storeLosses() }
            passed(node)
            finished(node)
        }
    }

    private func storeLosses() {
        for (index, view) in losses.enumerated() { result.base[layout.lossOffset + index] = view.base[0] }
    }

    /// Value of a loss of the lane computed last.
    public func loss(_ name: String) -> Float {
        guard let index = layout.lossNames.firstIndex(of: name) else { preconditionFailure("no loss \(name)") }
        return result.base[layout.lossOffset + index]
    }
}

/// Training's running statistics: one update per step by the mean over lanes of batch means and unbiased variances.
enum RunningStatistics {
    static func update(
        _ running: FloatArena, from batch: UnsafePointer<Float>, statistics: [Statistic]
    ) {
        for statistic in statistics {
            let n = Float(statistic.sampleCount)
            let correction: Float = statistic.kind == .variance ? n / (n - 1) : 1
            for i in statistic.offset..<(statistic.offset + statistic.shape.count) {
                running.base[i] += statistic.momentum * (correction * batch[i] - running.base[i])
            }
        }
    }
}
