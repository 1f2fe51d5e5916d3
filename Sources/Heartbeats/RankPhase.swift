/// What a rank is doing. Raw values are part of the wire format.
public enum RankPhase: UInt8, Sendable, CaseIterable {
    /// Before the first step: starting MPI, reading the data set's manifest and the checkpoint, planning memory.
    case setup = 0
    /// Waiting for data: a record is being read, or nothing is ready yet.
    case read
    /// Waiting for data: a record is being unpacked.
    case decode
    case forward
    case backward
    /// Waiting for other ranks, in the exchange of gradients or any other collective call.
    case exchange
    case update
    case checkpoint
    case calibrate
    case validate
    /// The rank has done its part, or leaves with an error of its own.
    case finished

    public var name: String { "\(self)" }

    /// Phases in which a healthy rank may make no progress that can be counted for longer than within a step.
    public var isLong: Bool {
        switch self {
        case .setup, .checkpoint, .calibrate, .validate: true
        case .read, .decode, .forward, .backward, .exchange, .update, .finished: false
        }
    }
}

/// What a rank is doing at one moment.
public struct RankStatus: Sendable, Equatable {
    public var phase: RankPhase
    /// The step under way, counted from 1; 0 before the first. A checkpoint and a validation belong to the step before them.
    public var step: Int
    public var secondsInPhase: Double
    /// Grows with everything that the rank gets done: nodes, records, buckets, phases.
    public var progress: UInt64
    /// Collective calls completed. All ranks make the same ones in the same order, so this says who is behind.
    public var exchanges: UInt64
    public var lane: Int?
    /// Position of the shard in the manifest, and of the record in the shard, that the loader is at.
    public var shard: Int?
    public var record: Int?
    /// Bucket of the step that is being exchanged, or was last.
    public var bucket: Int?
    /// A checkpoint is being written in the background.
    public var isWritingCheckpoint: Bool

    public init(
        phase: RankPhase, step: Int = 0, secondsInPhase: Double = 0, progress: UInt64 = 0, exchanges: UInt64 = 0,
        lane: Int? = nil, shard: Int? = nil, record: Int? = nil, bucket: Int? = nil, isWritingCheckpoint: Bool = false
    ) {
        self.phase = phase
        self.step = step
        self.secondsInPhase = secondsInPhase
        self.progress = progress
        self.exchanges = exchanges
        self.lane = lane
        self.shard = shard
        self.record = record
        self.bucket = bucket
        self.isWritingCheckpoint = isWritingCheckpoint
    }

    /// E.g. `backward of step 37, lane 3`, `read of step 4, at record 17 of shard 2`, `exchange of bucket 1 of step 9`.
    public var place: String {
        var text = phase.name
        if phase == .exchange, let bucket { text += " of bucket \(bucket)" }
        if step > 0 { text += " of step \(step)" }
        if phase == .forward || phase == .backward, let lane { text += ", lane \(lane)" }
        let waitsForData = phase == .read || phase == .decode
        if waitsForData, let shard, let record { text += ", at record \(record) of shard \(shard)" }
        if isWritingCheckpoint && phase != .checkpoint { text += ", writing a checkpoint" }
        return text
    }
}

/// Seconds for people, e.g. `5.2 s`.
func secondsText(_ seconds: Double) -> String {
    guard seconds.isFinite, abs(seconds) < 1e12 else { return "\(seconds) s" }
    let tenths = Int((seconds * 10).rounded())
    return "\(tenths / 10).\(abs(tenths % 10)) s"
}
