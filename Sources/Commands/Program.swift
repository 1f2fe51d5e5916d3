import ArgumentParser
import Basics
import Collectives
import Foundation
import Glibc
import Telemetry

extension VergenceCommand {
    /// The whole program: parses, runs, and is the one place that turns an error into a message and an exit code.
    public static func run(_ launch: LaunchEnvironment) -> Never {
        // A reader that goes away (`| head`) is no reason to die without a word.
        signal(SIGPIPE, SIG_IGN)
        Launcher.current = launch
        do {
            var command = try parseAsRoot(UsageText.joiningNegativeNumbers(CommandLine.arguments.dropFirst()))
            try command.run()
            fflush(nil)
            Glibc.exit(Basics.ExitCode.done.rawValue)
        } catch {
            leave(error)
        }
    }

    /// Says what went wrong and ends the process, without unwinding: on the way other ranks' answers might be waited for
    /// that never come. The launcher ends the other ranks when one leaves with an exit code.
    static func leave(_ error: any Error) -> Never {
        InterruptSignal.forget()
        switch error {
        case let error as PeerFailure:
            // The rank that failed says why itself; this one leaves with the same code.
            leaveSilently(error.exitCode)
        case let error as EchoedFailure:
            leaveSilently(error.exitCode)
        case let error as CommonFailure:
            // Every rank has this one: rank 0 says it, without its name.
            if Launcher.current.rank != 0 { leaveSilently(error.exitCode) }
            complain("", error.description)
            leave(with: error.exitCode)
        case let error as any ExitCoding:
            letRankZeroSpeakFirst()
            complain(Launcher.prefix, error.description)
            leave(with: error.exitCode)
        default:
            // Help, version and errors of the argument parser, which every rank has.
            let code = exitCode(for: error)
            if code.isSuccess || code == .validationFailure {
                if Launcher.current.rank != 0 { leaveSilently(code.isSuccess ? .done : .usage) }
                if code.isSuccess { exit(withError: error) }
                complain("", UsageMessage.line(for: error, root: Self.self))
                leave(with: .usage)
            }
            complain(Launcher.prefix, "internal error: \(error); please report this")
            leave(with: .internalFault)
        }
    }

    private static func complain(_ prefix: String, _ text: String) {
        Console.say(
            (Log.style == .json ? "" : "\(prefix)vergence: ") + text, .error,
            source: Log.style == .json && !prefix.isEmpty ? prefix.trimmingCharacters(in: .whitespaces) : nil)
    }

    /// What all ranks find out at the same moment, such as a loss that is no number, is said once: when rank 0 leaves, the
    /// launcher ends those who wait here.
    private static func letRankZeroSpeakFirst() {
        if Launcher.current.isUnderLauncher && Launcher.current.rank != 0 { awaitLauncher() }
    }

    /// A launcher ends all ranks soon after one leaves, so a silent rank gives the one that speaks time to do so.
    private static func leaveSilently(_ code: Basics.ExitCode) -> Never {
        if code != .done && Launcher.current.isUnderLauncher { awaitLauncher() }
        leave(with: code)
    }

    /// Waits for the signal by which the launcher ends this rank; mpirun takes a second before it sends it.
    private static func awaitLauncher() {
        for _ in 0..<250 {
            if InterruptSignal.isRequested { leave(with: .tryAgain) }
            usleep(10_000)
        }
    }

    private static func leave(with code: Basics.ExitCode) -> Never {
        RankReporting.leave()
        fflush(nil)
        // Without exit handlers: those of MPI may wait for other ranks.
        _exit(code.rawValue)
    }
}

/// A failure that every rank has in the same words.
struct CommonFailure: ExitCoding {
    let exitCode: Basics.ExitCode
    let description: String
}

/// Another rank failed, and says so itself.
struct EchoedFailure: Error { let exitCode: Basics.ExitCode }

/// Errors of the argument parser as one line that ends with the remedy.
enum UsageMessage {
    /// - Parameter arguments: what was parsed.
    static func line<Root: ParsableCommand>(
        for error: any Error, root: Root.Type, arguments: ArraySlice<String> = CommandLine.arguments.dropFirst()
    ) -> String {
        var message = UsageText.inOneLine(root.message(for: error))
        let (path, rest) = meant(root, arguments)
        let command = path.last ?? root
        if let word = rest {
            message =
                "unknown command '\(word)'"
                + suggestion(for: word, among: command.configuration.subcommands.map { $0._commandName })
        } else if command != LaunchCommand.self,
            let problem = UsageText.unknownOption(
                in: arguments, help: root.helpMessage(for: command, includeHidden: true, columns: 200))
        {
            message = problem
        }
        let names = path.map { $0._commandName }.joined(separator: " ")
        let first = message.prefix(1).lowercased() + message.dropFirst()
        return first.trimmingSuffix(".") + "; see '\(names) --help'"
    }

    /// The commands that the arguments name, and the word after them if a command was expected there.
    private static func meant(
        _ root: any ParsableCommand.Type, _ arguments: ArraySlice<String>
    ) -> ([any ParsableCommand.Type], String?) {
        var path = [root]
        for argument in arguments {
            guard let commands = path.last?.configuration.subcommands, !commands.isEmpty else { return (path, nil) }
            guard let next = commands.first(where: { $0._commandName == argument }) else {
                return (path, argument.hasPrefix("-") ? nil : argument)
            }
            path.append(next)
        }
        return (path, nil)
    }
}

extension String {
    fileprivate func trimmingSuffix(_ suffix: String) -> String {
        hasSuffix(suffix) ? String(dropLast(suffix.count)) : self
    }
}
