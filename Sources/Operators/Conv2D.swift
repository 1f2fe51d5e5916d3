import Execution
import Graphs
import Kernels
import Tensors

/// Two-dimensional cross-correlation with zero padding, an optional bias and an optional ReLU behind it.
///
/// input [N, H, W, Ci], weights [kh, kw, Ci, Co], bias [Co]? → [N, Ho, Wo, Co]
///
/// The activation is an attribute because applying it while the result is in cache saves two passes over memory; the
/// gradient of a ReLU needs only its output.
public struct Conv2D: Runnable {
    public static let name = "Conv2D"
    public let geometry: ConvolutionGeometry
    public let activation: Activation

    public init(geometry: ConvolutionGeometry, activation: Activation) {
        self.geometry = geometry
        self.activation = activation
    }

    public var attributes: [(name: String, value: String)] {
        geometry.attributes + (activation == .relu ? [("activation", "relu")] : [])
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...3)
        try ShapeRules.picture(inputs[0])
        let (x, w) = (inputs[0], inputs[1])
        try ShapeRules.require(
            w.rank == 4 && w[0] == geometry.kernelHeight && w[1] == geometry.kernelWidth && w[2] == x[3],
            "weights \(w) do not fit \(x) with a \(geometry.kernelHeight)x\(geometry.kernelWidth) kernel")
        if inputs.count == 3 { try ShapeRules.vector(inputs[2], w[3], "bias") }
        let (height, width) = (geometry.outputHeight(x[1]), geometry.outputWidth(x[2]))
        try ShapeRules.require(height > 0 && width > 0, "\(x) is smaller than the kernel")
        return [[x[0], height, width, w[3]]]
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        let gradient =
            activation == .relu
            ? site.outputs[0].apply(ReLUGradient(), [site.outputGradient]) : site.outputGradient
        let (x, w) = (site.inputs[0], site.inputs[1])
        var results: [Value?] = [
            site.isNeeded[0] ? gradient.apply(Conv2DInputGradient(geometry: geometry, inputShape: x.shape), [w]) : nil,
            site.isNeeded[1] ? x.apply(Conv2DWeightGradient(geometry: geometry), [gradient]) : nil,
        ]
        if site.inputs.count == 3 { results.append(site.isNeeded[2] ? gradient.apply(ColumnSum()) : nil) }
        return results
    }

    private func isWinograd(_ inputs: [Shape]) -> Bool {
        KernelContext.convolution2DIsWinograd(input: inputs[0], weights: inputs[1], geometry: geometry)
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        isWinograd(inputs)
            ? KernelContext.winogradWorkspaceCount(
                input: inputs[0], weights: inputs[1], geometry: geometry, statistics: false,
                threadCount: kernels.pool.threadCount)
            : KernelContext.convolution2DWorkspaceCount(
                input: inputs[0], weights: inputs[1], geometry: geometry, threadCount: kernels.pool.threadCount)
    }

    public var packedInputs: [Int] { [1] }

    public func packedCount(inputs: [Shape], outputs: [Shape]) -> Int {
        isWinograd(inputs)
            ? KernelContext.winogradPackedCount(input: inputs[0], weights: inputs[1], geometry: geometry) : 0
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let bias = site.inputs.count == 3 ? site.inputs[2] : nil
        let (input, weights) = (site.inputs[0], site.inputs[1])
        if isWinograd([input.shape, weights.shape]) {
            let parts = PictureParts(input)
            return { [self] _ in
                let packed = site.packed.weights {
                    site.kernels.packWinograd(weights: weights, input: input.shape, geometry: geometry, into: $0)
                }
                site.kernels.winogradConvolution2D(
                    parts, weights: weights.shape, packed: packed, bias: bias, output: site.output,
                    statistics: nil, geometry: geometry, activation: activation, workspace: site.workspace)
            }
        }
        return { [self] _ in
            site.kernels.convolution2D(
                input: input, weights: weights, bias: bias, output: site.output, geometry: geometry,
                activation: activation, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        2 * outputs[0].count * geometry.kernelHeight * geometry.kernelWidth * inputs[0][3]
    }

    public func executedMultiplyAdds(inputs: [Shape], outputs: [Shape]) -> Int {
        KernelContext.convolution2DMultiplyAdds(.forward, input: inputs[0], weights: inputs[1], geometry: geometry)
    }
}

/// outputGradient [N, Ho, Wo, Co], weights [kh, kw, Ci, Co] → gradient of the input [N, H, W, Ci]
public struct Conv2DInputGradient: Runnable {
    public static let name = "Conv2DInputGradient"
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
        try ShapeRules.require(
            g
                == [
                    inputShape[0], geometry.outputHeight(inputShape[1]), geometry.outputWidth(inputShape[2]), w[3],
                ] && w[2] == inputShape[3], "gradient \(g) and weights \(w) do not lead to \(inputShape)")
        return [inputShape]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.convolution2DInputGradientWorkspaceCount(
            input: inputShape, weights: inputs[1], geometry: geometry, threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [self] _ in
            site.kernels.convolution2DInputGradient(
                outputGradient: site.inputs[0], weights: site.inputs[1], inputGradient: site.output,
                geometry: geometry, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        2 * inputs[0].count * geometry.kernelHeight * geometry.kernelWidth * inputShape[3]
    }

    public func executedMultiplyAdds(inputs: [Shape], outputs: [Shape]) -> Int {
        KernelContext.convolution2DMultiplyAdds(
            .inputGradient, input: inputShape, weights: inputs[1], geometry: geometry)
    }
}

/// input [N, H, W, Ci], outputGradient [N, Ho, Wo, Co] → gradient of the weights [kh, kw, Ci, Co]
public struct Conv2DWeightGradient: Runnable {
    public static let name = "Conv2DWeightGradient"
    public let geometry: ConvolutionGeometry

    public init(geometry: ConvolutionGeometry) { self.geometry = geometry }

    public var attributes: [(name: String, value: String)] { geometry.attributes }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        let (x, g) = (inputs[0], inputs[1])
        try ShapeRules.require(
            g.rank == 4 && g[0] == x[0] && g[1] == geometry.outputHeight(x[1]) && g[2] == geometry.outputWidth(x[2]),
            "gradient \(g) does not belong to an input \(x)")
        return [[geometry.kernelHeight, geometry.kernelWidth, x[3], g[3]]]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.convolution2DWeightGradientWorkspaceCount(
            input: inputs[0], weights: outputs[0], geometry: geometry, threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [self] _ in
            site.kernels.convolution2DWeightGradient(
                input: site.inputs[0], outputGradient: site.inputs[1], weightGradient: site.output,
                geometry: geometry, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        2 * inputs[1].count * geometry.kernelHeight * geometry.kernelWidth * inputs[0][3]
    }

    public func executedMultiplyAdds(inputs: [Shape], outputs: [Shape]) -> Int {
        KernelContext.convolution2DMultiplyAdds(
            .weightGradient, input: inputs[0], weights: outputs[0], geometry: geometry)
    }
}

/// Sums over everything but the last axis: the gradient of a bias. [.., C] → [C]
public struct ColumnSum: Runnable {
    public static let name = "ColumnSum"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        try ShapeRules.require(inputs[0].rank >= 1, "needs at least one axis")
        return [[inputs[0].dimensions.last ?? 1]]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.columnSumWorkspaceCount(input: inputs[0], threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in site.kernels.columnSum(input: site.input, output: site.output, workspace: site.workspace) }
    }
}

extension ConvolutionGeometry {
    var attributes: [(name: String, value: String)] {
        var result = [("kernel", "\(kernelHeight)x\(kernelWidth)")]
        if stride != 1 { result.append(("stride", "\(stride)")) }
        if padding != 0 { result.append(("padding", "\(padding)")) }
        return result
    }
}

extension Conv2D: ONNXExpressible {
    /// With a normalisation of the result in its weights. There must be no activation between them.
    public func express(
        _ site: ONNXSite, normalizedBy normalization: ONNXNormalization, then last: Activation
    ) throws(ONNXError) {
        precondition(activation == .none, "\(activation) before the normalisation")
        let weights = site.weights(1, order: [3, 2, 0, 1], normalizedBy: normalization)
        let bias = site.bias(site.inputCount == 3 ? 2 : nil, normalizedBy: normalization)
        site.emit("Conv", [try site.input(), weights, bias], geometry.onnx, then: last)
    }

    public func express(_ site: ONNXSite) throws(ONNXError) {
        var inputs = [try site.input(), try site.weights(1, order: [3, 2, 0, 1])]
        if site.inputCount == 3 { inputs.append(try site.vector(2)) }
        site.emit("Conv", inputs, geometry.onnx, then: activation)
    }
}

extension ConvolutionGeometry {
    var onnx: [String: ONNXNode.Attribute] {
        [
            "kernel_shape": .integers([kernelHeight, kernelWidth]), "strides": .integers([stride, stride]),
            "pads": .integers([padding, padding, padding, padding]),
        ]
    }
}

extension ONNXSite {
    /// The node that computes the outputs, or the one before the activation that does.
    func emit(
        _ type: String, _ inputs: [String], _ attributes: [String: ONNXNode.Attribute], then activation: Activation
    ) {
        switch activation {
        case .none: emit(type, inputs, attributes)
        case .relu: emit("Relu", [node(type, inputs, attributes)])
        }
    }
}
