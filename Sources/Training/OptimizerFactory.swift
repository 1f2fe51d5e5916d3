import Optimizers

extension RunConfiguration {
    /// The optimizer for all of a model's parameters.
    /// - Throws: `OptimizerError` (usage) for settings that make no sense.
    public func makeOptimizer(state: ModelState) throws -> any Optimizer {
        try makeOptimizer(parameterCount: state.parameterArena.count)
    }

    func makeOptimizer(parameterCount count: Int) throws -> any Optimizer {
        switch optimizer {
        case .sgd:
            let settings = SGD.Settings(momentum: momentum, weightDecay: weightDecay, isNesterov: nesterov)
            try settings.validate()
            return SGD(parameterCount: count, settings: settings)
        case .adam, .adamw:
            let settings = Adam.Settings(
                beta1: beta1, beta2: beta2, epsilon: epsilon, weightDecay: weightDecay,
                isDecoupled: optimizer == .adamw, isAMSGrad: amsgrad)
            try settings.validate()
            return Adam(parameterCount: count, settings: settings)
        }
    }

    /// The learning rate over a run of `totalSteps`.
    public func makeSchedule(totalSteps: Int) throws -> LearningRateSchedule {
        let steps = max(1, totalSteps - warmup)
        let floor = learningRate > 0 ? finalLearningRate / learningRate : 0
        let curve: LearningRateSchedule.Curve =
            switch schedule {
            case .constant: .constant
            case .step: .step(every: scheduleSteps, gamma: scheduleGamma)
            case .polynomial: .polynomial(steps: steps, power: schedulePower, floor: floor)
            case .cosine: .cosine(steps: steps, floor: floor)
            }
        let result = LearningRateSchedule(curve, warmupSteps: warmup)
        try result.validate()
        return result
    }

    public var clipping: GradientClipping { clipNorm > 0 ? .globalNorm(clipNorm) : .none }
}
