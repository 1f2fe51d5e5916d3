import Kernels
import Optimizers

extension RunConfiguration {
    /// The optimizer of a model's parameters, with the rates of its groups.
    /// - Throws: `OptimizerError` (usage) for settings that make no sense.
    public func makeOptimizer(state: ModelState) throws -> any Optimizer {
        try makeOptimizer(parameterCount: state.parameterArena.count, spans: state.updateSpans)
    }

    func makeOptimizer(parameterCount count: Int, spans: [UpdateSpan]? = nil) throws -> any Optimizer {
        switch optimizer {
        case .sgd:
            let settings = SGD.Settings(momentum: momentum, weightDecay: weightDecay, isNesterov: nesterov)
            try settings.validate()
            return SGD(parameterCount: count, settings: settings, spans: spans)
        case .adam, .adamw:
            let settings = Adam.Settings(
                beta1: beta1, beta2: beta2, epsilon: epsilon, weightDecay: weightDecay,
                isDecoupled: optimizer == .adamw, isAMSGrad: amsgrad, hasAbsoluteDecay: absoluteDecay)
            try settings.validate()
            return Adam(parameterCount: count, settings: settings, spans: spans)
        }
    }

    /// The learning rate over a run of `totalSteps`.
    public func makeSchedule(totalSteps: Int) throws -> LearningRateSchedule {
        let steps = max(1, totalSteps - warmup)
        let floor = learningRate > 0 ? finalLearningRate / learningRate : 0
        let curve: LearningRateSchedule.Curve =
            switch schedule {
            // What is measured decides; see `plateau`.
            case .constant, .plateau: .constant
            case .step: .step(every: scheduleSteps, gamma: scheduleGamma)
            case .polynomial: .polynomial(steps: steps, power: schedulePower, floor: floor)
            case .cosine: .cosine(steps: steps, floor: floor)
            }
        let result = LearningRateSchedule(curve, warmupSteps: warmup)
        try result.validate()
        return result
    }

    /// The rule of a schedule that follows the validation loss.
    var plateau: Plateau? {
        schedule == .plateau
            ? Plateau(factor: scheduleGamma, patience: plateauPatience, threshold: plateauThreshold) : nil
    }

    public var clipping: GradientClipping { clipNorm > 0 ? .globalNorm(clipNorm) : .none }
}
