import Basics
import Execution
import Graphs
import Kernels
import Tensors

// Mean or sum of transposed convolutions and the channels of a picture, as in W-net's heads: no term is ever written by
// itself, and the normalisation and dropout in front of the picture happen on the way.

/// output = factor · (channels of the base picture + Σ transposed convolutions whose blocks tile the output).
///
/// base [N, H, W, C], mean, variance, gain, shift [C]?, then for each scale s: x [N, H/s, W/s, Ci],
/// weights [Ci, s, s, Co], bias [Co] → [N, H, W, Co]
public struct UpsampleSum: Runnable {
    public static let name = "UpsampleSum"
    public let factor: Float
    public let scales: [Int]
    /// Channels of the base that take part.
    public let channels: Range<Int>
    /// Of the base's normalisation.
    public let epsilon: Float?
    /// Of the whole base picture, behind its normalisation.
    public let dropout: Dropout?

    public init(factor: Float, scales: [Int], channels: Range<Int>, epsilon: Float?, dropout: Dropout?) {
        self.factor = factor
        self.scales = scales
        self.channels = channels
        self.epsilon = epsilon
        self.dropout = dropout
    }

    public var attributes: [(name: String, value: String)] {
        [
            ("factor", "\(factor)"), ("scales", scales.map(String.init).joined(separator: " ")),
            ("channels", "\(channels)"),
        ] + (epsilon.map { [("input epsilon", "\($0)")] } ?? []) + (dropout?.attributes ?? [])
    }

    private var firstTerm: Int { epsilon == nil ? 1 : 5 }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        let count = firstTerm + 3 * scales.count
        try ShapeRules.count(inputs, count...count)
        let base = inputs[0]
        try ShapeRules.picture(base)
        try ShapeRules.require(channels.upperBound <= base[3], "\(base) has no channels \(channels)")
        if let dropout { _ = try dropout.outputShapes(for: [base]) }
        for shape in inputs[1..<firstTerm] { try ShapeRules.vector(shape, base[3], "normalisation") }
        let output: Shape = [base[0], base[1], base[2], channels.count]
        for (index, scale) in scales.enumerated() {
            let term = Array(inputs[(firstTerm + 3 * index)..<(firstTerm + 3 * index + 3)])
            let geometry = ConvolutionGeometry(kernelHeight: scale, kernelWidth: scale, stride: scale, padding: 0)
            let found = try TransposedConv2D(geometry: geometry).outputShapes(for: term)[0]
            try ShapeRules.equal(found, output, "terms")
        }
        return [output]
    }

    private func shapes(_ inputs: [Shape]) -> [UpsampleShape] {
        scales.indices.map {
            UpsampleShape(input: inputs[firstTerm + 3 * $0], weights: inputs[firstTerm + 3 * $0 + 1])
        }
    }

    private func keyCount(_ base: Shape) -> Int { dropout == nil ? 0 : roundUpToLine(2 * base[0]) }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int { keyCount(inputs[0]) }

    public var packedInputs: [Int] {
        scales.indices.flatMap { [firstTerm + 3 * $0 + 1, firstTerm + 3 * $0 + 2] }
    }

    public func packedCount(inputs: [Shape], outputs: [Shape]) -> Int {
        Kernels.UpsampleSum.packedCount(shapes(inputs))
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let x = site.inputs
        let keys = dropout.map { DropoutKeys($0, samples: x[0].shape[0], memory: site.workspace) }
        let base = UpsampleBase(
            x[0], channels: channels, normalization: epsilon.map { InputNormalization(x[1..<5], epsilon: $0) },
            mask: keys?.mask)
        let terms = scales.indices.map { index in
            UpsampleTerm(
                input: ChannelSlice(x[firstTerm + 3 * index]), weights: x[firstTerm + 3 * index + 1],
                bias: x[firstTerm + 3 * index + 2])
        }
        let sum = Kernels.UpsampleSum(base: base, terms: terms, factor: factor, output: site.output)
        return { state in
            keys?.draw(state)
            let packed = site.packed.weights { site.kernels.packUpsampleSum(sum, into: $0) }
            site.kernels.upsampleSum(sum, packed: packed)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        scales.indices.reduce(outputs[0].count) {
            $0 + 2 * outputs[0].count * inputs[firstTerm + 3 * $1][3]
        }
    }
}

/// All gradients of a transposed convolution whose blocks tile the output, times `factor`.
///
/// outputGradient [N, H · s, W · s, Co], x [N, H, W, Ci], weights [Ci, s, s, Co] → gradients of x, weights and bias?
public struct UpsampleGradient: Runnable {
    public static let name = "UpsampleGradient"
    public let factor: Float
    public let hasBias: Bool

    public init(factor: Float, hasBias: Bool) {
        self.factor = factor
        self.hasBias = hasBias
    }

    public var attributes: [(name: String, value: String)] { factor == 1 ? [] : [("factor", "\(factor)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 3...3)
        let (g, x, w) = (inputs[0], inputs[1], inputs[2])
        try ShapeRules.require(w.rank == 4 && w[1] == w[2] && w[1] > 0, "weights \(w) are not square")
        let geometry = ConvolutionGeometry(kernelHeight: w[1], kernelWidth: w[1], stride: w[1], padding: 0)
        try ShapeRules.equal(
            g, TransposedConv2D(geometry: geometry).outputShapes(for: [x, w])[0], "gradient and output")
        return [x, w] + (hasBias ? [[w[3]]] : [])
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        UpsampleGradients.workspaceCount(
            UpsampleShape(input: inputs[1], weights: inputs[2]), threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let gradients = UpsampleGradients(
            outputGradient: site.inputs[0], input: ChannelSlice(site.inputs[1]), weights: site.inputs[2],
            factor: factor, inputGradient: ChannelSlice(site.outputs[0]), weightGradient: site.outputs[1],
            biasGradient: hasBias ? site.outputs[2] : nil)
        return { _ in site.kernels.upsampleGradients(gradients, workspace: site.workspace) }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        4 * inputs[0].count * inputs[1][3]
    }
}
