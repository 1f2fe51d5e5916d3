import Execution
import Graphs
import Kernels
import Tensors

/// A rectangle of pictures, or every `step`-th pixel of it. [N, H, W, C] → [N, height, width, C]
public struct Crop: Runnable {
    public static let name = "Crop"
    public let window: CropWindow

    public init(_ window: CropWindow) { self.window = window }

    public var attributes: [(name: String, value: String)] {
        [("from", "\(window.top),\(window.left)"), ("size", "\(window.height)x\(window.width)")]
            + (window.step == 1 ? [] : [("step", "\(window.step)")])
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        try ShapeRules.picture(inputs[0])
        let x = inputs[0]
        try ShapeRules.require(
            window.fits(x),
            "\(window.height)x\(window.width) by steps of \(window.step) from \(window.top), \(window.left) does not fit "
                + "into \(x[1])x\(x[2])")
        return [[x[0], window.height, window.width, x[3]]]
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        [site.outputGradient.apply(CropGradient(window, inputShape: site.inputs[0].shape))]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [window] _ in site.kernels.crop(site.input, to: site.output, window) }
    }
}

/// outputGradient [N, height, width, C] → gradient of the picture, 0 where nothing was taken [N, H, W, C]
public struct CropGradient: Runnable {
    public static let name = "CropGradient"
    public let window: CropWindow
    public let inputShape: Shape

    public init(_ window: CropWindow, inputShape: Shape) {
        self.window = window
        self.inputShape = inputShape
    }

    public var attributes: [(name: String, value: String)] { Crop(window).attributes }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        try ShapeRules.equal(inputs[0], try Crop(window).outputShapes(for: [inputShape])[0], "gradient and output")
        return [inputShape]
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [window] _ in
            site.kernels.cropGradient(outputGradient: site.input, inputGradient: site.output, window)
        }
    }
}

extension Crop: ONNXExpressible {
    public func express(_ site: ONNXSite) throws(ONNXError) {
        let (w, step) = (window, window.step)
        let ends = [w.top + (w.height - 1) * step + 1, w.left + (w.width - 1) * step + 1]
        site.emit(
            "Slice",
            [
                try site.input(), site.constant([w.top, w.left]), site.constant(ends), site.constant([2, 3]),
                site.constant([step, step]),
            ])
    }
}
