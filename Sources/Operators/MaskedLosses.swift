import Execution
import Graphs
import Kernels
import Tensors

// Losses against targets in which NaN means unknown: such pixels count for nothing and get no gradient; where nothing is
// known at all the loss is 0. Targets are not differentiated.

extension GradientSite {
    /// The gradient of a loss that only its prediction gets.
    fileprivate func ofPrediction(_ operation: any Operation) throws(ShapeError) -> [Value?] {
        if isNeeded[1] { throw ShapeError("the loss has no gradient with respect to the target") }
        return [inputs[0].apply(operation, [inputs[1], outputGradient]), nil]
    }
}

extension ShapeRules {
    /// Prediction and target of one shape, and for gradients a scalar.
    fileprivate static func prediction(_ inputs: [Shape], gradient: Bool) throws(ShapeError) {
        try count(inputs, gradient ? 3...3 : 2...2)
        try equal(inputs[0], inputs[1], "prediction and target")
        try require(inputs[0].rank >= 1 && inputs[0].count > 0, "needs samples, not \(inputs[0])")
        if gradient { try equal(inputs[2], [], "gradient and scalar") }
    }

    /// The same of maps with one value per pixel.
    fileprivate static func maps(_ inputs: [Shape], gradient: Bool, atLeast extent: Int) throws(ShapeError) {
        try prediction(inputs, gradient: gradient)
        let x = inputs[0]
        try require(x.rank == 4 && x[3] == 1, "\(x) is no map of one value per pixel")
        try require(x[1] >= extent && x[2] >= extent, "\(x[1])x\(x[2]) is smaller than \(extent)x\(extent)")
    }
}

/// A loss that depends on sums over each sample: mean absolute difference, scale-invariant error, or cosine distance.
/// prediction, target [N, …] → scalar
public struct MaskedDifference: Runnable {
    public static let name = "MaskedDifference"
    public let loss: MaskedLoss

    public init(_ loss: MaskedLoss) { self.loss = loss }

