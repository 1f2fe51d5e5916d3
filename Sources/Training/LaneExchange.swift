import Basics
import Collectives
import Graphs
import Kernels
import Models
import Tensors

/// Combines the lanes of one step over this rank and all ranks, by the lane tree.
///
/// Lanes before the last are folded into partial sums as they finish. The last lane's buckets go to the communication
/// thread while backward is still computing earlier layers: it folds them in and exchanges them, in fixed order.
public final class LaneExchange {
    /// Floats of a bucket: 4 MB keep an exchange well above the latency of a network and leave a handful to overlap.
    public static let bucketElementCount = 1 << 20

    /// Lanes that this rank computes.
    public let share: Range<Int>
    /// The mean over all lanes, after `finish`.
    public let mean: FloatArena
    /// The lane computed last.
    private let lane: FloatArena
    /// Its statistics and losses: sums are taken in place, while backward still reads the lane's own.
    private let tail: FloatArena
    private let fold: LaneFold
    private let buckets: [ReducedLayout.Bucket]
    private let communication: CommunicationThread
    private let reducer: TreeReducer
    /// Partial sums of lanes before the last, numbered as in `fold`.
    private let partials: [FloatArena]
    /// Checksums of this rank's lanes, in order: gradients, batch statistics and losses. Complete after `finish`.
    public private(set) var laneHashes: [UInt64]
    /// Nil: no checksums are taken.
    private let kernels: KernelContext?
    private let trace: TraceRecorder?
    private let transport: Transport
    private let gradientCount: Int
    /// Number of the step that is being computed, from 1: for the trace.
    var step = 0
    /// What belongs to a lane; behind it stands the wish to stop.
    private let hashedCount: Int
    private var finishedLanes = 0
    private var submitted = 0

    /// - Throws: `Failure` (usage) if there are fewer lanes than ranks.
    public init(
        engine: LaneEngine, lanes: Int, communication: CommunicationThread, kernels: KernelContext? = nil,
        trace: TraceRecorder? = nil, transport: Transport = .float32
    ) throws {
        let communicator = communication.communicator
        share = try LaneTree.share(rank: communicator.rank, worldSize: communicator.worldSize, lanes: lanes)
        buckets = engine.layout.buckets(of: engine.network.graph, elementCount: Self.bucketElementCount)
        self.transport = transport
        gradientCount = engine.layout.gradientCount
        reducer = try TreeReducer(
            communicator: communicator, lanes: lanes, longestSpan: buckets.map(\.range.count).max() ?? 0,
            transport: transport)
        let fold = reducer.fold
        self.fold = fold
        let lane = engine.result
        self.lane = lane
        mean = FloatArena(count: lane.count)
        tail = FloatArena(count: lane.count - engine.layout.gradientCount)
        self.communication = communication
        self.kernels = kernels
        self.trace = trace
        hashedCount = engine.layout.stopOffset
        laneHashes = [UInt64](repeating: 0, count: share.count)
        // The last lane is folded from where it was computed.
        partials = (0..<Self.partialCount(fold)).map { _ in FloatArena(count: lane.count) }
    }

    private static func partialCount(_ fold: LaneFold) -> Int {
        fold.steps.dropLast().map { $0.buffer + 1 }.max() ?? 0
    }

    /// Floats that rank 0 of a world, whose share is the largest, keeps besides its lane: the mean, partial sums and
    /// buffers of the exchange.
    /// - Throws: `Failure` (usage) if there are fewer lanes than ranks.
    static func floatCount(
        network: NetworkGraph, layout: ReducedLayout, lanes: Int, ranks: Int, transport: Transport
    ) throws -> Int {
        let share = try LaneTree.share(rank: 0, worldSize: ranks, lanes: lanes)
        let buckets = layout.buckets(of: network.graph, elementCount: bucketElementCount)
        let exchange = try TreeReducer.bufferCount(
            rank: 0, worldSize: ranks, lanes: lanes, longestSpan: buckets.map(\.range.count).max() ?? 0,
            transport: transport)
        return (1 + partialCount(LaneFold(lanes: lanes, range: share))) * layout.count + exchange
    }

