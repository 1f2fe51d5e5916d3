import Execution
import Graphs
import Tensors

/// The mean of each block of `window` x `window` pixels; sizes must be multiples of it.
/// [N, H, W, C] → [N, H / window, W / window, C]
public struct AveragePool2D: Runnable {
    public static let name = "AveragePool2D"
    public let window: Int

    public init(window: Int) { self.window = window }

    public var attributes: [(name: String, value: String)] { [("window", "\(window)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        try ShapeRules.picture(inputs[0])
        let x = inputs[0]
        try ShapeRules.require(
            window > 0 && x[1] % window == 0 && x[2] % window == 0, "\(x[1])x\(x[2]) is not a multiple of \(window)")
        return [[x[0], x[1] / window, x[2] / window, x[3]]]
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        [site.outputGradient.apply(AveragePool2DGradient(window: window))]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [window] _ in site.kernels.averagePool2D(site.input, output: site.output, window: window) }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { inputs[0].count }
}

/// outputGradient [N, H, W, C] → the same for each pixel of its block, divided by window² [N, H · window, W · window, C]
public struct AveragePool2DGradient: Runnable {
    public static let name = "AveragePool2DGradient"
    public let window: Int

    public init(window: Int) { self.window = window }

    public var attributes: [(name: String, value: String)] { [("window", "\(window)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        try ShapeRules.picture(inputs[0], "gradient")
        let g = inputs[0]
        return [[g[0], g[1] * window, g[2] * window, g[3]]]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [window] _ in
            site.kernels.averagePool2DGradient(
                outputGradient: site.input, inputGradient: site.output, window: window)
        }
    }
}

extension AveragePool2D: ONNXExpressible {
    public func express(_ site: ONNXSite) throws(ONNXError) {
        site.emit(
            "AveragePool", [try site.input()],
            ["kernel_shape": .integers([window, window]), "strides": .integers([window, window])])
    }
}
