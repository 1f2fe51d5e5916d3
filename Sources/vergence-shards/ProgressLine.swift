import Basics
import Glibc

/// Progress on standard error: a bar that redraws itself on a terminal, a line now and then in a log. For one thread at a
/// time.
final class ProgressLine: @unchecked Sendable {
    private let total: Int
    private let unit: String
    private let start = monotonicSeconds()
    private let isTerminal = isatty(STDERR_FILENO) == 1 && String(cString: getenv("TERM") ?? strdup("")) != "dumb"
    private var last: Double
    private var isOpen = false
    private var done = 0

    private static let logIntervalSeconds = 30.0
    private static let drawIntervalSeconds = 0.1

    init(total: Int, unit: String) {
        self.total = total
        self.unit = unit
        last = start
    }

    func advance(to done: Int) {
        self.done = done
        let now = monotonicSeconds()
        let interval = isTerminal ? Self.drawIntervalSeconds : Self.logIntervalSeconds
        guard now - last >= interval else { return }
        last = now
        draw(now)
    }

    /// Finishes the bar's line. May be called again.
    func end() {
        guard isOpen else { return }
        draw(monotonicSeconds())
        Console.write("\n", to: STDERR_FILENO)
        isOpen = false
    }

    private func draw(_ now: Double) {
        let rate = Double(done) / max(now - start, 1e-3)
        let left = rate > 0 ? Double(total - done) / rate : 0
        let text = "\(done)/\(total) \(unit), \(Self.rounded(rate)) \(unit)/s, \(Self.duration(left)) left"
        guard isTerminal else {
            Console.note(text)
            return
        }
        let cells = 30
        let filled = total > 0 ? done * cells / total : cells
        let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: cells - filled)
        // Carriage return, bar, clear to the end of the line.
        Console.write("\r[\(bar)] \(text)\u{1B}[K", to: STDERR_FILENO)
        isOpen = true
    }

    static func rounded(_ value: Double) -> String {
        value >= 100 ? String(Int(value.rounded())) : String((value * 10).rounded() / 10)
    }

    static func duration(_ seconds: Double) -> String {
        let whole = Int(seconds.rounded(.up))
        if whole < 60 { return "\(whole) s" }
        if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
        return "\(whole / 3600) h \(whole % 3600 / 60) min"
    }
}
