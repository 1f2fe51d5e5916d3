/// Kernel, stride and padding of a convolution (cross-correlation with zero padding); stride and padding count for both
/// axes.
public struct ConvolutionGeometry: Sendable, Hashable {
    public let kernelHeight: Int
    public let kernelWidth: Int
    public let stride: Int
    public let padding: Int

    public init(kernelHeight: Int, kernelWidth: Int, stride: Int, padding: Int) {
        precondition(
            kernelHeight > 0 && kernelWidth > 0 && stride > 0 && padding >= 0,
            "kernel \(kernelHeight)x\(kernelWidth), stride \(stride), padding \(padding)")
        self.kernelHeight = kernelHeight
        self.kernelWidth = kernelWidth
        self.stride = stride
        self.padding = padding
    }

    /// One tap: each pixel by itself.
    public var isPointwise: Bool { kernelHeight == 1 && kernelWidth == 1 && stride == 1 && padding == 0 }

    /// Kernels side by side: a transposed convolution's blocks tile its output.
    public var isTiling: Bool { kernelHeight == stride && kernelWidth == stride && padding == 0 }

    /// Rows of a convolution's output; 0 if the kernel is larger than the padded input.
    public func outputHeight(_ inputHeight: Int) -> Int { outputExtent(inputHeight, kernelHeight) }
    public func outputWidth(_ inputWidth: Int) -> Int { outputExtent(inputWidth, kernelWidth) }
    /// Rows of a transposed convolution's output: (n - 1) * stride - 2 * padding + kernel.
    public func transposedOutputHeight(_ inputHeight: Int) -> Int { transposedExtent(inputHeight, kernelHeight) }
    public func transposedOutputWidth(_ inputWidth: Int) -> Int { transposedExtent(inputWidth, kernelWidth) }

    private func outputExtent(_ input: Int, _ kernel: Int) -> Int {
        input + 2 * padding < kernel ? 0 : (input + 2 * padding - kernel) / stride + 1
    }

    private func transposedExtent(_ input: Int, _ kernel: Int) -> Int {
        input == 0 ? 0 : max(0, (input - 1) * stride - 2 * padding + kernel)
    }
}

/// What follows a convolution in the same pass over its output.
public enum Activation: Sendable, Hashable {
    case none
    case relu
}
