import Execution
import Graphs
import Kernels
import Tensors

/// Mean over all elements of the cross-entropy of sigmoid(logit) with a target in 0…1. → scalar
///
/// logits, targets of one shape. The targets are not differentiated.
/// **Source:** PyTorch's `binary_cross_entropy_with_logits`: max(x, 0) − x·t + log(1 + exp(−|x|)).
public struct CrossEntropyMean: Runnable {
    public static let name = "CrossEntropyMean"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try ShapeRules.equal(inputs[0], inputs[1], "logits and targets")
        return [[]]
    }

    public func inputGradients(_ site: GradientSite) throws(ShapeError) -> [Value?] {
        if site.isNeeded[1] { throw ShapeError("the cross-entropy has no gradient with respect to the targets") }
        return [site.inputs[0].apply(CrossEntropyMeanGradient(), [site.inputs[1], site.outputGradient]), nil]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        kernels.maskLossWorkspaceCount(inputs[0])
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.crossEntropyMean(
                logits: site.inputs[0], targets: site.inputs[1], output: site.output, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 40 * inputs[0].count }
}

/// logits, targets, outputGradient (scalar) → (sigmoid(logit) − target) · outputGradient / count
public struct CrossEntropyMeanGradient: Runnable {
    public static let name = "CrossEntropyMeanGradient"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 3...3)
        try ShapeRules.equal(inputs[0], inputs[1], "logits and targets")
        try ShapeRules.equal(inputs[2], [], "gradient and scalar")
        return [inputs[0]]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.crossEntropyMeanGradient(
                logits: site.inputs[0], targets: site.inputs[1], outputGradient: site.inputs[2],
                logitGradient: site.output)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 22 * inputs[0].count }
}

/// √(mean (a − b)² + epsilon) over all elements. → scalar
public struct RootMeanSquareError: Runnable {
    public static let name = "RootMeanSquareError"
    public let epsilon: Float

    public init(epsilon: Float) { self.epsilon = epsilon }

    public var attributes: [(name: String, value: String)] { [("epsilon", "\(epsilon)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try ShapeRules.equal(inputs[0], inputs[1], "inputs")
        return [[]]
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        let (a, b) = (site.inputs[0], site.inputs[1])
        func gradient(_ x: Value, _ other: Value) -> Value {
            x.apply(RootMeanSquareErrorGradient(), [other, site.outputs[0], site.outputGradient])
        }
        return [site.isNeeded[0] ? gradient(a, b) : nil, site.isNeeded[1] ? gradient(b, a) : nil]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        kernels.maskLossWorkspaceCount(inputs[0])
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [epsilon] _ in
            site.kernels.rootMeanSquareError(
                site.inputs[0], site.inputs[1], epsilon: epsilon, output: site.output, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 3 * inputs[0].count }
}

/// a, b, value (scalar), outputGradient (scalar) → (a − b) · outputGradient / (count · value)
public struct RootMeanSquareErrorGradient: Runnable {
    public static let name = "RootMeanSquareErrorGradient"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 4...4)
        try ShapeRules.equal(inputs[0], inputs[1], "inputs")
        try ShapeRules.equal(inputs[2], [], "value and scalar")
        try ShapeRules.equal(inputs[3], [], "gradient and scalar")
        return [inputs[0]]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.rootMeanSquareErrorGradient(
                site.inputs[0], site.inputs[1], value: site.inputs[2], outputGradient: site.inputs[3],
                aGradient: site.output)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 2 * inputs[0].count }
}

/// 1 − (2Σp·y + 1) / (Σp + Σy + 1), sums over the whole batch. p, y of one shape → scalar, and the two sums [2] for the
/// gradient. y is not differentiated.
///
/// **Source:** rvk007/Monocular-Depth-Estimation, `losses`; its smoothing is always 1.
public struct DiceLoss: Runnable {
    public static let name = "DiceLoss"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try ShapeRules.equal(inputs[0], inputs[1], "inputs")
        return [[], [2]]
    }

    public func inputGradients(_ site: GradientSite) throws(ShapeError) -> [Value?] {
        if site.isNeeded[1] { throw ShapeError("the Dice loss has no gradient with respect to the truth") }
        return [site.inputs[1].apply(DiceLossGradient(), [site.outputs[1], site.outputGradient]), nil]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        kernels.maskLossWorkspaceCount(inputs[0])
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.diceLoss(
                site.inputs[0], site.inputs[1], output: site.outputs[0], overlap: site.outputs[1],
                workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 4 * inputs[0].count }
}

/// y, sums [2], outputGradient (scalar) → gradient of p
public struct DiceLossGradient: Runnable {
    public static let name = "DiceLossGradient"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 3...3)
        try ShapeRules.vector(inputs[1], 2, "sums")
        try ShapeRules.equal(inputs[2], [], "gradient and scalar")
        return [inputs[0]]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.diceLossGradient(
                site.inputs[0], overlap: site.inputs[1], outputGradient: site.inputs[2], pGradient: site.output)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 2 * inputs[0].count }
}
