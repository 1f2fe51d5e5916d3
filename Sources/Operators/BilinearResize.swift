import Execution
import Graphs
import Kernels
import Tensors

/// Bilinear interpolation to another size. [N, H, W, C] → [N, height, width, C]
///
/// With aligned corners the first and last samples of both grids coincide; else pixels are squares (half-pixel centres)
/// and the border is repeated. No low-pass filter when made smaller.
///
/// **Source:** PyTorch's `interpolate(mode="bilinear")`.
public struct BilinearResize: Runnable {
    public static let name = "BilinearResize"
    public let height: Int
    public let width: Int
    public let alignedCorners: Bool

    public init(height: Int, width: Int, alignedCorners: Bool) {
        self.height = height
        self.width = width
        self.alignedCorners = alignedCorners
    }

    public var attributes: [(name: String, value: String)] {
        [("size", "\(height)x\(width)"), ("corners", alignedCorners ? "aligned" : "half-pixel")]
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        try ShapeRules.picture(inputs[0])
        let x = inputs[0]
        try ShapeRules.require(
            height > 0 && width > 0 && x[1] > 0 && x[2] > 0 && height <= 24 * x[1] && width <= 24 * x[2],
            "resizes \(x[1])x\(x[2]) to \(height)x\(width); up to 24 times larger is possible")
        return [[x[0], height, width, x[3]]]
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        [
            site.outputGradient.apply(
                BilinearResizeGradient(inputShape: site.inputs[0].shape, alignedCorners: alignedCorners))
        ]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.resizeWorkspaceCount(
            input: inputs[0], output: outputs[0], threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let x = site.input.shape
        let resizing = BilinearResizing(from: (x[1], x[2]), to: (height, width), alignedCorners: alignedCorners)
        return { _ in
            site.kernels.resize(site.input, output: site.output, by: resizing, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 6 * outputs[0].count }
}

/// outputGradient [N, height, width, C] → gradient of the input [N, H, W, C]: the transpose of the interpolation.
public struct BilinearResizeGradient: Runnable {
    public static let name = "BilinearResizeGradient"
    public let inputShape: Shape
    public let alignedCorners: Bool

    public init(inputShape: Shape, alignedCorners: Bool) {
        self.inputShape = inputShape
        self.alignedCorners = alignedCorners
    }

    public var attributes: [(name: String, value: String)] { [("corners", alignedCorners ? "aligned" : "half-pixel")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        try ShapeRules.picture(inputs[0], "gradient")
        let resized = try BilinearResize(height: inputs[0][1], width: inputs[0][2], alignedCorners: alignedCorners)
            .outputShapes(for: [inputShape])[0]
        try ShapeRules.equal(inputs[0], resized, "gradient and output")
        return [inputShape]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.resizeWorkspaceCount(
            input: outputs[0], output: inputs[0], threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let (x, y) = (inputShape, site.input.shape)
        let resizing = BilinearResizing(from: (x[1], x[2]), to: (y[1], y[2]), alignedCorners: alignedCorners)
        return { _ in
            site.kernels.resizeGradient(
                outputGradient: site.input, inputGradient: site.output, by: resizing, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 6 * inputs[0].count }
}

extension BilinearResize: ONNXExpressible {
    /// By factors, not sizes: a size would have to name the batch's, too.
    public func express(_ site: ONNXSite) throws(ONNXError) {
        let x = site.shape(0)
        let factors = [1, 1, try Self.factor(x[1], height), try Self.factor(x[2], width)]
        site.emit(
            "Resize", [try site.input(), "", site.constant(factors, [4])],
            [
                "mode": .text("linear"),
                "coordinate_transformation_mode": .text(alignedCorners ? "align_corners" : "half_pixel"),
            ])
    }

    /// A factor whose product with the extent, in float32 or float64 and rounded down, is the wanted one: programs differ.
    static func factor(_ extent: Int, _ wanted: Int) throws(ONNXError) -> Float {
        let nearest = Float(wanted) / Float(extent)
        for factor in [nearest, nearest.nextUp, nearest.nextUp.nextUp]
        where Int(factor * Float(extent)) == wanted && Int(Double(factor) * Double(extent)) == wanted { return factor }
        throw ONNXError("no factor takes \(extent) to \(wanted) exactly")
    }
}
