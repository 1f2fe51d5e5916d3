import CKernels
import Tensors

// Kernels over flat spans: what collectives, clipping and optimizers run over arenas. One pass over memory each.

/// A span of the parameter arena that an optimizer updates with its own learning rate and weight decay.
public struct UpdateSpan: Sendable, Hashable {
    public var range: Range<Int>
    /// Multiplies the learning rate.
    public var learningRateScale: Float
    /// Multiplies the weight decay; 0 for biases and norms where they should not decay.
    public var weightDecayScale: Float

    public init(_ range: Range<Int>, learningRateScale: Float = 1, weightDecayScale: Float = 1) {
        self.range = range
        self.learningRateScale = learningRateScale
        self.weightDecayScale = weightDecayScale
    }
}

/// Settings of one SGD step.
public struct SGDStep: Sendable {
    public var learningRate: Double
    public var momentum: Double
    public var weightDecay: Double
    public var isNesterov: Bool

    public init(learningRate: Double, momentum: Double, weightDecay: Double, isNesterov: Bool) {
        self.learningRate = learningRate
        self.momentum = momentum
        self.weightDecay = weightDecay
        self.isNesterov = isNesterov
    }
}

/// Settings of one Adam step; `step` counts from 1.
public struct AdamStep: Sendable {
    public var learningRate: Double
    public var beta1: Double
    public var beta2: Double
    public var epsilon: Double
    public var weightDecay: Double
    /// AdamW: the parameters shrink directly, instead of the decay entering the gradient.
    public var isDecoupled: Bool
    /// AdamW: the parameters shrink by the decay itself, not by learning rate · decay.
    public var hasAbsoluteDecay: Bool
    public var step: Int

    public init(
        learningRate: Double, beta1: Double, beta2: Double, epsilon: Double, weightDecay: Double, isDecoupled: Bool,
        hasAbsoluteDecay: Bool = false, step: Int
    ) {
        self.learningRate = learningRate
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
        self.isDecoupled = isDecoupled
        self.hasAbsoluteDecay = hasAbsoluteDecay
        self.step = step
    }
}

extension KernelContext {
    /// Σ x², in float64 over fixed chunks.
    public func squaredNorm(_ span: UnsafeBufferPointer<Float>) -> Double {
        guard let base = span.baseAddress else { return 0 }
        let chunks = Chunks.partials(span.count, limit: 128)
        let kernels = kernels
        // At most 1 KiB: lives on the stack.
        return withUnsafeTemporaryAllocation(of: Double.self, capacity: 128) { partials in
            guard let sums = partials.baseAddress else { return 0 }
            pool.forEachChunk(chunks.count) { chunk, _ in
                sums[chunk] = kernels.pointee.squared_norm(base + chunks.begin(chunk), chunks.length(chunk))
            }
            var sum = 0.0
            for chunk in 0..<chunks.count { sum += sums[chunk] }
            return sum
        }
    }

    /// Copies an arena to one of the same size.
    public func copy(_ source: FloatArena, to target: FloatArena) {
        precondition(source.count == target.count, "copying \(source.count) floats to \(target.count)")
        forEach(.elements(source.count)) { begin, count in
            (target.base + begin).update(from: source.base + begin, count: count)
        }
    }

    /// y += x
    public func add(into target: UnsafeMutableBufferPointer<Float>, from source: UnsafeBufferPointer<Float>) {
        precondition(target.count == source.count, "adding \(source.count) floats to \(target.count)")
        guard let y = target.baseAddress, let x = source.baseAddress else { return }
        let kernels = kernels
        forEach(.elements(target.count)) { begin, count in kernels.pointee.add(y + begin, x + begin, count) }
    }

    /// y *= factor
    public func scale(_ target: UnsafeMutableBufferPointer<Float>, by factor: Float) {
        guard let y = target.baseAddress else { return }
        let kernels = kernels
        forEach(.elements(target.count)) { begin, count in kernels.pointee.scale(y + begin, factor, count) }
    }

    /// Limits every element to −limit … limit; NaN stays.
    public func clamp(_ target: UnsafeMutableBufferPointer<Float>, limit: Float) {
        precondition(limit >= 0, "limit \(limit)")
        guard let y = target.baseAddress else { return }
        let kernels = kernels
        forEach(.elements(target.count)) { begin, count in kernels.pointee.clamp(y + begin, limit, count) }
    }

