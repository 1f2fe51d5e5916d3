import Execution
import Graphs
import Kernels
import Tensors

/// Measured time of the nodes of one kind, beside what they compute and move.
public struct OperationTiming: Sendable {
    /// What one node computes and moves per run.
    public struct Work: Sendable, Hashable {
        /// A multiply-add counts as two. Convolutions count directly, whatever way they are computed.
        public let floatOperations: Double
        /// As they are computed: Winograd's algorithm needs fewer.
        public let executedMultiplyAdds: Double
        /// Inputs and outputs, each once.
        public let bytes: Double

        init(_ node: Graph.Node, of graph: Graph) {
            guard let operation = node.operation as? any Runnable else {
                preconditionFailure("\(node.operation.name) cannot be executed")
            }
            let (inputs, outputs) = (node.inputs.map(graph.shape(of:)), node.outputs.map(graph.shape(of:)))
            floatOperations = Double(operation.floatOperationCount(inputs: inputs, outputs: outputs))
            executedMultiplyAdds = Double(operation.executedMultiplyAdds(inputs: inputs, outputs: outputs))
            bytes = Double(operation.byteCount(inputs: inputs, outputs: outputs))
        }
    }

    /// The operation, with the kernel's size where it has one: `Conv2D 3x3`.
    public let name: String
    public let works: [Work]
    /// Of all nodes of the kind together, per run.
    public let seconds: Double
    /// Of the time of all nodes.
    public let share: Double

    public var nodeCount: Int { works.count }
    public var floatOperations: Double { works.reduce(0) { $0 + $1.floatOperations } }
    public var executedMultiplyAdds: Double { works.reduce(0) { $0 + $1.executedMultiplyAdds } }
    public var bytes: Double { works.reduce(0) { $0 + $1.bytes } }
    public var floatOperationRate: Double { floatOperations / max(seconds, 1e-12) }
    public var byteRate: Double { bytes / max(seconds, 1e-12) }

    /// The least time that the machine's limits allow, node by node, over the measured one. Above 1 where Winograd's
    /// algorithm saves operations, or where what one node wrote the next one finds in a cache.
    public func limitShare(_ limits: MachinePeak.Limits) -> Double {
        works.reduce(0) { $0 + limits.seconds(operations: $1.floatOperations, bytes: $1.bytes) } / max(seconds, 1e-12)
    }

    /// Name of a node's kind.
    static func name(of operation: any Operation) -> String {
        operation.name + (operation.attributes.first { $0.name == "kernel" }.map { " \($0.value)" } ?? "")
    }

    /// By kind of operation, or by operation and place in the network, longest first, from a profiled executor.
    static func table(of executor: Executor, byLayer: Bool = false) -> [OperationTiming] {
        let graph = executor.graph
        var kinds: [String: (works: [Work], seconds: Double)] = [:]
        for (index, node) in graph.nodes.enumerated() {
            let seconds = executor.nodeSeconds[index] / Double(max(1, executor.profiledRunCount))
            let key = name(of: node.operation) + (byLayer ? " \(node.path)" : "")
            kinds[key, default: ([], 0)].works.append(Work(node, of: graph))
            kinds[key, default: ([], 0)].seconds += seconds
        }
        let total = kinds.values.reduce(0) { $0 + $1.seconds }
        return kinds.sorted { ($0.value.seconds, $1.key) > ($1.value.seconds, $0.key) }.map {
            OperationTiming(
                name: $0.key, works: $0.value.works, seconds: $0.value.seconds,
                share: $0.value.seconds / max(total, 1e-12))
        }
    }
}
