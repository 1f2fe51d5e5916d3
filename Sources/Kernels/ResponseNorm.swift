import CKernels
import Tensors

/// Numbers of a local response normalisation across channels.
public struct ResponseNormalization: Sendable, Hashable {
    /// Channels on either side that count.
    public let radius: Int
    public let bias: Float
    /// Of the plain sum of squares: PyTorch's `alpha` divided by its `size`.
    public let scale: Float

    public init(radius: Int, bias: Float, scale: Float) {
        precondition(radius >= 0 && bias > 0 && scale >= 0, "radius \(radius), bias \(bias), scale \(scale)")
        (self.radius, self.bias, self.scale) = (radius, bias, scale)
    }
}

extension KernelContext {
    public static func responseNormWorkspaceCount(input: Shape, radius: Int, threadCount: Int) -> Int {
        threadCount * roundUp(2 * (input[input.rank - 1] + 2 * radius), to: 16)
    }

    /// y = x · (bias + scale · Σ x² over channels within the radius)^(−¾), `[.., C]` → `[.., C]`.
    public func responseNorm(
        _ input: TensorView, _ norm: ResponseNormalization, output: TensorView, workspace: UnsafeMutablePointer<Float>
    ) {
        precondition(input.shape == output.shape, "response norm of \(input.shape) into \(output.shape)")
        let channels = input.lastDimension
        let (kernels, chunks) = (kernels, Chunks.rows(input.rowCount, of: channels))
        let scratch = Self.responseNormWorkspaceCount(input: input.shape, radius: norm.radius, threadCount: 1)
        pool.forEachChunk(chunks.count) { chunk, worker in
            let offset = chunks.begin(chunk) * channels
            kernels.pointee.response_norm(
                input.base + offset, output.base + offset, chunks.length(chunk), channels, norm.radius, norm.bias,
                norm.scale, workspace + worker * scratch)
        }
    }

    /// `inputGradient` must be memory of its own.
    public func responseNormGradient(
        _ input: TensorView, _ norm: ResponseNormalization, outputGradient: TensorView, inputGradient: TensorView,
        workspace: UnsafeMutablePointer<Float>
    ) {
        precondition(
            input.shape == outputGradient.shape && input.shape == inputGradient.shape
                && inputGradient.base != input.base && inputGradient.base != outputGradient.base,
            "response norm gradient of \(input.shape), \(outputGradient.shape) into \(inputGradient.shape)")
        let channels = input.lastDimension
        let (kernels, chunks) = (kernels, Chunks.rows(input.rowCount, of: channels))
        let scratch = Self.responseNormWorkspaceCount(input: input.shape, radius: norm.radius, threadCount: 1)
        pool.forEachChunk(chunks.count) { chunk, worker in
            let offset = chunks.begin(chunk) * channels
            kernels.pointee.response_norm_gradient(
                input.base + offset, outputGradient.base + offset, inputGradient.base + offset, chunks.length(chunk),
                channels, norm.radius, norm.bias, norm.scale, workspace + worker * scratch)
        }
    }
}
