import Execution
import Graphs
import Kernels
import Tensors

/// Local response normalisation across channels: x · (bias + scale · Σ x²)^(−¾), the sum over channels within the radius.
/// [.., C] → [.., C]
///
/// **Source:** Krizhevsky, Sutskever, Hinton, NIPS 2012, section 3.3; PyTorch's `local_response_norm` with size
/// 2 · radius + 1, alpha = scale · size, beta ¾ and k = bias.
public struct ResponseNorm: Runnable {
    public static let name = "ResponseNorm"
    public let normalization: ResponseNormalization

    public init(_ normalization: ResponseNormalization) { self.normalization = normalization }

    public var attributes: [(name: String, value: String)] {
        [
            ("radius", "\(normalization.radius)"), ("bias", "\(normalization.bias)"),
            ("scale", "\(normalization.scale)"),
        ]
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        try ShapeRules.require(inputs[0].rank >= 1, "needs channels")
        return inputs
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        [site.inputs[0].apply(ResponseNormGradient(normalization), [site.outputGradient])]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.responseNormWorkspaceCount(
            input: inputs[0], radius: normalization.radius, threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [normalization] _ in
            site.kernels.responseNorm(site.input, normalization, output: site.output, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        (2 * normalization.radius + 8) * inputs[0].count
    }
}

/// input, outputGradient [.., C] → gradient of the input [.., C]
public struct ResponseNormGradient: Runnable {
    public static let name = "ResponseNormGradient"
    public let normalization: ResponseNormalization

    public init(_ normalization: ResponseNormalization) { self.normalization = normalization }

    public var attributes: [(name: String, value: String)] { ResponseNorm(normalization).attributes }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try ShapeRules.equal(inputs[0], inputs[1], "input and gradient")
        return [inputs[0]]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.responseNormWorkspaceCount(
            input: inputs[0], radius: normalization.radius, threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [normalization] _ in
            site.kernels.responseNormGradient(
                site.inputs[0], normalization, outputGradient: site.inputs[1], inputGradient: site.output,
                workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        (4 * normalization.radius + 14) * inputs[0].count
    }
}

extension ResponseNorm: ONNXExpressible {
    public func express(_ site: ONNXSite) throws(ONNXError) {
        guard site.shape(0).rank == 4 else { throw ONNXError("\(site.shape(0)) is no picture") }
        let size = 2 * normalization.radius + 1
        site.emit(
            "LRN", [try site.input()],
            [
                "size": .integer(size), "alpha": .number(normalization.scale * Float(size)), "beta": .number(0.75),
                "bias": .number(normalization.bias),
            ])
    }
}
