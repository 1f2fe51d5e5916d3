import Basics
import Synchronization

/// Shows how far a loop is: a bar on a terminal, plain lines elsewhere. May be called from any thread.
///
/// The rate and the shares of waiting cover the last seconds (`windowSeconds`); the ETA comes from the average of the
/// steps that **this process** made, so that a resumed run does not count its predecessor's steps as its own, and
/// pauses that recur (validation, checkpoints) are in it.
public final class ProgressReporter: Sendable {
    /// The clock and the stream, replaceable in tests.
    struct Surroundings: Sendable {
        var clock: @Sendable () -> Double = { monotonicSeconds() }
        var write: @Sendable (String) -> Void = { writeToStandardError($0) }
        var columns: @Sendable () -> Int = { terminalColumns() }
    }

    /// Totals at one moment.
    private struct Sample {
        var seconds: Double
        var items = 0
        var dataWaitSeconds: Double? = nil
        var communicationSeconds: Double? = nil
    }

    private struct State {
        var now: Sample
        /// Samples of the last seconds, oldest first.
        var window: [Sample]
        var snapshot: ProgressSnapshot
        var lastDrawn: Double?
        var isFinished = false
        /// Whether a bar stands on the terminal's current line.
        var barStands = false
    }

    public let style: ProgressStyle
    private let firstPosition: Int
    private let startSeconds: Double
    private let intervalSeconds: Double
    private let windowSeconds: Double
    private let surroundings: Surroundings
    private let state: Mutex<State>

    /// Starts the clock.
    /// - Parameters:
    ///   - position: where the loop starts: the step to which a resumed run was restored, else 0.
    ///   - intervalSeconds: time between redraws; nil is 0.2 s for a bar and 10 s for lines.
    public convenience init(
        task: String, unit: String = "step", items: String = "pairs", position: Int = 0, total: Int?,
        style: ProgressStyle = .detected(), intervalSeconds: Double? = nil, windowSeconds: Double = 30
    ) {
        self.init(
            task: task, unit: unit, items: items, position: position, total: total, style: style,
            intervalSeconds: intervalSeconds, windowSeconds: windowSeconds, surroundings: Surroundings())
    }

    init(
        task: String, unit: String = "step", items: String = "pairs", position: Int = 0, total: Int?,
        style: ProgressStyle, intervalSeconds: Double? = nil, windowSeconds: Double = 30, surroundings: Surroundings
    ) {
        self.style = style
        self.surroundings = surroundings
        self.windowSeconds = windowSeconds
        firstPosition = position
        startSeconds = surroundings.clock()
        let start = Sample(seconds: startSeconds)
        state = Mutex(
            State(
                now: start, window: [start],
                snapshot: ProgressSnapshot(task: task, unit: unit, items: items, position: position, total: total)))
        switch style {
        case .bar: self.intervalSeconds = intervalSeconds ?? 0.2
        case .lines, .json, .quiet, .silent: self.intervalSeconds = intervalSeconds ?? 10
        }
    }

    /// Tells where the loop is, and shows it if it is time.
    /// - Parameters:
    ///   - position: steps done in all, those of earlier processes included.
    ///   - items: pairs done since the last call.
    ///   - loss: the newest one; nil leaves the one before.
    ///   - dataWaitSeconds: time since the last call in which the work waited for data; nil if not measured.
    ///   - communicationSeconds: the same for waiting for other ranks.
    ///   - detail: anything else to be shown; nil leaves the one before.
    public func update(
        position: Int, items: Int = 1, loss: Double? = nil, dataWaitSeconds: Double? = nil,
        communicationSeconds: Double? = nil, detail: String? = nil
    ) {
        guard style != .silent else { return }
        state.withLock { state in
            guard !state.isFinished else { return }
            state.now.seconds = surroundings.clock()
            state.now.items += items
            if let dataWaitSeconds { state.now.dataWaitSeconds = (state.now.dataWaitSeconds ?? 0) + dataWaitSeconds }
            if let communicationSeconds {
                state.now.communicationSeconds = (state.now.communicationSeconds ?? 0) + communicationSeconds
            }
            state.snapshot.position = position
            if let loss { state.snapshot.loss = loss }
            if let detail { state.snapshot.detail = detail }
            remember(&state)
            if let last = state.lastDrawn, state.now.seconds - last < intervalSeconds { return }
            draw(&state)
        }
    }

