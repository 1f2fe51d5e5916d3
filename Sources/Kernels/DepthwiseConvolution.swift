import CKernels
import Tensors

// Depthwise cross-correlation, stride 1, zero padding k / 2, odd kernels of at most 128 taps.

extension KernelContext {
    /// `[N, H, W, C]` × `[kh, kw, C]` → `[N, H, W, C]`. `output` must not overlap `input`.
    public func depthwiseConvolution2D(_ input: TensorView, weights: TensorView, output: TensorView) {
        depthwise(input, weights, output, isFlipped: false)
    }

    /// The same with the kernel turned by 180°.
    public func depthwiseConvolution2DInputGradient(
        outputGradient: TensorView, weights: TensorView, inputGradient: TensorView
    ) {
        depthwise(outputGradient, weights, inputGradient, isFlipped: true)
    }

    private func depthwise(_ input: TensorView, _ weights: TensorView, _ output: TensorView, isFlipped: Bool) {
        precondition(input.base != output.base, "a depthwise convolution cannot run in place")
        checkDepthwise(input, weights, output)
        let (height, width, channels) = (input.shape[1], input.shape[2], input.shape[3])
        let (kernelHeight, kernelWidth) = (weights.shape[0], weights.shape[1])
        let kernels = kernels
        forEach(.rows(input.shape[0] * height, of: width * channels, floats: 1 << 17)) { begin, count in
            var rows = ck_rows(input)
            kernels.pointee.depthwise(
                &rows, weights.base, output.base, 0, begin, begin + count, height, width, channels, kernelHeight,
                kernelWidth, isFlipped ? 1 : 0)
        }
    }

    /// Floats of workspace for the weight gradient.
    public func depthwiseConvolution2DWeightGradientWorkspaceCount(
        inputShape: Shape, kernelHeight: Int, kernelWidth: Int, threadCount: Int
    ) -> Int {
        2 * weightGradientChunks(inputShape).count * kernelHeight * kernelWidth * inputShape[3]
    }

    /// dW `[kh, kw, C]`: float32 sums over 64 products at most, float64 beyond, chunks in index order.
    public func depthwiseConvolution2DWeightGradient(
        _ input: TensorView, outputGradient: TensorView, weightGradient: TensorView,
        workspace: UnsafeMutablePointer<Float>
    ) {
        checkDepthwise(input, weightGradient, outputGradient)
        let (height, width, channels) = (input.shape[1], input.shape[2], input.shape[3])
        let (kernelHeight, kernelWidth) = (weightGradient.shape[0], weightGradient.shape[1])
        let chunks = weightGradientChunks(input.shape)
        let sumCount = weightGradient.count
        let partials = doubles(workspace, count: chunks.count * sumCount)
        let kernels = kernels
        pool.forEachChunk(chunks.count) { chunk, _ in
            let sums = partials + chunk * sumCount
            sums.update(repeating: 0, count: sumCount)
            let begin = chunks.begin(chunk)
            var (rows, gradientRows) = (ck_rows(input), ck_rows(outputGradient))
            kernels.pointee.depthwise_weight_gradient(
                &rows, &gradientRows, sums, begin, begin + chunks.length(chunk), height, width, channels,
                kernelHeight, kernelWidth)
        }
        ck_combine(partials, chunks.count, sumCount, weightGradient.base)
    }

    private func weightGradientChunks(_ shape: Shape) -> Chunks {
        .partials(shape[0] * shape[1], of: shape[2] * shape[3], floats: 1 << 16)
    }

    private func checkDepthwise(_ input: TensorView, _ weights: TensorView, _ output: TensorView) {
        precondition(
            input.shape.rank == 4 && input.shape == output.shape && weights.shape.rank == 3
                && weights.shape[2] == input.shape[3] && weights.shape[0] % 2 == 1 && weights.shape[1] % 2 == 1
                && weights.shape[0] * weights.shape[1] <= 128,
            "depthwise convolution of \(input.shape) by \(weights.shape) into \(output.shape)")
    }
}

extension ck_rows {
    /// A whole picture.
    init(_ picture: TensorView) { self.init(base: picture.base, first: 0, ring: 0) }
}
