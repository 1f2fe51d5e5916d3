import Execution
import Graphs
import Tensors

/// The largest value of each window. [N, H, W, C] → [N, (H + 2 · padding − window) / stride + 1, …, C], rounded down.
///
/// What lies outside the picture never is a maximum. Where windows do not overlap, sizes must be multiples of them.
public struct MaxPool2D: Runnable {
    public static let name = "MaxPool2D"
    public let window: Int
    public let stride: Int
    public let padding: Int

    public init(window: Int, stride: Int, padding: Int = 0) {
        self.window = window
        self.stride = stride
        self.padding = padding
    }

    public var attributes: [(name: String, value: String)] {
        [("window", "\(window)"), ("stride", "\(stride)")] + (padding == 0 ? [] : [("padding", "\(padding)")])
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        try ShapeRules.picture(inputs[0])
        let x = inputs[0]
        try ShapeRules.require(2 * padding <= window, "padding \(padding) is more than half of a window of \(window)")
        let (height, width) = (x[1] + 2 * padding, x[2] + 2 * padding)
        try ShapeRules.require(
            height >= window && width >= window, "\(x[1])x\(x[2]) is smaller than \(window)x\(window)")
        if window == stride {
            // A remainder would be dropped in silence and a decoder would not meet its skip connection.
            try ShapeRules.require(
                height % window == 0 && width % window == 0, "\(height)x\(width) is not a multiple of \(window)")
        }
        return [[x[0], (height - window) / stride + 1, (width - window) / stride + 1, x[3]]]
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        [
            site.inputs[0].apply(
                MaxPool2DGradient(window: window, stride: stride, padding: padding), [site.outputGradient])
        ]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [window, stride, padding] _ in
            site.kernels.maxPool2D(
                site.input, output: site.output, window: window, stride: stride, padding: padding)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { outputs[0].count * window * window }
}

/// input [N, H, W, C], outputGradient → the gradient at the place of each window's maximum (the first one of several).
public struct MaxPool2DGradient: Runnable {
    public static let name = "MaxPool2DGradient"
    public let window: Int
    public let stride: Int
    public let padding: Int

    public init(window: Int, stride: Int, padding: Int) {
        self.window = window
        self.stride = stride
        self.padding = padding
    }

    public var attributes: [(name: String, value: String)] {
        MaxPool2D(window: window, stride: stride, padding: padding).attributes
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        let pooled = try MaxPool2D(window: window, stride: stride, padding: padding).outputShapes(for: [inputs[0]])[0]
        try ShapeRules.equal(inputs[1], pooled, "gradient and output")
        return [inputs[0]]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [window, stride, padding] _ in
            site.kernels.maxPool2DGradient(
                site.inputs[0], outputGradient: site.inputs[1], inputGradient: site.output, window: window,
                stride: stride, padding: padding)
        }
    }
}

extension MaxPool2D: ONNXExpressible {
    public func express(_ site: ONNXSite) throws(ONNXError) {
        site.emit(
            "MaxPool", [try site.input()],
            [
                "kernel_shape": .integers([window, window]), "strides": .integers([stride, stride]),
                "pads": .integers([padding, padding, padding, padding]),
            ])
    }
}
