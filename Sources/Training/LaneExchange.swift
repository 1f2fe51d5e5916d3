import Collectives
import Graphs
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
    private let lane: FloatArena
    private let merges: [Int]
    private let buckets: [ReducedLayout.Bucket]
    private let communication: CommunicationThread
    private let reducer: Box<TreeReducer>
    private var partials: [FloatArena] = []
    private var depth = 0
    private var finishedLanes = 0
    private var submitted = 0

    private struct Box<Value>: @unchecked Sendable { let value: Value }

    public init(engine: LaneEngine, lanes: Int, communication: CommunicationThread) throws {
        let communicator = communication.communicator
        share = try LaneTree.share(rank: communicator.rank, worldSize: communicator.worldSize, lanes: lanes)
        merges = LaneTree.merges(of: lanes, within: share)
        lane = engine.result
        mean = FloatArena(count: lane.count)
        buckets = engine.layout.buckets(of: engine.network.graph, elementCount: Self.bucketElementCount)
        self.communication = communication
        let longest = buckets.map(\.range.count).max() ?? 0
        reducer = Box(value: try TreeReducer(communicator: communicator, lanes: lanes, longestSpan: longest))
        var (depth, deepest) = (0, 0)
        for count in merges.dropLast() {
            depth += 1 - count
            deepest = max(deepest, depth)
        }
        partials = (0..<deepest).map { _ in FloatArena(count: lane.count) }
    }

    private var isLastLane: Bool { finishedLanes == share.count - 1 }

    /// Call after each node of a lane: hands complete buckets of the last lane over.
    public func nodeFinished(_ node: Int) {
        guard isLastLane else { return }
        while submitted < buckets.count, buckets[submitted].lastNode <= node {
            submit(buckets[submitted].range)
            submitted += 1
        }
    }

    /// Call when a lane is complete.
    public func laneFinished() {
        defer { finishedLanes += 1 }
        guard !isLastLane else { return }
        let count = merges[finishedLanes]
        if count == 0 {
            partials[depth].base.update(from: lane.base, count: lane.count)
            depth += 1
        } else {
            Self.fold(lane, onto: partials, depth: depth, merges: count, range: 0..<lane.count)
            depth -= count - 1
        }
    }

    /// Adds a lane onto the topmost partial sum, that onto the one below it, and so on, `merges` additions in all.
    private static func fold(
        _ lane: FloatArena, onto partials: [FloatArena], depth: Int, merges: Int, range: Range<Int>
    ) {
        for merge in 0..<merges {
            let target = partials[depth - 1 - merge].base
            let source = merge == 0 ? lane.base : partials[depth - merge].base
            for i in range { target[i] += source[i] }
        }
    }

    private func submit(_ range: Range<Int>) {
        let (partials, lane, depth, mean, reducer) = (partials, lane, depth, mean, reducer)
        let count = merges[share.count - 1]
        let job: @Sendable () throws -> Void = {
            Self.fold(lane, onto: partials, depth: depth, merges: count, range: range)
            var sums = partials.prefix(count == 0 ? depth : depth - count + 1).map { $0.base + range.lowerBound }
            if count == 0 { sums.append(lane.base + range.lowerBound) }
            try reducer.value.reduce(sums, count: range.count, into: mean.base + range.lowerBound)
        }
        communication.submit { _ in try job() }
    }

    /// Waits until the mean over all lanes is complete, and starts over.
    public func finish() throws {
        precondition(finishedLanes == share.count && submitted == buckets.count, "a step with \(finishedLanes) lanes")
        try communication.waitForAll()
        (depth, finishedLanes, submitted) = (0, 0, 0)
    }
}
