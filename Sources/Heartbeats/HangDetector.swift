/// Judges from what was heard of the ranks whether a run hangs, and who is to blame. It knows nothing of clocks and sockets.
public struct HangDetector: Sendable, Equatable {
    /// How long a rank may stand still in a phase of a step.
    public var timeoutSeconds = 60.0
    /// After this time without a message a rank counts as silent: stopped, dead, or cut off.
    public var silenceSeconds = 3.0
    /// How many times the timeout a rank may stand still in setup, checkpoint, calibration and validation.
    public var patience = 5.0

    public init(timeoutSeconds: Double = 60) { self.timeoutSeconds = timeoutSeconds }

    /// How long a rank may stand still in a phase.
    public func limitSeconds(_ phase: RankPhase) -> Double { phase.isLong ? timeoutSeconds * patience : timeoutSeconds }

    private enum State {
        case unheard
        case finished
        case silent(Double)
        case waiting(still: Double)
        case stuck(Double)
        case active
    }

    private func state(_ observation: HeartbeatObservation?, now: Double, startedAt: Double, awakeSince: Double)
        -> State
    {
        guard let observation else { return .unheard }
        let status = observation.beat.status
        if status.phase == .finished { return .finished }
        if now - max(observation.arrivedAt, awakeSince) > silenceSeconds { return .silent(now - observation.arrivedAt) }
        let still = now - observation.progressChangedAt
        if status.phase == .exchange { return .waiting(still: still) }
        return still > limitSeconds(status.phase) ? .stuck(still) : .active
    }

    /// Who hangs, or nil if nobody does.
    /// - Parameters:
    ///   - startedAt: when the ranks were started.
    ///   - awakeSince: silence from before this time says nothing.
    public func judge(
        _ ranks: [HeartbeatObservation?], now: Double, startedAt: Double, awakeSince: Double = -.infinity
    ) -> HangReport? {
        let states = ranks.map { state($0, now: now, startedAt: startedAt, awakeSince: awakeSince) }
        let newestMove = Self.newestMove(ranks, states)
        var culprits: [HangReport.Culprit] = []
        var deaf: [HangReport.Culprit] = []
        var waiting: [(rank: Int, still: Double)] = []
        var isAnybodyActive = false
        for (rank, state) in states.enumerated() {
            func culprit(_ kind: HangReport.Kind, _ seconds: Double) -> HangReport.Culprit {
                HangReport.Culprit(kind: kind, rank: rank, seconds: seconds, beat: ranks[rank]?.beat)
            }
            switch state {
            case .finished: break
            case .active: isAnybodyActive = true
            case .stuck(let seconds): culprits.append(culprit(.stuck, seconds))
            case .waiting(let still): waiting.append((rank, still))
            case .silent(let seconds):
                // A step needs every rank, so whoever took part in one is alive: its messages get lost.
                if newestMove > now - seconds + 1 {
                    deaf.append(culprit(.silent, seconds))
                } else {
                    culprits.append(culprit(.silent, seconds))
                }
            case .unheard:
                let seconds = now - startedAt
                if newestMove > startedAt {
                    deaf.append(culprit(.unheard, seconds))
                } else if seconds > limitSeconds(.setup) {
                    culprits.append(culprit(.unheard, seconds))
                } else {
                    isAnybodyActive = true
                }
            }
        }
        if culprits.isEmpty {
            guard !isAnybodyActive, let still = waiting.map(\.still).min(), still > timeoutSeconds else { return nil }
            // Nobody moves. Whoever is no longer heard is the likely reason, else whoever is behind.
            culprits = deaf.isEmpty ? behind(waiting, ranks) : deaf
        }
        let blamed = Set(culprits.map(\.rank))
        return HangReport(
            culprits: culprits, worldSize: ranks.count,
            waiting: waiting.filter { !blamed.contains($0.rank) }.compactMap { ranks[$0.rank]?.beat },
            aliveHosts: Set(
                zip(ranks, states).compactMap { observation, state in
                    if case .silent = state { return nil }
                    return observation?.beat.host
                }))
    }

    /// Ranks that are not heard although the run goes on: a filter between the hosts, or messages that get lost.
    public func unheardButAlive(
        _ ranks: [HeartbeatObservation?], now: Double, startedAt: Double, awakeSince: Double = -.infinity
    ) -> [Int] {
        let states = ranks.map { state($0, now: now, startedAt: startedAt, awakeSince: awakeSince) }
        let newestMove = Self.newestMove(ranks, states)
        return states.indices.filter { rank in
            switch states[rank] {
            case .unheard: newestMove > startedAt
            case .silent(let seconds): newestMove > now - seconds + 1
            default: false
            }
        }
    }

