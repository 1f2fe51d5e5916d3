import Kernels
import Tensors

/// Stochastic gradient descent with momentum, Nesterov momentum and weight decay.
///
/// d = g + decay·p; b = momentum·b + d (the first b is d); p −= lr·b, or lr·(d + momentum·b) with Nesterov.
/// **Source:** the semantics of PyTorch's `torch.optim.SGD` with dampening 0.
public final class SGD: Optimizer {
    public struct Settings: Sendable, Hashable, Codable {
        public var momentum: Double
        public var weightDecay: Double
        public var isNesterov: Bool

        public init(momentum: Double = 0, weightDecay: Double = 0, isNesterov: Bool = false) {
            self.momentum = momentum
            self.weightDecay = weightDecay
            self.isNesterov = isNesterov
        }

        public func validate() throws(OptimizerError) {
            try check(momentum, "momentum", from: 0, below: 1)
            try check(weightDecay, "weight decay", from: 0)
            if isNesterov && momentum == 0 { throw .nesterovWithoutMomentum }
        }
    }

    public let settings: Settings
    public var stepCount = 0
    private let count: Int
    private let spans: [UpdateSpan]
    private let momentum: FloatArena?

    /// `spans`: what is updated, with its own rates; nil means all of it alike. Parameters outside stay as they are.
    public init(parameterCount: Int, settings: Settings, spans: [UpdateSpan]? = nil) {
        self.settings = settings
        count = parameterCount
        self.spans = UpdateSpan.checked(spans, count: parameterCount)
        momentum = settings.momentum == 0 ? nil : FloatArena(count: parameterCount)
    }

    public var stateArenas: [(name: String, arena: FloatArena)] { momentum.map { [("momentum", $0)] } ?? [] }

    public func update(
        parameters: FloatArena, gradients: FloatArena, learningRate: Double, context: KernelContext,
        digest: StateDigest?
    ) {
        precondition(
            parameters.count == count && gradients.count >= count, "arenas of \(parameters.count), not \(count)")
        context.sgdUpdate(
            parameters: parameters.base, gradients: gradients.base, momentum: momentum?.base, spans: spans,
            step: SGDStep(
                learningRate: learningRate, momentum: settings.momentum, weightDecay: settings.weightDecay,
                isNesterov: settings.isNesterov), digest: digest)
        stepCount += 1
    }
}
