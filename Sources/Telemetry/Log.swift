import Basics
import Foundation
import Synchronization

/// How much a program says on standard error, and in which form. Errors are always said.
public enum LogStyle: String, Sendable, CaseIterable {
    /// Lines for people, and a progress bar on a terminal.
    case text
    /// Warnings and errors only, as lines for people.
    case quiet
    /// One JSON object per line: `time`, `level`, `message`, and `rank` where one is known; progress has `event`
    /// `progress` and its numbers instead of a message.
    case json
}

public enum LogLevel: String, Sendable { case info, warning, error }

/// The one place that turns what a program has to say into lines.
public enum Log {
    private static let shared = Mutex(LogStyle.text)

    /// The style of this process; set once, when the command line has been read.
    public static var style: LogStyle {
        get { shared.withLock { $0 } }
        set { shared.withLock { $0 = newValue } }
    }

    /// Text with spaces for control characters, which names of files may hold: they must not break a line or reach a
    /// terminal.
    public static func singleLine(_ text: String) -> String {
        String(
            String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
    }

    /// A message as it is written, with its line break; nil if the style leaves it out.
    /// - Parameter source: who speaks, if not the program itself, e.g. `launch` or `[rank 3 on node2]`.
    public static func line(
        _ message: String, _ level: LogLevel = .info, source: String? = nil, style: LogStyle = Log.style
    ) -> String? {
        let line = singleLine(message)
        switch style {
        case .quiet where level == .info: return nil
        case .text, .quiet:
            return (source.map { "\($0): " } ?? "") + (level == .warning ? "warning: " : "") + line + "\n"
        case .json:
            var fields = [("level", JSONText.string(level.rawValue))]
            if let source { fields.append(("source", JSONText.string(source))) }
            return object(fields + [("message", JSONText.string(line))])
        }
    }

    /// A progress line in the style `json`.
    static func line(_ snapshot: ProgressSnapshot) -> String {
        var fields: [(String, String)] = [
            ("level", JSONText.string("info")), ("event", JSONText.string("progress")),
            ("task", JSONText.string(snapshot.task)), ("unit", JSONText.string(snapshot.unit)),
            ("position", "\(snapshot.position)"),
        ]
        if let total = snapshot.total { fields.append(("total", "\(total)")) }
        func add(_ name: String, _ value: Double?) {
            if let value { fields.append((name, JSONText.number(value))) }
        }
        add("loss", snapshot.loss)
        add("\(snapshot.items)_per_second", snapshot.itemsPerSecond)
        add("data_wait", snapshot.dataWait)
        add("communication", snapshot.communication)
        add("remaining_seconds", snapshot.remainingSeconds)
        if let detail = snapshot.detail { fields.append(("detail", JSONText.string(detail))) }
        return object(fields)
    }

    private static func object(_ fields: [(String, String)]) -> String {
        let time = Date.now.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        let all = [("time", JSONText.string(time))] + fields
        return "{" + all.map { "\(JSONText.string($0.0)):\($0.1)" }.joined(separator: ",") + "}\n"
    }
}

/// Values as JSON.
enum JSONText {
    static func string(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    /// JSON has no word for what is not finite.
    static func number(_ value: Double) -> String { value.isFinite ? NumberFormat.text(value) : "null" }
}
