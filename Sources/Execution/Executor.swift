import Basics
import Graphs
import Kernels
import Tensors

/// A graph bound to memory and kernels, ready to run any number of times without allocating.
public final class Executor {
    /// Where values live that are not the executor's own. The executor keeps the arenas alive.
    public struct Memory {
        public let parameters: FloatArena
        /// Running statistics that inference reads; unused by training graphs.
        public let statistics: FloatArena?
        /// Where parameter gradients go, at the parameters' offsets.
        public let gradients: FloatArena?
        /// Where batch statistics go, at the statistics' offsets after `batchStatisticsOffset`.
        public let batchStatistics: FloatArena?
        public let batchStatisticsOffset: Int
        /// Whether parameters never change from the first run on.
        public let hasConstantParameters: Bool

        /// Memory of a graph that only reads. With constant parameters, work on weights alone is done once.
        public static func inference(parameters: FloatArena, statistics: FloatArena, areConstant: Bool) -> Memory {
            Memory(
                parameters: parameters, statistics: statistics, gradients: nil, batchStatistics: nil,
                batchStatisticsOffset: 0, hasConstantParameters: areConstant)
        }

        /// Memory of a graph that gathers batch statistics.
        public static func calibration(parameters: FloatArena, batchStatistics: FloatArena) -> Memory {
            Memory(
                parameters: parameters, statistics: nil, gradients: nil, batchStatistics: batchStatistics,
                batchStatisticsOffset: 0, hasConstantParameters: false)
        }

        /// Memory of a training graph: gradients at the start of `result`, batch statistics from an offset on.
        public static func training(
            parameters: FloatArena, result: FloatArena, batchStatisticsOffset: Int
        ) -> Memory {
            Memory(
                parameters: parameters, statistics: nil, gradients: result, batchStatistics: result,
                batchStatisticsOffset: batchStatisticsOffset, hasConstantParameters: false)
        }
    }

    /// The first node that produced something that is not a number.
    public struct NonFinite: Error, Sendable {
        public let nodeIndex: Int
        public let operation: String
        public let path: String
        public let element: Int
        public let value: Float
    }

    public let graph: Graph
    public let plan: MemoryPlan
    public let kernels: KernelContext
    private let arena: FloatArena
    private let memory: Memory
    private var steps: [BoundStep] = []
    private var views: [TensorView?]
    /// Seconds of each node summed over the runs since `profile` was set; empty without profiling.
    public private(set) var nodeSeconds: [Double] = []
    public private(set) var profiledRunCount = 0

    /// - Parameter holding: for gradient checks: what gradients take for constants can be held through it.
    public init(
        _ graph: Graph, memory: Memory, kernels: KernelContext, reuseMemory: Bool = true,
        holding: HeldConstants? = nil
    ) {
        self.graph = graph
        self.kernels = kernels
        self.memory = memory
        var pointers = [UnsafeMutablePointer<Float>?](repeating: nil, count: graph.values.count)
        for parameter in graph.parameters {
            pointers[parameter.value.index] = memory.parameters.base + parameter.offset
        }
        for buffer in graph.buffers {
            guard let statistics = memory.statistics else { preconditionFailure("no memory for \(buffer.name)") }
            pointers[buffer.value.index] = statistics.base + buffer.offset
        }
        if let gradients = memory.gradients {
            for (parameter, gradient) in zip(graph.trainedParameters, graph.parameterGradients) {
                precondition(pointers[gradient.index] == nil, "two parameters share a gradient")
                pointers[gradient.index] = gradients.base + parameter.offset
            }
        }
        if let batchStatistics = memory.batchStatistics {
            for statistic in graph.statistics {
                pointers[statistic.value.index] =
                    batchStatistics.base + memory.batchStatisticsOffset + statistic.offset
            }
        }
        let external = Set(pointers.indices.filter { pointers[$0] != nil }.map(Graph.ValueID.init))
        plan = MemoryPlan(
            graph: graph, external: external, kernels: kernels, reuse: reuseMemory,
            keepsPacked: memory.hasConstantParameters)
        arena = FloatArena(count: max(1, plan.arenaCount))
        views = graph.values.indices.map { [plan, arena] index in
            if let pointer = pointers[index] { return TensorView(pointer, graph.values[index].shape) }
            guard let block = plan.blockOfValue[index] else { return nil }
            return TensorView(arena.base + plan.blocks[block].offset, graph.values[index].shape)
        }
        steps = graph.nodes.enumerated().map { index, node in
            guard let operation = node.operation as? any Runnable else {
                preconditionFailure("\(node.operation.name) cannot be executed")
            }
            let site = BindingSite(
                inputs: node.inputs.map { views[$0.index].unsafelyUnwrapped },
                outputs: node.outputs.map { views[$0.index].unsafelyUnwrapped },
                workspace: arena.base + (plan.workspaceBlock[index].map { plan.blocks[$0].offset } ?? 0),
                packed: PackedWeights(
                    arena.base + (plan.packedBlock[index].map { plan.blocks[$0].offset } ?? 0),
                    isKept: memory.hasConstantParameters && MemoryPlan.hasConstantWeights(node, graph)),
                kernels: kernels, path: node.path)
            if let holding, let constant = operation as? any ConstantHolding {
                return constant.bind(site, holding: holding)
            }
            return operation.bind(site)
        }
    }

    /// Memory of a value: inputs are written and outputs read through it. Nil if no node uses the value.
    public func view(of value: Graph.ValueID) -> TensorView? { views[value.index] }

    /// Memory of a named input.
    public func input(_ name: String) -> TensorView? {
        graph.inputs.first { graph.values[$0.index].name == name }.flatMap { views[$0.index] }
    }

    /// Memory of a named output, valid after a run.
    public func output(_ name: String) -> TensorView? { graph.output(name).flatMap { views[$0.index] } }

    /// Bytes of the activation arena.
    public var arenaByteCount: Int { arena.count * MemoryLayout<Float>.stride }

    /// Starts (or restarts) measuring the time of each node.
    public func startProfiling() {
        nodeSeconds = [Double](repeating: 0, count: steps.count)
        profiledRunCount = 0
    }

    /// Runs all nodes. `finished` is called after each node with its index, on the calling thread.
    public func run(_ state: borrowing RunState, finished: (Int) -> Void = { _ in }) {
        let profiling = !nodeSeconds.isEmpty
        for index in steps.indices {
            let start = profiling ? monotonicSeconds() : 0
            steps[index](state)
            if profiling { nodeSeconds[index] += monotonicSeconds() - start }
            finished(index)
        }
        if profiling { profiledRunCount += 1 }
    }

    /// Runs all nodes and looks at every result: the debugging form. `passed` is called after each node that is sound.
    /// - Throws: `NonFinite` for the first node that produced NaN or infinity.
    public func runChecked(_ state: borrowing RunState, passed: (Int) -> Void = { _ in }) throws(NonFinite) {
        for index in steps.indices {
            steps[index](state)
            let node = graph.nodes[index]
            for output in node.outputs {
                guard let view = views[output.index],
                    let element = view.buffer.firstIndex(where: { !$0.isFinite })
                else { continue }
                throw NonFinite(
                    nodeIndex: index, operation: node.operation.name, path: node.path, element: element,
                    value: view.base[element])
            }
            passed(index)
        }
    }
}
