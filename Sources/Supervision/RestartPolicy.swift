/// When to try again, and when to stop trying. Pure: it counts, somebody else waits.
public struct RestartPolicy: Sendable {
    public enum Decision: Equatable, Sendable {
        /// - repeats: how often in a row the same has happened at the same step; 1 the first time.
        case restart(delaySeconds: Double, repeats: Int)
        case giveUp(repeats: Int)
    }

    public static let longestDelaySeconds = 60.0

    private let maximumRestarts: Int
    /// Restarts since there was progress.
    private(set) public var fruitlessRestarts = 0
    private(set) public var restarts = 0
    private var highestStep: Int
    private var lastFailure: (what: String, step: Int)?
    private var repeats = 0

    /// - Parameter step: where the run stands.
    public init(maximumRestarts: Int, step: Int) {
        self.maximumRestarts = maximumRestarts
        highestStep = step
    }

    /// - Parameters:
    ///   - what: the kind of failure and who failed, to tell whether it is the same again.
    ///   - step: the highest step that is known to be done. A run that reaches only steps which it had
    ///     reached before has made no progress, however many they are.
    public mutating func failed(_ what: String, at step: Int) -> Decision {
        let hasProgress = step > highestStep
        highestStep = max(highestStep, step)
        if hasProgress { fruitlessRestarts = 0 }
        if let lastFailure, lastFailure.what == what, lastFailure.step == step { repeats += 1 } else { repeats = 1 }
        lastFailure = (what, step)
        guard fruitlessRestarts < maximumRestarts else { return .giveUp(repeats: repeats) }
        var delay = 1.0
        for _ in 0..<min(fruitlessRestarts, 16) { delay = min(2 * delay, Self.longestDelaySeconds) }
        fruitlessRestarts += 1
        restarts += 1
        return .restart(delaySeconds: delay, repeats: repeats)
    }
}
