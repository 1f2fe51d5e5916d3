import Basics
import Glibc
import Synchronization
import Threads

/// The thread of a rank that tells whoever watches what the rank is doing, also while all its other threads are stuck: twice
/// a second, and soon after the phase has changed.
public final class HeartbeatSender: Sendable {
    /// `10.0.0.1:4000` or `[fd00::1]:4000`: where to send to.
    public static let addressVariable = "VERGENCE_HEARTBEAT_ADDRESS"
    /// 32 hexadecimal digits.
    public static let tokenVariable = "VERGENCE_HEARTBEAT_TOKEN"
    /// For tests: `PHASE:MILLISECONDS[:RANK]`, several with commas, draws phases out. Read only where there is a token.
    public static let delayVariable = "VERGENCE_HEARTBEAT_DELAY"

    static let intervalSeconds = 0.5

    private let core: Core
    private let thread = Mutex<WorkerThread?>(nil)

    /// What this rank's board is like under these variables: with a token, tests may draw out a phase.
    public static func board(environment: [String: String], rank: Int) -> StatusBoard {
        guard environment[tokenVariable] != nil, let text = environment[delayVariable] else { return StatusBoard() }
        return StatusBoard(delays: PhaseDelay.list(text, rank: rank))
    }

    /// Starts sending, if the environment says where to; nil otherwise.
    /// - Parameter dumpStacks: called on the sender's thread when whoever watches asks for it.
    /// - Throws: `Failure` (usage) if the variables cannot be understood.
    public static func start(
        environment: [String: String], rank: Int, worldSize: Int, host: String, board: StatusBoard,
        dumpStacks: @escaping @Sendable () -> Void
    ) throws -> HeartbeatSender? {
        guard let address = environment[addressVariable], let digits = environment[tokenVariable] else { return nil }
        guard let token = HeartbeatToken(hexadecimal: digits) else {
            // The value stays unsaid: it is a secret.
            throw Failure(.usage, "\(tokenVariable) is not 32 hexadecimal digits; unset it or let the launcher set it")
        }
        let endpoint: SocketAddress
        do {
            endpoint = try SocketAddress(endpoint: address)
        } catch {
            throw Failure(.usage, "\(addressVariable): \(error)")
        }
        guard rank >= 0, rank < worldSize, worldSize <= Heartbeat.largestWorld else {
            throw Failure(
                .usage, "rank \(rank) of \(worldSize): heartbeats are for at most \(Heartbeat.largestWorld) ranks")
        }
        return HeartbeatSender(
            try Core(
                endpoint: endpoint, token: token, rank: rank, worldSize: worldSize, host: host, board: board,
                dumpStacks: dumpStacks))
    }

    private init(_ core: Core) {
        self.core = core
        let thread = WorkerThread(name: "heartbeat") { core.work() }
        self.thread.withLock { $0 = thread }
    }

    deinit { stop() }

    /// Messages sent so far.
    public var sentCount: UInt64 { core.sentCount }

    /// Sends the board as it is now, from any thread: the last words of a process that ends.
    public func sendNow() { core.send() }

    /// Sends once more and ends the thread.
    public func stop() {
        core.end()
        thread.withLock { thread in
            thread?.join()
            thread = nil
        }
    }

    private final class Core: Sendable {
        private let socket: DatagramSocket
        private let wakeUp: WakeUp
        private let token: HeartbeatToken
        private let rank: Int
        private let worldSize: Int
        private let host: String
        private let board: StatusBoard
        private let dumpStacks: @Sendable () -> Void
        private let number = Mutex<UInt64>(0)
        private let isEnding = Atomic<Bool>(false)
        private let pid = Int(getpid())

        init(
            endpoint: SocketAddress, token: HeartbeatToken, rank: Int, worldSize: Int, host: String, board: StatusBoard,
            dumpStacks: @escaping @Sendable () -> Void
        ) throws {
            socket = try DatagramSocket(connectedTo: endpoint)
            wakeUp = try WakeUp()
            self.token = token
            self.rank = rank
            self.worldSize = worldSize
            self.host = host
            self.board = board
            self.dumpStacks = dumpStacks
        }

        var sentCount: UInt64 { number.withLock { $0 } }

        /// How often the board is looked at: often enough that a rank which is stopped was seen in its last phase, seldom
        /// enough that a thousand ranks do not flood the one who listens.
        private var glanceMilliseconds: Int32 { Int32(max(50, min(500, worldSize / 4))) }

        func work() {
            var sentAt = -Double.infinity
            var sentPlace: (RankPhase, Int, Int?)?
            var lastRequest: UInt64 = 0
            var buffer = [UInt8](repeating: 0, count: Heartbeat.longestMessage)
            while !isEnding.load(ordering: .relaxed) {
                let status = board.status()
                let now = monotonicSeconds()
                let place = (status.phase, status.step, status.lane)
                let hasMoved = sentPlace.map { $0 != place } ?? true
                if hasMoved || now - sentAt >= HeartbeatSender.intervalSeconds - 0.01 {
                    send(status)
                    (sentAt, sentPlace) = (now, place)
                }
                wakeUp.wait(for: socket, milliseconds: glanceMilliseconds)
                if let number = request(after: lastRequest, &buffer) {
                    lastRequest = number
                    dumpStacks()
                }
            }
            send()
        }

        /// Takes what has come; the number of the newest request that is new. One dump answers all of them.
        private func request(after last: UInt64, _ buffer: inout [UInt8]) -> UInt64? {
            var newest = last
            for _ in 0..<64 {
                let message = buffer.withUnsafeMutableBytes { buffer -> HeartbeatRequest?? in
                    guard let (count, _) = socket.receive(buffer) else { return .none }
                    guard count <= buffer.count else { return .some(nil) }
                    return .some(
                        HeartbeatRequest(decoding: UnsafeRawBufferPointer(rebasing: buffer[..<count]), token: token))
                }
                guard let message else { break }
                if let message, message.rank == rank { newest = max(newest, message.number) }
            }
            return newest > last ? newest : nil
        }

        func send() { send(board.status()) }

        private func send(_ status: RankStatus) {
            // Numbering and sending are one, so that nothing overtakes.
            number.withLock { number in
                number += 1
                let beat = Heartbeat(
                    number: number, rank: rank, worldSize: worldSize, pid: pid, host: host, status: status)
                withUnsafeTemporaryAllocation(byteCount: Heartbeat.byteCount, alignment: 8) { buffer in
                    beat.encode(into: buffer, token: token)
                    socket.send(UnsafeRawBufferPointer(buffer))
                }
            }
        }

        func end() {
            isEnding.store(true, ordering: .relaxed)
            wakeUp.wake()
        }
    }
}
