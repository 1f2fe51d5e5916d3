import Execution
import Graphs
import Kernels
import Tensors

/// Transposed convolution: n becomes (n − 1) · stride − 2 · padding + kernel.
///
/// input [N, H, W, Ci], weights [Ci, kh, kw, Co], bias [Co]? → [N, H', W', Co]
public struct TransposedConv2D: Runnable {
    public static let name = "TransposedConv2D"
    public let geometry: ConvolutionGeometry

    public init(geometry: ConvolutionGeometry) { self.geometry = geometry }

    public var attributes: [(name: String, value: String)] { geometry.attributes }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...3)
        try ShapeRules.picture(inputs[0])
        let (x, w) = (inputs[0], inputs[1])
        try ShapeRules.require(
            w.rank == 4 && w[0] == x[3] && w[1] == geometry.kernelHeight && w[2] == geometry.kernelWidth,
            "weights \(w) do not fit \(x)")
        if inputs.count == 3 { try ShapeRules.vector(inputs[2], w[3], "bias") }
        let height = (x[1] - 1) * geometry.stride - 2 * geometry.padding + geometry.kernelHeight
        let width = (x[2] - 1) * geometry.stride - 2 * geometry.padding + geometry.kernelWidth
        try ShapeRules.require(height > 0 && width > 0, "\(x) is too small for padding \(geometry.padding)")
        return [[x[0], height, width, w[3]]]
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        let gradient = site.outputGradient
        let (x, w) = (site.inputs[0], site.inputs[1])
        var results: [Value?] = [
            site.isNeeded[0]
                ? gradient.apply(TransposedConv2DInputGradient(geometry: geometry, inputShape: x.shape), [w]) : nil,
            site.isNeeded[1] ? x.apply(TransposedConv2DWeightGradient(geometry: geometry), [gradient]) : nil,
        ]
        if site.inputs.count == 3 { results.append(site.isNeeded[2] ? gradient.apply(ColumnSum()) : nil) }
        return results
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        geometry.isTiling
            ? 0
            : KernelContext.transposedConvolution2DWorkspaceCount(
                input: inputs[0], weights: inputs[1], geometry: geometry, threadCount: kernels.pool.threadCount)
    }

    public var packedInputs: [Int] { [1, 2] }

    public func packedCount(inputs: [Shape], outputs: [Shape]) -> Int {
        geometry.isTiling
            ? Kernels.UpsampleSum.packedCount([UpsampleShape(input: inputs[0], weights: inputs[1])]) : 0
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let bias = site.inputs.count == 3 ? site.inputs[2] : nil
        if geometry.isTiling {
            let term = UpsampleTerm(input: ChannelSlice(site.input), weights: site.inputs[1], bias: bias)
            let sum = Kernels.UpsampleSum(base: nil, terms: [term], factor: 1, output: site.output)
            return { _ in
                let packed = site.packed.weights { site.kernels.packUpsampleSum(sum, into: $0) }
                site.kernels.upsampleSum(sum, packed: packed)
            }
        }
        return { [self] _ in
            site.kernels.transposedConvolution2D(
                input: site.inputs[0], weights: site.inputs[1], bias: bias, output: site.output, geometry: geometry,
                workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        2 * inputs[0].count * geometry.kernelHeight * geometry.kernelWidth * outputs[0][3]
    }
}

/// outputGradient [N, H', W', Co], weights [Ci, kh, kw, Co] → gradient of the input [N, H, W, Ci]
public struct TransposedConv2DInputGradient: Runnable {
    public static let name = "TransposedConv2DInputGradient"
    public let geometry: ConvolutionGeometry
    public let inputShape: Shape

    public init(geometry: ConvolutionGeometry, inputShape: Shape) {
        self.geometry = geometry
        self.inputShape = inputShape
    }

    public var attributes: [(name: String, value: String)] { geometry.attributes }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        let (g, w) = (inputs[0], inputs[1])
        let expected = try TransposedConv2D(geometry: geometry).outputShapes(for: [inputShape, w])[0]
        try ShapeRules.equal(g, expected, "gradient and output")
        return [inputShape]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.transposedConvolution2DInputGradientWorkspaceCount(
            input: inputShape, weights: inputs[1], geometry: geometry, threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [self] _ in
            site.kernels.transposedConvolution2DInputGradient(
                outputGradient: site.inputs[0], weights: site.inputs[1], inputGradient: site.output,
                geometry: geometry, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        2 * inputShape.count * geometry.kernelHeight * geometry.kernelWidth * inputs[1][3]
    }
}

/// input [N, H, W, Ci], outputGradient [N, H', W', Co] → gradient of the weights [Ci, kh, kw, Co]
public struct TransposedConv2DWeightGradient: Runnable {
    public static let name = "TransposedConv2DWeightGradient"
    public let geometry: ConvolutionGeometry

    public init(geometry: ConvolutionGeometry) { self.geometry = geometry }

    public var attributes: [(name: String, value: String)] { geometry.attributes }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        let (x, g) = (inputs[0], inputs[1])
        try ShapeRules.picture(g, "gradient")
        let weights: Shape = [x[3], geometry.kernelHeight, geometry.kernelWidth, g[3]]
        let expected = try TransposedConv2D(geometry: geometry).outputShapes(for: [x, weights])[0]
        try ShapeRules.equal(g, expected, "gradient and output")
        return [weights]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.transposedConvolution2DWeightGradientWorkspaceCount(
            input: inputs[0], weights: outputs[0], geometry: geometry, threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [self] _ in
            site.kernels.transposedConvolution2DWeightGradient(
                input: site.inputs[0], outputGradient: site.inputs[1], weightGradient: site.output,
                geometry: geometry, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        2 * inputs[0].count * geometry.kernelHeight * geometry.kernelWidth * outputs[0][3]
    }
}

extension TransposedConv2D: ONNXExpressible {
    public func express(_ site: ONNXSite) throws(ONNXError) {
        var inputs = [try site.input(), try site.weights(1, order: [0, 3, 1, 2])]
        if site.inputCount == 3 { inputs.append(try site.vector(2)) }
        site.emit("ConvTranspose", inputs, geometry.onnx)
    }
}
