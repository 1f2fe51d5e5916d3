import Basics
import Diagnosis
import Foundation
import Glibc
import Synchronization
import Threads

/// Ends the process, with a word about the reason, if the ranks do not find each other in time: the first message is where
/// a launch over an interface that leads nowhere hangs, and MPI would say nothing for minutes.
final class LaunchWatch: Sendable {
    private struct State: Sendable {
        /// nil: nothing is awaited.
        var deadline: Double?
        var seconds = 0.0
        var action = ""
        var hasEnded = false
    }

    private final class Shared: Sendable { let state = Mutex(State()) }

    private let shared = Shared()
    private let thread: WorkerThread?

    /// - Parameter isWatching: alone there is nobody to wait for.
    init(isWatching: Bool) {
        let shared = shared
        thread =
            isWatching
            ? WorkerThread(name: "launch watch") {
                while true {
                    usleep(20_000)
                    let state = shared.state.withLock { $0 }
                    if state.hasEnded { return }
                    // Rank 0 speaks for all; the launcher ends the others within seconds, if it was the one to wait.
                    let patience = Launcher.current.rank == 0 ? 0.0 : 6
                    guard let deadline = state.deadline, monotonicSeconds() > deadline + patience else { continue }
                    VergenceCommand.leave(Self.failure(state.action, seconds: state.seconds))
                }
            } : nil
    }

    /// From now on, `action` (as "no answer …") must be over within `seconds`.
    func expect(_ action: String, within seconds: Double) {
        shared.state.withLock {
            $0.deadline = monotonicSeconds() + seconds
            $0.seconds = seconds
            $0.action = action
        }
    }

    /// What was awaited has come.
    func relax() { shared.state.withLock { $0.deadline = nil } }

    func end() {
        shared.state.withLock { $0.hasEnded = true }
        thread?.join()
    }

    private static func failure(_ action: String, seconds: Double) -> Failure {
        let environment = ProcessInfo.processInfo.environment
        let waited = "\(action) within \(Int(seconds)) s"
        if environment["OMPI_MCA_orte_num_nodes"] == "1" {
            return Failure(
                .tryAgain, "\(waited); another rank is stuck or waits for a core; look at it with top, and start again")
        }
        let (bridges, others) = NetworkFacts.bridges(NetworkFacts.gather(environment: environment).interfaces)
        func list(_ interfaces: [RankFacts.Interface]) -> String {
            interfaces.map { "\($0.name) \($0.address)/\($0.prefix)" }.joined(separator: ", ")
        }
        let name = Finding.Name.unroutableInterface.rawValue
        let include =
            "mpirun --mca btl_tcp_if_include \(others.compactMap(NetworkFacts.network).first ?? "NETWORK/BITS")"
        if !bridges.isEmpty {
            return Failure(
                .usage,
                "\(name): \(waited): MPI may choose \(list(bridges)), a bridge inside this host that leads to no other; "
                    + "name the network that joins the hosts: \(include)")
        }
        return Failure(
            .tryAgain,
            "\(name): \(waited): a rank is stuck, or one of the interfaces that MPI may choose here (\(list(others))) leads to "
                + "no other host; name the network that joins the hosts: \(include)")
    }
}
