import Execution
import Graphs
import Kernels
import Tensors

/// Mean of |a − b| over all elements. → scalar
public struct AbsoluteDifferenceMean: Runnable {
    public static let name = "AbsoluteDifferenceMean"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try ShapeRules.equal(inputs[0], inputs[1], "inputs")
        return [[]]
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        let (a, b) = (site.inputs[0], site.inputs[1])
        return [
            site.isNeeded[0] ? a.apply(AbsoluteDifferenceMeanGradient(), [b, site.outputGradient]) : nil,
            site.isNeeded[1] ? b.apply(AbsoluteDifferenceMeanGradient(), [a, site.outputGradient]) : nil,
        ]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        kernels.absoluteDifferenceMeanWorkspaceCount(inputShape: inputs[0], threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.absoluteDifferenceMean(
                site.inputs[0], site.inputs[1], output: site.output, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 2 * inputs[0].count }
}

/// a, b, outputGradient (scalar) → sign(a − b) · outputGradient / count; 0 where a = b
public struct AbsoluteDifferenceMeanGradient: Runnable {
    public static let name = "AbsoluteDifferenceMeanGradient"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 3...3)
        try ShapeRules.equal(inputs[0], inputs[1], "inputs")
        try ShapeRules.equal(inputs[2], [], "gradient and scalar")
        return [inputs[0]]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.absoluteDifferenceMeanGradient(
                site.inputs[0], site.inputs[1], outputGradient: site.inputs[2], aGradient: site.output,
                bGradient: nil)
        }
    }
}

/// The smoothness of a disparity map, weighted by the gradient of an image: mean over the picture without a border of two
/// pixels of G(disparity) · (1 − G(gray / max gray)).
///
/// disparity [N, H, W, 1], image [N, H, W, 3] → scalar. The image is not differentiated.
///
/// **Source:** W-net's `gradient` and loss; gray is divided by the maximum of each image.
public struct Smoothness: Runnable {
    public static let name = "Smoothness"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try ShapeRules.picture(inputs[0], "disparity")
        try ShapeRules.picture(inputs[1], "image")
        let (d, image) = (inputs[0], inputs[1])
        try ShapeRules.require(
            d[3] == 1 && image.dimensions.prefix(3) == d.dimensions.prefix(3),
            "disparity \(d) and image \(image) do not belong together")
        try ShapeRules.require(d[1] >= 5 && d[2] >= 5, "\(d[1])x\(d[2]) is smaller than 5x5")
        return [[]]
    }

    public func inputGradients(_ site: GradientSite) throws(ShapeError) -> [Value?] {
        if site.isNeeded[1] { throw ShapeError("the smoothness has no gradient with respect to the image") }
        return [site.inputs[0].apply(SmoothnessGradient(), [site.inputs[1], site.outputGradient]), nil]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        kernels.smoothnessWorkspaceCount(disparityShape: inputs[0], threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.smoothness(
                disparity: site.inputs[0], image: site.inputs[1], output: site.output, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 30 * inputs[0].count }
}

/// disparity, image, outputGradient (scalar) → gradient of the disparity [N, H, W, 1]
public struct SmoothnessGradient: Runnable {
    public static let name = "SmoothnessGradient"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 3...3)
        _ = try Smoothness().outputShapes(for: Array(inputs.prefix(2)))
        try ShapeRules.equal(inputs[2], [], "gradient and scalar")
        return [inputs[0]]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        kernels.smoothnessGradientWorkspaceCount(disparityShape: inputs[0], threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.smoothnessGradient(
                disparity: site.inputs[0], image: site.inputs[1], outputGradient: site.inputs[2],
                disparityGradient: site.output, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 60 * inputs[0].count }
}
