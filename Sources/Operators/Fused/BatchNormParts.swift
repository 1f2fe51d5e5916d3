import Execution
import Graphs
import Kernels
import Tensors

// Batch normalisation in parts, for graphs in which a neighbour does the rest while it reads or writes the picture.

/// The statistics of a batch alone. x [.., C] → mean, variance [C]
public struct BatchNormStatistics: Runnable {
    public static let name = "BatchNormStatistics"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        try ShapeRules.require(inputs[0].rank >= 1, "needs at least one axis")
        let channels = inputs[0][inputs[0].rank - 1]
        try ShapeRules.require(inputs[0].count > channels, "needs more than one value per channel")
        return [[channels], [channels]]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        kernels.batchNormWorkspaceCount(inputShape: inputs[0], threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.batchNormStatistics(
                site.input, mean: site.outputs[0], variance: site.outputs[1], workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 4 * inputs[0].count }
}

/// The gradients of gain and bias alone. x, outputGradient [.., C], mean, variance [C] → [C], [C]
public struct BatchNormGradientSums: Runnable {
    public static let name = "BatchNormGradientSums"
    public let epsilon: Float

    public init(epsilon: Float) { self.epsilon = epsilon }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 4...4)
        try ShapeRules.equal(inputs[0], inputs[1], "input and gradient")
        let channels = try BatchNorm.check(inputs[0], gain: inputs[2], bias: inputs[3])
        return [[channels], [channels]]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        kernels.batchNormWorkspaceCount(inputShape: inputs[0], threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [epsilon] _ in
            site.kernels.batchNormGradientSums(
                site.inputs[0], outputGradient: site.inputs[1], mean: site.inputs[2], variance: site.inputs[3],
                epsilon: epsilon, gainGradient: site.outputs[0], biasGradient: site.outputs[1],
                workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 4 * inputs[0].count }
}

/// From the gradient of a normalised value to the gradient before the ReLU whose output was normalised, and its sum.
///
/// output of the ReLU, outputGradient [.., C], mean, variance, gain, gradient of gain, gradient of shift [C]
/// → [.., C], [C]
public struct BatchNormReLUGradient: Runnable {
    public static let name = "BatchNormReLUGradient"
    public let epsilon: Float

    public init(epsilon: Float) { self.epsilon = epsilon }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 7...7)
        try ShapeRules.equal(inputs[0], inputs[1], "output and gradient")
        try ShapeRules.require(inputs[0].rank >= 1, "needs at least one axis")
        let channels = inputs[0][inputs[0].rank - 1]
        for shape in inputs[2...] { try ShapeRules.vector(shape, channels, "normalisation") }
        return [inputs[0], [channels]]
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { [(0, 1)] }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        kernels.batchNormWorkspaceCount(inputShape: inputs[0], threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let x = site.inputs
        let normalization = OutputNormalization(
            mean: x[2], variance: x[3], gain: x[4], gainGradient: x[5], biasGradient: x[6], epsilon: epsilon)
        return { _ in
            site.kernels.batchNormReLUGradient(
                x[0], outputGradient: x[1], normalization: normalization, inputGradient: site.outputs[0],
                sum: site.outputs[1], workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 7 * inputs[0].count }
}

extension GraphRewriter {
    /// Statistics of a convolution's result are taken while it is written.
    mutating func fuseStatistics() {
        for place in indices {
            if var conv = find(SeparableConv2D.self, at: place) {
                conv.operation.givesStatistics = true
                takeStatistics(conv.node, place, conv.operation)
            } else if var conv = find(PairConv2D.self, at: place) {
                conv.operation.givesStatistics = true
                takeStatistics(conv.node, place, conv.operation)
            }
        }
    }

    /// - Parameter operation: what the convolution becomes if a normalisation follows. One whose result stays is then one
    ///   by given statistics.
    private mutating func takeStatistics(_ conv: Graph.Node, _ place: Int, _ operation: some Runnable) {
        let output = conv.outputs[0]
        var group = [place]
        let statistics: [Graph.ValueID]
        if let found = reader(BatchNormStatistics.self, of: output, input: 0) {
            group.append(found.place)
            statistics = found.node.outputs
        } else if let norm = reader(BatchNorm.self, of: output, input: 0) {
            statistics = Array(norm.node.outputs.dropFirst())
            replace(
                [norm.place], at: norm.place,
                by: Graph.Node(
                    operation: BatchNormInference(epsilon: norm.operation.epsilon),
                    inputs: norm.node.inputs + statistics, outputs: [norm.node.outputs[0]], path: norm.node.path))
        } else {
            return
        }
        replace(
            group, at: place,
            by: Graph.Node(operation: operation, inputs: conv.inputs, outputs: [output] + statistics, path: conv.path))
    }
}
