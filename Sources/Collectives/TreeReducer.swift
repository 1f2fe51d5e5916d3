import Basics
import Tensors

/// Combines the ranks' partial sums of a span (a gradient bucket) into the mean over all lanes, in tree order: the same
/// bits on every rank, for any number of ranks, any cut into buckets, and any MPI.
///
/// Each rank owns a piece of the span: it receives everybody's partial sums of that piece, adds them in the order of the
/// lane tree, multiplies by 1 / lanes once, and sends the result to all. Per rank (P − 1) / P of the span goes out and
/// comes in twice, which is what a ring moves, as long as each rank's lanes form one subtree.
///
/// Memory is taken once, at the start. One thread at a time.
public final class TreeReducer: @unchecked Sendable {
    public let lanes: Int
    /// Longest span that can be reduced, in floats.
    public let longestSpan: Int
    /// How this rank folds its own lanes before it passes partial sums to `reduce`.
    public let fold: LaneFold

    private let communicator: any Communicator
    /// Number of partial sums that each rank passes on.
    private let partialCounts: [Int]
    /// The tree above the partial sums, as additions among `sources`.
    private let additions: [BufferAddition]
    private let transport: Transport
    private let send: FloatArena
    private let receive: FloatArena
    /// What arrived in fewer bits, and pieces of the result on their way.
    private let packed: FloatArena
    // Kept between calls, so that a step allocates nothing.
    private var sources: [UnsafeMutablePointer<Float>] = []
    private var sendCounts: [Int]
    private var sendOffsets: [Int]
    private var receiveCounts: [Int]
    private var receiveOffsets: [Int]
    private var pieceCounts: [Int]
    private var pieceOffsets: [Int]

    /// Floats added at a time: four such blocks stay in a first-level cache.
    private static let blockCount = 2048

    /// - Throws: `Failure` (usage) if there are fewer lanes than ranks.
    public init(
        communicator: any Communicator, lanes: Int, longestSpan: Int, transport: Transport = .float32
    ) throws {
        self.communicator = communicator
        self.transport = transport
        self.lanes = lanes
        self.longestSpan = longestSpan
        let (rank, world) = (communicator.rank, communicator.worldSize)
        let shares = try (0..<world).map { try LaneTree.share(rank: $0, worldSize: world, lanes: lanes) }
        let subtrees = shares.map { LaneTree.subtrees(of: lanes, within: $0) }
        fold = LaneFold(lanes: lanes, range: shares[rank])
        partialCounts = subtrees.map(\.count)
        additions = Self.additions(among: subtrees.flatMap { $0 }, lanes: lanes)
        let counts = Self.bufferCounts(
            partialCounts: partialCounts, rank: rank, longestSpan: longestSpan, transport: transport)
        send = FloatArena(count: counts.send)
        receive = FloatArena(count: counts.receive)
        packed = FloatArena(count: counts.packed)
        sources.reserveCapacity(partialCounts.reduce(0, +))
        sendCounts = [Int](repeating: 0, count: world)
        sendOffsets = sendCounts
        receiveCounts = sendCounts
        receiveOffsets = sendCounts
        pieceCounts = sendCounts
        pieceOffsets = sendCounts
    }

    /// Floats of the buffers that a rank sends from and receives into.
    private static func bufferCounts(
        partialCounts: [Int], rank: Int, longestSpan: Int, transport: Transport
    ) -> (send: Int, receive: Int, packed: Int) {
        let world = partialCounts.count
        let ours = partialCounts[rank]
        // A piece is at most 16 floats longer than its even share. One subtree is sent from where it lies, as it is.
        let isPacked = transport == .bf16 && world > 1
        let send = world == 1 || ours == 1 && !isPacked ? 0 : ours * longestSpan
        let receive = (partialCounts.reduce(0, +) - ours) * (longestSpan / world + 32)
        return (send, receive, isPacked ? max(receive, longestSpan + 32 * world) : 0)
    }

    /// Floats that a reducer of a rank would take, for estimates.
    /// - Throws: `Failure` (usage) if there are fewer lanes than ranks.
    public static func bufferCount(
        rank: Int, worldSize: Int, lanes: Int, longestSpan: Int, transport: Transport = .float32
    ) throws -> Int {
        let counts = try (0..<worldSize).map {
            LaneTree.subtrees(of: lanes, within: try LaneTree.share(rank: $0, worldSize: worldSize, lanes: lanes)).count
        }
        let buffers = bufferCounts(
            partialCounts: counts, rank: rank, longestSpan: longestSpan, transport: transport)
        return buffers.send + buffers.receive + buffers.packed
    }

