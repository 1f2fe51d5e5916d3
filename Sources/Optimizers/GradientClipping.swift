import Kernels
import Tensors

/// Keeps a single bad batch from throwing the parameters away.
public enum GradientClipping: Sendable, Hashable, Codable {
    case none
    /// Scales the whole gradient so that its norm is at most this.
    /// **Source:** R. Pascanu et al., "On the difficulty of training recurrent neural networks", ICML 2013; 1e-6 is added to
    /// the norm as in PyTorch's `clip_grad_norm_`.
    case globalNorm(Double)
    /// Limits every element.
    case value(Double)

    public func validate() throws(OptimizerError) {
        switch self {
        case .none: return
        case .globalNorm(let limit), .value(let limit):
            try check(limit, "gradient clipping", from: 0)
            if limit == 0 { throw .outOfRange(name: "gradient clipping", value: 0, allowed: "above 0") }
        }
    }

    /// Clips in place and returns the norm from before (float64 over fixed chunks). A norm that is not finite leaves the
    /// gradient alone: the caller must not apply such a step.
    @discardableResult
    public func apply(to gradients: UnsafeMutableBufferPointer<Float>, context: KernelContext) -> Double {
        let norm = context.squaredNorm(UnsafeBufferPointer(gradients)).squareRoot()
        guard norm.isFinite else { return norm }
        switch self {
        case .none: break
        case .globalNorm(let limit):
            let factor = limit / (norm + 1e-6)
            if factor < 1 { context.scale(gradients, by: Float(factor)) }
        case .value(let limit): context.clamp(gradients, limit: Float(limit))
        }
        return norm
    }
}
