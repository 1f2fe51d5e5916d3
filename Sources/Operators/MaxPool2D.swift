import Execution
import Graphs
import Tensors

/// The largest value of each window, no padding. [N, H, W, C] → [N, H', W', C]
public struct MaxPool2D: Runnable {
    public static let name = "MaxPool2D"
    public let window: Int
    public let stride: Int

    public init(window: Int, stride: Int) {
        self.window = window
        self.stride = stride
    }

    public var attributes: [(name: String, value: String)] { [("window", "\(window)"), ("stride", "\(stride)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        try ShapeRules.picture(inputs[0])
        let x = inputs[0]
        try ShapeRules.require(x[1] >= window && x[2] >= window, "\(x[1])x\(x[2]) is smaller than \(window)x\(window)")
        if window == stride {
            // A remainder would be dropped in silence and a decoder would not meet its skip connection.
            try ShapeRules.require(
                x[1] % window == 0 && x[2] % window == 0, "\(x[1])x\(x[2]) is not a multiple of \(window)")
        }
        return [[x[0], (x[1] - window) / stride + 1, (x[2] - window) / stride + 1, x[3]]]
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        [site.inputs[0].apply(MaxPool2DGradient(window: window, stride: stride), [site.outputGradient])]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [window, stride] _ in
            site.kernels.maxPool2D(site.input, output: site.output, window: window, stride: stride)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { outputs[0].count * window * window }
}

/// input [N, H, W, C], outputGradient → the gradient at the place of each window's maximum (the first one of several).
public struct MaxPool2DGradient: Runnable {
    public static let name = "MaxPool2DGradient"
    public let window: Int
    public let stride: Int

    public init(window: Int, stride: Int) {
        self.window = window
        self.stride = stride
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        let pooled = try MaxPool2D(window: window, stride: stride).outputShapes(for: [inputs[0]])[0]
        try ShapeRules.equal(inputs[1], pooled, "gradient and output")
        return [inputs[0]]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [window, stride] _ in
            site.kernels.maxPool2DGradient(
                site.inputs[0], outputGradient: site.inputs[1], inputGradient: site.output, window: window,
                stride: stride)
        }
    }
}