    private var isLastLane: Bool { finishedLanes == share.count - 1 }

    /// Call after each node of a lane: hands complete buckets of the last lane over.
    public func nodeFinished(_ node: Int) {
        guard isLastLane else { return }
        while submitted < buckets.count, buckets[submitted].lastNode <= node {
            // Before the sums of other lanes enter it.
            addHash(of: buckets[submitted].range)
            submit(submitted)
            submitted += 1
        }
    }

    /// Call when a lane is complete.
    public func laneFinished() {
        defer { finishedLanes += 1 }
        guard !isLastLane else { return }
        for bucket in buckets { addHash(of: bucket.range) }
        let step = fold.steps[finishedLanes]
        partials[step.buffer].base.update(from: lane.base, count: lane.count)
        for bucket in buckets {
            let (start, count, transport) = (bucket.range.lowerBound, bucket.range.count, transport(of: bucket.range))
            transport.round(partials[step.buffer].base + start, count: count)
            for addition in step.additions {
                LaneFold.add(
                    partials[addition.from].base + start, to: partials[addition.into].base + start, count: count,
                    transport)
            }
        }
    }

    /// The checksum of the lane that the engine has just computed, where nothing was exchanged.
    func hashOfLane() -> UInt64 {
        for bucket in buckets { addHash(of: bucket.range) }
        return laneHashes[finishedLanes]
    }

    private func addHash(of range: Range<Int>) {
        guard let kernels else { return }
        let span = range.clamped(to: 0..<hashedCount)
        let sum = kernels.checksum(UnsafeBufferPointer(start: lane.base + span.lowerBound, count: span.count))
        let isFirst = range == buckets[0].range
        laneHashes[finishedLanes] = StateDigest.mixed(isFirst ? 0 : laneHashes[finishedLanes], sum)
    }

    /// Statistics and losses keep all their bits.
    private func transport(of range: Range<Int>) -> Transport {
        range.upperBound <= gradientCount ? transport : .float32
    }

    /// Folds the last lane in and exchanges, on the communication thread.
    private func submit(_ bucket: Int) {
        let (range, board) = (buckets[bucket].range, communication.board)
        let (step, subtreeCount) = (fold.steps[share.count - 1], fold.subtrees.count)
        let (partials, mean, reducer) = (partials, mean, reducer)
        let isTail = range.lowerBound >= gradientCount
        if isTail { tail.base.update(from: lane.base + gradientCount, count: tail.count) }
        let (last, origin) = isTail ? (tail, gradientCount) : (lane, 0)
        let transport = transport(of: range)
        let (trace, number) = (trace, self.step)
        communication.submit { _ in
            let start = trace == nil ? 0 : monotonicSeconds()
            defer { trace?.record(.exchange, step: number, detail: bucket, from: start) }
            board?.exchanging(bucket: bucket)
            func span(_ buffer: Int) -> UnsafeMutablePointer<Float> {
                buffer == step.buffer
                    ? last.base + (range.lowerBound - origin) : partials[buffer].base + range.lowerBound
            }
            transport.round(span(step.buffer), count: range.count)
            for addition in step.additions {
                LaneFold.add(span(addition.from), to: span(addition.into), count: range.count, transport)
            }
            try reducer.reduce(
                (0..<subtreeCount).map(span), count: range.count, into: mean.base + range.lowerBound,
                isExact: transport == .float32)
        }
    }

    /// Waits until the mean over all lanes is complete, and starts over.
    public func finish() throws {
        precondition(finishedLanes == share.count && submitted == buckets.count, "a step with \(finishedLanes) lanes")
        try communication.waitForAll()
        (finishedLanes, submitted) = (0, 0)
    }
}
