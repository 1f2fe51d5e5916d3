import Execution
import Graphs
import Kernels
import Tensors

/// Batch normalisation and ReLU of pictures that lie side by side.
///
/// k parts [.., Cᵢ], k means [Cᵢ], k variances [Cᵢ], gain [C], bias [C] → [.., C], mean [C], variance [C] with C = Σ Cᵢ
///
/// The statistics are those of the parts themselves (`BatchNormStatistics`), computed once for a part however many layers
/// read it; the gradient counts on that, and none goes to them. The last two outputs repeat them side by side. In a dense
/// block this takes the place of a concatenation, a normalisation and a ReLU.
///
/// **Source:** Huang, Liu, van der Maaten, Weinberger, CVPR 2017, section 3; Ioffe, Szegedy, ICML 2015, algorithm 1.
public struct NormReLU: Runnable {
    public static let name = "NormReLU"
    public let epsilon: Float
    public let partCount: Int

    public init(epsilon: Float, partCount: Int) {
        self.epsilon = epsilon
        self.partCount = partCount
    }

    public var attributes: [(name: String, value: String)] {
        [("epsilon", "\(epsilon)"), ("parts", "\(partCount)")]
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        let shape = try Self.check(inputs, partCount)
        let channels = shape[shape.rank - 1]
        return [shape, [channels], [channels]]
    }

    /// The shape of the parts side by side.
    static func check(_ inputs: [Shape], _ partCount: Int) throws(ShapeError) -> Shape {
        try ShapeRules.require(
            partCount > 0 && inputs.count == 3 * partCount + 2,
            "\(partCount) parts take \(3 * partCount + 2) inputs, not \(inputs.count)")
        let shape = try Concat().outputShapes(for: Array(inputs.prefix(partCount)))[0]
        for part in 0..<partCount {
            let channels = inputs[part][inputs[part].rank - 1]
            try ShapeRules.vector(inputs[partCount + part], channels, "mean")
            try ShapeRules.vector(inputs[2 * partCount + part], channels, "variance")
        }
        try ShapeRules.vector(inputs[3 * partCount], shape[shape.rank - 1], "gain")
        try ShapeRules.vector(inputs[3 * partCount + 1], shape[shape.rank - 1], "bias")
        return shape
    }

    public func inputGradients(_ site: GradientSite) throws(ShapeError) -> [Value?] {
        guard site.outputGradients[1] == nil, site.outputGradients[2] == nil else {
            throw ShapeError("the gradient through exported batch statistics is not defined")
        }
        let results = site.inputs[0].builder.add(
            NormReLUGradient(epsilon: epsilon, partCount: partCount), site.inputs + [site.outputGradient])
        let none = [Value?](repeating: nil, count: 2 * partCount)
        let gradients = results.map(Optional.some)
        return gradients.prefix(partCount) + none + gradients.dropFirst(partCount)
    }

    static func parts(_ inputs: [TensorView], _ partCount: Int, _ epsilon: Float) -> NormReLUParts {
        NormReLUParts(
            pictures: Array(inputs[0..<partCount]), means: Array(inputs[partCount..<2 * partCount]),
            variances: Array(inputs[2 * partCount..<3 * partCount]), gain: inputs[3 * partCount],
            bias: inputs[3 * partCount + 1], epsilon: epsilon)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let parts = Self.parts(site.inputs, partCount, epsilon)
        return { [partCount] _ in
            site.kernels.normReLU(parts, output: site.outputs[0])
            var offset = 0
            for part in 0..<partCount {
                let count = site.inputs[partCount + part].count
                (site.outputs[1].base + offset).update(from: site.inputs[partCount + part].base, count: count)
                (site.outputs[2].base + offset).update(from: site.inputs[2 * partCount + part].base, count: count)
                offset += count
            }
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 4 * outputs[0].count }
}

/// The inputs of a `NormReLU`, outputGradient [.., C] → gradients of the parts, of gain and of bias
public struct NormReLUGradient: Runnable {
    public static let name = "NormReLUGradient"
    public let epsilon: Float
    public let partCount: Int

    public init(epsilon: Float, partCount: Int) {
        self.epsilon = epsilon
        self.partCount = partCount
    }

    public var attributes: [(name: String, value: String)] {
        [("epsilon", "\(epsilon)"), ("parts", "\(partCount)")]
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.require(inputs.count == 3 * partCount + 3, "takes \(3 * partCount + 3) inputs")
        let shape = try NormReLU.check(Array(inputs.dropLast()), partCount)
        try ShapeRules.equal(inputs[3 * partCount + 2], shape, "gradient and output")
        let channels = shape[shape.rank - 1]
        return inputs.prefix(partCount) + [[channels], [channels]]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        let gradient = inputs[3 * partCount + 2]
        let channels = gradient[gradient.rank - 1]
        return KernelContext.normReLUGradientWorkspaceCount(
            rows: gradient.count / max(1, channels), channels: channels)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let parts = NormReLU.parts(site.inputs, partCount, epsilon)
        let gradients = Array(site.outputs[0..<partCount])
        return { [partCount] _ in
            site.kernels.normReLUGradient(
                parts, outputGradient: site.inputs[3 * partCount + 2], partGradients: gradients,
                gainGradient: site.outputs[partCount], biasGradient: site.outputs[partCount + 1],
                workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 14 * inputs[3 * partCount + 2].count }
}

/// The same by stored statistics: k parts [.., Cᵢ], gain, bias, mean, variance [C] → [.., C]
public struct NormReLUInference: Runnable {
    public static let name = "NormReLUInference"
    public let epsilon: Float

    public init(epsilon: Float) { self.epsilon = epsilon }

    public var attributes: [(name: String, value: String)] { [("epsilon", "\(epsilon)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.require(inputs.count >= 5, "takes parts and four vectors, not \(inputs.count) inputs")
        let shape = try Concat().outputShapes(for: Array(inputs.dropLast(4)))[0]
        for (vector, role) in zip(inputs.suffix(4), ["gain", "bias", "mean", "variance"]) {
            try ShapeRules.vector(vector, shape[shape.rank - 1], role)
        }
        return [shape]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let pictures = Array(site.inputs.dropLast(4))
        let vectors = Array(site.inputs.suffix(4))
        func slices(_ vector: TensorView) -> [TensorView] {
            var offset = 0
            return pictures.map { picture in
                let channels = picture.shape[picture.shape.rank - 1]
                defer { offset += channels }
                return TensorView(vector.base + offset, [channels])
            }
        }
        let parts = NormReLUParts(
            pictures: pictures, means: slices(vectors[2]), variances: slices(vectors[3]), gain: vectors[0],
            bias: vectors[1], epsilon: epsilon)
        return { _ in site.kernels.normReLU(parts, output: site.output) }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 4 * outputs[0].count }
}

extension NormReLUInference: ONNXExpressible {
    public func express(_ site: ONNXSite) throws(ONNXError) {
        guard site.channelAxis == 1 else {
            throw ONNXError("normalises \(site.shape(0)), where channels are not axis 1")
        }
        let count = site.inputCount - 4
        var (parts, vectors): ([String], [String]) = ([], [])
        for index in 0..<count { parts.append(try site.input(index)) }
        for index in count..<(count + 4) { vectors.append(try site.vector(index)) }
        let whole = count == 1 ? parts[0] : site.node("Concat", parts, ["axis": .integer(1)])
        let normalized = site.node("BatchNormalization", [whole] + vectors, ["epsilon": .number(epsilon)])
        site.emit("Relu", [normalized])
    }
}
