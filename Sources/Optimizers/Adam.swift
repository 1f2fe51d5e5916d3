import Kernels
import Tensors

/// Adam, AdamW and AMSGrad.
///
/// m += (1 − β₁)(g − m); v = β₂·v + (1 − β₂)·g²; p −= lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε). Weight decay enters the
/// gradient (Adam) or shrinks the parameters by lr·decay first (AdamW); AMSGrad divides by the largest v so far.
/// **Source:** Kingma and Ba, ICLR 2015; Loshchilov and Hutter, ICLR 2019; Reddi et al., ICLR 2018; ε stands where PyTorch's
/// `torch.optim.Adam` and `AdamW` have it.
public final class Adam: Optimizer {
    public struct Settings: Sendable, Hashable, Codable {
        public var beta1: Double
        public var beta2: Double
        public var epsilon: Double
        public var weightDecay: Double
        /// AdamW.
        public var isDecoupled: Bool
        public var isAMSGrad: Bool
        /// AdamW: each step takes decay · p off, whatever the learning rate, as TensorFlow Addons' AdamW does.
        public var hasAbsoluteDecay: Bool

        public init(
            beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8, weightDecay: Double = 0,
            isDecoupled: Bool = false, isAMSGrad: Bool = false, hasAbsoluteDecay: Bool = false
        ) {
            self.beta1 = beta1
            self.beta2 = beta2
            self.epsilon = epsilon
            self.weightDecay = weightDecay
            self.isDecoupled = isDecoupled
            self.isAMSGrad = isAMSGrad
            self.hasAbsoluteDecay = hasAbsoluteDecay
        }

        public func validate() throws(OptimizerError) {
            try check(beta1, "beta1", from: 0, below: 1)
            try check(beta2, "beta2", from: 0, below: 1)
            try check(epsilon, "epsilon", from: 0)
            if epsilon == 0 { throw .outOfRange(name: "epsilon", value: 0, allowed: "above 0") }
            try check(weightDecay, "weight decay", from: 0)
        }
    }

    public let settings: Settings
    public var stepCount = 0
    private let count: Int
    private let spans: [UpdateSpan]
    private let firstMoment: FloatArena
    private let secondMoment: FloatArena
    private let maximumSecondMoment: FloatArena?

    /// `spans`: what is updated, with its own rates; nil means all of it alike. Parameters outside stay as they are.
    public init(parameterCount: Int, settings: Settings = Settings(), spans: [UpdateSpan]? = nil) {
        self.settings = settings
        count = parameterCount
        self.spans = UpdateSpan.checked(spans, count: parameterCount)
        firstMoment = FloatArena(count: parameterCount)
        secondMoment = FloatArena(count: parameterCount)
        maximumSecondMoment = settings.isAMSGrad ? FloatArena(count: parameterCount) : nil
    }

    public var stateArenas: [(name: String, arena: FloatArena)] {
        var arenas = [(name: "first_moment", arena: firstMoment), (name: "second_moment", arena: secondMoment)]
        if let maximumSecondMoment { arenas.append((name: "maximum_second_moment", arena: maximumSecondMoment)) }
        return arenas
    }

    public func update(
        parameters: FloatArena, gradients: FloatArena, learningRate: Double, context: KernelContext,
        digest: StateDigest?
    ) {
        precondition(
            parameters.count == count && gradients.count >= count, "arenas of \(parameters.count), not \(count)")
        context.adamUpdate(
            parameters: parameters.base, gradients: gradients.base, firstMoment: firstMoment.base,
            secondMoment: secondMoment.base, maximumSecondMoment: maximumSecondMoment?.base, spans: spans,
            step: AdamStep(
                learningRate: learningRate, beta1: settings.beta1, beta2: settings.beta2, epsilon: settings.epsilon,
                weightDecay: settings.weightDecay, isDecoupled: settings.isDecoupled,
                hasAbsoluteDecay: settings.hasAbsoluteDecay, step: stepCount + 1),
            digest: digest)
        stepCount += 1
    }
}
