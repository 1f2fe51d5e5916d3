import Tensors

/// The two images that a convolution or its transpose connects. `big` is the side that the kernel slides over (input of a
/// convolution, output of a transposed one), `small` has one pixel per place of the kernel.
struct ConvolutionExtents {
    let batch: Int
    let bigHeight: Int
    let bigWidth: Int
    let bigChannels: Int
    let smallHeight: Int
    let smallWidth: Int
    let smallChannels: Int
    let geometry: ConvolutionGeometry

    /// Pixels of the small image, over the batch.
    var smallCount: Int { batch * smallHeight * smallWidth }
    /// Taps of the kernel.
    var tapCount: Int { geometry.kernelHeight * geometry.kernelWidth }
    /// Floats of a patch: what one small pixel sees of the big image.
    var patchCount: Int { tapCount * bigChannels }
    /// Floats for the transposed weights where an operation wants them (`normalOperand`).
    var turnedWeightsCount: Int { smallCount < transposingRows ? 0 : roundUp(patchCount * smallChannels, to: 16) }
    /// A patch is a pixel: the patch matrix is the image itself.
    var isPointwise: Bool { tapCount == 1 && geometry.stride == 1 && geometry.padding == 0 }
    /// Patches tile the big image without overlap or rest.
    var isTiling: Bool {
        geometry.kernelHeight == geometry.stride && geometry.kernelWidth == geometry.stride && geometry.padding == 0
            && bigHeight == smallHeight * geometry.stride && bigWidth == smallWidth * geometry.stride
    }

    /// - input: [N, H, W, Ci]; weights: [kh, kw, Ci, Co].
    init(input: Shape, weights: Shape, geometry: ConvolutionGeometry) {
        precondition(
            input.rank == 4 && weights.rank == 4 && weights[0] == geometry.kernelHeight
                && weights[1] == geometry.kernelWidth && weights[2] == input[3],
            "convolution of \(input) with weights \(weights) and \(geometry)")
        (batch, bigHeight, bigWidth, bigChannels) = (input[0], input[1], input[2], input[3])
        smallHeight = geometry.outputHeight(input[1])
        smallWidth = geometry.outputWidth(input[2])
        smallChannels = weights[3]
        self.geometry = geometry
    }

    /// - transposedInput: [N, h, w, Ci]; weights: [Ci, kh, kw, Co].
    init(transposedInput input: Shape, weights: Shape, geometry: ConvolutionGeometry) {
        precondition(
            input.rank == 4 && weights.rank == 4 && weights[0] == input[3] && weights[1] == geometry.kernelHeight
                && weights[2] == geometry.kernelWidth,
            "transposed convolution of \(input) with weights \(weights) and \(geometry)")
        (batch, smallHeight, smallWidth, smallChannels) = (input[0], input[1], input[2], input[3])
        bigHeight = geometry.transposedOutputHeight(input[1])
        bigWidth = geometry.transposedOutputWidth(input[2])
        bigChannels = weights[3]
        self.geometry = geometry
    }

    func checkSmall(_ shape: Shape) {
        precondition(
            shape.rank == 4 && shape[0] == batch && shape[1] == smallHeight && shape[2] == smallWidth
                && shape[3] == smallChannels,
            "\(shape) where \(batch)x\(smallHeight)x\(smallWidth)x\(smallChannels) belongs")
    }

    func checkBig(_ shape: Shape) {
        precondition(
            shape.rank == 4 && shape[0] == batch && shape[1] == bigHeight && shape[2] == bigWidth
                && shape[3] == bigChannels,
            "\(shape) where \(batch)x\(bigHeight)x\(bigWidth)x\(bigChannels) belongs")
    }
}
