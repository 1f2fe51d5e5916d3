import CKernels
import Tensors

// A transposed convolution is the input gradient of a convolution, and its gradients are that convolution's forward pass
// and weight gradient: the same three ways between a small and a big image, with weights in another order.

extension KernelContext {
    /// Floats of workspace that `transposedConvolution2D` needs.
    public static func transposedConvolution2DWorkspaceCount(
        input: Shape, weights: Shape, geometry: ConvolutionGeometry, threadCount: Int
    ) -> Int {
        let extents = ConvolutionExtents(transposedInput: input, weights: weights, geometry: geometry)
        return extents.isTiling
            ? UpsampleSum.packedCount([UpsampleShape(input: input, weights: weights)])
            : GatherPlan(extents).workspaceCount(threadCount: threadCount)
    }

    /// Transposed convolution: input `[N, h, w, Ci]`, weights `[Ci, kh, kw, Co]`, bias `[Co]` → output `[N, H, W, Co]`,
    /// H = (h - 1) · stride - 2 · padding + kh. Fastest where kernel = stride and padding = 0.
    public func transposedConvolution2D(
        input: TensorView, weights: TensorView, bias: TensorView?, output: TensorView, geometry: ConvolutionGeometry,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let extents = ConvolutionExtents(transposedInput: input.shape, weights: weights.shape, geometry: geometry)
        extents.checkBig(output.shape)
        precondition(
            bias == nil || bias?.count == extents.bigChannels, "bias \(bias?.shape ?? []) for output \(output.shape)")
        if extents.isTiling {
            let sum = UpsampleSum(
                base: nil, terms: [UpsampleTerm(input: ChannelSlice(input), weights: weights, bias: bias)], factor: 1,
                output: output)
            packUpsampleSum(sum, into: workspace)
            upsampleSum(sum, packed: workspace)
        } else {
            gatherFromSmall(
                input.base, plan: GatherPlan(extents),
                tap: { tap in
                    MatrixOperand(
                        base: weights.base + tap * extents.bigChannels, layout: .normal, rowStride: extents.patchCount)
                }, bias: bias?.base, into: output.base, workspace: workspace)
        }
    }

    /// Floats of workspace that `transposedConvolution2DInputGradient` needs. `input` is the shape of the input.
    public static func transposedConvolution2DInputGradientWorkspaceCount(
        input: Shape, weights: Shape, geometry: ConvolutionGeometry, threadCount: Int
    ) -> Int {
        let extents = ConvolutionExtents(transposedInput: input, weights: weights, geometry: geometry)
        return extents.turnedWeightsCount + PatchProductPlan(extents).workspaceCount(threadCount: threadCount)
    }

    /// outputGradient `[N, H, W, Co]`, weights `[Ci, kh, kw, Co]` → inputGradient `[N, h, w, Ci]` (overwritten).
    public func transposedConvolution2DInputGradient(
        outputGradient: TensorView, weights: TensorView, inputGradient: TensorView, geometry: ConvolutionGeometry,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let extents = ConvolutionExtents(
            transposedInput: inputGradient.shape, weights: weights.shape, geometry: geometry)
        extents.checkBig(outputGradient.shape)
        let matrix = normalOperand(
            MatrixOperand(base: weights.base, layout: .transposed, rowStride: extents.patchCount),
            rows: extents.patchCount, columns: extents.smallChannels, pixels: extents.smallCount, workspace: workspace)
        multiplyPatches(
            extents.grid, of: outputGradient.base, by: matrix, plan: PatchProductPlan(extents), bias: nil,
            activation: .none, into: inputGradient.base, workspace: workspace + extents.turnedWeightsCount)
    }

    /// Floats of workspace that `transposedConvolution2DWeightGradient` needs; the bound of its partial sums is that of
    /// `convolution2DWeightGradient`.
    public static func transposedConvolution2DWeightGradientWorkspaceCount(
        input: Shape, weights: Shape, geometry: ConvolutionGeometry, threadCount: Int
    ) -> Int {
        let extents = ConvolutionExtents(transposedInput: input, weights: weights, geometry: geometry)
        return WeightGradientPlan(extents).workspaceCount(threadCount: threadCount)
    }

    /// input `[N, h, w, Ci]`, outputGradient `[N, H, W, Co]` → weightGradient `[Ci, kh, kw, Co]` (overwritten).
    public func transposedConvolution2DWeightGradient(
        input: TensorView, outputGradient: TensorView, weightGradient: TensorView, geometry: ConvolutionGeometry,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let extents = ConvolutionExtents(
            transposedInput: input.shape, weights: weightGradient.shape, geometry: geometry)
        extents.checkBig(outputGradient.shape)
        patchWeightGradient(
            big: outputGradient.base, small: input.base, plan: WeightGradientPlan(extents), transposed: true,
            into: weightGradient.base, workspace: workspace)
    }
}
