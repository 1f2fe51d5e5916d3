import Basics
import Collectives
import TestSupport
import Testing

@Suite struct LaneTreeTests {
    @Test(arguments: [
        (2, 1), (3, 2), (4, 2), (5, 4), (8, 4), (9, 8), (16, 8),
    ])
    func splitsAtTheLargestPowerOfTwo(count: Int, left: Int) {
        #expect(LaneTree.split(0..<count) == left)
        #expect(LaneTree.split(10..<(10 + count)) == 10 + left)
    }

    @Test func sharesAreContiguous() throws {
        let shares = try (0..<3).map { try LaneTree.share(rank: $0, worldSize: 3, lanes: 8) }
        #expect(shares == [0..<3, 3..<6, 6..<8])
    }

    @Test func tooFewLanesIsAUsageError() {
        let error = #expect(throws: Failure.self) { try LaneTree.share(rank: 0, worldSize: 4, lanes: 3) }
        #expect(error?.exitCode == .usage)
        #expect(
            error?.description == "3 lanes cannot be shared by 4 ranks; raise --lanes or start at most 3 ranks")
    }

    @Test func subtreesAreMaximal() {
        #expect(LaneTree.subtrees(of: 8, within: 0..<3) == [0..<2, 2..<3])
        #expect(LaneTree.subtrees(of: 8, within: 3..<6) == [3..<4, 4..<6])
        #expect(LaneTree.subtrees(of: 8, within: 6..<8) == [6..<8])
        #expect(LaneTree.subtrees(of: 8, within: 0..<8) == [0..<8])
        #expect(LaneTree.subtrees(of: 7, within: 4..<7) == [4..<7])
    }

    @Test func foldNeedsFewBuffers() {
        for power in 0...4 {
            let lanes = 1 << power
            #expect(LaneFold(lanes: lanes, range: 0..<lanes).bufferCount == power + 1)
        }
        let fold = LaneFold(lanes: 8, range: 3..<6)
        #expect(fold.steps.map(\.buffer) == [0, 1, 2])
        let additions: [[BufferAddition]] = [[], [], [BufferAddition(into: 1, from: 2)]]
        #expect(fold.steps.map(\.additions) == additions)
        #expect(fold.bufferCount == 3)
    }

    /// Runs the fold on strings, which show the order of additions.
    @Test(arguments: 1...17) func foldIsTheTree(lanes: Int) {
        func tree(_ node: Range<Int>) -> String {
            guard node.count > 1 else { return "\(node.lowerBound)" }
            let middle = LaneTree.split(node)
            return "(\(tree(node.lowerBound..<middle))+\(tree(middle..<node.upperBound)))"
        }
        for first in 0..<lanes {
            for end in (first + 1)...lanes {
                let fold = LaneFold(lanes: lanes, range: first..<end)
                var buffers = [String](repeating: "", count: fold.bufferCount)
                for step in fold.steps {
                    buffers[step.buffer] = "\(step.lane)"
                    for addition in step.additions {
                        buffers[addition.into] = "(\(buffers[addition.into])+\(buffers[addition.from]))"
                    }
                }
                #expect(Array(buffers.prefix(fold.subtrees.count)) == fold.subtrees.map(tree))
                #expect(fold.subtrees.first?.lowerBound == first && fold.subtrees.last?.upperBound == end)
            }
        }
    }
}