    public var attributes: [(name: String, value: String)] { [("loss", "\(loss)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.prediction(inputs, gradient: false)
        return [[]]
    }

    public func inputGradients(_ site: GradientSite) throws(ShapeError) -> [Value?] {
        try site.ofPrediction(MaskedDifferenceGradient(loss))
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.maskedLossWorkspaceCount(prediction: inputs[0])
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [loss] _ in
            site.kernels.maskedLoss(
                loss, prediction: site.inputs[0], target: site.inputs[1], output: site.output,
                workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 12 * inputs[0].count }
}

/// prediction, target [N, …], outputGradient (scalar) → gradient of the prediction
public struct MaskedDifferenceGradient: Runnable {
    public static let name = "MaskedDifferenceGradient"
    public let loss: MaskedLoss

    public init(_ loss: MaskedLoss) { self.loss = loss }

    public var attributes: [(name: String, value: String)] { [("loss", "\(loss)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.prediction(inputs, gradient: true)
        return [inputs[0]]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.maskedLossWorkspaceCount(prediction: inputs[0])
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [loss] _ in
            site.kernels.maskedLossGradient(
                loss, prediction: site.inputs[0], target: site.inputs[1], outputGradient: site.inputs[2],
                predictionGradient: site.output, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 20 * inputs[0].count }
}

/// How much neighbouring pixels differ in the error e = prediction − target: Σ |∂y e| + |∂x e| over known neighbours,
/// divided by the number of known pixels. Forward differences, none at the last row and column.
/// prediction, target [N, H, W, 1] → scalar
///
/// **Source:** Alhashim, Wonka, "High quality monocular depth estimation via transfer learning", 2018, equation 3.
public struct EdgeDifference: Runnable {
    public static let name = "EdgeDifference"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.maps(inputs, gradient: false, atLeast: 1)
        return [[]]
    }

    public func inputGradients(_ site: GradientSite) throws(ShapeError) -> [Value?] {
        try site.ofPrediction(EdgeDifferenceGradient())
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.edgeDifferenceWorkspaceCount(prediction: inputs[0])
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.edgeDifference(
                prediction: site.inputs[0], target: site.inputs[1], output: site.output, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 6 * inputs[0].count }
}

/// prediction, target [N, H, W, 1], outputGradient (scalar) → gradient of the prediction
public struct EdgeDifferenceGradient: Runnable {
    public static let name = "EdgeDifferenceGradient"

    public init() {}

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.maps(inputs, gradient: true, atLeast: 1)
        return [inputs[0]]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.edgeDifferenceWorkspaceCount(prediction: inputs[0])
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { _ in
            site.kernels.edgeDifferenceGradient(
                prediction: site.inputs[0], target: site.inputs[1], outputGradient: site.inputs[2],
                predictionGradient: site.output, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 16 * inputs[0].count }
}

/// Structural dissimilarity: the mean over pictures of (1 − SSIM) / 2, clipped to 0 … 1, SSIM with a Gaussian window of
/// 11 x 11 and standard deviation 1.5 at all places where it lies inside. Windows with unknown pixels don't count.
/// prediction, target [N, H, W, 1] → scalar
public struct Dissimilarity: Runnable {
    public static let name = "Dissimilarity"
    /// The largest difference that two values can have: 1 for maps in 0 … 1.
    public let range: Float

    public init(range: Float) { self.range = range }

    public var attributes: [(name: String, value: String)] { [("range", "\(range)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.require(range > 0, "range \(range) is not above 0")
        try ShapeRules.maps(inputs, gradient: false, atLeast: SimilarityWindow.extent)
        return [[]]
    }

    public func inputGradients(_ site: GradientSite) throws(ShapeError) -> [Value?] {
        try site.ofPrediction(DissimilarityGradient(range: range))
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.similarityWorkspaceCount(prediction: inputs[0])
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let window = SimilarityWindow(range: range)
        return { _ in
            site.kernels.dissimilarity(
                prediction: site.inputs[0], target: site.inputs[1], window: window, output: site.output,
                workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 300 * inputs[0].count }
}

/// prediction, target [N, H, W, 1], outputGradient (scalar) → gradient of the prediction
public struct DissimilarityGradient: Runnable {
    public static let name = "DissimilarityGradient"
    public let range: Float

    public init(range: Float) { self.range = range }

    public var attributes: [(name: String, value: String)] { [("range", "\(range)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.maps(inputs, gradient: true, atLeast: SimilarityWindow.extent)
        return [inputs[0]]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.similarityGradientWorkspaceCount(
            prediction: inputs[0], threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let window = SimilarityWindow(range: range)
        return { _ in
            site.kernels.dissimilarityGradient(
                prediction: site.inputs[0], target: site.inputs[1], window: window, outputGradient: site.inputs[2],
                predictionGradient: site.output, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 440 * inputs[0].count }
}

/// How far the edges of a map are from those of the target: the mean over pictures of 1 − F1 between the target's edges
/// E = [G > threshold] and Q = σ(sharpness · (G − threshold)) of the prediction, F1 = (2 Σ QE + 1) / (Σ Q + Σ E + 1). G is
/// the Sobel magnitude √(gx² + gy² + 1e-12), kernels 1 2 1 by −1 0 1, the border mirrored without its edge.
/// prediction, target [N, H, W, 1] → scalar
public struct EdgeScore: Runnable {
    public static let name = "EdgeScore"
    public let edges: EdgeThreshold

    public init(_ edges: EdgeThreshold) { self.edges = edges }

    public var attributes: [(name: String, value: String)] {
        [("threshold", "\(edges.threshold)"), ("sharpness", "\(edges.sharpness)")]
    }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.maps(inputs, gradient: false, atLeast: 2)
        return [[]]
    }

    public func inputGradients(_ site: GradientSite) throws(ShapeError) -> [Value?] {
        try site.ofPrediction(EdgeScoreGradient(edges))
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.edgeScoreWorkspaceCount(prediction: inputs[0])
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [edges] _ in
            site.kernels.edgeScoreLoss(
                prediction: site.inputs[0], target: site.inputs[1], edges: edges, output: site.output,
                workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 60 * inputs[0].count }
}

/// prediction, target [N, H, W, 1], outputGradient (scalar) → gradient of the prediction
public struct EdgeScoreGradient: Runnable {
    public static let name = "EdgeScoreGradient"
    public let edges: EdgeThreshold

    public init(_ edges: EdgeThreshold) { self.edges = edges }

    public var attributes: [(name: String, value: String)] { EdgeScore(edges).attributes }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.maps(inputs, gradient: true, atLeast: 2)
        return [inputs[0]]
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.edgeScoreGradientWorkspaceCount(prediction: inputs[0])
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        { [edges] _ in
            site.kernels.edgeScoreLossGradient(
                prediction: site.inputs[0], target: site.inputs[1], edges: edges, outputGradient: site.inputs[2],
                predictionGradient: site.output, workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 150 * inputs[0].count }
}
