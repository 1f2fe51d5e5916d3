import ArgumentParser
import Glibc
import Telemetry

/// Messages for people: standard error. Results go to standard output.
enum Console {
    static func note(_ text: String) { say(text, .info) }
    static func warn(_ text: String) { say(text, .warning) }

    static func say(_ text: String, _ level: LogLevel, source: String? = nil) {
        if let line = Log.line(text, level, source: source) { write(line) }
    }

    static func write(_ text: String) {
        // One write per message: lines of several ranks do not mix.
        var text = text
        text.withUTF8 { bytes in
            var offset = 0
            while offset < bytes.count {
                let written = Glibc.write(2, bytes.baseAddress! + offset, bytes.count - offset)
                if written <= 0 { return }
                offset += written
            }
        }
    }
}

/// How much a command says while it works.
struct LogOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "What standard error shows: text, quiet (warnings and errors) or json (an object per line).",
            valueName: "style"))
    var log = LogStyle.text

    /// Part of reading the command line: whatever goes wrong from here on is said in this style.
    mutating func validate() throws { Log.style = log }
}

extension LogStyle: ExpressibleByArgument {}
