import CKernels
import Tensors

// Kernels over the last axis.

extension KernelContext {
    /// Copies (or adds) `count` channels of every row: concatenation, slices and their gradients.
    /// `[…, C₁]` at `sourceOffset` → `[…, C₂]` at `targetOffset`.
    public func copyChannels(
        from source: TensorView, channelOffset sourceOffset: Int, to target: TensorView,
        channelOffset targetOffset: Int,
        count: Int, accumulate: Bool
    ) {
        let rows = source.rowCount
        let sourceChannels = source.lastDimension
        let targetChannels = target.lastDimension
        precondition(
            rows == target.rowCount && count >= 0 && sourceOffset >= 0 && targetOffset >= 0
                && sourceOffset + count <= sourceChannels && targetOffset + count <= targetChannels,
            "\(count) channels of \(source.shape) at \(sourceOffset) to \(target.shape) at \(targetOffset)")
        let kernels = kernels
        forEach(.rows(rows, of: count)) { begin, length in
            kernels.pointee.copy_channels(
                source.base + begin * sourceChannels + sourceOffset, sourceChannels,
                target.base + begin * targetChannels + targetOffset, targetChannels, length, count, accumulate ? 1 : 0)
        }
    }

    /// Softmax over the last axis, `[…, S]` → `[…, S]`. A NaN makes its whole row NaN. May run in place.
    public func softmax(_ input: TensorView, output: TensorView) {
        precondition(input.shape == output.shape, "softmax of \(input.shape) into \(output.shape)")
        let levels = input.lastDimension
        let kernels = kernels
        forEach(.rows(input.rowCount, of: levels)) { begin, count in
            kernels.pointee.softmax(input.base + begin * levels, output.base + begin * levels, count, levels)
        }
    }

    /// dx = y·(dy − Σ y·dy), y being the softmax's output. `inputGradient` may alias `outputGradient`.
    public func softmaxGradient(output: TensorView, outputGradient: TensorView, inputGradient: TensorView) {
        precondition(
            output.shape == outputGradient.shape && output.shape == inputGradient.shape,
            "softmax gradient of \(output.shape), \(outputGradient.shape) into \(inputGradient.shape)")
        let levels = output.lastDimension
        let kernels = kernels
        forEach(.rows(output.rowCount, of: levels)) { begin, count in
            kernels.pointee.softmax_gradient(
                output.base + begin * levels, outputGradient.base + begin * levels, inputGradient.base + begin * levels,
                count, levels)
        }
    }

    /// Expected value: `[…, S]` → `[…, 1]`, y = Σ_k coefficients[k]·x[k].
    public func channelDot(_ input: TensorView, coefficients: UnsafePointer<Float>, output: TensorView) {
        let rows = input.rowCount
        precondition(output.count == rows, "dot over the channels of \(input.shape) into \(output.shape)")
        let levels = input.lastDimension
        let kernels = kernels
        forEach(.rows(rows, of: levels)) { begin, count in
            kernels.pointee.channel_dot(input.base + begin * levels, coefficients, output.base + begin, count, levels)
        }
    }

    /// dx[k] = dy·coefficients[k]: `[…, 1]` → `[…, S]`.
    public func channelDotGradient(
        outputGradient: TensorView, coefficients: UnsafePointer<Float>, inputGradient: TensorView
    ) {
        let rows = inputGradient.rowCount
        precondition(outputGradient.count == rows, "\(outputGradient.shape) into \(inputGradient.shape)")
        let levels = inputGradient.lastDimension
        let kernels = kernels
        forEach(.rows(rows, of: levels)) { begin, count in
            kernels.pointee.channel_dot_gradient(
                outputGradient.base + begin, coefficients, inputGradient.base + begin * levels, count, levels)
        }
    }
}
