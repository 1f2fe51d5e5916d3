import Execution
import Graphs
import Kernels
import Tensors

/// Depthwise and pointwise convolution in one, with the batch normalisation in front of them and the activation behind
/// them: the result of `fused`, never described by hand.
///
/// x [N, H, W, Ci], depthwise [kh, kw, Ci], pointwise [1, 1, Ci, Co], bias [Co]?,
/// mean, variance, gain, shift [Ci]? → [N, H, W, Co], (its mean, variance [Co])?
public struct SeparableConv2D: Runnable {
    public static let name = "SeparableConv2D"
    public let hasBias: Bool
    public let activation: Activation
    /// Of the normalisation of the input; nil without one.
    public let epsilon: Float?
    /// Of the result, for a normalisation behind it.
    public var givesStatistics: Bool

    public init(hasBias: Bool, activation: Activation, epsilon: Float?, givesStatistics: Bool) {
        self.hasBias = hasBias
        self.activation = activation
        self.epsilon = epsilon
        self.givesStatistics = givesStatistics
    }

    public var attributes: [(name: String, value: String)] {
        (activation == .relu ? [("activation", "relu")] : []) + (epsilon.map { [("input epsilon", "\($0)")] } ?? [])
            + (givesStatistics ? [("statistics", "true")] : [])
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        let count = 3 + (hasBias ? 1 : 0) + (epsilon == nil ? 0 : 4)
        try ShapeRules.count(inputs, count...count)
        try Self.check(inputs[0], inputs[1], inputs[2])
        let (x, w) = (inputs[0], inputs[2])
        if hasBias { try ShapeRules.vector(inputs[3], w[3], "bias") }
        if epsilon != nil {
            for shape in inputs.suffix(4) { try ShapeRules.vector(shape, x[3], "normalisation") }
        }
        return [[x[0], x[1], x[2], w[3]]] + (givesStatistics ? [[w[3]], [w[3]]] : [])
    }

    static func check(_ x: Shape, _ depthwise: Shape, _ pointwise: Shape) throws(ShapeError) {
        try ShapeRules.picture(x)
        try DepthwiseConv2D.check(weights: depthwise, channels: x[3])
        try ShapeRules.require(
            pointwise.rank == 4 && pointwise[0] == 1 && pointwise[1] == 1 && pointwise[2] == x[3],
            "pointwise weights \(pointwise) do not fit \(x)")
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.separableConvolution2DWorkspaceCount(
            input: inputs[0], depthwise: inputs[1], pointwise: inputs[2], statistics: givesStatistics,
            threadCount: kernels.pool.threadCount)
    }

    public var packedInputs: [Int] { [2] }

