import CKernels
import Tensors

// Batch normalisation over all but the last axis. **Source:** S. Ioffe, C. Szegedy, "Batch normalization", ICML 2015.

extension KernelContext {
    private func normChunks(_ rows: Int, _ channels: Int) -> Chunks { .partials(rows, of: channels, floats: 1 << 16) }

    /// Floats of workspace for statistics and gradients.
    public func batchNormWorkspaceCount(inputShape: Shape, threadCount: Int) -> Int {
        let channels = inputShape.rank == 0 ? 0 : inputShape[inputShape.rank - 1]
        guard channels > 0 else { return 0 }
        return 4 * channels * normChunks(inputShape.count / channels, channels).count
    }

    /// Mean and population variance of every channel: `[…, C]` → `[C]`, `[C]`. Float64 sums relative to the
    /// first row.
    public func batchNormStatistics(
        _ input: TensorView, mean: TensorView, variance: TensorView, workspace: UnsafeMutablePointer<Float>
    ) {
        let channels = input.lastDimension
        let rows = input.rowCount
        precondition(
            mean.count == channels && variance.count == channels && rows > 0,
            "statistics of \(input.shape) into \(mean.shape), \(variance.shape)")
        let chunks = normChunks(rows, channels)
        let partials = doubles(workspace, count: chunks.count * 2 * channels)
        let kernels = kernels
        pool.forEachChunk(chunks.count) { chunk, _ in
            let sums = partials + chunk * 2 * channels
            sums.update(repeating: 0, count: 2 * channels)
            kernels.pointee.norm_sums(
                input.base + chunks.begin(chunk) * channels, input.base, chunks.length(chunk), channels, sums)
        }
        ck_norm_combine(partials, input.base, chunks.count, channels, rows, mean.base, variance.base)
    }

    /// y = (x − mean)·gain / √(variance + ε) + bias. `output` may alias `input`.
    public func batchNormApply(
        _ input: TensorView, mean: TensorView, variance: TensorView, gain: TensorView, bias: TensorView, epsilon: Float,
        output: TensorView
    ) {
        let channels = input.lastDimension
        precondition(
            input.count == output.count && mean.count == channels && variance.count == channels
                && gain.count == channels && bias.count == channels,
            "normalisation of \(input.shape) by \(mean.shape), \(gain.shape) into \(output.shape)")
        let kernels = kernels
        forEach(.rows(input.rowCount, of: channels)) { begin, count in
            kernels.pointee.norm_apply(
                input.base + begin * channels, output.base + begin * channels, count, channels, mean.base,
                variance.base, gain.base, bias.base, epsilon)
        }
    }

    /// The gradient when `mean` and `variance` are the input's own (training). `inputGradient` may alias
    /// `outputGradient`.
    public func batchNormGradient(
        _ input: TensorView, outputGradient: TensorView, mean: TensorView, variance: TensorView, gain: TensorView,
        epsilon: Float, inputGradient: TensorView, gainGradient: TensorView, biasGradient: TensorView,
        workspace: UnsafeMutablePointer<Float>
    ) {
        normGradient(
            input, outputGradient, mean, variance, gain, epsilon, inputGradient, gainGradient, biasGradient, workspace,
            isTraining: true)
    }

    /// The gradient when `mean` and `variance` are constants.
    public func batchNormInferenceGradient(
        _ input: TensorView, outputGradient: TensorView, mean: TensorView, variance: TensorView, gain: TensorView,
        epsilon: Float, inputGradient: TensorView, gainGradient: TensorView, biasGradient: TensorView,
        workspace: UnsafeMutablePointer<Float>
    ) {
        normGradient(
            input, outputGradient, mean, variance, gain, epsilon, inputGradient, gainGradient, biasGradient, workspace,
            isTraining: false)
    }

