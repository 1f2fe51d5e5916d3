import Basics
import Glibc

extension Verdict {
    /// What happened, as the start of a line.
    func text(ranks: [Int: Int32], severalHosts: Bool) -> String {
        switch self {
        case .done: return "done"
        case .interrupted: return "stopped"
        case .refused(let code): return "the ranks ended with code \(code.rawValue)"
        case .launcherTrouble(_, let reason): return reason
        case .launcherDied(let signal): return "mpirun died of signal \(signal)"
        case .stalled: return "ended the ranks that were stuck"
        case .runHeld: return "ranks of the attempt before still hold the run"
        case .hostLost(let names):
            return names.isEmpty ? "lost a machine" : "lost \(names.joined(separator: ", "))"
        case .rankDied(let death):
            var who = death.rank.map { "rank \($0)" } ?? "a rank"
            if let process = death.process ?? death.rank.flatMap({ ranks[$0] }) { who += " (pid \(process))" }
            if severalHosts, let host = death.host { who += " on \(host)" }
            switch death.cause {
            case .signal(let number): return "\(who) died of signal \(number)"
            case .code(let code): return "\(who) ended with code \(code)"
            }
        }
    }

    /// The same for the same failure of the same rank or machine.
    var signature: String {
        if case .rankDied(var death) = self {
            death.host = nil
            death.process = nil
            return "\(death)"
        }
        return "\(self)"
    }

    /// Where to look if it happens again and again.
    var advice: String {
        switch self {
        case .rankDied(let death):
            switch death.cause {
            case .signal(SIGKILL): return "was it out of memory? see dmesg, and train --dry-run for what a rank needs"
            case .signal: return "look at what the rank said above; vergence debug and --check-nan find out more"
            case .code(ExitCode.inputOutput.rawValue): return "look for a full disk or a file system that is gone"
            case .code: return "look at what the rank said above"
            }
        case .hostLost: return "look at the machines and at the network between them (--network)"
        case .stalled: return "look at the reports above for who was stuck in what"
        case .runHeld: return "end the vergence processes that are left on the machines"
        default: return "look at what was said above"
        }
    }

    /// The code with which the supervisor gives up.
    var finalCode: ExitCode {
        switch self {
        case .done: return .done
        case .interrupted: return .interrupted
        case .refused(let code), .launcherTrouble(let code, _): return code
        case .rankDied(let death) where death.cause == .code(ExitCode.inputOutput.rawValue): return .inputOutput
        case .runHeld: return .usage
        default: return .tryAgain
        }
    }

    /// Its name in the journal.
    var name: String {
        switch self {
        case .done: "done"
        case .interrupted: "interrupted"
        case .refused: "refused"
        case .rankDied: "rank_died"
        case .hostLost: "host_lost"
        case .launcherDied: "launcher_died"
        case .launcherTrouble: "launcher_trouble"
        case .stalled: "stalled"
        case .runHeld: "run_held"
        }
    }
}

/// `1 rank`, `2 ranks`.
func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

/// `1`, `0.5`, `12.3`: seconds without more digits than they deserve.
func seconds(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
}
