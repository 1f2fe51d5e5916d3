import CKernels
import Tensors

// Sigmoid, and the losses of masks: float64 sums over fixed chunks, combined in index order.

extension KernelContext {
    /// y = 1 / (1 + exp(−x)); NaN stays NaN. `output` may alias `input`.
    public func sigmoid(_ input: TensorView, output: TensorView) {
        precondition(input.count == output.count, "sigmoid of \(input.shape) into \(output.shape)")
        let kernels = kernels
        forEach(.elements(input.count)) { begin, count in
            kernels.pointee.sigmoid(input.base + begin, output.base + begin, count)
        }
    }

    /// dx = dy·y·(1 − y) of the *output* y. `inputGradient` may alias `outputGradient`.
    public func sigmoidGradient(output: TensorView, outputGradient: TensorView, inputGradient: TensorView) {
        precondition(
            output.count == outputGradient.count && output.count == inputGradient.count,
            "sigmoid gradient of \(output.shape), \(outputGradient.shape) into \(inputGradient.shape)")
        let kernels = kernels
        forEach(.elements(output.count)) { begin, count in
            kernels.pointee.sigmoid_gradient(
                output.base + begin, outputGradient.base + begin, inputGradient.base + begin, count)
        }
    }

    private func maskChunks(_ count: Int) -> Chunks { .partials(count, floats: 1 << 15) }

    /// Of the losses below.
    public func maskLossWorkspaceCount(_ shape: Shape) -> Int { 6 * maskChunks(shape.count).count }

    /// Mean over all elements of the cross-entropy of sigmoid(logit) with a target in 0…1 → scalar.
    public func crossEntropyMean(
        logits: TensorView, targets: TensorView, output: TensorView, workspace: UnsafeMutablePointer<Float>
    ) {
        let kernels = kernels
        let sum = maskSum(logits, targets, output, workspace) { kernels.pointee.cross_entropy_sum($0, $1, $2) }
        output.base[0] = Float(sum / Double(logits.count))
    }

    /// dx = g·(sigmoid(x) − t) / count
    public func crossEntropyMeanGradient(
        logits: TensorView, targets: TensorView, outputGradient: TensorView, logitGradient: TensorView
    ) {
        precondition(
            logits.count == targets.count && logits.count == logitGradient.count && outputGradient.count == 1,
            "cross-entropy gradient of \(logits.shape) and \(targets.shape) into \(logitGradient.shape)")
        let factor = Float(Double(outputGradient.base[0]) / Double(logits.count))
        let kernels = kernels
        forEach(.elements(logits.count)) { begin, count in
            kernels.pointee.cross_entropy_gradient(
                logits.base + begin, targets.base + begin, factor, logitGradient.base + begin, count)
        }
    }

    /// √(mean (a − b)² + epsilon) → scalar.
    public func rootMeanSquareError(
        _ a: TensorView, _ b: TensorView, epsilon: Float, output: TensorView, workspace: UnsafeMutablePointer<Float>
    ) {
        let kernels = kernels
        let sum = maskSum(a, b, output, workspace) { kernels.pointee.squared_difference_sum($0, $1, $2) }
        output.base[0] = Float((sum / Double(a.count) + Double(epsilon)).squareRoot())
    }

    /// da = g·(a − b) / (count · value), where `value` is the result.
    public func rootMeanSquareErrorGradient(
        _ a: TensorView, _ b: TensorView, value: TensorView, outputGradient: TensorView, aGradient: TensorView
    ) {
        precondition(
            a.count == b.count && a.count == aGradient.count && value.count == 1 && outputGradient.count == 1,
            "gradient of the root mean square of \(a.shape) - \(b.shape) into \(aGradient.shape)")
        let factor = Float(Double(outputGradient.base[0]) / (Double(a.count) * Double(value.base[0])))
        let kernels = kernels
        forEach(.elements(a.count)) { begin, count in
            kernels.pointee.scaled_difference(a.base + begin, b.base + begin, factor, aGradient.base + begin, count)
        }
    }

    /// 1 − (2Σp·y + 1) / (Σp + Σy + 1) over all elements → scalar; `overlap` [2] takes 2Σp·y + 1 and Σp + Σy + 1.
    public func diceLoss(
        _ p: TensorView, _ y: TensorView, output: TensorView, overlap: TensorView,
        workspace: UnsafeMutablePointer<Float>
    ) {
        precondition(
            p.count == y.count && p.count > 0 && output.count == 1 && overlap.count == 2,
            "Dice loss of \(p.shape) and \(y.shape) into \(output.shape), \(overlap.shape)")
        let chunks = maskChunks(p.count)
        let partials = doubles(workspace, count: 3 * chunks.count)
        let kernels = kernels
        pool.forEachChunk(chunks.count) { chunk, _ in
            let begin = chunks.begin(chunk)
            kernels.pointee.overlap_sums(p.base + begin, y.base + begin, chunks.length(chunk), partials + 3 * chunk)
        }
        var (both, first, second) = (0.0, 0.0, 0.0)
        for chunk in 0..<chunks.count {
            both += partials[3 * chunk]
            first += partials[3 * chunk + 1]
            second += partials[3 * chunk + 2]
        }
        let (numerator, denominator) = (2 * both + 1, first + second + 1)
        overlap.base[0] = Float(numerator)
        overlap.base[1] = Float(denominator)
        output.base[0] = Float(1 - numerator / denominator)
    }

    /// dp = g·(numerator / denominator² − 2y / denominator)
    public func diceLossGradient(
        _ y: TensorView, overlap: TensorView, outputGradient: TensorView, pGradient: TensorView
    ) {
        precondition(
            y.count == pGradient.count && overlap.count == 2 && outputGradient.count == 1,
            "gradient of the Dice loss with \(y.shape) into \(pGradient.shape)")
        let (gradient, numerator, denominator) = (
            Double(outputGradient.base[0]), Double(overlap.base[0]), Double(overlap.base[1])
        )
        let (factor, offset) = (
            Float(-2 * gradient / denominator), Float(gradient * numerator / (denominator * denominator))
        )
        let kernels = kernels
        forEach(.elements(y.count)) { begin, count in
            kernels.pointee.scale_offset(y.base + begin, factor, offset, pGradient.base + begin, count)
        }
    }

    private func maskSum(
        _ a: TensorView, _ b: TensorView, _ output: TensorView, _ workspace: UnsafeMutablePointer<Float>,
        _ part: (UnsafePointer<Float>, UnsafePointer<Float>, Int) -> Double
    ) -> Double {
        precondition(
            a.count == b.count && a.count > 0 && output.count == 1,
            "loss of \(a.shape) and \(b.shape) into \(output.shape)")
        let chunks = maskChunks(a.count)
        let partials = doubles(workspace, count: chunks.count)
        withoutActuallyEscaping(part) { part in
            pool.forEachChunk(chunks.count) { chunk, _ in
                let begin = chunks.begin(chunk)
                partials[chunk] = part(a.base + begin, b.base + begin, chunks.length(chunk))
            }
        }
        var sum = 0.0
        for chunk in 0..<chunks.count { sum += partials[chunk] }
        return sum
    }
}
