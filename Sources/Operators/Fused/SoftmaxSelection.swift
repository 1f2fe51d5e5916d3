import Execution
import Graphs
import Kernels
import Tensors

/// Softmax over levels, the selection layer and the expected disparity in one.
///
/// logits [N, H, W, S], image [N, H, W, C] → view [N, H, W, C], disparity [N, H, W, 1], probability [N, H, W, S]?
public struct SoftmaxSelection: Runnable {
    public static let name = "SoftmaxSelection"
    public let selection: Selection
    public let disparity: ChannelDot
    public let keepsProbability: Bool

    public init(selection: Selection, disparity: ChannelDot, keepsProbability: Bool) {
        self.selection = selection
        self.disparity = disparity
        self.keepsProbability = keepsProbability
    }

    public var attributes: [(name: String, value: String)] { selection.attributes + disparity.attributes }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        return try selection.outputShapes(for: [inputs[1], inputs[0]]) + disparity.outputShapes(for: [inputs[0]])
            + (keepsProbability ? [inputs[0]] : [])
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { keepsProbability ? [(2, 0)] : [] }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        keepsProbability
            ? 0
            : KernelContext.softmaxSelectionWorkspaceCount(logits: inputs[0], threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let constants = Constants(disparity.coefficients)
        let probability = keepsProbability ? site.outputs[2] : nil
        return { [selection] _ in
            site.kernels.softmaxSelection(
                logits: site.inputs[0], image: site.inputs[1],
                levels: SelectionLevels(
                    firstShift: selection.firstShift, shiftStep: selection.shiftStep, border: selection.border,
                    disparities: constants.pointer),
                probability: probability, view: site.outputs[0], disparity: site.outputs[1], workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        inputs[0].count * (22 + 2 * inputs[1][3])
    }
}

/// logits [N, H, W, S], image, gradient of the view [N, H, W, C], gradient of the disparity [N, H, W, 1]
/// → gradient of the logits [N, H, W, S]
public struct SoftmaxSelectionGradient: Runnable {
    public static let name = "SoftmaxSelectionGradient"
    public let selection: Selection
    public let disparity: ChannelDot

    public init(selection: Selection, disparity: ChannelDot) {
        self.selection = selection
        self.disparity = disparity
    }

    public var attributes: [(name: String, value: String)] { selection.attributes + disparity.attributes }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 4...4)
        let view = try selection.outputShapes(for: [inputs[1], inputs[0]])[0]
        try ShapeRules.equal(inputs[2], view, "gradient and view")
        try ShapeRules.equal(inputs[3], disparity.outputShapes(for: [inputs[0]])[0], "gradient and disparity")
        return [inputs[0]]
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { [(0, 0)] }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        KernelContext.softmaxSelectionGradientWorkspaceCount(
            logits: inputs[0], threadCount: kernels.pool.threadCount)
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let constants = Constants(disparity.coefficients)
        return { [selection] _ in
            site.kernels.softmaxSelectionGradient(
                logits: site.inputs[0], image: site.inputs[1],
                levels: SelectionLevels(
                    firstShift: selection.firstShift, shiftStep: selection.shiftStep, border: selection.border,
                    disparities: constants.pointer),
                viewGradient: site.inputs[2], disparityGradient: site.inputs[3], logitGradient: site.output,
                workspace: site.workspace)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        inputs[0].count * (26 + 2 * inputs[1][3])
    }
}

extension GraphRewriter {
    /// Softmax → selection and expected disparity, and the way back.
    mutating func fuseSelections() {
        for place in indices {
            guard let softmax = find(Softmax.self, at: place) else { continue }
            let (logits, probability) = (softmax.node.inputs[0], softmax.node.outputs[0])
            guard let selection = reader(Selection.self, of: probability, input: 1),
                let disparity = reader(ChannelDot.self, of: probability, input: 0)
            else { continue }
            let image = selection.node.inputs[0]
            let backward = SelectionBackward(self, probability: probability, image: image)
            let forward = [place, selection.place, disparity.place]
            let known = Set(forward + (backward.map { [$0.softmaxPlace] } ?? []))
            guard readers(of: probability).isSubset(of: known) else { continue }
            let keeps = isResult(probability)
            let outputs = [selection.node.outputs[0], disparity.node.outputs[0]]
            let last = forward.reduce(0, max)
            guard isReadOnly(outputs, after: last) else { continue }
            replace(
                forward, at: last,
                by: Graph.Node(
                    operation: SoftmaxSelection(
                        selection: selection.operation, disparity: disparity.operation, keepsProbability: keeps),
                    inputs: [logits, image], outputs: outputs + (keeps ? [probability] : []),
                    path: softmax.node.path))
            guard let backward else { continue }
            replace(
                backward.places, at: backward.softmaxPlace,
                by: Graph.Node(
                    operation: SoftmaxSelectionGradient(
                        selection: selection.operation, disparity: disparity.operation),
                    inputs: [logits, image, backward.viewGradient, backward.disparityGradient],
                    outputs: backward.outputs, path: backward.path))
        }
    }
}

/// The nodes between the gradients of view and disparity and that of the logits.
private struct SelectionBackward {
    let softmaxPlace: Int
    let places: [Int]
    let viewGradient: Graph.ValueID
    let disparityGradient: Graph.ValueID
    let outputs: [Graph.ValueID]
    let path: String

    init?(_ graph: GraphRewriter, probability: Graph.ValueID, image: Graph.ValueID) {
        guard let softmax = graph.reader(SoftmaxGradient.self, of: probability, input: 0),
            let sum = graph.find(LinearCombination.self, at: graph.producer(of: softmax.node.inputs[1])),
            sum.operation.coefficients == [1, 1], graph.isPrivate(sum.node.outputs[0], to: [softmax.place])
        else { return nil }
        let producers = sum.node.inputs.map { graph.producer(of: $0) }
        let views = producers.compactMap { graph.find(SelectionProbabilityGradient.self, at: $0) }
        let dots = producers.compactMap { graph.find(ChannelDotGradient.self, at: $0) }
        guard views.count == 1, dots.count == 1, views[0].node.inputs[0] == image,
            sum.node.inputs.allSatisfy({ graph.isPrivate($0, to: [sum.place]) })
        else { return nil }
        softmaxPlace = softmax.place
        places = [softmax.place, sum.place, views[0].place, dots[0].place]
        viewGradient = views[0].node.inputs[1]
        disparityGradient = dots[0].node.inputs[0]
        outputs = softmax.node.outputs
        path = softmax.node.path
    }
}
