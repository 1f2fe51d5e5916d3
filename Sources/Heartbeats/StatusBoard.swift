import Glibc
import Synchronization

/// What a rank is doing now, written by its threads without locks or allocation, read by whoever reports it.
///
/// Each value has one writing thread (main, loader, communication); several loader threads overwrite each other, which shows
/// the record that was begun last. A reader sees each value whole; values of different threads may be of moments that are
/// nanoseconds apart.
public final class StatusBoard: Sendable {
    /// Phase (8 bits), lane + 1 (20 bits), step (36 bits) of the main thread.
    private let place = Atomic<UInt64>(0)
    private let since: Atomic<UInt64>
    /// When the main thread began to wait for other ranks; 0: it doesn't.
    private let waitingSince = Atomic<UInt64>(0)
    /// What a loader thread does (2 bits), shard (30 bits), record (32 bits).
    private let loader = Atomic<UInt64>(0)
    private let loaderSince = Atomic<UInt64>(0)
    /// Bucket + 1.
    private let bucket = Atomic<UInt32>(0)
    private let exchanges = Atomic<UInt64>(0)
    private let progress = Atomic<UInt64>(0)
    private let isWritingCheckpoint = Atomic<Bool>(false)
    /// For tests: how long phases are drawn out.
    private let delays: [PhaseDelay]

    static let largestStep = 1 << 36 - 1
    static let largestLane = 1 << 20 - 2
    static let largestShard = 1 << 30 - 1
    static let largestRecord = 1 << 32 - 2

    private enum Loader: UInt64 { case idle, read, decode }

    public convenience init() { self.init(delays: []) }

    init(delays: [PhaseDelay]) {
        self.delays = delays
        since = Atomic(Self.now())
    }

    // MARK: Main thread

    /// Begins a phase of a step (counted from 1).
    public func enter(_ phase: RankPhase, step: Int, lane: Int? = nil) {
        let lane = lane.map { min($0, Self.largestLane) + 1 } ?? 0
        let step = max(0, min(step, Self.largestStep))
        post(UInt64(phase.rawValue) << 56 | UInt64(lane) << 36 | UInt64(step), phase)
    }

    /// Begins a phase of the same step; a lane no longer counts.
    public func enter(_ phase: RankPhase) {
        let step = place.load(ordering: .relaxed) & UInt64(Self.largestStep)
        post(UInt64(phase.rawValue) << 56 | step, phase)
    }

    private func post(_ value: UInt64, _ phase: RankPhase) {
        since.store(Self.now(), ordering: .relaxed)
        place.store(value, ordering: .releasing)
        advance()
        drawOut(phase)
    }

    private func drawOut(_ phase: RankPhase) {
        for delay in delays where delay.phase == phase { delay.sleep() }
    }

    /// Something was done: a node, a batch.
    @inline(__always) public func advance() { progress.add(1, ordering: .relaxed) }

    /// The main thread waits for the communication thread, which is to say for other ranks.
    public func beginWaiting() { waitingSince.store(Self.now(), ordering: .relaxed) }
    public func endWaiting() {
        waitingSince.store(0, ordering: .relaxed)
        advance()
    }

    // MARK: Loader threads

    /// A record is being read from its shard.
    public func reading(shard: Int, record: Int) {
        let place = UInt64(min(shard, Self.largestShard)) << 32 | UInt64(min(record, Self.largestRecord))
        loaderSince.store(Self.now(), ordering: .relaxed)
        loader.store(Loader.read.rawValue << 62 | place, ordering: .relaxed)
        advance()
    }

    /// The record that was read last is being unpacked.
    public func decoding() {
        loaderSince.store(Self.now(), ordering: .relaxed)
        setLoader(.decode)
        drawOut(.decode)
    }

    /// Nothing is being read or unpacked.
    public func loaded() { setLoader(.idle) }

    private func setLoader(_ activity: Loader) {
        let place = loader.load(ordering: .relaxed) & (1 << 62 - 1)
        loader.store(activity.rawValue << 62 | place, ordering: .relaxed)
        advance()
    }

    // MARK: Communication and checkpoint threads

    /// The exchange of a bucket begins.
    public func exchanging(bucket number: Int) {
        bucket.store(UInt32(clamping: number + 1), ordering: .relaxed)
        advance()
        drawOut(.exchange)
    }

    /// A collective call is complete.
    public func exchanged() {
        exchanges.add(1, ordering: .relaxed)
        advance()
    }

    public func writingCheckpoint(_ isWriting: Bool) {
        isWritingCheckpoint.store(isWriting, ordering: .relaxed)
        advance()
    }

    // MARK: Readers

    public func status() -> RankStatus {
        let place = place.load(ordering: .acquiring)
        let now = Self.now()
        var phase = RankPhase(rawValue: UInt8(place >> 56)) ?? .setup
        var start = since.load(ordering: .relaxed)
        let waiting = waitingSince.load(ordering: .relaxed)
        let loader = loader.load(ordering: .relaxed)
        let activity = Loader(rawValue: loader >> 62) ?? .idle
        if waiting != 0 && phase != .finished {
            phase = .exchange
            start = waiting
        } else if phase == .read && activity == .decode {
            phase = .decode
            start = max(start, loaderSince.load(ordering: .relaxed))
        }
        let lane = Int(place >> 36 & (1 << 20 - 1))
        let bucket = bucket.load(ordering: .relaxed)
        let isLoading = activity != .idle
        return RankStatus(
            phase: phase, step: Int(place & UInt64(Self.largestStep)),
            secondsInPhase: Double(now - min(now, start)) * 1e-9, progress: progress.load(ordering: .relaxed),
            exchanges: exchanges.load(ordering: .relaxed), lane: lane > 0 ? lane - 1 : nil,
            shard: isLoading ? Int(loader >> 32 & UInt64(Self.largestShard)) : nil,
            record: isLoading ? Int(loader & (1 << 32 - 1)) : nil, bucket: bucket > 0 ? Int(bucket) - 1 : nil,
            isWritingCheckpoint: isWritingCheckpoint.load(ordering: .relaxed))
    }

    private static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// Draws a phase out, so that tests can stop a rank in it.
struct PhaseDelay: Sendable, Equatable {
    let phase: RankPhase
    let milliseconds: Int

    /// - Parameter text: `PHASE:MILLISECONDS`, or `PHASE:MILLISECONDS:RANK` for one rank alone.
    /// - Returns: nil if it says nothing about this rank, or cannot be understood.
    init?(_ text: String, rank: Int) {
        let parts = text.split(separator: ":")
        guard parts.count == 2 || parts.count == 3, let milliseconds = Int(parts[1]), milliseconds >= 0,
            let phase = RankPhase.allCases.first(where: { $0.name == parts[0] }),
            parts.count == 2 || Int(parts[2]) == rank
        else { return nil }
        (self.phase, self.milliseconds) = (phase, min(milliseconds, 3_600_000))
    }

    /// Of a list with commas, those that are about this rank.
    static func list(_ text: String, rank: Int) -> [PhaseDelay] {
        text.split(separator: ",").compactMap { PhaseDelay(String($0), rank: rank) }
    }

    func sleep() {
        // To a point in time: signals interrupt the call.
        var end = timespec()
        clock_gettime(CLOCK_MONOTONIC, &end)
        end.tv_sec += milliseconds / 1000
        end.tv_nsec += milliseconds % 1000 * 1_000_000
        if end.tv_nsec >= 1_000_000_000 { (end.tv_sec, end.tv_nsec) = (end.tv_sec + 1, end.tv_nsec - 1_000_000_000) }
        while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, nil) == EINTR {}
    }
}
