import ArgumentParser
import Basics
import Glibc
import Telemetry

/// Root of the command line.
struct VergenceShards: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vergence-shards",
        abstract: "Makes, inspects and mends data sets of stereo pairs for vergence.",
        discussion: """
            A data set is a folder of LZ4-compressed shards with a manifest.

            Example, from a folder of side-by-side film frames to a checked data set:
              vergence-shards convert frames films.data --layout side-by-side
              vergence-shards verify films.data

            Exit codes: 0 done, 64 usage, 65 bad data, 66 missing input, 70 our own fault, 74 input/output, \
            130 interrupted.
            """,
        subcommands: [
            Convert.self, Synth.self, Info.self, Verify.self, Show.self, Statistics.self, Salvage.self, Merge.self,
            SplitCommand.self, Reshard.self,
        ])
}

/// The one place where an error becomes a line and an exit code.
@main
enum Main {
    static func main() {
        // Progress and results go to pipes that may close: a write error then ends the run, not a signal in the middle.
        signal(SIGPIPE, SIG_IGN)
        do {
            var command = try VergenceShards.parseAsRoot(
                UsageText.joiningNegativeNumbers(CommandLine.arguments.dropFirst()))
            try command.run()
        } catch let error as any ExitCoding {
            Console.complain(error.description)
            exit(error.exitCode.rawValue)
        } catch let error as BadInputs {
            for line in error.lines { Console.complain(line) }
            exit(error.exitCode.rawValue)
        } catch {
            if VergenceShards.exitCode(for: error) == .success { VergenceShards.exit(withError: error) }
            Console.complain(UsageHint.line(for: error))
            exit(Basics.ExitCode.usage.rawValue)
        }
    }
}

/// How much a command says while it works.
struct LogOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "What standard error shows: text, quiet (errors) or json (an object per line).", valueName: "style"))
    var log = LogStyle.text

    /// Part of reading the command line: whatever goes wrong from here on is said in this style.
    mutating func validate() throws { Log.style = log }
}

extension LogStyle: ExpressibleByArgument {}

/// Several errors that end a run together.
struct BadInputs: Error {
    let lines: [String]
    let exitCode: Basics.ExitCode
}

enum Console {
    /// One line on standard error.
    static func complain(_ text: String) { say((Log.style == .json ? "" : "vergence-shards: ") + text, .error) }

    /// One line on standard error that is no error.
    static func note(_ text: String) { say(text, .info) }

    private static func say(_ text: String, _ level: LogLevel) {
        if let line = Log.line(text, level) { write(line, to: STDERR_FILENO) }
    }

    /// One line of results on standard output.
    static func show(_ text: String) { write("\(Log.singleLine(text))\n", to: STDOUT_FILENO) }

    static func write(_ text: String, to descriptor: Int32) {
        var text = text
        text.withUTF8 { bytes in
            var offset = 0
            while offset < bytes.count {
                let count = Glibc.write(descriptor, bytes.baseAddress! + offset, bytes.count - offset)
                if count < 0 && errno == EINTR { continue }
                if count <= 0 { return }
                offset += count
            }
        }
    }
}