    private func normGradient(
        _ input: TensorView, _ outputGradient: TensorView, _ mean: TensorView, _ variance: TensorView,
        _ gain: TensorView, _ epsilon: Float, _ inputGradient: TensorView, _ gainGradient: TensorView,
        _ biasGradient: TensorView, _ workspace: UnsafeMutablePointer<Float>, isTraining: Bool
    ) {
        let channels = input.lastDimension
        let rows = input.rowCount
        precondition(
            input.count == outputGradient.count && input.count == inputGradient.count && mean.count == channels
                && variance.count == channels && gain.count == channels && gainGradient.count == channels
                && biasGradient.count == channels,
            "normalisation gradient of \(input.shape), \(outputGradient.shape) by \(mean.shape), \(gain.shape)")
        batchNormGradientSums(
            input, outputGradient: outputGradient, mean: mean, variance: variance, epsilon: epsilon,
            gainGradient: gainGradient, biasGradient: biasGradient, workspace: workspace)
        // Where the sums over all rows now stand.
        let sums = doubles(workspace, count: 2 * channels)
        let kernels = kernels
        forEach(.rows(rows, of: channels)) { begin, count in
            let offset = begin * channels
            kernels.pointee.norm_gradient_apply(
                input.base + offset, outputGradient.base + offset, inputGradient.base + offset, count, channels,
                mean.base, variance.base, gain.base, epsilon, isTraining ? UnsafePointer(sums) : nil, rows)
        }
    }

    /// The gradients of gain and bias alone. The two sums that they are made of stay at the start of the workspace.
    public func batchNormGradientSums(
        _ input: TensorView, outputGradient: TensorView, mean: TensorView, variance: TensorView, epsilon: Float,
        gainGradient: TensorView, biasGradient: TensorView, workspace: UnsafeMutablePointer<Float>
    ) {
        let channels = input.lastDimension
        precondition(
            input.count == outputGradient.count && mean.count == channels && variance.count == channels
                && gainGradient.count == channels && biasGradient.count == channels,
            "normalisation gradient of \(input.shape), \(outputGradient.shape)")
        let chunks = normChunks(input.rowCount, channels)
        guard chunks.count > 0 else {
            gainGradient.base.update(repeating: 0, count: channels)
            biasGradient.base.update(repeating: 0, count: channels)
            return
        }
        let partials = doubles(workspace, count: chunks.count * 2 * channels)
        let kernels = kernels
        pool.forEachChunk(chunks.count) { chunk, _ in
            let sums = partials + chunk * 2 * channels
            sums.update(repeating: 0, count: 2 * channels)
            let offset = chunks.begin(chunk) * channels
            kernels.pointee.norm_gradient_sums(
                input.base + offset, outputGradient.base + offset, mean.base, chunks.length(chunk), channels, sums)
        }
        ck_norm_gradient_combine(
            partials, chunks.count, channels, variance.base, epsilon, gainGradient.base, biasGradient.base)
    }

    /// The gradient before a ReLU whose output was normalised, and its sum `[C]`. `inputGradient` may alias
    /// `outputGradient`.
    public func batchNormReLUGradient(
        _ output: TensorView, outputGradient: TensorView, normalization norm: OutputNormalization,
        inputGradient: TensorView, sum: TensorView, workspace: UnsafeMutablePointer<Float>
    ) {
        let channels = output.lastDimension
        let rows = output.rowCount
        precondition(
            output.count == outputGradient.count && output.count == inputGradient.count && sum.count == channels,
            "normalisation gradient of \(output.shape), \(outputGradient.shape)")
        let chunks = normChunks(rows, channels)
        let partials = doubles(workspace, count: max(1, chunks.count) * channels)
        let kernels = kernels
        pool.forEachChunk(chunks.count) { chunk, _ in
            let sums = partials + chunk * channels
            sums.update(repeating: 0, count: channels)
            // Short blocks, so that the sum finds the result in cache.
            let block = max(1, (1 << 13) / channels)
            let end = chunks.begin(chunk) + chunks.length(chunk)
            for row in stride(from: chunks.begin(chunk), to: end, by: block) {
                let count = min(block, end - row)
                let offset = row * channels
                kernels.pointee.norm_relu_gradient(
                    output.base + offset, outputGradient.base + offset, inputGradient.base + offset, count, channels,
                    norm.mean.base, norm.variance.base, norm.gain.base, norm.gainGradient.base,
                    norm.biasGradient.base, norm.epsilon, rows, 1)
                kernels.pointee.column_sums(inputGradient.base + offset, count, channels, sums)
            }
        }
        ck_combine(partials, chunks.count, channels, sum.base)
    }
}
