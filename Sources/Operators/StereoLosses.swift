import Execution
import Graphs
import Kernels
import Tensors

// Losses between the two views of a pair. A third input, where there is one, weighs pixels [N, H, W, 1]; weights are not
// differentiated.

extension ShapeRules {
    /// Two pictures of one shape of at least `least` x `least` pixels, weights if there are more than `scalars` inputs
    /// left, then scalars.
    fileprivate static func views(_ inputs: [Shape], scalars: Int, atLeast least: Int = 1) throws(ShapeError) {
        try count(inputs, (2 + scalars)...(3 + scalars))
        try picture(inputs[0], "prediction")
        try equal(inputs[0], inputs[1], "prediction and target")
        let x = inputs[0]
        try require(x[1] >= least && x[2] >= least, "\(x[1])x\(x[2]) is smaller than \(least)x\(least)")
        if inputs.count == 3 + scalars {
            try equal(inputs[2], [x[0], x[1], x[2], 1], "weights and one for each pixel")
        }
        if scalars == 1 { try equal(inputs[inputs.count - 1], [], "gradient and scalar") }
    }
}

extension BindingSite {
    /// The weights of a loss with so many other inputs.
    fileprivate func weight(besides others: Int) -> TensorView? { inputs.count > others ? inputs[2] : nil }
}