    /// Writes the mean over all lanes to `result` on every rank.
    ///
    /// - Parameters:
    ///   - partials: this rank's partial sums in lane order, one per subtree of `fold.subtrees`, `count` floats each.
    ///     Their contents are used up.
    ///   - result: `count` floats; may be one of the partials.
    ///   - isExact: whether these go as float32 whatever the transport is.
    /// - Throws: what the communicator throws.
    public func reduce(
        _ partials: [UnsafeMutablePointer<Float>], count: Int, into result: UnsafeMutablePointer<Float>,
        isExact: Bool = false
    ) throws {
        let transport = isExact ? .float32 : transport
        let (rank, world) = (communicator.rank, communicator.worldSize)
        precondition(count <= longestSpan, "a span of \(count) floats, announced were \(longestSpan)")
        precondition(
            partials.count == partialCounts[rank], "\(partials.count) partial sums for \(fold.subtrees) subtrees")
        sources.removeAll(keepingCapacity: true)
        if world == 1 {
            sources.append(contentsOf: partials)
            combine(count, transport)
            scale(sources[0], count, into: result)
            return
        }
        for other in 0..<world {
            let start = edge(other, of: count)
            pieceOffsets[other] = start
            pieceCounts[other] = edge(other + 1, of: count) - start
        }
        try exchange(partials, transport)
        let piece = (start: pieceOffsets[rank], count: pieceCounts[rank])
        combine(piece.count, transport)
        if transport == .float32 {
            scale(sources[0], piece.count, into: result + piece.start)
            return try communicator.allGather(result, counts: pieceCounts, offsets: pieceOffsets)
        }
        // Sums travel, which are rounded already; the mean is taken by everyone.
        let starts = pieceOffsets
        let counts = pieceCounts
        for other in 0..<world {
            pieceOffsets[other] = starts[other] / 2 + other * 16
            pieceCounts[other] = transport.packedCount(counts[other])
        }
        Transport.pack(sources[0], count: piece.count, into: packed.base + pieceOffsets[rank])
        try communicator.allGather(packed.base, counts: pieceCounts, offsets: pieceOffsets)
        for other in 0..<world {
            let target = result + starts[other]
            Transport.unpack(packed.base + pieceOffsets[other], count: counts[other], into: target)
            scale(target, counts[other], into: target)
        }
    }

    /// Where rank r's piece of a span starts: on a 64-byte line of the span.
    private func edge(_ rank: Int, of count: Int) -> Int {
        rank == communicator.worldSize ? count : count * rank / communicator.worldSize / 16 * 16
    }

    /// Sends each owner our partial sums of its piece; afterwards `sources` are all ranks' sums of our own piece.
    private func exchange(_ partials: [UnsafeMutablePointer<Float>], _ transport: Transport) throws {
        let rank = communicator.rank
        let isCopied = partials.count > 1 || transport == .bf16
        let arriving = transport == .bf16 ? packed : receive
        var (sendOffset, receiveOffset, unpackedOffset) = (0, 0, 0)
        for other in 0..<communicator.worldSize {
            let piece = (start: pieceOffsets[other], count: pieceCounts[other])
            if other == rank {
                for partial in partials { sources.append(partial + piece.start) }
                (sendCounts[other], sendOffsets[other]) = (0, 0)
                (receiveCounts[other], receiveOffsets[other]) = (0, 0)
                continue
            }
            let length = transport.packedCount(piece.count)
            sendCounts[other] = length * partials.count
            sendOffsets[other] = isCopied ? sendOffset : piece.start
            if isCopied {
                for partial in partials {
                    switch transport {
                    case .float32: (send.base + sendOffset).update(from: partial + piece.start, count: piece.count)
                    case .bf16: Transport.pack(partial + piece.start, count: piece.count, into: send.base + sendOffset)
                    }
                    sendOffset += length
                }
            }
            receiveCounts[other] = transport.packedCount(pieceCounts[rank]) * partialCounts[other]
            receiveOffsets[other] = receiveOffset
            receiveOffset += receiveCounts[other]
            for _ in 0..<partialCounts[other] {
                sources.append(receive.base + unpackedOffset)
                unpackedOffset += pieceCounts[rank]
            }
        }
        try communicator.allToAll(
            send: isCopied ? send.base : partials[0], sendCounts: sendCounts, sendOffsets: sendOffsets,
            receive: arriving.base, receiveCounts: receiveCounts, receiveOffsets: receiveOffsets)
        if transport == .bf16 { unpackArrived() }
    }

    private func unpackArrived() {
        let count = pieceCounts[communicator.rank]
        var (from, to) = (0, 0)
        for other in 0..<communicator.worldSize where other != communicator.rank {
            for _ in 0..<partialCounts[other] {
                Transport.unpack(packed.base + from, count: count, into: receive.base + to)
                from += transport.packedCount(count)
                to += count
            }
        }
    }

    /// Adds `sources` up the tree, in place, block by block, into source 0.
    private func combine(_ count: Int, _ transport: Transport) {
        for start in stride(from: 0, to: count, by: Self.blockCount) {
            let length = min(Self.blockCount, count - start)
            for addition in additions {
                LaneFold.add(
                    sources[addition.from] + start, to: sources[addition.into] + start, count: length, transport)
            }
        }
    }

    /// The one multiplication at the root.
    private func scale(_ total: UnsafePointer<Float>, _ count: Int, into target: UnsafeMutablePointer<Float>) {
        let scale = 1 / Float(lanes)
        for index in 0..<count { target[index] = total[index] * scale }
    }

    /// The additions that combine the sums of `leaves` (subtrees that together are the tree) into leaf 0.
    private static func additions(among leaves: [Range<Int>], lanes: Int) -> [BufferAddition] {
        var result: [BufferAddition] = []
        var next = 0
        func visit(_ node: Range<Int>) -> Int {
            if leaves[next] == node {
                next += 1
                return next - 1
            }
            let middle = LaneTree.split(node)
            let left = visit(node.lowerBound..<middle)
            let right = visit(middle..<node.upperBound)
            result.append(BufferAddition(into: left, from: right))
            return left
        }
        let root = visit(0..<lanes)
        precondition(root == 0 && next == leaves.count, "\(leaves) do not make up \(lanes) lanes")
        return result
    }
}
