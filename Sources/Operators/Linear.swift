import Execution
import Graphs
import Kernels
import Tensors

/// Fully connected layer: each output is a weighted sum of all values of a sample, plus a bias, then perhaps ReLU.
///
/// input [N, …] with F values per sample, weights [F, O], bias [O]? → [N] + outputShape, which has O values
public struct Linear: Runnable {
    public static let name = "Linear"
    /// Of one sample: [O], or [height, width, channels].
    public let outputShape: Shape
    public let activation: Activation

    public init(outputShape: Shape, activation: Activation) {
        self.outputShape = outputShape
        self.activation = activation
    }

    public var attributes: [(name: String, value: String)] { activation == .relu ? [("activation", "relu")] : [] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...3)
        let (x, w) = (inputs[0], inputs[1])
        try Self.check(x, w, outputShape)
        if inputs.count == 3 { try ShapeRules.vector(inputs[2], w[1], "bias") }
        return [Shape([x[0]] + outputShape.dimensions)]
    }

    static func check(_ input: Shape, _ weights: Shape, _ output: Shape) throws(ShapeError) {
        try ShapeRules.require(input.rank >= 2, "input \(input) has no axis of samples")
        let count = input.dimensions.dropFirst().reduce(1, *)
        try ShapeRules.require(
            weights == [count, output.count] && count > 0,
            "weights are \(weights); \(input) to \(output) takes \(count)x\(output.count)")
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        let gradient =
            activation == .relu
            ? site.outputs[0].apply(ReLUGradient(), [site.outputGradient]) : site.outputGradient
        let (x, w) = (site.inputs[0], site.inputs[1])
        var results: [Value?] = [
            site.isNeeded[0] ? gradient.apply(LinearInputGradient(inputShape: x.shape), [w]) : nil,
            site.isNeeded[1] ? x.apply(LinearWeightGradient(), [gradient]) : nil,
        ]
        if site.inputs.count == 3 { results.append(site.isNeeded[2] ? gradient.apply(SampleSum()) : nil) }
        return results
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.linearWorkspaceCount(samples: inputs[0][0], weights: inputs[1])
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let bias = site.inputs.count == 3 ? site.inputs[2] : nil
        return { [activation] _ in
            site.kernels.linear(
                input: site.inputs[0], weights: site.inputs[1], bias: bias, output: site.output,
                activation: activation, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 2 * inputs[0][0] * inputs[1].count }
}

/// outputGradient [N, …], weights [F, O] → gradient of the input
public struct LinearInputGradient: Runnable {
    public static let name = "LinearInputGradient"
    public let inputShape: Shape

    public init(inputShape: Shape) { self.inputShape = inputShape }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try ShapeRules.require(inputs[0].rank >= 2 && inputs[0][0] == inputShape[0], "gradient is \(inputs[0])")
        try Linear.check(inputShape, inputs[1], Shape(Array(inputs[0].dimensions.dropFirst())))
        return [inputShape]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.linearInputGradientWorkspaceCount(
            samples: inputs[0][0], weights: inputs[1], threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.linearInputGradient(
                outputGradient: site.inputs[0], weights: site.inputs[1], inputGradient: site.output,
                workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 2 * inputs[0][0] * inputs[1].count }
}

/// input [N, …], outputGradient [N, …] → gradient of the weights [F, O]
public struct LinearWeightGradient: Runnable {
    public static let name = "LinearWeightGradient"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        let (x, g) = (inputs[0], inputs[1])
        try ShapeRules.require(
            x.rank >= 2 && g.rank >= 2 && x[0] == g[0], "gradient \(g) does not belong to an input \(x)")
        return [[x.dimensions.dropFirst().reduce(1, *), g.dimensions.dropFirst().reduce(1, *)]]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.linearWeightGradientWorkspaceCount(samples: inputs[0][0], weights: outputs[0])
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.linearWeightGradient(
                input: site.inputs[0], outputGradient: site.inputs[1], weightGradient: site.output,
                workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 2 * inputs[0][0] * outputs[0].count }
}

/// Sums over the samples: the gradient of a bias. [N, …] with O values per sample → [O]
public struct SampleSum: Runnable {
    public static let name = "SampleSum"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        try ShapeRules.require(inputs[0].rank >= 2, "needs an axis of samples")
        return [[inputs[0].dimensions.dropFirst().reduce(1, *)]]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.columnSumWorkspaceCount(
            input: [inputs[0][0], outputs[0].count], threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let rows = TensorView(site.input.base, [site.input.shape[0], site.output.count])
        return { _ in site.kernels.columnSum(input: rows, output: site.output, workspace: site.workspace) }
    }
}

extension Linear: ONNXExpressible {
    /// Weights [outputs, inputs], both counted channel by channel where they are pictures.
    public func express(_ site: ONNXSite) throws(ONNXError) {
        let sample = Array(site.shape(0).dimensions.dropFirst())
        let output = outputShape.dimensions
        let (rows, columns) = (Self.channelFirst(sample), Self.channelFirst(output))
        let order = columns.map { $0 + sample.count } + rows
        let count = (into: sample.reduce(1, *), outOf: output.reduce(1, *))
        var inputs = [
            sample.count == 1 ? try site.input() : site.node("Flatten", [try site.input()], ["axis": .integer(1)]),
            try site.weights(1, axes: sample + output, order: order, dimensions: [count.outOf, count.into]),
        ]
        if site.inputCount == 3 {
            inputs.append(try site.weights(2, axes: output, order: columns, dimensions: [count.outOf]))
        }
        let attributes: [String: ONNXNode.Attribute] = ["transB": .integer(1)]
        if output.count == 1 { return site.emit("Gemm", inputs, attributes, then: activation) }
        let product = site.node("Gemm", inputs, attributes)
        let active = activation == .relu ? site.node("Relu", [product]) : product
        site.emit("Reshape", [active, site.constant([0] + columns.map { output[$0] })])
    }

    /// The axes of one sample there: a picture's channels first.
    private static func channelFirst(_ shape: [Int]) -> [Int] {
        shape.count == 3 ? [2, 0, 1] : Array(shape.indices)
    }
}