    /// When the run as a whole was last known to move: the latest time at which a rank that is heard began a step and, before
    /// now, began another one. The second could not have begun without all ranks.
    private static func newestMove(_ ranks: [HeartbeatObservation?], _ states: [State]) -> Double {
        var newest = -Double.infinity
        for (observation, state) in zip(ranks, states) {
            guard let observation, observation.stepChangedAt > observation.previousStepChangedAt else { continue }
            switch state {
            case .waiting, .active, .stuck, .finished: newest = max(newest, observation.previousStepChangedAt)
            case .silent, .unheard: break
            }
        }
        return newest
    }

    /// Those of the waiting ranks that completed the fewest collective calls; all of them if they are level.
    private func behind(_ waiting: [(rank: Int, still: Double)], _ ranks: [HeartbeatObservation?]) -> [HangReport
        .Culprit]
    {
        let beats = waiting.compactMap { entry in ranks[entry.rank].map { (entry.still, $0.beat) } }
        func order(_ beat: Heartbeat) -> (Int, UInt64) { (beat.status.step, beat.status.exchanges) }
        guard let lowest = beats.map({ order($0.1) }).min(by: <) else { return [] }
        return beats.filter { order($0.1) == lowest }.map { still, beat in
            HangReport.Culprit(kind: .behind, rank: beat.rank, seconds: still, beat: beat)
        }
    }
}

/// Who keeps a run from going on.
public struct HangReport: Sendable, Equatable, CustomStringConvertible {
    public enum Kind: String, Sendable {
        /// Its messages stopped.
        case silent
        /// It sends messages, but does not get on.
        case stuck
        /// All ranks wait for each other; this one has got the least far.
        case behind
        /// It was never heard of.
        case unheard
    }

    public struct Culprit: Sendable, Equatable {
        public let kind: Kind
        public let rank: Int
        /// How long it has been silent, stuck or waiting.
        public let seconds: Double
        /// The last that was heard of it; nil if nothing ever was.
        public let beat: Heartbeat?

        public var phase: RankPhase { beat?.status.phase ?? .setup }
        public var host: String? { beat?.host }
    }

    public let culprits: [Culprit]
    public let worldSize: Int
    /// Ranks that wait for them, with what they said last.
    public let waiting: [Heartbeat]

    /// Hosts all of whose ranks that were heard of are silent: candidates to leave out.
    public let silentHosts: [String]

    init(culprits: [Culprit], worldSize: Int, waiting: [Heartbeat], aliveHosts: Set<String>) {
        self.culprits = culprits
        self.worldSize = worldSize
        self.waiting = waiting
        silentHosts = Set(culprits.filter { $0.kind == .silent }.compactMap(\.host)).subtracting(aliveHosts).sorted()
    }

    /// One line for each culprit, then what the others do.
    public var lines: [String] {
        var lines: [String] = []
        if culprits.count > 1, culprits.count == worldSize, culprits.allSatisfy({ $0.kind == .behind }) {
            let seconds = culprits.map(\.seconds).min() ?? 0
            let place = culprits[0].beat?.status.place ?? "exchange"
            return [
                "all \(worldSize) ranks have been waiting for each other for \(secondsText(seconds)) in \(place): "
                    + "look at the network between their hosts"
            ]
        }
        for culprit in culprits { lines.append(line(culprit)) }
        if let text = waitingText { lines.append(text) }
        return lines
    }

    /// All of it in one line.
    public var description: String { lines.joined(separator: "; ") }

    private func line(_ culprit: Culprit) -> String {
        let time = secondsText(culprit.seconds)
        guard let beat = culprit.beat else { return "rank \(culprit.rank) has not been heard of for \(time)" }
        let place = beat.status.place
        switch culprit.kind {
        case .silent, .unheard: return "\(beat.name) has been silent for \(time) in \(place)"
        case .stuck: return "\(beat.name) has been stuck for \(time) in \(place)"
        case .behind: return "\(beat.name) has been waiting for \(time) in \(place), behind the others"
        }
    }

    private var waitingText: String? {
        guard !waiting.isEmpty else { return nil }
        var counts: [String: Int] = [:]
        for beat in waiting { counts[beat.status.place, default: 0] += 1 }
        let places = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        let them = culprits.count == 1 ? "it" : "them"
        func ranks(_ count: Int) -> String { count == 1 ? "1 rank waits" : "\(count) ranks wait" }
        guard let first = places.first else { return nil }
        if places.count == 1 { return "\(ranks(first.value)) for \(them) in \(first.key)" }
        return "\(ranks(waiting.count)) for \(them), \(first.value) of them in \(first.key)"
    }
}
