import Tensors

// What convolutions multiply, as they are computed: the figures of cost models. Nothing is executed here.

extension KernelContext {
    /// The pass of a layer that is meant.
    public enum ConvolutionPass: Sendable {
        case forward
        case inputGradient
        case weightGradient
    }

    /// Multiply-adds of a convolution's matrix products as they are executed: with Winograd's algorithm 36 for each 4x4
    /// tile, whole or overhanging, and pair of channels, else one for each tap.
    ///
    /// - Parameters:
    ///   - input: [N, H, W, Ci], of the layer, whichever pass is meant.
    ///   - weights: [kh, kw, Ci, Co]
    public static func convolution2DMultiplyAdds(
        _ pass: ConvolutionPass, input: Shape, weights: Shape, geometry: ConvolutionGeometry
    ) -> Int {
        let extents = ConvolutionExtents(input: input, weights: weights, geometry: geometry)
        guard ConvolutionMethod.automatic.isWinograd(extents) else {
            return extents.smallCount * extents.patchCount * extents.smallChannels
        }
        return WinogradPlan.points * winograd(extents, pass).tileCount * extents.bigChannels * extents.smallChannels
    }

    private static func winograd(_ extents: ConvolutionExtents, _ pass: ConvolutionPass) -> WinogradPlan {
        switch pass {
        case .forward: WinogradPlan(extents, .forward)
        case .inputGradient: WinogradPlan(extents, .inputGradient)
        case .weightGradient: WinogradPlan(extents, .weightGradient)
        }
    }
}
