import Basics
import Shards

/// A record that turned out damaged when its turn came, and the one that stood in for it.
public struct ReplacedRecord: Sendable, Equatable {
    public let epoch: Int
    /// Index within the split.
    public let record: Int
    public let replacement: Int
    /// One line that names shard and record.
    public let problem: String

    public init(epoch: Int, record: Int, replacement: Int, problem: String) {
        self.epoch = epoch
        self.record = record
        self.replacement = replacement
        self.problem = problem
    }

    /// Longest problem that travels between ranks.
    public static let problemByteLimit = 1000
}

/// Which record stands in for a damaged one: a pure function of seed, epoch and record, so that any rank that comes upon
/// the damage takes the same one, and without asking.
public struct ReplacementRule: Sendable {
    public let seed: UInt64
    public let recordCount: Int
    /// Candidates that are tried, in case they are damaged too.
    public static let attempts = 16

    public init(seed: UInt64, recordCount: Int) {
        self.seed = seed
        self.recordCount = recordCount
    }

    public func candidate(epoch: Int, record: Int, attempt: Int) -> Int {
        // 2⁴⁰ records and 16 attempts have indices of their own.
        let bits = CounterRandom(seed, "replacement", UInt64(epoch)).bits(UInt64(record) << 4 | UInt64(attempt))
        return Int(bits % UInt64(recordCount))
    }

    /// Finds one that `decode` accepts.
    /// - Throws: `problem` if none of the candidates is whole; whatever else `decode` throws.
    func replace(
        _ sample: SampleOrder.Sample, damagedBy problem: ShardError, decode: (SampleOrder.Sample) throws -> Void
    ) throws -> ReplacedRecord {
        for attempt in 0..<Self.attempts {
            let candidate = candidate(epoch: sample.epoch, record: sample.record, attempt: attempt)
            if candidate == sample.record { continue }
            do {
                try decode(
                    SampleOrder.Sample(globalIndex: sample.globalIndex, epoch: sample.epoch, record: candidate))
                return ReplacedRecord(
                    epoch: sample.epoch, record: sample.record, replacement: candidate, problem: problem.description)
            } catch let error as ShardError where error.exitCode == .badData {
                continue
            }
        }
        throw problem
    }
}