    public func packedCount(inputs: [Shape], outputs: [Shape]) -> Int {
        KernelContext.separableConvolution2DPackedCount(pointwise: inputs[2])
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let x = site.inputs
        let bias = hasBias ? x[3] : nil
        let normalization = epsilon.map { InputNormalization(x.suffix(4), epsilon: $0) }
        let statistics = givesStatistics ? BatchStatistics(mean: site.outputs[1], variance: site.outputs[2]) : nil
        return { [activation] _ in
            let packed = site.packed.weights {
                site.kernels.packSeparableConvolution2D(pointwise: x[2], into: $0)
            }
            site.kernels.separableConvolution2D(
                input: x[0], normalization: normalization, depthwise: x[1], packed: packed, bias: bias,
                activation: activation, output: site.outputs[0], statistics: statistics, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        2 * inputs[0].count * (inputs[1][0] * inputs[1][1] + inputs[2][3])
            + (givesStatistics ? 4 * outputs[0].count : 0)
    }
}

/// All gradients of a `SeparableConv2D`, and of what stands around it: the ReLU and the batch normalisation behind its
/// output, and the sums that the normalisation in front of it needs.
///
/// x, depthwise, pointwise, gradient [N, H, W, Co], (mean, variance, gain, shift [Ci])?, output?,
/// (mean, variance, gain, gradient of gain, gradient of shift [Co])?
/// → (gradient of the normalised x)?, gradients of depthwise, pointwise, bias?, (gain, shift)?
public struct SeparableConv2DGradient: Runnable {
    public static let name = "SeparableConv2DGradient"
    public let hasBias: Bool
    public let activation: Activation
    /// Of the normalisation of the input.
    public let epsilon: Float?
    /// Of the normalisation of the output.
    public let outputEpsilon: Float?
    public let needsInputGradient: Bool

    public init(
        hasBias: Bool, activation: Activation, epsilon: Float?, outputEpsilon: Float?, needsInputGradient: Bool
    ) {
        self.hasBias = hasBias
        self.activation = activation
        self.epsilon = epsilon
        self.outputEpsilon = outputEpsilon
        self.needsInputGradient = needsInputGradient
    }

    private var readsOutput: Bool { activation == .relu || outputEpsilon != nil }

    public var attributes: [(name: String, value: String)] {
        (activation == .relu ? [("activation", "relu")] : []) + (epsilon.map { [("input epsilon", "\($0)")] } ?? [])
            + (outputEpsilon.map { [("output epsilon", "\($0)")] } ?? [])
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        let count = 4 + (epsilon == nil ? 0 : 4) + (readsOutput ? 1 : 0) + (outputEpsilon == nil ? 0 : 5)
        try ShapeRules.count(inputs, count...count)
        let (x, depthwise, pointwise) = (inputs[0], inputs[1], inputs[2])
        try SeparableConv2D.check(x, depthwise, pointwise)
        let output: Shape = [x[0], x[1], x[2], pointwise[3]]
        try ShapeRules.equal(inputs[3], output, "gradient and output")
        var next = 4
        if epsilon != nil {
            for shape in inputs[next..<(next + 4)] { try ShapeRules.vector(shape, x[3], "normalisation") }
            next += 4
        }
        if readsOutput {
            try ShapeRules.equal(inputs[next], output, "output")
            next += 1
        }
        for shape in inputs[next...] { try ShapeRules.vector(shape, pointwise[3], "normalisation") }
        return (needsInputGradient ? [x] : []) + [depthwise, pointwise] + (hasBias ? [[pointwise[3]]] : [])
            + (epsilon == nil ? [] : [[x[3]], [x[3]]])
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.separableConvolution2DGradientWorkspaceCount(
            input: inputs[0], depthwise: inputs[1], pointwise: inputs[2], threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let x = site.inputs
        let normalization = epsilon.map { InputNormalization(x[4..<8], epsilon: $0) }
        let outputIndex = epsilon == nil ? 4 : 8
        let outputNormalization = outputEpsilon.map {
            OutputNormalization(
                mean: x[outputIndex + 1], variance: x[outputIndex + 2], gain: x[outputIndex + 3],
                gainGradient: x[outputIndex + 4], biasGradient: x[outputIndex + 5], epsilon: $0)
        }
        let inputs = KernelContext.SeparableGradientInputs(
            input: x[0], normalization: normalization, depthwise: x[1], pointwise: x[2],
            output: readsOutput ? x[outputIndex] : nil, activation: activation,
            outputNormalization: outputNormalization, outputGradient: x[3])
        var outputs = site.outputs[...]
        let inputGradient = needsInputGradient ? outputs.popFirst() : nil
        let (depthwise, pointwise) = (outputs.removeFirst(), outputs.removeFirst())
        let results = KernelContext.SeparableGradientOutputs(
            input: inputGradient, depthwise: depthwise, pointwise: pointwise,
            bias: hasBias ? outputs.popFirst() : nil, gain: outputs.popFirst(), shift: outputs.popFirst())
        return { _ in site.kernels.separableConvolution2DGradient(inputs, into: results, workspace: site.workspace) }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        let taps = inputs[1][0] * inputs[1][1]
        return 2 * inputs[0].count * ((needsInputGradient ? 3 : 2) * taps + 2 * inputs[2][3])
    }
}

extension InputNormalization {
    /// mean, variance, gain and bias in this order.
    init(_ views: ArraySlice<TensorView>, epsilon: Float) {
        let first = views.startIndex
        self.init(
            mean: views[first], variance: views[first + 1], gain: views[first + 2], bias: views[first + 3],
            epsilon: epsilon)
    }
}