/// Weighted mean of |a − b|: Σ w·|a − b| / (channels · Σ w). a, b [N, H, W, C], w [N, H, W, 1]? → scalar
public struct WeightedDifference: Runnable {
    public static let name = "WeightedDifference"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.views(inputs, scalars: 0)
        return [[]]
    }

    public func inputGradients(_ site: GradientSite) throws(ShapeError) -> [Value?] {
        if site.isNeeded[1] { throw ShapeError("the difference has no gradient with respect to the target") }
        let rest = Array(site.inputs.dropFirst()) + [site.outputGradient]
        return [site.inputs[0].apply(WeightedDifferenceGradient(), rest)] + site.inputs.dropFirst().map { _ in nil }
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        kernels.weightedDifferenceWorkspaceCount(inputs[0])
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let weight = site.weight(besides: 2)
        return { _ in
            site.kernels.weightedDifference(
                site.inputs[0], site.inputs[1], weight: weight, output: site.output, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 3 * inputs[0].count }
}

/// a, b, w?, outputGradient (scalar) → gradient of a
public struct WeightedDifferenceGradient: Runnable {
    public static let name = "WeightedDifferenceGradient"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.views(inputs, scalars: 1)
        return [inputs[0]]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let (weight, gradient) = (site.weight(besides: 3), site.inputs[site.inputs.count - 1])
        return { _ in
            site.kernels.weightedDifferenceGradient(
                site.inputs[0], site.inputs[1], weight: weight, outputGradient: gradient, aGradient: site.output)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 3 * inputs[0].count }
}

/// Structural dissimilarity of pictures in 0…1: the weighted mean of (1 − SSIM) / 2 over 3x3 windows inside them, each
/// channel alone, a window with the weight of its middle. a, b [N, H, W, C], w [N, H, W, 1]? → scalar
///
/// **Source:** Godard, Mac Aodha, Brostow, "Unsupervised monocular depth estimation with left-right consistency", CVPR
/// 2017.
public struct BoxDissimilarity: Runnable {
    public static let name = "BoxDissimilarity"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.views(inputs, scalars: 0, atLeast: 3)
        return [[]]
    }

    public func inputGradients(_ site: GradientSite) throws(ShapeError) -> [Value?] {
        if site.isNeeded[1] { throw ShapeError("the dissimilarity has no gradient with respect to the target") }
        let rest = Array(site.inputs.dropFirst()) + [site.outputGradient]
        return [site.inputs[0].apply(BoxDissimilarityGradient(), rest)] + site.inputs.dropFirst().map { _ in nil }
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        kernels.boxDissimilarityWorkspaceCount(inputs[0], threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let weight = site.weight(besides: 2)
        return { _ in
            site.kernels.boxDissimilarity(
                site.inputs[0], site.inputs[1], weight: weight, output: site.output, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 96 * inputs[0].count }
}

/// a, b, w?, outputGradient (scalar) → gradient of a
public struct BoxDissimilarityGradient: Runnable {
    public static let name = "BoxDissimilarityGradient"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.views(inputs, scalars: 1, atLeast: 3)
        return [inputs[0]]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        kernels.boxDissimilarityGradientWorkspaceCount(inputs[0])
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let (weight, gradient) = (site.weight(besides: 3), site.inputs[site.inputs.count - 1])
        return { _ in
            site.kernels.boxDissimilarityGradient(
                site.inputs[0], site.inputs[1], weight: weight, outputGradient: gradient, aGradient: site.output,
                workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 140 * inputs[0].count }
}

/// How much of each pixel of a view is seen by the other one, 0…1, from the other view's disparity: its pixel x lands at
/// x + sign · d(x) and is shared by the two columns there. [N, H, W, 1] → [N, H, W, 1]; a constant for gradients.
///
/// **Source:** Wang et al., "Occlusion aware unsupervised learning of optical flow", CVPR 2018, section 3.2.
public struct Coverage: Runnable {
    public static let name = "Coverage"
    /// +1 or −1.
    public let sign: Int

    public init(sign: Int) { self.sign = sign }

    public var attributes: [(name: String, value: String)] { [("sign", "\(sign)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        try ShapeRules.picture(inputs[0], "disparity")
        try ShapeRules.require(inputs[0][3] == 1, "\(inputs[0]) is no map of one value per pixel")
        return inputs
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] { [nil] }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [sign] _ in site.kernels.coverage(disparity: site.input, sign: Float(sign), output: site.output) }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 8 * inputs[0].count }
}

/// How far the disparities of the two views are from saying the same: mean of w·|own(x) − other(x + sign · own(x))|, linearly
/// between columns; pixels whose partner lies outside add nothing. own, other [N, H, W, 1], w [N, H, W, 1]? → scalar
///
/// **Source:** Godard, Mac Aodha, Brostow, CVPR 2017, section 3.3.
public struct ViewConsistency: Runnable {
    public static let name = "ViewConsistency"
    /// +1 or −1.
    public let sign: Int

    public init(sign: Int) { self.sign = sign }

    public var attributes: [(name: String, value: String)] { [("sign", "\(sign)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.views(inputs, scalars: 0, atLeast: 1)
        try ShapeRules.require(inputs[0][3] == 1 && inputs[0][2] >= 2, "\(inputs[0]) is no map at least 2 pixels wide")
        return [[]]
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        let gradients = site.inputs[0].builder.add(
            ViewConsistencyGradient(sign: sign), site.inputs + [site.outputGradient])
        return gradients.map { $0 } + site.inputs.dropFirst(2).map { _ in nil }
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        kernels.consistencyWorkspaceCount(inputs[0])
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let weight = site.weight(besides: 2)
        return { [sign] _ in
            site.kernels.consistency(
                own: site.inputs[0], other: site.inputs[1], weight: weight, sign: Float(sign), output: site.output,
                workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 10 * inputs[0].count }
}

/// own, other, w?, outputGradient (scalar) → gradients of own and other
public struct ViewConsistencyGradient: Runnable {
    public static let name = "ViewConsistencyGradient"
    public let sign: Int

    public init(sign: Int) { self.sign = sign }

    public var attributes: [(name: String, value: String)] { [("sign", "\(sign)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.views(inputs, scalars: 1)
        try ShapeRules.require(inputs[0][3] == 1 && inputs[0][2] >= 2, "\(inputs[0]) is no map at least 2 pixels wide")
        return [inputs[0], inputs[0]]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let (weight, gradient) = (site.weight(besides: 3), site.inputs[site.inputs.count - 1])
        return { [sign] _ in
            site.kernels.consistencyGradient(
                own: site.inputs[0], other: site.inputs[1], weight: weight, sign: Float(sign), outputGradient: gradient,
                ownGradient: site.outputs[0], otherGradient: site.outputs[1])
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 14 * inputs[0].count }
}

/// The expectation over the levels within `radius` of the most probable one. [.., S] → [.., 1]
///
/// **Source:** Tulyakov, Ivanov, Fleuret, "Practical deep stereo", NeurIPS 2018, section 3.2 (sub-pixel MAP).
public struct PeakDot: Runnable {
    public static let name = "PeakDot"
    public let coefficients: [Float]
    public let radius: Int

    public init(coefficients: [Float], radius: Int) {
        self.coefficients = coefficients
        self.radius = radius
    }

    public var attributes: [(name: String, value: String)] {
        ChannelDot(coefficients: coefficients).attributes + [("radius", "\(radius)")]
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.require(radius >= 0, "radius \(radius) is negative")
        return try ChannelDot(coefficients: coefficients).outputShapes(for: inputs)
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        [
            site.inputs[0].apply(
                PeakDotGradient(coefficients: coefficients, radius: radius), [site.outputGradient])
        ]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let constants = Constants(coefficients)
        return { [radius] _ in
            site.kernels.peakDot(site.input, coefficients: constants.pointer, radius: radius, output: site.output)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { inputs[0].count }
}

/// probability [.., S], outputGradient [.., 1] → gradient of the probability
public struct PeakDotGradient: Runnable {
    public static let name = "PeakDotGradient"
    public let coefficients: [Float]
    public let radius: Int

    public init(coefficients: [Float], radius: Int) {
        self.coefficients = coefficients
        self.radius = radius
    }

    public var attributes: [(name: String, value: String)] {
        PeakDot(coefficients: coefficients, radius: radius).attributes
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        let map = try PeakDot(coefficients: coefficients, radius: radius).outputShapes(for: [inputs[0]])
        try ShapeRules.equal(inputs[1], map[0], "gradient and map")
        return [inputs[0]]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let constants = Constants(coefficients)
        return { [radius] _ in
            site.kernels.peakDotGradient(
                site.inputs[0], coefficients: constants.pointer, radius: radius, outputGradient: site.inputs[1],
                probabilityGradient: site.output)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 2 * inputs[0].count }
}

extension PeakDot: ONNXExpressible {
    /// Levels around the first largest one, their dot product over their sum.
    public func express(_ site: ONNXSite) throws(ONNXError) {
        let count = coefficients.count
        let isPicture = site.shape(0).rank == 4
        let levels = try site.input()
        let largest = site.node("ArgMax", [levels], ["axis": .integer(site.channelAxis), "keepdims": .integer(1)])
        let peak = site.node("Cast", [largest], ["to": .integer(1)])
        let places = site.constant((0..<count).map { Float($0) }, isPicture ? [1, count, 1, 1] : [count])
        let distance = site.node("Abs", [site.node("Sub", [places, peak])])
        let isNear = site.node("LessOrEqual", [distance, site.constant(Float(radius))])
        let near = site.node("Where", [isNear, levels, site.constant(0)])
        func dot(_ values: [Float]) -> String {
            isPicture
                ? site.node(
                    "Conv", [near, site.constant(values, [1, count, 1, 1])], ["kernel_shape": .integers([1, 1])])
                : site.node("MatMul", [near, site.constant(values, [count, 1])])
        }
        site.emit("Div", [dot(coefficients), dot(coefficients.map { _ in 1 })])
    }
}