    /// How many elements are NaN or infinite, and the index of the first.
    public func nonFinite(_ span: UnsafeBufferPointer<Float>) -> (count: Int, firstIndex: Int?) {
        guard let base = span.baseAddress else { return (0, nil) }
        let chunks = Chunks.partials(span.count, limit: 128)
        let kernels = kernels
        let count = withUnsafeTemporaryAllocation(of: Int.self, capacity: 128) { partials in
            guard let found = partials.baseAddress else { return 0 }
            pool.forEachChunk(chunks.count) { chunk, _ in
                found[chunk] = kernels.pointee.count_non_finite(base + chunks.begin(chunk), chunks.length(chunk))
            }
            var sum = 0
            for chunk in 0..<chunks.count { sum += found[chunk] }
            return sum
        }
        // Only a broken step pays for the search.
        return (count, count == 0 ? nil : span.firstIndex { !$0.isFinite })
    }

    /// One SGD step over the spans (ascending, disjoint). `momentum` is the buffer arena, or nil without momentum.
    public func sgdUpdate(
        parameters: UnsafeMutablePointer<Float>, gradients: UnsafePointer<Float>,
        momentum: UnsafeMutablePointer<Float>?, spans: [UpdateSpan], step: SGDStep, digest: StateDigest? = nil
    ) {
        let kernels = kernels
        forEachPiece(of: spans, digest) { span, begin, count in
            var numbers = ck_sgd(
                learning_rate: Float(step.learningRate * Double(span.learningRateScale)),
                momentum: Float(step.momentum), decay: Float(step.weightDecay * Double(span.weightDecayScale)),
                nesterov: step.isNesterov ? 1 : 0)
            kernels.pointee.sgd(
                parameters + begin, gradients + begin, momentum.map { $0 + begin }, count, &numbers)
        }
    }

    /// One Adam or AdamW step over the spans (ascending, disjoint). `maximumSecondMoment` turns AMSGrad on.
    public func adamUpdate(
        parameters: UnsafeMutablePointer<Float>, gradients: UnsafePointer<Float>,
        firstMoment: UnsafeMutablePointer<Float>, secondMoment: UnsafeMutablePointer<Float>,
        maximumSecondMoment: UnsafeMutablePointer<Float>?, spans: [UpdateSpan], step: AdamStep,
        digest: StateDigest? = nil
    ) {
        precondition(step.step >= 1, "Adam's step \(step.step) counts from 1")
        // β to the step by multiplication: libm's pow may differ between hosts, and replicas must not.
        let correction1 = 1 - power(step.beta1, step.step)
        let rootCorrection = (1 - power(step.beta2, step.step)).squareRoot()
        let kernels = kernels
        forEachPiece(of: spans, digest) { span, begin, count in
            let rate = step.learningRate * Double(span.learningRateScale)
            let decay = step.weightDecay * Double(span.weightDecayScale)
            var numbers = ck_adam(
                beta2: Float(step.beta2), rest1: Float(1 - step.beta1), rest2: Float(1 - step.beta2),
                step_size: Float(rate / correction1),
                root_correction: Float(rootCorrection), epsilon: Float(step.epsilon),
                coupled_decay: step.isDecoupled ? 0 : Float(decay),
                decay_factor: step.isDecoupled ? Float(1 - (step.hasAbsoluteDecay ? decay : rate * decay)) : 1)
            kernels.pointee.adam(
                parameters + begin, gradients + begin, firstMoment + begin, secondMoment + begin,
                maximumSecondMoment.map { $0 + begin }, count, &numbers)
        }
    }

    /// Cuts the arena into fixed chunks and calls `body(span, begin, count)` for each span's part of each. A digest looks
    /// at each chunk before and after, while it is in cache.
    private func forEachPiece(
        of spans: [UpdateSpan], _ digest: StateDigest?, _ body: (UpdateSpan, Int, Int) -> Void
    ) {
        let end = max(spans.last?.range.upperBound ?? 0, digest?.count ?? 0)
        let kernels = kernels
        forEach(.elements(end)) { begin, count in
            let chunk = begin..<(begin + count)
            digest?.lookBefore(chunk, kernels)
            defer { digest?.lookAfter(chunk, kernels) }
            // The first span that ends beyond the chunk's start.
            var low = 0
            var high = spans.count
            while low < high {
                let middle = (low + high) / 2
                if spans[middle].range.upperBound > chunk.lowerBound { high = middle } else { low = middle + 1 }
            }
            while low < spans.count, spans[low].range.lowerBound < chunk.upperBound {
                let piece = spans[low].range.clamped(to: chunk)
                if !piece.isEmpty { body(spans[low], piece.lowerBound, piece.count) }
                low += 1
            }
        }
    }

    private func power(_ base: Double, _ exponent: Int) -> Double {
        var (result, square, rest) = (1.0, base, exponent)
        while rest > 0 {
            if rest & 1 == 1 { result *= square }
            square *= square
            rest >>= 1
        }
        return result
    }
}
