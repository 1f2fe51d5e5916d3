import Glibc

/// How progress is shown.
public enum ProgressStyle: Sendable, Equatable {
    /// One line of a terminal, redrawn in place. Without colour it holds no escape sequence at all.
    case bar(colour: Bool)
    /// Plain lines at intervals: for logs and pipes.
    case lines
    /// One JSON object per line, at intervals.
    case json
    /// Nothing but warnings.
    case quiet
    /// Nothing: for ranks other than 0.
    case silent

    /// The style for the standard error stream of this process.
    public static func detected() -> ProgressStyle {
        switch Log.style {
        case .json: return .json
        case .quiet: return .quiet
        case .text: break
        }
        func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
        return detected(
            isTerminal: isatty(STDERR_FILENO) == 1, terminalType: variable("TERM"), noColour: variable("NO_COLOR"))
    }

    /// The form of messages among the progress.
    var log: LogStyle {
        switch self {
        case .bar, .lines, .silent: .text
        case .json: .json
        case .quiet: .quiet
        }
    }

    /// A bar needs a terminal that is not dumb; colour also needs `NO_COLOR` to be unset or empty (no-color.org).
    static func detected(isTerminal: Bool, terminalType: String?, noColour: String?) -> ProgressStyle {
        guard isTerminal, let terminalType, !terminalType.isEmpty, terminalType != "dumb" else { return .lines }
        return .bar(colour: (noColour ?? "").isEmpty)
    }
}

/// Where progress goes: the standard error stream. Failures are ignored, since nobody can read of them, and a run must
/// not die of its progress line.
func writeToStandardError(_ text: String) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
        let written = bytes.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
        if written < 0 && errno == EINTR { continue }
        if written <= 0 { return }
        bytes = bytes.dropFirst(written)
    }
}

/// Width of the terminal behind standard error; 80 if unknown. Asked anew for each line, since windows are resized.
func terminalColumns() -> Int {
    var size = winsize()
    guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
}
