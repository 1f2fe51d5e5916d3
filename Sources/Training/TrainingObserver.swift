/// One finished step.
public struct StepReport: Sendable {
    public let step: Int
    public let totalSteps: Int
    public let stepsPerEpoch: Int
    public let losses: [(name: String, value: Double)]
    public let learningRate: Double
    public let gradientNorm: Double
    /// Pairs of all ranks together.
    public let pairs: Int
    public let seconds: Double
    /// Time in which this rank waited for data, and for other ranks.
    public let dataWaitSeconds: Double
    public let communicationSeconds: Double
}

/// One finished epoch (or the end of the run).
public struct EpochReport: Sendable {
    public let epoch: Int
    public let step: Int
    public let trainingLosses: [(name: String, value: Double)]
    /// Empty without validation records.
    public let validation: [(name: String, value: Double)]
    public let learningRate: Double
    public let seconds: Double
    public let isBest: Bool
}

/// Who is told how a run goes. Only rank 0 has one. What it throws ends the run: tables that cannot be written are no
/// small matter.
public protocol TrainingObserver: AnyObject {
    /// - Parameters:
    ///   - losses: names of the losses of every step.
    ///   - validation: names of what is measured at validations; empty without validation records.
    func started(
        at step: Int, of totalSteps: Int, description: [String], losses: [String], validation: [String]) throws
    func finished(_ report: StepReport) throws
    func finished(_ report: EpochReport) throws
    /// All ranks' part of a step, one step late.
    func finished(_ report: RanksReport) throws
    func remark(_ text: String)
    /// Something that was asked for.
    func note(_ text: String)
    func ended()
}

extension TrainingObserver {
    public func note(_ text: String) {}
}
