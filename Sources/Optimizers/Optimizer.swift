import Kernels
import Tensors

/// Turns gradients into new parameters, over one flat arena of each. All ranks apply the same update to the same bits:
/// results depend neither on the number of threads nor on the instruction level.
public protocol Optimizer: AnyObject {
    /// Steps done so far; part of a checkpoint.
    var stepCount: Int { get set }

    /// The state, by name, each as long as the parameters; part of a checkpoint (read and written in place).
    var stateArenas: [(name: String, arena: FloatArena)] { get }

    /// One step: parameters [count] change in place, gradients, at least as many, are only read. Allocates nothing.
    /// - Parameter digest: takes checksums of parameters and state on the way.
    func update(
        parameters: FloatArena, gradients: FloatArena, learningRate: Double, context: KernelContext,
        digest: StateDigest?)
}

extension Optimizer {
    public func update(parameters: FloatArena, gradients: FloatArena, learningRate: Double, context: KernelContext) {
        update(
            parameters: parameters, gradients: gradients, learningRate: learningRate, context: context, digest: nil)
    }
}

extension UpdateSpan {
    /// Checks that spans ascend, are disjoint and lie within `count`, and joins neighbours of equal settings.
    static func checked(_ spans: [UpdateSpan]?, count: Int) -> [UpdateSpan] {
        guard let spans else { return count == 0 ? [] : [UpdateSpan(0..<count)] }
        var joined: [UpdateSpan] = []
        for span in spans where !span.range.isEmpty {
            let end = joined.last?.range.upperBound ?? 0
            precondition(
                span.range.lowerBound >= end && span.range.upperBound <= count,
                "span \(span.range) after \(end) in an arena of \(count)")
            if let last = joined.last, last.range.upperBound == span.range.lowerBound,
                last.learningRateScale == span.learningRateScale, last.weightDecayScale == span.weightDecayScale
            {
                joined[joined.count - 1].range = last.range.lowerBound..<span.range.upperBound
            } else {
                joined.append(span)
            }
        }
        return joined
    }
}
