import CKernels
import Tensors

// Pooling. Maximum: (n + 2 · padding − window) / stride + 1 outputs, the remainder is dropped; what lies outside the
// picture never is a maximum. Average: blocks without overlap or rest.

extension KernelContext {
    /// `[N, H, W, C]` → `[N, Ho, Wo, C]`. A NaN in a window is its maximum.
    public func maxPool2D(_ input: TensorView, output: TensorView, window: Int, stride: Int, padding: Int = 0) {
        checkPool(input.shape, output.shape, window, stride, padding)
        let (height, width, channels) = (input.shape[1], input.shape[2], input.shape[3])
        let kernels = kernels
        let rows = output.shape[0] * output.shape[1]
        forEach(.rows(rows, of: stride * width * channels)) { begin, count in
            kernels.pointee.max_pool(
                input.base, output.base, begin, begin + count, height, width, channels, window, stride, padding)
        }
    }

    /// Each window's gradient goes to its maximum: among equals to the first in row-major order (as in PyTorch).
    public func maxPool2DGradient(
        _ input: TensorView, outputGradient: TensorView, inputGradient: TensorView, window: Int, stride: Int,
        padding: Int = 0
    ) {
        checkPool(input.shape, outputGradient.shape, window, stride, padding)
        precondition(input.shape == inputGradient.shape, "pooling gradient into \(inputGradient.shape)")
        let (height, width, channels) = (input.shape[1], input.shape[2], input.shape[3])
        let kernels = kernels
        // Bands of input rows; whole strides, so that windows are looked at twice only where they overlap.
        let band = max(1, (1 << 15) / max(1, stride * width * channels)) * stride
        forEach(Chunks(input.shape[0] * height, size: band)) { begin, count in
            kernels.pointee.max_pool_gradient(
                input.base, outputGradient.base, inputGradient.base, begin, begin + count, height, width, channels,
                window, stride, padding)
        }
    }

    private func checkPool(_ input: Shape, _ output: Shape, _ window: Int, _ stride: Int, _ padding: Int) {
        precondition(
            window > 0 && stride > 0 && padding >= 0 && 2 * padding <= window,
            "pooling window \(window), stride \(stride), padding \(padding)")
        precondition(
            input.rank == 4 && output.rank == 4 && input[0] == output[0] && input[3] == output[3]
                && input[1] + 2 * padding >= window && input[2] + 2 * padding >= window
                && output[1] == (input[1] + 2 * padding - window) / stride + 1
                && output[2] == (input[2] + 2 * padding - window) / stride + 1,
            "pooling \(input) by \(window), stride \(stride), padding \(padding), into \(output)")
    }

    /// Means of blocks: `[N, H · window, W · window, C]` → `[N, H, W, C]`.
    public func averagePool2D(_ input: TensorView, output: TensorView, window: Int) {
        checkAverage(input.shape, output.shape, window)
        let (width, channels) = (output.shape[2], output.shape[3])
        let kernels = kernels
        forEach(.rows(output.shape[0] * output.shape[1], of: window * window * width * channels)) { begin, count in
            kernels.pointee.average_pool(input.base, output.base, begin, begin + count, width, channels, window)
        }
    }

    public func averagePool2DGradient(outputGradient: TensorView, inputGradient: TensorView, window: Int) {
        checkAverage(inputGradient.shape, outputGradient.shape, window)
        let (width, channels) = (outputGradient.shape[2], outputGradient.shape[3])
        let kernels = kernels
        let rows = inputGradient.shape[0] * inputGradient.shape[1]
        forEach(.rows(rows, of: window * width * channels)) { begin, count in
            kernels.pointee.average_pool_gradient(
                outputGradient.base, inputGradient.base, begin, begin + count, width, channels, window)
        }
    }

    private func checkAverage(_ big: Shape, _ small: Shape, _ window: Int) {
        precondition(
            window > 0 && big.rank == 4 && small == [big[0], big[1] / window, big[2] / window, big[3]]
                && big[1] % window == 0 && big[2] % window == 0, "averaging \(big) by \(window) into \(small)")
    }
}
