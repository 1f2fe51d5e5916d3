import CKernels
import Tensors

/// Which way a convolution goes. `automatic` is what operators use: it depends on the shape only, and the three passes of a
/// layer go the same way.
package enum ConvolutionMethod: Sendable, CaseIterable {
    case automatic
    /// Patch matrices (im2col), block by block; none for pointwise convolutions.
    case patches
    /// F(4x4, 3x3), for 3x3 kernels of stride 1 with padding 0, 1 or 2.
    case winograd

    func isWinograd(_ extents: ConvolutionExtents) -> Bool {
        switch self {
        case .automatic: return WinogradPlan.fits(extents)
        case .patches: return false
        case .winograd:
            precondition(WinogradPlan.isPossible(extents), "no Winograd transform for \(extents.geometry)")
            return true
        }
    }
}

// MARK: Forward

extension KernelContext {
    /// Floats of workspace that `convolution2D` needs.
    public static func convolution2DWorkspaceCount(
        input: Shape, weights: Shape, geometry: ConvolutionGeometry, threadCount: Int
    ) -> Int {
        convolution2DWorkspaceCount(
            input: input, weights: weights, geometry: geometry, threadCount: threadCount, method: .automatic)
    }

    package static func convolution2DWorkspaceCount(
        input: Shape, weights: Shape, geometry: ConvolutionGeometry, threadCount: Int, method: ConvolutionMethod
    ) -> Int {
        let extents = ConvolutionExtents(input: input, weights: weights, geometry: geometry)
        return method.isWinograd(extents)
            ? WinogradPlan(extents, .forward).packedCount
                + WinogradPlan(extents, .forward).convolutionWorkspaceCount(threadCount: threadCount, statistics: false)
            : PatchProductPlan(extents).workspaceCount(threadCount: threadCount)
    }

    /// Convolution (cross-correlation, zero padding): input `[N, H, W, Ci]`, weights `[kh, kw, Ci, Co]`, bias `[Co]` →
    /// output `[N, Ho, Wo, Co]`, with bias and activation added while a block is in cache. ReLU keeps NaN.
    public func convolution2D(
        input: TensorView, weights: TensorView, bias: TensorView?, output: TensorView, geometry: ConvolutionGeometry,
        activation: Activation, workspace: UnsafeMutablePointer<Float>
    ) {
        convolution2D(
            input: input, weights: weights, bias: bias, output: output, geometry: geometry, activation: activation,
            workspace: workspace, method: .automatic)
    }

    package func convolution2D(
        input: TensorView, weights: TensorView, bias: TensorView?, output: TensorView, geometry: ConvolutionGeometry,
        activation: Activation, workspace: UnsafeMutablePointer<Float>, method: ConvolutionMethod
    ) {
        let extents = ConvolutionExtents(input: input.shape, weights: weights.shape, geometry: geometry)
        extents.checkSmall(output.shape)
        precondition(
            bias == nil || bias?.count == extents.smallChannels, "bias \(bias?.shape ?? []) for output \(output.shape)")
        if method.isWinograd(extents) {
            let plan = WinogradPlan(extents, .forward)
            transformWeights(weights.base, plan: plan, turned: workspace, into: workspace)
            winogradConvolution(
                PictureParts(input), transformed: workspace, bias: bias?.base, activation: activation, plan: plan,
                into: PictureParts(output), statistics: nil, workspace: workspace + plan.packedCount)
        } else {
            multiplyPatches(
                extents.grid, of: input.base,
                by: MatrixOperand(base: weights.base, layout: .normal, rowStride: extents.smallChannels),
                plan: PatchProductPlan(extents), bias: bias?.base, activation: activation, into: output.base,
                workspace: workspace)
        }
    }
}

extension PatchProductPlan {
    /// From the big image to the small one.
    init(_ extents: ConvolutionExtents) {
        self.init(
            pixelCount: extents.smallCount,
            taps: (extents.geometry.kernelHeight, extents.geometry.kernelWidth, extents.bigChannels),
            columns: extents.smallChannels, isPointwise: extents.isPointwise)
    }

    /// From the small image to the big one where each small pixel is one big pixel.
    init(pointwiseGradient extents: ConvolutionExtents) {
        self.init(
            pixelCount: extents.smallCount, taps: (1, 1, extents.smallChannels), columns: extents.bigChannels,
            isPointwise: true)
    }
}

// MARK: Input gradient

extension KernelContext {
    /// Floats of workspace that `convolution2DInputGradient` needs. `input` is the shape of the input and its gradient.
    public static func convolution2DInputGradientWorkspaceCount(
        input: Shape, weights: Shape, geometry: ConvolutionGeometry, threadCount: Int
    ) -> Int {
        convolution2DInputGradientWorkspaceCount(
            input: input, weights: weights, geometry: geometry, threadCount: threadCount, method: .automatic)
    }

