import Basics

/// Watches one run from outside of MPI: for whoever starts the ranks.
///
/// ```swift
/// let monitor = try RunMonitor(address: "10.0.0.1", worldSize: 8)
/// // Start the ranks with monitor.environment, then twice a second or so:
/// if let report = monitor.check() {
///     monitor.requestStackDump()
///     // Say report.description, end the ranks a little later, start again.
/// }
/// ```
///
/// One monitor is for one start of the ranks: the next has another token, so that remnants of the one before go unheard.
public final class RunMonitor: Sendable {
    /// Variables to hand to the ranks: `mpirun -x NAME`, by name only, so that the token stands on no command line.
    public static let variableNames = [HeartbeatSender.addressVariable, HeartbeatSender.tokenVariable]

    private let listener: HeartbeatListener
    private let detector: HangDetector
    private let token: HeartbeatToken
    private let startedAt = monotonicSeconds()

    /// Listens from now on.
    /// - Parameters:
    ///   - address: in numbers, of the one interface over which the ranks' hosts reach this one; `127.0.0.1` for ranks
    ///     on this host.
    ///   - token: another one than a new one, for tests.
    /// - Throws: `Failure` (usage, input/output).
    public init(
        address: String, worldSize: Int, detector: HangDetector = HangDetector(), token: HeartbeatToken = .random()
    ) throws {
        self.detector = detector
        self.token = token
        listener = try HeartbeatListener(address: address, worldSize: worldSize, token: token)
    }

    /// What the ranks' environment needs.
    public var environment: [String: String] {
        [HeartbeatSender.addressVariable: listener.endpoint, HeartbeatSender.tokenVariable: token.hexadecimal]
    }

    /// Who hangs, if anybody does. The same report, with growing times, as long as that is so.
    public func check() -> HangReport? {
        let table = listener.table()
        let now = monotonicSeconds()
        // The listener has not had its turn (this process was stopped, the machine slept): what it knows is old.
        guard now - table.listenedAt < 1 else { return nil }
        return detector.judge(table.ranks, now: now, startedAt: startedAt, awakeSince: table.awakeSince)
    }

    /// Asks ranks that have been heard (all of them by default) to write where they are, with all their stacks, to their
    /// standard error. Returns how many were asked; those that are stopped cannot answer.
    @discardableResult
    public func requestStackDump(of ranks: [Int]? = nil) -> Int { listener.requestStackDump(of: ranks) }

    /// The latest that was heard of each rank; nil before its first message.
    public func observations() -> [HeartbeatObservation?] { listener.table().ranks }

    /// Messages so far.
    public var counts: HeartbeatListener.Counts { listener.table().counts }

    /// A line for each rank.
    public func status() -> [String] {
        let table = listener.table()
        let now = monotonicSeconds()
        let deaf = Set(
            detector.unheardButAlive(table.ranks, now: now, startedAt: startedAt, awakeSince: table.awakeSince))
        return table.ranks.enumerated().map { rank, observation in
            guard let observation else {
                return "rank \(rank): not heard of" + (deaf.contains(rank) ? ", but the run goes on" : "")
            }
            let status = observation.beat.status
            var line = "\(observation.beat.name): \(status.place)"
            if status.phase != .finished {
                let age = now - observation.arrivedAt
                line += ", for \(secondsText(status.secondsInPhase + age))"
                if age > 1 { line += "; last heard \(secondsText(age)) ago" }
                if deaf.contains(rank) { line += ", but the run goes on" }
            }
            return line
        }
    }

    /// What should be known of messages that were not taken; nil if all is well.
    public var warning: String? {
        let counts = counts
        if counts.contested > 0 {
            return
                "two processes say that they are the same rank (\(counts.contested) messages): did the launcher start "
                + "copies that do not know of each other?"
        }
        return counts.foreign > 0 ? "\(counts.foreign) messages of strangers were dropped" : nil
    }

    public func stop() { listener.stop() }
}
