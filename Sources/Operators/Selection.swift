import Execution
import Graphs
import Kernels
import Tensors

/// The probabilistic selection layer: rebuilds one view as the expectation over shifted copies of the other.
///
/// image [N, H, W, C], probability [N, H, W, S] → out(y, x) = Σₖ P(y, x, k) · image(y, x + firstShift + k · shiftStep),
/// outside the image
/// as `border` says.
///
/// **Source:** Xie, Girshick, Farhadi, "Deep3D", ECCV 2016, section 3; the sign of the shift is that of W-net's code.
public struct Selection: Runnable {
    public static let name = "Selection"
    public let firstShift: Int
    /// +1 or −1.
    public let shiftStep: Int
    public let border: SelectionBorder

    public init(firstShift: Int, shiftStep: Int, border: SelectionBorder = .zero) {
        self.firstShift = firstShift
        self.shiftStep = shiftStep
        self.border = border
    }

    public var attributes: [(name: String, value: String)] {
        [("first shift", "\(firstShift)"), ("step", "\(shiftStep)")]
            + (border == .zero ? [] : [("border", "\(border)")])
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try Self.check(inputs[0], inputs[1])
        let shifts = (firstShift, firstShift + (inputs[1][3] - 1) * shiftStep)
        try ShapeRules.require(
            border != .reflect || max(abs(shifts.0), abs(shifts.1)) < inputs[0][2],
            "shifts \(shifts.0) … \(shifts.1) mirror more than a row of \(inputs[0][2]) pixels has")
        return [inputs[0]]
    }

    static func check(_ image: Shape, _ probability: Shape) throws(ShapeError) {
        try ShapeRules.picture(image, "image")
        try ShapeRules.picture(probability, "probability")
        try ShapeRules.require(
            image.dimensions.prefix(3) == probability.dimensions.prefix(3),
            "image \(image) and probability \(probability) differ in size")
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        let (image, probability) = (site.inputs[0], site.inputs[1])
        return [
            site.isNeeded[0]
                ? probability.apply(
                    SelectionImageGradient(firstShift: firstShift, shiftStep: shiftStep, border: border),
                    [site.outputGradient]) : nil,
            site.isNeeded[1]
                ? image.apply(
                    SelectionProbabilityGradient(
                        firstShift: firstShift, shiftStep: shiftStep, levels: probability.shape[3], border: border),
                    [site.outputGradient]) : nil,
        ]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [firstShift, shiftStep, border] _ in
            site.kernels.selection(
                image: site.inputs[0], probability: site.inputs[1], firstShift: firstShift, shiftStep: shiftStep,
                border: border, output: site.output)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 2 * inputs[1].count * inputs[0][3] }
}

/// image [N, H, W, C], outputGradient [N, H, W, C] → gradient of the probability [N, H, W, S]
public struct SelectionProbabilityGradient: Runnable {
    public static let name = "SelectionProbabilityGradient"
    public let firstShift: Int
    public let shiftStep: Int
    public let levels: Int
    public let border: SelectionBorder

    public init(firstShift: Int, shiftStep: Int, levels: Int, border: SelectionBorder) {
        self.firstShift = firstShift
        self.shiftStep = shiftStep
        self.levels = levels
        self.border = border
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try ShapeRules.picture(inputs[0], "image")
        try ShapeRules.equal(inputs[0], inputs[1], "image and gradient")
        return [[inputs[0][0], inputs[0][1], inputs[0][2], levels]]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [firstShift, shiftStep, border] _ in
            site.kernels.selectionProbabilityGradient(
                image: site.inputs[0], outputGradient: site.inputs[1], firstShift: firstShift, shiftStep: shiftStep,
                border: border, probabilityGradient: site.output)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 2 * outputs[0].count * inputs[0][3] }
}

/// probability [N, H, W, S], outputGradient [N, H, W, C] → gradient of the image [N, H, W, C]
public struct SelectionImageGradient: Runnable {
    public static let name = "SelectionImageGradient"
    public let firstShift: Int
    public let shiftStep: Int
    public let border: SelectionBorder

    public init(firstShift: Int, shiftStep: Int, border: SelectionBorder) {
        self.firstShift = firstShift
        self.shiftStep = shiftStep
        self.border = border
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try Selection.check(inputs[1], inputs[0])
        return [inputs[1]]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [firstShift, shiftStep, border] _ in
            site.kernels.selectionImageGradient(
                probability: site.inputs[0], outputGradient: site.inputs[1], firstShift: firstShift,
                shiftStep: shiftStep, border: border, imageGradient: site.output)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 2 * inputs[0].count * inputs[1][3] }
}

extension Selection: ONNXExpressible {
    /// All shifted copies by one convolution with kernels that have a single 1, then their weighted sum.
    ///
    /// Values are copied exactly, unless a picture has infinities or NaN: those spread over the kernel's reach.
    public func express(_ site: ONNXSite) throws(ONNXError) {
        let (image, levels) = (site.shape(0), site.shape(1)[3])
        let (rows, columns, channels) = (image[1], image[2], image[3])
        let shifts = (0..<levels).map { firstShift + $0 * shiftStep }
        let before = shifts.reduce(0) { max($0, -$1) }
        let after = shifts.reduce(0) { max($0, $1) }
        let taps = before + 1 + after
        var kernels = [Float](repeating: 0, count: channels * levels * taps)
        for channel in 0..<channels {
            for (level, shift) in shifts.enumerated() {
                kernels[(channel * levels + level) * taps + before + shift] = 1
            }
        }
        var (picture, pads) = (try site.input(), [0, before, 0, after])
        if border != .zero && before + after > 0 {
            let widths = site.constant([0, 0, 0, before, 0, 0, 0, after])
            picture = site.node("Pad", [picture, widths], ["mode": .text(border == .edge ? "edge" : "reflect")])
            pads = [0, 0, 0, 0]
        }
        let copies = site.node(
            "Conv", [picture, site.constant(kernels, [channels * levels, 1, 1, taps])],
            ["group": .integer(channels), "kernel_shape": .integers([1, taps]), "pads": .integers(pads)])
        let stacked = site.node("Reshape", [copies, site.constant([0, channels, levels, rows, columns])])
        let weights = site.node("Unsqueeze", [try site.input(1), site.constant([1])])
        site.emit(
            "ReduceSum", [site.node("Mul", [stacked, weights]), site.constant([2])], ["keepdims": .integer(0)])
    }
}
