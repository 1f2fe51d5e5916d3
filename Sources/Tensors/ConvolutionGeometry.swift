/// Kernel, stride and zero padding of a cross-correlation (or of the transposed operation).
public struct ConvolutionGeometry: Sendable, Hashable {
    public let kernelHeight: Int
    public let kernelWidth: Int
    /// Of both axes.
    public let stride: Int
    /// On all four sides.
    public let padding: Int

    public init(kernelHeight: Int, kernelWidth: Int, stride: Int, padding: Int) {
        precondition(kernelHeight > 0 && kernelWidth > 0 && stride > 0 && padding >= 0)
        self.kernelHeight = kernelHeight
        self.kernelWidth = kernelWidth
        self.stride = stride
        self.padding = padding
    }

    public func outputHeight(_ height: Int) -> Int { (height + 2 * padding - kernelHeight) / stride + 1 }
    public func outputWidth(_ width: Int) -> Int { (width + 2 * padding - kernelWidth) / stride + 1 }

    /// Height of a transposed convolution's output.
    public func transposedHeight(_ height: Int) -> Int { (height - 1) * stride - 2 * padding + kernelHeight }
    public func transposedWidth(_ width: Int) -> Int { (width - 1) * stride - 2 * padding + kernelWidth }

    /// A pointwise convolution reads no neighbours: its patches are the pixels themselves.
    public var isPointwise: Bool { kernelHeight == 1 && kernelWidth == 1 && stride == 1 && padding == 0 }
    /// Transposed: every input pixel owns a block of the output.
    public var isBlockwise: Bool { kernelHeight == stride && kernelWidth == stride && padding == 0 }
    public var taps: Int { kernelHeight * kernelWidth }
}

public enum Activation: Sendable, Hashable { case none, relu }
