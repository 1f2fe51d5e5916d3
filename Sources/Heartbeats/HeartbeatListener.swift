import Basics
import Glibc
import Synchronization
import Threads

/// The latest that was heard of a rank, with times of the listener's own monotonic clock.
public struct HeartbeatObservation: Sendable, Equatable {
    public var beat: Heartbeat
    public var arrivedAt: Double
    /// When the progress counter was first heard at its present value.
    public var progressChangedAt: Double
    /// When the present step, and the one before it, were first heard of.
    public var stepChangedAt: Double
    public var previousStepChangedAt: Double

    public init(_ beat: Heartbeat, at now: Double) {
        self.beat = beat
        (arrivedAt, progressChangedAt, stepChangedAt, previousStepChangedAt) = (now, now, now, now)
    }

    mutating func update(_ next: Heartbeat, at now: Double) {
        if next.status.progress != beat.status.progress || next.status.phase != beat.status.phase {
            progressChangedAt = now
        }
        if next.status.step != beat.status.step { (previousStepChangedAt, stepChangedAt) = (stepChangedAt, now) }
        (beat, arrivedAt) = (next, now)
    }
}

/// Hears the ranks of one run, and nobody else: at one address, with the run's token, in memory for its ranks only.
public final class HeartbeatListener: Sendable {
    public struct Counts: Sendable, Equatable {
        public var accepted = 0
        /// Wrong size, version or signature, or a world of another size: strangers, or remnants of another run.
        public var foreign = 0
        /// Older than one that came before.
        public var stale = 0
        /// From a second process that says it is a rank that we know.
        public var contested = 0
    }

    /// Everything that was heard, at one moment.
    public struct Table: Sendable {
        public fileprivate(set) var ranks: [HeartbeatObservation?]
        public fileprivate(set) var counts = Counts()
        /// When the listener last looked at its socket.
        public fileprivate(set) var listenedAt: Double
        /// When it last did so after it had not for a while: before this time, silence says nothing.
        public fileprivate(set) var awakeSince: Double
    }

    private let core: Core
    private let thread = Mutex<WorkerThread?>(nil)

    /// - Parameter address: of one of this host's interfaces, in numbers; the port is any that is free.
    /// - Throws: `Failure` (usage) for addresses that stand for several interfaces; (input/output).
    public init(address: String, worldSize: Int, token: HeartbeatToken) throws {
        guard (1...Heartbeat.largestWorld).contains(worldSize) else {
            throw Failure(.usage, "\(worldSize) ranks: heartbeats are for 1…\(Heartbeat.largestWorld)")
        }
        let address = try SocketAddress(host: address, port: 0)
        guard !address.isGeneral else {
            throw Failure(.usage, "\(address.host) stands for more than one interface; give the address of one")
        }
        let core = Core(
            socket: try DatagramSocket(boundTo: address), wakeUp: try WakeUp(), worldSize: worldSize, token: token)
        self.core = core
        let thread = WorkerThread(name: "listener") { core.work() }
        self.thread.withLock { $0 = thread }
    }

    deinit { stop() }

    /// Address and port, as `VERGENCE_HEARTBEAT_ADDRESS` has it.
    public var endpoint: String { core.socket.address.description }

    public func table() -> Table { core.table.withLock { $0.table } }

    /// Asks ranks that have been heard to write their stacks. Returns how many were asked.
    @discardableResult
    public func requestStackDump(of ranks: [Int]? = nil) -> Int { core.requestStackDump(of: ranks) }

    public func stop() {
        core.isEnding.store(true, ordering: .relaxed)
        core.wakeUp.wake()
        thread.withLock { thread in
            thread?.join()
            thread = nil
        }
    }

    private final class Core: Sendable {
        let socket: DatagramSocket
        let wakeUp: WakeUp
        let token: HeartbeatToken
        let isEnding = Atomic<Bool>(false)

        struct State {
            var table: Table
            var senders: [SocketAddress?]
            var requestNumber: UInt64 = 0
        }
        let table: Mutex<State>

        /// A pause of the listener's own (a stopped process, a suspended machine) after which silence is measured anew.
        private static let pauseSeconds = 1.0

        init(socket: DatagramSocket, wakeUp: WakeUp, worldSize: Int, token: HeartbeatToken) {
            (self.socket, self.wakeUp, self.token) = (socket, wakeUp, token)
            let now = monotonicSeconds()
            table = Mutex(
                State(
                    table: Table(
                        ranks: [HeartbeatObservation?](repeating: nil, count: worldSize), listenedAt: now,
                        awakeSince: now),
                    senders: [SocketAddress?](repeating: nil, count: worldSize)))
        }

        func work() {
            var buffer = [UInt8](repeating: 0, count: Heartbeat.longestMessage)
            while !isEnding.load(ordering: .relaxed) {
                wakeUp.wait(for: socket, milliseconds: 100)
                let now = monotonicSeconds()
                // A flood of strangers' messages may not keep us from noting the time.
                for _ in 0..<1024 {
                    let hasMore = buffer.withUnsafeMutableBytes { buffer -> Bool in
                        guard let (count, sender) = socket.receive(buffer) else { return false }
                        // A message that did not fit is nobody's.
                        take(UnsafeRawBufferPointer(rebasing: buffer[..<min(count, buffer.count)]), count, sender, now)
                        return true
                    }
                    if !hasMore { break }
                }
                table.withLock { state in
                    if now - state.table.listenedAt > Self.pauseSeconds { state.table.awakeSince = now }
                    state.table.listenedAt = now
                }
            }
        }

        private func take(_ bytes: UnsafeRawBufferPointer, _ byteCount: Int, _ sender: SocketAddress, _ now: Double) {
            let beat = byteCount == bytes.count ? try? Heartbeat(decoding: bytes, token: token) : nil
            table.withLock { state in
                guard let beat, beat.worldSize == state.table.ranks.count else {
                    state.table.counts.foreign += 1
                    return
                }
                if var known = state.table.ranks[beat.rank] {
                    guard known.beat.pid == beat.pid, known.beat.host == beat.host else {
                        state.table.counts.contested += 1
                        return
                    }
                    guard beat.number > known.beat.number else {
                        state.table.counts.stale += 1
                        return
                    }
                    known.update(beat, at: now)
                    state.table.ranks[beat.rank] = known
                } else {
                    state.table.ranks[beat.rank] = HeartbeatObservation(beat, at: now)
                }
                state.table.counts.accepted += 1
                state.senders[beat.rank] = sender
            }
        }

        func requestStackDump(of ranks: [Int]?) -> Int {
            let (number, targets) = table.withLock { state in
                state.requestNumber += 1
                let wanted = ranks ?? Array(state.senders.indices)
                let targets = wanted.compactMap { rank -> (Int, SocketAddress)? in
                    guard state.senders.indices.contains(rank), let sender = state.senders[rank] else { return nil }
                    return (rank, sender)
                }
                return (state.requestNumber, targets)
            }
            for (rank, sender) in targets {
                HeartbeatRequest(.dumpStacks, number: number, rank: rank).encoded(token: token)
                    .withUnsafeBytes { _ = socket.send($0, to: sender) }
            }
            return targets.count
        }
    }
}
