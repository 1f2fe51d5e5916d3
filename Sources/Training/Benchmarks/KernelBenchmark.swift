import Basics
import Execution
import Graphs
import Kernels
import Models
import Tensors

/// The distinct nodes of a training graph, each timed alone over random data.
///
/// A node is what its operation, attributes and shapes make it; nodes that share them are one entry. Alone means: in its
/// own memory, which it finds in the caches if it fits, so that small nodes are faster here than in a step.
public enum KernelBenchmark {
    public struct Entry: Sendable {
        /// Kind of operation, e.g. `Conv2D 3x3`.
        public let name: String
        /// All attributes, e.g. `kernel=3x3 stride=1`.
        public let attributes: String
        public let inputs: [Shape]
        public let outputs: [Shape]
        /// How many such nodes the graph has.
        public let nodeCount: Int
        /// Of one node.
        public let work: OperationTiming.Work
        public let medianSeconds: Double
        public let minimumSeconds: Double

        /// What such nodes take of a step.
        public var totalSeconds: Double { medianSeconds * Double(nodeCount) }

        /// As `OperationTiming.limitShare`, of one node.
        public func limitShare(_ limits: MachinePeak.Limits) -> Double {
            limits.seconds(operations: work.floatOperations, bytes: work.bytes) / max(medianSeconds, 1e-12)
        }
    }

    /// - Parameter operation: only kinds whose name holds this, in any case; nil for all.
    /// - Returns: entries by `totalSeconds`, largest first.
    /// - Throws: `Failure` (usage) for counts out of range or if no node is meant; what building the network throws.
    public static func run(
        _ network: any Network, batch: Int, height: Int, width: Int, repetitions: Int, operation: String?,
        kernels: KernelContext
    ) throws -> [Entry] {
        try Benchmark.check(batch: batch, repetitions: repetitions)
        let graph = try NetworkGraph(
            network, .training, batch: batch, height: height, width: width, keepOutputs: false
        ).graph
        struct Key: Hashable {
            let name: String
            let attributes: String
            let inputs: [Shape]
            let outputs: [Shape]
        }
        var groups: [Key: [Graph.Node]] = [:]
        for node in graph.nodes {
            let name = OperationTiming.name(of: node.operation)
            if let operation, !name.lowercased().contains(operation.lowercased()) { continue }
            let key = Key(
                name: name,
                attributes: node.operation.attributes.map { "\($0.name)=\($0.value)" }.joined(separator: " "),
                inputs: node.inputs.map(graph.shape(of:)),
                outputs: node.outputs.map(graph.shape(of:)))
            groups[key, default: []].append(node)
        }
        guard !groups.isEmpty else {
            let names = Set(graph.nodes.map { $0.operation.name }).sorted().joined(separator: ", ")
            throw Failure(.usage, "no operation of \(network.name) is called '\(operation ?? "")'; it has \(names)")
        }
        return groups.compactMap { key, nodes in
            guard let node = nodes.first else { return nil }
            let times = time(node, of: graph, repetitions: repetitions, kernels: kernels)
            return Entry(
                name: key.name, attributes: key.attributes, inputs: node.inputs.map(graph.shape(of:)),
                outputs: node.outputs.map(graph.shape(of:)), nodeCount: nodes.count,
                work: OperationTiming.Work(node, of: graph), medianSeconds: Benchmark.median(times),
                minimumSeconds: times.min() ?? 0)
        }.sorted { ($0.totalSeconds, $1.name) > ($1.totalSeconds, $0.name) }
    }

    private static func time(
        _ node: Graph.Node, of graph: Graph, repetitions: Int, kernels: KernelContext
    ) -> [Double] {
        guard let operation = node.operation as? any Runnable else {
            preconditionFailure("\(node.operation.name) cannot be executed")
        }
        let (inputs, outputs) = (node.inputs.map(graph.shape(of:)), node.outputs.map(graph.shape(of:)))
        let arenas = (inputs + outputs).map { FloatArena(count: max(1, $0.count)) }
        let workspace = FloatArena(
            count: max(1, operation.workspaceCount(inputs: inputs, outputs: outputs, kernels: kernels)))
        let packed = FloatArena(count: max(1, operation.packedCount(inputs: inputs, outputs: outputs)))
        for arena in arenas.prefix(inputs.count) { fill(arena) }
        let views = zip(arenas, inputs + outputs).map { TensorView($0.base, $1) }
        let step = operation.bind(
            BindingSite(
                inputs: Array(views.prefix(inputs.count)), outputs: Array(views.dropFirst(inputs.count)),
                workspace: workspace.base, packed: PackedWeights(packed.base, isKept: false), kernels: kernels,
                path: node.path))
        // The arenas must outlive the closure, which knows addresses only.
        return withExtendedLifetime((arenas, workspace, packed)) {
            let state = RunState.deterministic
            for _ in 0..<2 { step(state) }
            return (0..<repetitions).map { _ in
                let start = monotonicSeconds()
                step(state)
                return monotonicSeconds() - start
            }
        }
    }

    /// Numbers in 0 ..< 1 without a pattern: a block of random ones, over and over.
    private static func fill(_ arena: FloatArena) {
        let random = CounterRandom(1, "kernel benchmark")
        let length = min(arena.count, 65_521)
        for i in 0..<length { arena.base[i] = Float(random.uniform(UInt64(i))) }
        var done = length
        while done < arena.count {
            let count = min(length, arena.count - done)
            (arena.base + done).update(from: arena.base, count: count)
            done += count
        }
    }
}