    package static func convolution2DInputGradientWorkspaceCount(
        input: Shape, weights: Shape, geometry: ConvolutionGeometry, threadCount: Int, method: ConvolutionMethod
    ) -> Int {
        let extents = ConvolutionExtents(input: input, weights: weights, geometry: geometry)
        if method.isWinograd(extents) {
            let plan = WinogradPlan(extents, .inputGradient)
            return plan.packedCount + plan.transposedCount
                + plan.convolutionWorkspaceCount(threadCount: threadCount, statistics: false)
        }
        if extents.isPointwise { return extents.turnedWeightsCount }
        return GatherPlan(extents).workspaceCount(threadCount: threadCount)
    }

    /// outputGradient `[N, Ho, Wo, Co]`, weights `[kh, kw, Ci, Co]` → inputGradient `[N, H, W, Ci]` (overwritten).
    public func convolution2DInputGradient(
        outputGradient: TensorView, weights: TensorView, inputGradient: TensorView, geometry: ConvolutionGeometry,
        workspace: UnsafeMutablePointer<Float>
    ) {
        convolution2DInputGradient(
            outputGradient: outputGradient, weights: weights, inputGradient: inputGradient, geometry: geometry,
            workspace: workspace, method: .automatic)
    }

    package func convolution2DInputGradient(
        outputGradient: TensorView, weights: TensorView, inputGradient: TensorView, geometry: ConvolutionGeometry,
        workspace: UnsafeMutablePointer<Float>, method: ConvolutionMethod
    ) {
        let extents = ConvolutionExtents(input: inputGradient.shape, weights: weights.shape, geometry: geometry)
        extents.checkSmall(outputGradient.shape)
        let smallChannels = extents.smallChannels
        if method.isWinograd(extents) {
            winogradInputGradient(
                outputGradient, weights: weights, plan: WinogradPlan(extents, .inputGradient),
                into: PictureParts(inputGradient), workspace: workspace)
            return
        }
        if !extents.isPointwise {
            gatherFromSmall(
                outputGradient.base, plan: GatherPlan(extents),
                tap: { tap in
                    MatrixOperand(
                        base: weights.base + tap * extents.bigChannels * smallChannels, layout: .transposed,
                        rowStride: smallChannels)
                }, bias: nil, into: inputGradient.base, workspace: workspace)
            return
        }
        let matrix = normalOperand(
            MatrixOperand(base: weights.base, layout: .transposed, rowStride: smallChannels), rows: smallChannels,
            columns: extents.patchCount, pixels: extents.smallCount, workspace: workspace)
        multiplyPatches(
            extents.grid, of: outputGradient.base, by: matrix, plan: PatchProductPlan(pointwiseGradient: extents),
            bias: nil, activation: .none, into: inputGradient.base, workspace: workspace)
    }
}

// MARK: Weight gradient

extension KernelContext {
    /// Floats of workspace that `convolution2DWeightGradient` needs. Partial sums take at most 16 MB of it, or one copy of
    /// the (transformed) gradient if that is larger.
    public static func convolution2DWeightGradientWorkspaceCount(
        input: Shape, weights: Shape, geometry: ConvolutionGeometry, threadCount: Int
    ) -> Int {
        convolution2DWeightGradientWorkspaceCount(
            input: input, weights: weights, geometry: geometry, threadCount: threadCount, method: .automatic)
    }

    package static func convolution2DWeightGradientWorkspaceCount(
        input: Shape, weights: Shape, geometry: ConvolutionGeometry, threadCount: Int, method: ConvolutionMethod
    ) -> Int {
        let extents = ConvolutionExtents(input: input, weights: weights, geometry: geometry)
        return method.isWinograd(extents)
            ? WinogradPlan(extents, .weightGradient).weightGradientWorkspaceCount(threadCount: threadCount)
            : WeightGradientPlan(extents).workspaceCount(threadCount: threadCount)
    }

    /// input `[N, H, W, Ci]`, outputGradient `[N, Ho, Wo, Co]` → weightGradient `[kh, kw, Ci, Co]` (overwritten).
    public func convolution2DWeightGradient(
        input: TensorView, outputGradient: TensorView, weightGradient: TensorView, geometry: ConvolutionGeometry,
        workspace: UnsafeMutablePointer<Float>
    ) {
        convolution2DWeightGradient(
            input: input, outputGradient: outputGradient, weightGradient: weightGradient, geometry: geometry,
            workspace: workspace, method: .automatic)
    }

