import Graphs
import Kernels
import Tensors

/// Where every tensor of a graph lives: an offset into one arena, or memory that the caller brings.
///
/// Values whose lifetimes do not overlap share memory. A node's outputs may take over an input's block where the
/// operation allows it and nobody reads the input later.
public struct MemoryPlan: Sendable {
    /// A run of memory that one or more values (in place, one after the other) occupy.
    public struct Block: Sendable, Hashable {
        public var count: Int
        /// Index of the first and last node that touch the block.
        public var firstNode: Int
        public var lastNode: Int
        public var offset: Int
    }

    public let blocks: [Block]
    /// Block of each value; nil for values that live in memory of the caller and for values nobody uses.
    public let blockOfValue: [Int?]
    /// Offset of each node's scratch memory; nil where it needs none.
    public let workspaceBlock: [Int?]
    /// Block of each node's packed weights; nil where it has none.
    public let packedBlock: [Int?]
    /// Floats in the arena.
    public let arenaCount: Int

    /// - Parameters:
    ///   - external: values that live in the caller's memory.
    ///   - reuse: false gives every value its own memory (the reference that tests compare with).
    ///   - keepsPacked: gives packed weights that depend on parameters alone memory of their own.
    public init(
        graph: Graph, external: Set<Graph.ValueID>, kernels: KernelContext, reuse: Bool, keepsPacked: Bool
    ) {
        var lastUse = [Int](repeating: -1, count: graph.values.count)
        for (index, node) in graph.nodes.enumerated() {
            for value in node.inputs + node.outputs { lastUse[value.index] = index }
        }
        // Results must survive the whole run.
        for (_, value) in graph.outputs { lastUse[value.index] = graph.nodes.count }
        for value in graph.statistics.map(\.value) + graph.parameterGradients {
            lastUse[value.index] = graph.nodes.count
        }

        var blocks: [Block] = []
        var blockOfValue = [Int?](repeating: nil, count: graph.values.count)
        var workspaceBlock = [Int?](repeating: nil, count: graph.nodes.count)
        var packedBlock = workspaceBlock

        // Inputs keep their memory to the end: a second run finds what the first one read.
        for value in graph.inputs where !external.contains(value) {
            blocks.append(
                Block(
                    count: Self.padded(graph.shape(of: value).count), firstNode: 0, lastNode: graph.nodes.count,
                    offset: 0))
            blockOfValue[value.index] = blocks.count - 1
        }
        for (index, node) in graph.nodes.enumerated() {
            guard let operation = node.operation as? any Runnable else {
                preconditionFailure("\(node.operation.name) cannot be executed")
            }
            var taken = Set<Int>()
            for (outputIndex, output) in node.outputs.enumerated() where !external.contains(output) {
                let count = Self.padded(graph.shape(of: output).count)
                var block: Int?
                if reuse {
                    for candidate in operation.inPlaceCandidates where candidate.output == outputIndex {
                        let input = node.inputs[candidate.input]
                        guard let inputBlock = blockOfValue[input.index], lastUse[input.index] == index,
                            blocks[inputBlock].lastNode == index, blocks[inputBlock].count == count,
                            !taken.contains(inputBlock), node.inputs.filter({ $0 == input }).count == 1,
                            case .node = graph.values[input.index].source
                        else { continue }
                        block = inputBlock
                        break
                    }
                }
                if let block {
                    blocks[block].lastNode = max(index, lastUse[output.index])
                    blockOfValue[output.index] = block
                    taken.insert(block)
                } else {
                    blocks.append(
                        Block(count: count, firstNode: index, lastNode: max(index, lastUse[output.index]), offset: 0))
                    blockOfValue[output.index] = blocks.count - 1
                }
            }
            let scratch = operation.workspaceCount(
                inputs: node.inputs.map(graph.shape(of:)), outputs: node.outputs.map(graph.shape(of:)),
                kernels: kernels)
            if scratch > 0 {
                blocks.append(Block(count: Self.padded(scratch), firstNode: index, lastNode: index, offset: 0))
                workspaceBlock[index] = blocks.count - 1
            }
            let packed = operation.packedCount(
                inputs: node.inputs.map(graph.shape(of:)), outputs: node.outputs.map(graph.shape(of:)))
            if packed > 0 {
                let isKept = keepsPacked && Self.hasConstantWeights(node, graph)
                blocks.append(
                    Block(
                        count: Self.padded(packed), firstNode: isKept ? 0 : index,
                        lastNode: isKept ? graph.nodes.count : index, offset: 0))
                packedBlock[index] = blocks.count - 1
            }
        }
        if !reuse {
            for index in blocks.indices {
                blocks[index].firstNode = 0
                blocks[index].lastNode = graph.nodes.count
            }
        }
        arenaCount = Self.assignOffsets(&blocks)
        self.blocks = blocks
        self.blockOfValue = blockOfValue
        self.workspaceBlock = workspaceBlock
        self.packedBlock = packedBlock
    }

    /// Whether all that a node's packed weights are made of are parameters.
    static func hasConstantWeights(_ node: Graph.Node, _ graph: Graph) -> Bool {
        guard let operation = node.operation as? any Runnable else { return false }
        // Optional inputs come last.
        return operation.packedInputs.filter { $0 < node.inputs.count }.allSatisfy {
            if case .parameter = graph.values[node.inputs[$0].index].source { return true }
            return false
        }
    }

    /// Blocks start on 64-byte lines.
    private static func padded(_ count: Int) -> Int { (max(1, count) + 15) / 16 * 16 }

    /// Greedy by size: the largest block first, each at the lowest offset that is free for its whole life.
    /// Quadratic in the number of blocks (some hundreds). Returns the arena's size.
    ///
    /// **Source:** Pisarchyk, Lee, "Efficient memory management for deep neural net inference", 2020, algorithm 3.
    private static func assignOffsets(_ blocks: inout [Block]) -> Int {
        let order = blocks.indices.sorted {
            (blocks[$0].count, blocks[$1].firstNode, $1) > (blocks[$1].count, blocks[$0].firstNode, $0)
        }
        var placed: [Int] = []
        var arenaCount = 0
        for index in order {
            let overlapping = placed.filter {
                blocks[$0].firstNode <= blocks[index].lastNode && blocks[index].firstNode <= blocks[$0].lastNode
            }.sorted { blocks[$0].offset < blocks[$1].offset }
            var offset = 0
            for other in overlapping {
                if blocks[other].offset >= offset + blocks[index].count { break }
                offset = max(offset, blocks[other].offset + blocks[other].count)
            }
            blocks[index].offset = offset
            placed.append(index)
            arenaCount = max(arenaCount, offset + blocks[index].count)
        }
        return arenaCount
    }

    /// Most floats that are alive at one time: no plan without recomputation can be smaller.
    public var lowerBound: Int {
        let nodeCount = (blocks.map(\.lastNode).max() ?? -1) + 1
        return (0..<nodeCount).map { node in
            blocks.reduce(0) { $0 + ($1.firstNode <= node && node <= $1.lastNode ? $1.count : 0) }
        }.max() ?? 0
    }
}