    /// A line of its own, above the bar if there is one.
    public func print(_ line: String, _ level: LogLevel = .info) {
        guard style != .silent, let text = Log.line(line, level, style: style.log) else { return }
        state.withLock { state in
            surroundings.write(clearingBar(&state) + text)
            if case .bar = style, !state.isFinished, state.lastDrawn != nil { draw(&state) }
        }
    }

    /// Shows the final state and ends the line. Later calls of `update` and `finish` do nothing.
    public func finish() {
        guard style != .silent else { return }
        state.withLock { state in
            guard !state.isFinished else { return }
            state.now.seconds = surroundings.clock()
            remember(&state)
            // The last word is the average of the whole process.
            state.window.removeSubrange(1...)
            state.window[0] = Sample(seconds: startSeconds)
            draw(&state)
            if state.barStands { surroundings.write("\n") }
            state.barStands = false
            state.isFinished = true
        }
    }

    /// Ends the line of a bar after a failure; shows nothing.
    public func abandon() {
        state.withLock { state in
            if state.barStands { surroundings.write("\n") }
            state.barStands = false
            state.isFinished = true
        }
    }

    /// Adds the newest sample, at most one per hundredth of the window, and forgets those that are too old.
    private func remember(_ state: inout State) {
        if state.now.seconds - (state.window.last?.seconds ?? 0) >= windowSeconds / 100 {
            state.window.append(state.now)
        }
        let oldest = state.now.seconds - windowSeconds
        // One sample at or before the window's start is kept as the base.
        while state.window.count > 1, state.window[1].seconds <= oldest { state.window.removeFirst() }
    }

    private func draw(_ state: inout State) {
        let base = state.window[0]
        let elapsed = state.now.seconds - base.seconds
        if elapsed > 0 {
            state.snapshot.itemsPerSecond = Double(state.now.items - base.items) / elapsed
            state.snapshot.dataWait = state.now.dataWaitSeconds.map { ($0 - (base.dataWaitSeconds ?? 0)) / elapsed }
            state.snapshot.communication = state.now.communicationSeconds.map {
                ($0 - (base.communicationSeconds ?? 0)) / elapsed
            }
        }
        state.snapshot.remainingSeconds = Self.remainingSeconds(
            position: state.snapshot.position, total: state.snapshot.total, firstPosition: firstPosition,
            elapsedSeconds: state.now.seconds - startSeconds)
        state.lastDrawn = state.now.seconds
        switch style {
        case .silent, .quiet: break
        case .json: surroundings.write(Log.line(state.snapshot))
        case .lines: surroundings.write(ProgressFormat.plainLine(state.snapshot) + "\n")
        case .bar(let colour):
            // One column stays free: terminals wrap when the last one is written.
            var line = ProgressFormat.barLine(state.snapshot, columns: surroundings.columns() - 1)
            if colour, line.hasPrefix(state.snapshot.task) {
                line = "\u{1B}[1m" + state.snapshot.task + "\u{1B}[0m" + line.dropFirst(state.snapshot.task.count)
            }
            surroundings.write("\r" + line)
            state.barStands = true
        }
    }

    /// What makes room for a line of text where a bar stands.
    private func clearingBar(_ state: inout State) -> String {
        guard state.barStands else { return "" }
        state.barStands = false
        return "\r" + String(repeating: " ", count: max(surroundings.columns() - 1, 20)) + "\r"
    }

    /// Seconds to the end at the average pace of this process; nil before its first step or without a known end.
    static func remainingSeconds(position: Int, total: Int?, firstPosition: Int, elapsedSeconds: Double) -> Double? {
        guard let total, position > firstPosition else { return nil }
        return elapsedSeconds / Double(position - firstPosition) * Double(max(total - position, 0))
    }
}
