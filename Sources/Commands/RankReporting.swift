import Collectives
import Foundation
import Heartbeats
import Synchronization

/// What the ranks of this process say about themselves outside of MPI: heartbeats, if whoever started them wants some, and
/// an answer to SIGUSR2.
enum RankReporting {
    private struct Rank: Sendable {
        let number: Int
        let board: StatusBoard
        let sender: HeartbeatSender?
    }

    private static let ranks = Mutex<[Rank]>([])

    /// The board of a rank of this process, which is told to the world from now on.
    /// - Throws: `Failure` (usage) if the environment's address or token cannot be understood.
    static func begin(rank: Int, worldSize: Int) throws -> StatusBoard {
        let environment = ProcessInfo.processInfo.environment
        let board = HeartbeatSender.board(environment: environment, rank: rank)
        let sender = try HeartbeatSender.start(
            environment: environment, rank: rank, worldSize: worldSize, host: HostName.current, board: board,
            dumpStacks: { StackDump.request() })
        ranks.withLock { $0.append(Rank(number: rank, board: board, sender: sender)) }
        return board
    }

    /// From now on SIGUSR2 is answered.
    static func installStackDump() throws {
        try StackDump.install(prefix: Launcher.prefix) { status() }
    }

    private static func status() -> [String] {
        let pid = getpid()
        let ranks = ranks.withLock { $0 }
        return ranks.map { rank in
            let status = rank.board.status()
            let name = ranks.count > 1 ? "pid \(pid), rank \(rank.number)" : "pid \(pid)"
            let seconds = String(format: "%.1f", status.secondsInPhase)
            return "\(name): \(status.place), for \(seconds) s"
        }
    }

    /// Says that the ranks have finished, and nothing more.
    static func end() {
        let ended = ranks.withLock { ranks in
            defer { ranks = [] }
            return ranks
        }
        for rank in ended {
            rank.board.enter(.finished)
            rank.sender?.stop()
        }
    }

    /// The same for a process that ends at once: who leaves with a message of its own does not hang.
    static func leave() {
        guard let leaving = ranks.withLockIfAvailable({ $0 }) else { return }
        for rank in leaving {
            rank.board.enter(.finished)
            rank.sender?.sendNow()
        }
    }
}
