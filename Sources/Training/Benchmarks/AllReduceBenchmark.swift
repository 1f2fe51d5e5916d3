import Basics
import Collectives
import Kernels
import Models
import Tensors

/// Time of the exchange between ranks, by the ways of the trainer: `TreeReducer` in buckets on the communication thread,
/// and for the whole array `LaneExchange` itself.
public enum AllReduceBenchmark {
    public struct Entry: Sendable {
        /// Floats that every rank contributes and receives the mean of.
        public let elementCount: Int
        /// Of a repetition its slowest rank's time counts, from a common barrier on.
        public let medianSeconds: Double
        public let minimumSeconds: Double
        /// The same bytes by the communication library's own sum; nil where there is none.
        public let plainMedianSeconds: Double?

        public var byteCount: Int { elementCount * MemoryLayout<Float>.stride }
        /// Bytes of the array over the time (what others call the bandwidth of the algorithm).
        public var bytesPerSecond: Double { Double(byteCount) / medianSeconds }
        public var plainBytesPerSecond: Double? { plainMedianSeconds.map { Double(byteCount) / $0 } }
    }

    /// Sizes below that of the network's own array.
    static let elementCounts = [1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22]

    /// To be called on every rank; every rank gets the same entries. The last one is the network's gradients, statistics
    /// and losses, one lane a rank.
    /// - Throws: `Failure` (usage) for repetitions out of range; what the exchange throws.
    public static func run(
        _ network: any Network, repetitions: Int, communication: CommunicationThread, kernels: KernelContext
    ) throws -> [Entry] {
        try Benchmark.check(batch: 1, repetitions: repetitions)
        // The exchanged array does not depend on the size of pictures, so the smallest will do.
        let side = network.sampleSize
        let graph = try NetworkGraph(
            network, .training, batch: 1, height: side.height, width: side.width, keepOutputs: false)
        let engine = LaneEngine(network: graph, state: try ModelState.empty(for: network), kernels: kernels)
        let ranks = communication.communicator.worldSize
        var entries: [Entry] = []
        for count in elementCounts where count < engine.layout.count {
            entries.append(try span(count, ranks: ranks, repetitions, communication))
        }
        let exchange = try LaneExchange(engine: engine, lanes: ranks, communication: communication)
        let times = try time(repetitions, communication) {
            for node in graph.graph.nodes.indices { exchange.nodeFinished(node) }
            exchange.laneFinished()
            try exchange.finish()
        }
        entries.append(
            try entry(engine.layout.count, times, plain(engine.result, engine.layout.count, repetitions, communication))
        )
        return entries
    }

    private static func span(
        _ count: Int, ranks: Int, _ repetitions: Int, _ communication: CommunicationThread
    ) throws -> Entry {
        let bucket = min(count, LaneExchange.bucketElementCount)
        let reducer = try TreeReducer(
            communicator: communication.communicator, lanes: ranks, longestSpan: bucket)
        let (lane, mean) = (FloatArena(count: count), FloatArena(count: count))
        let times = try time(repetitions, communication) {
            for start in stride(from: 0, to: count, by: bucket) {
                communication.submit { _ in
                    try reducer.reduce(
                        [lane.base + start], count: min(bucket, count - start), into: mean.base + start)
                }
            }
            try communication.waitForAll()
        }
        return try entry(count, times, plain(lane, count, repetitions, communication))
    }

    private static func entry(_ count: Int, _ times: [Double], _ plain: [Double]?) -> Entry {
        Entry(
            elementCount: count, medianSeconds: Benchmark.median(times), minimumSeconds: times.min() ?? 0,
            plainMedianSeconds: plain.map(Benchmark.median))
    }

    private static func plain(
        _ array: FloatArena, _ count: Int, _ repetitions: Int, _ communication: CommunicationThread
    ) throws -> [Double]? {
        guard communication.communicator is any PlainSum else { return nil }
        return try time(repetitions, communication) {
            try communication.run { communicator in
                try (communicator as? any PlainSum)?.sum(array.base, count: count)
            }
        }
    }

    /// Seconds of each repetition on its slowest rank, after two that do not count.
    private static func time(
        _ repetitions: Int, _ communication: CommunicationThread, _ body: () throws -> Void
    ) throws -> [Double] {
        var times: [Double] = []
        for repetition in 0..<(repetitions + 2) {
            try communication.run { try $0.barrier() }
            let start = monotonicSeconds()
            try body()
            if repetition >= 2 { times.append(monotonicSeconds() - start) }
        }
        let ours = times.withUnsafeBytes { Array($0) }
        for other in try communication.run({ try $0.allGather(ours) }) {
            other.withUnsafeBytes { other in
                for index in times.indices {
                    let theirs = other.loadUnaligned(
                        fromByteOffset: index * MemoryLayout<Double>.stride, as: Double.self)
                    times[index] = max(times[index], theirs)
                }
            }
        }
        return times
    }
}
