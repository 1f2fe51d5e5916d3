import Execution
import Graphs
import Kernels
import Models
import Operators
import Tensors
import Testing
import Threads

@Suite struct PlannerTests {
    static func kernels(_ threads: Int) -> KernelContext {
        KernelContext(pool: ForkJoinPool(threadCount: threads, spinMicroseconds: 0))
    }

    static func smallGraph(_ purpose: NetworkGraph.Purpose) throws -> Graph {
        let network = try NetworkRegistry.make(
            "wnet", settings: [("width", "4"), ("levels", "6"), ("dropout", "0.3")])
        return try NetworkGraph(network, purpose, batch: 2, height: 32, width: 48).graph
    }

    /// An independent look at the plan: walks the nodes and asserts that nobody's memory is overwritten while needed.
    @Test(arguments: [NetworkGraph.Purpose.training, .evaluation, .prediction, .calibration], [false, true])
    func liveBuffersNeverOverlap(_ purpose: NetworkGraph.Purpose, keepsPacked: Bool) throws {
        let graph = try Self.smallGraph(purpose)
        let plan = MemoryPlan(
            graph: graph, external: Set(graph.parameters.map(\.value) + graph.buffers.map(\.value)),
            kernels: Self.kernels(2), reuse: true, keepsPacked: keepsPacked)
        // The owner of each float: simulate execution with every element tagged by the value it belongs to.
        var owner = [Int](repeating: -1, count: plan.arenaCount)
        func span(_ value: Graph.ValueID) -> Range<Int>? {
            guard let block = plan.blockOfValue[value.index] else { return nil }
            let start = plan.blocks[block].offset
            return start..<(start + graph.shape(of: value).count)
        }
        for input in graph.inputs { if let span = span(input) { for i in span { owner[i] = input.index } } }
        for (index, node) in graph.nodes.enumerated() {
            for input in node.inputs {
                guard let span = span(input) else { continue }
                #expect(span.allSatisfy { owner[$0] == input.index }, "node \(index) reads memory that was overwritten")
            }
            for block in [plan.workspaceBlock[index], plan.packedBlock[index]].compactMap(\.self) {
                let workspace = plan.blocks[block]
                let range = workspace.offset..<(workspace.offset + workspace.count)
                for value in node.inputs + node.outputs {
                    #expect(span(value)?.overlaps(range) != true, "workspace of node \(index) overlaps an operand")
                }
                // Packed weights that are kept must never be overwritten.
                let mark = keepsPacked && block == plan.packedBlock[index] ? -3 - index : -2
                for i in range {
                    #expect(owner[i] > -3, "node \(index) overwrites packed weights")
                    owner[i] = mark
                }
            }
            for (position, output) in node.outputs.enumerated() {
                guard let span = span(output) else { continue }
                for other in node.outputs.dropFirst(position + 1) {
                    #expect(span.overlaps(self.range(other, plan, graph)) == false)
                }
                for i in span {
                    #expect(owner[i] > -3, "node \(index) overwrites packed weights")
                    owner[i] = output.index
                }
            }
        }
        for input in graph.inputs {
            if let span = span(input) {
                #expect(span.allSatisfy { owner[$0] == input.index }, "an input was overwritten")
            }
        }
        for (name, value) in graph.outputs {
            if let span = span(value) { #expect(span.allSatisfy { owner[$0] == value.index }, "output \(name)") }
        }
    }

    private func range(_ value: Graph.ValueID, _ plan: MemoryPlan, _ graph: Graph) -> Range<Int> {
        guard let block = plan.blockOfValue[value.index] else { return 0..<0 }
        return plan.blocks[block].offset..<(plan.blocks[block].offset + graph.shape(of: value).count)
    }

    @Test func planIsCloseToTheLowerBound() throws {
        let graph = try Self.smallGraph(.training)
        let plan = MemoryPlan(graph: graph, external: [], kernels: Self.kernels(1), reuse: true, keepsPacked: false)
        let naive = MemoryPlan(graph: graph, external: [], kernels: Self.kernels(1), reuse: false, keepsPacked: false)
        #expect(Double(plan.arenaCount) <= 1.1 * Double(plan.lowerBound))
        #expect(plan.arenaCount < naive.arenaCount / 2)
    }
}
