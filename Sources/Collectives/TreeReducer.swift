import Basics
import Tensors

/// Combines the ranks' partial sums of a span into the mean over all lanes, in tree order, with the same bits on every
/// rank and for any number of ranks, any cut into buckets, and any MPI.
///
/// Each rank owns a piece of the span: it receives everybody's partial sums of that piece, adds them in the order of the
/// lane tree, multiplies by 1 / lanes once, and sends the result to all. Per rank, (P − 1)/P of the span goes out and
/// comes in twice: what a ring moves too.
public final class TreeReducer {
    private let communicator: any Communicator
    private let lanes: Int
    /// Subtrees that each rank passes on.
    private let subtrees: [[Range<Int>]]
    private let longestSpan: Int
    private let send: FloatArena
    private let receive: FloatArena

    /// - Parameter longestSpan: floats of the longest span that will be reduced.
    public init(communicator: any Communicator, lanes: Int, longestSpan: Int) throws {
        self.communicator = communicator
        self.lanes = lanes
        self.longestSpan = longestSpan
        let world = communicator.worldSize
        subtrees = try (0..<world).map {
            LaneTree.subtrees(of: lanes, within: try LaneTree.share(rank: $0, worldSize: world, lanes: lanes))
        }
        let total = subtrees.reduce(0) { $0 + $1.count }
        let piece = (longestSpan + world - 1) / world + 16
        send = FloatArena(count: world == 1 ? 0 : subtrees[communicator.rank].count * (longestSpan + 16 * world))
        receive = FloatArena(count: total * piece)
    }

    /// Where rank r's piece of a span of `count` floats lies; pieces start on 64-byte lines of the span.
    private func piece(_ rank: Int, of count: Int) -> Range<Int> {
        let world = communicator.worldSize
        func edge(_ r: Int) -> Int { r == world ? count : min(count, count * r / world / 16 * 16) }
        return edge(rank)..<edge(rank + 1)
    }

    /// - Parameters:
    ///   - partials: this rank's partial sums, one per subtree in lane order, `count` floats each.
    ///   - result: receives the mean over lanes; may be one of the partials.
    public func reduce(
        _ partials: [UnsafeMutablePointer<Float>], count: Int, into result: UnsafeMutablePointer<Float>
    ) throws {
        precondition(count <= longestSpan, "a span of \(count) floats, announced were \(longestSpan)")
        let (rank, world) = (communicator.rank, communicator.worldSize)
        precondition(partials.count == subtrees[rank].count, "\(partials.count) partial sums")
        let mine = piece(rank, of: count)
        // Partial sums of my piece, all subtrees in lane order.
        var sources: [UnsafeMutablePointer<Float>] = []
        if world == 1 {
            sources = partials
        } else {
            var sendCounts: [Int] = []
            var sendOffsets: [Int] = []
            var receiveCounts: [Int] = []
            var receiveOffsets: [Int] = []
            var (sendOffset, receiveOffset) = (0, 0)
            for other in 0..<world {
                let range = piece(other, of: count)
                sendOffsets.append(sendOffset)
                sendCounts.append(range.count * partials.count)
                for partial in partials {
                    (send.base + sendOffset).update(from: partial + range.lowerBound, count: range.count)
                    sendOffset += range.count
                }
                receiveOffsets.append(receiveOffset)
                receiveCounts.append(mine.count * subtrees[other].count)
                for _ in subtrees[other] {
                    sources.append(receive.base + receiveOffset)
                    receiveOffset += mine.count
                }
            }
            try communicator.allToAll(
                send: send.base, sendCounts: sendCounts, sendOffsets: sendOffsets, receive: receive.base,
                receiveCounts: receiveCounts, receiveOffsets: receiveOffsets)
        }
        combine(sources, mine.count, into: result + mine.lowerBound)
        if world > 1 {
            let pieces = (0..<world).map { piece($0, of: count) }
            try communicator.allGather(result, counts: pieces.map(\.count), offsets: pieces.map(\.lowerBound))
        }
    }

    /// Adds the subtrees' sums up the tree and scales. Works through the piece in blocks that stay in cache.
    private func combine(
        _ sources: [UnsafeMutablePointer<Float>], _ count: Int, into result: UnsafeMutablePointer<Float>
    ) {
        let flat = subtrees.flatMap { $0 }
        let scale = 1 / Float(lanes)
        let block = 4096
        for start in stride(from: 0, to: count, by: block) {
            let length = min(block, count - start)
            // Sums in place, into the left operand, as the tree says.
            func sum(_ node: Range<Int>, _ first: Int) -> Int {
                if flat[first] == node { return first + 1 }
                let middle = LaneTree.split(node)
                let right = sum(node.lowerBound..<middle, first)
                let end = sum(middle..<node.upperBound, right)
                let (left, other) = (sources[first] + start, sources[right] + start)
                for i in 0..<length { left[i] += other[i] }
                return end
            }
            let used = sum(0..<lanes, 0)
            precondition(used == flat.count)
            let (total, target) = (sources[0] + start, result + start)
            for i in 0..<length { target[i] = total[i] * scale }
        }
    }
}
