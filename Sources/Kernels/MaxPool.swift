import CKernels
import Tensors

// Maximum pooling without padding: (n − window) / stride + 1 outputs, the remainder is dropped.

extension KernelContext {
    /// `[N, H, W, C]` → `[N, Ho, Wo, C]`. A NaN in a window is its maximum.
    public func maxPool2D(_ input: TensorView, output: TensorView, window: Int, stride: Int) {
        checkPool(input.shape, output.shape, window, stride)
        let (height, width, channels) = (input.shape[1], input.shape[2], input.shape[3])
        let kernels = kernels
        let rows = output.shape[0] * output.shape[1]
        forEach(.rows(rows, of: stride * width * channels)) { begin, count in
            kernels.pointee.max_pool(
                input.base, output.base, begin, begin + count, height, width, channels, window, stride)
        }
    }

    /// Each window's gradient goes to its maximum: among equals to the first in row-major order (as in PyTorch).
    public func maxPool2DGradient(
        _ input: TensorView, outputGradient: TensorView, inputGradient: TensorView, window: Int, stride: Int
    ) {
        checkPool(input.shape, outputGradient.shape, window, stride)
        precondition(input.shape == inputGradient.shape, "pooling gradient into \(inputGradient.shape)")
        let (height, width, channels) = (input.shape[1], input.shape[2], input.shape[3])
        let kernels = kernels
        // Bands of input rows; whole strides, so that windows are looked at twice only where they overlap.
        let band = max(1, (1 << 15) / max(1, stride * width * channels)) * stride
        forEach(Chunks(input.shape[0] * height, size: band)) { begin, count in
            kernels.pointee.max_pool_gradient(
                input.base, outputGradient.base, inputGradient.base, begin, begin + count, height, width, channels,
                window, stride)
        }
    }

    private func checkPool(_ input: Shape, _ output: Shape, _ window: Int, _ stride: Int) {
        precondition(window > 0 && stride > 0, "pooling window \(window), stride \(stride)")
        precondition(
            input.rank == 4 && output.rank == 4 && input[0] == output[0] && input[3] == output[3]
                && input[1] >= window && input[2] >= window && output[1] == (input[1] - window) / stride + 1
                && output[2] == (input[2] - window) / stride + 1,
            "pooling \(input) by \(window), stride \(stride), into \(output)")
    }
}