    package func convolution2DWeightGradient(
        input: TensorView, outputGradient: TensorView, weightGradient: TensorView, geometry: ConvolutionGeometry,
        workspace: UnsafeMutablePointer<Float>, method: ConvolutionMethod
    ) {
        let extents = ConvolutionExtents(input: input.shape, weights: weightGradient.shape, geometry: geometry)
        extents.checkSmall(outputGradient.shape)
        if method.isWinograd(extents) {
            winogradWeightGradient(
                PictureParts(input), outputGradient: outputGradient.base, plan: WinogradPlan(extents, .weightGradient),
                into: weightGradient.base, workspace: workspace)
        } else {
            patchWeightGradient(
                big: input.base, small: outputGradient.base, plan: WeightGradientPlan(extents), transposed: false,
                into: weightGradient.base, workspace: workspace)
        }
    }
}

// MARK: Pairs of pictures

extension KernelContext {
    /// Whether convolutions of these sizes go Winograd's way, which takes pairs of pictures.
    public static func convolution2DIsWinograd(input: Shape, weights: Shape, geometry: ConvolutionGeometry) -> Bool {
        WinogradPlan.fits(ConvolutionExtents(input: input, weights: weights, geometry: geometry))
    }

    /// Floats of weights `[3, 3, Ci, Co]` in the form that Winograd's way wants, and of its workspace without them.
    public static func winogradPackedCount(input: Shape, weights: Shape, geometry: ConvolutionGeometry) -> Int {
        WinogradPlan(ConvolutionExtents(input: input, weights: weights, geometry: geometry), .forward).packedCount
    }

    public static func winogradWorkspaceCount(
        input: Shape, weights: Shape, geometry: ConvolutionGeometry, statistics: Bool, threadCount: Int
    ) -> Int {
        WinogradPlan(ConvolutionExtents(input: input, weights: weights, geometry: geometry), .forward)
            .convolutionWorkspaceCount(threadCount: threadCount, statistics: statistics)
    }

    public func packWinograd(
        weights: TensorView, input: Shape, geometry: ConvolutionGeometry, into packed: UnsafeMutablePointer<Float>
    ) {
        let extents = ConvolutionExtents(input: input, weights: weights.shape, geometry: geometry)
        transformWeights(weights.base, plan: WinogradPlan(extents, .forward), turned: packed, into: packed)
    }

    /// `convolution2D` of one picture, or two whose channels follow one another, and the statistics of the result if asked
    /// for. Only where `convolution2DIsWinograd`; so are the two gradients.
    public func winogradConvolution2D(
        _ input: PictureParts, weights: Shape, packed: UnsafePointer<Float>, bias: TensorView?, output: TensorView,
        statistics: BatchStatistics?, geometry: ConvolutionGeometry, activation: Activation,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let extents = ConvolutionExtents(input: input.shape, weights: weights, geometry: geometry)
        extents.checkSmall(output.shape)
        winogradConvolution(
            input, transformed: packed, bias: bias?.base, activation: activation,
            plan: WinogradPlan(extents, .forward), into: PictureParts(output), statistics: statistics,
            workspace: workspace)
    }

    public func convolution2DInputGradient(
        outputGradient: TensorView, weights: TensorView, pair: PictureParts, geometry: ConvolutionGeometry,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let extents = ConvolutionExtents(input: pair.shape, weights: weights.shape, geometry: geometry)
        extents.checkSmall(outputGradient.shape)
        winogradInputGradient(
            outputGradient, weights: weights, plan: WinogradPlan(extents, .inputGradient), into: pair,
            workspace: workspace)
    }

    private func winogradInputGradient(
        _ outputGradient: TensorView, weights: TensorView, plan: WinogradPlan, into inputGradient: PictureParts,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let rest = workspace + plan.packedCount
        transformWeights(weights.base, plan: plan, turned: rest, into: workspace)
        winogradConvolution(
            PictureParts(outputGradient), transformed: workspace, bias: nil, activation: .none, plan: plan,
            into: inputGradient, statistics: nil, workspace: rest + plan.transposedCount)
    }

    public func convolution2DWeightGradient(
        pair: PictureParts, outputGradient: TensorView, weightGradient: TensorView, geometry: ConvolutionGeometry,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let extents = ConvolutionExtents(input: pair.shape, weights: weightGradient.shape, geometry: geometry)
        extents.checkSmall(outputGradient.shape)
        winogradWeightGradient(
            pair, outputGradient: outputGradient.base, plan: WinogradPlan(extents, .weightGradient),
            into: weightGradient.base, workspace: workspace)
    }
}
