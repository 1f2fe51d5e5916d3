import Execution
import Graphs
import Tensors

// Fusion: groups of nodes that pass a picture on become one node that keeps it in cache. It runs on the finished graph,
// forward and backward together, so that networks and gradient rules know nothing of it; the graph without it is the
// reference that tests compare with.

extension Graph {
    /// The same computation with fewer passes over memory. Results agree to rounding.
    public func fused() -> Graph {
        var rewriter = GraphRewriter(self)
        rewriter.splitNormalizationGradients()
        rewriter.fuseSeparableConvolutions()
        rewriter.fusePairConvolutions()
        rewriter.fuseUpsampleSums()
        rewriter.fuseNormalizedDropouts()
        rewriter.fuseUpsampleGradients()
        rewriter.fuseSelections()
        rewriter.fuseStatistics()
        return rewriter.finish()
    }
}

extension GraphRewriter {
    /// The node at a place and its operation, if it is of this kind.
    func find<Kind: Runnable>(_ kind: Kind.Type, at place: Int?) -> (operation: Kind, node: Graph.Node, place: Int)? {
        guard let place, let node = node(place), let operation = node.operation as? Kind else { return nil }
        return (operation, node, place)
    }

    /// The only reader of this kind that takes the value as its input number `input`.
    func reader<Kind: Runnable>(
        _ kind: Kind.Type, of value: Graph.ValueID, input: Int
    ) -> (operation: Kind, node: Graph.Node, place: Int)? {
        let found = readers(of: value).compactMap { find(kind, at: $0) }.filter { $0.node.inputs[input] == value }
        return found.count == 1 ? found[0] : nil
    }

    // MARK: Normalisation behind a ReLU

    /// BatchNormGradient → ReLUGradient → sum for a bias becomes: sums, then one pass for all the rest.
    mutating func splitNormalizationGradients() {
        for place in indices {
            guard let norm = find(BatchNormGradient.self, at: place),
                let relu = reader(ReLUGradient.self, of: norm.node.outputs[0], input: 1),
                isPrivate(norm.node.outputs[0], to: [relu.place]),
                relu.node.inputs[0] == norm.node.inputs[0],
                let sum = reader(ColumnSum.self, of: relu.node.outputs[0], input: 0)
            else { continue }
            let (x, gradient, mean, variance, gain) = (
                norm.node.inputs[0], norm.node.inputs[1], norm.node.inputs[2], norm.node.inputs[3],
                norm.node.inputs[4]
            )
            let sums = Array(norm.node.outputs.dropFirst())
            replace(
                [norm.place], at: norm.place,
                by: Graph.Node(
                    operation: BatchNormGradientSums(epsilon: norm.operation.epsilon),
                    inputs: [x, gradient, mean, variance], outputs: sums, path: norm.node.path))
            replace(
                [relu.place, sum.place], at: relu.place,
                by: Graph.Node(
                    operation: BatchNormReLUGradient(epsilon: norm.operation.epsilon),
                    inputs: [x, gradient, mean, variance, gain] + sums,
                    outputs: [relu.node.outputs[0], sum.node.outputs[0]], path: relu.node.path))
        }
    }

    // MARK: Separable convolutions

    mutating func fuseSeparableConvolutions() {
        for place in indices {
            guard let pointwise = find(Conv2D.self, at: place), pointwise.operation.geometry.isPointwise,
                let depthwise = find(DepthwiseConv2D.self, at: producer(of: pointwise.node.inputs[0]))
            else { continue }
            let between = pointwise.node.inputs[0]
            if isPrivate(between, to: [place]) {
                fuseForward(depthwise, pointwise, backward: nil)
            } else if let backward = SeparableBackward(self, depthwise.node, pointwise.node, pointwise.operation),
                isPrivate(between, to: [place, backward.pointwiseWeights.place])
            {
                fuseForward(depthwise, pointwise, backward: backward)
            }
        }
    }

    private mutating func fuseForward(
        _ depthwise: (operation: DepthwiseConv2D, node: Graph.Node, place: Int),
        _ pointwise: (operation: Conv2D, node: Graph.Node, place: Int), backward: SeparableBackward?
    ) {
        let picture = depthwise.node.inputs[0]
        let hasBias = pointwise.node.inputs.count == 3
        let weights = [depthwise.node.inputs[1]] + pointwise.node.inputs.dropFirst()
        // Does the picture come from a normalisation that nobody else looks at?
        var readers: Set<Int> = [depthwise.place]
        if let backward { readers.insert(backward.depthwiseWeights.place) }
        var source = picture
        var normalization: [Graph.ValueID] = []
        var epsilon: Float?
        var absorbed: (operation: BatchNormGradientSums, node: Graph.Node, place: Int)?
        let before = producer(of: picture)
        if isPrivate(picture, to: readers) {
            if let norm = find(BatchNormInference.self, at: before), backward == nil {
                let x = norm.node.inputs
                (source, normalization, epsilon) = (x[0], [x[3], x[4], x[1], x[2]], norm.operation.epsilon)
            } else if let norm = find(BatchNorm.self, at: before) {
                absorbed = backward.flatMap { backward in
                    guard let input = backward.depthwiseInput else { return nil }
                    return reader(BatchNormGradientSums.self, of: input.node.outputs[0], input: 1)
                }
                if backward == nil || absorbed != nil {
                    (source, epsilon) = (norm.node.inputs[0], norm.operation.epsilon)
                    normalization = statistics(of: norm.node, at: norm.place)
                }
            }
        }
        replace(
            [depthwise.place, pointwise.place], at: pointwise.place,
            by: Graph.Node(
                operation: SeparableConv2D(
                    hasBias: hasBias, activation: pointwise.operation.activation, epsilon: epsilon,
                    givesStatistics: false),
                inputs: [source] + weights + normalization, outputs: pointwise.node.outputs,
                path: pointwise.node.path))
        guard let backward else { return }
        let places = backward.places + (absorbed.map { [$0.place] } ?? [])
        let inputGradient = backward.depthwiseInput?.node.outputs[0]
        replace(
            places, at: places.reduce(0, max),
            by: Graph.Node(
                operation: SeparableConv2DGradient(
                    hasBias: hasBias, activation: pointwise.operation.activation, epsilon: epsilon,
                    outputEpsilon: backward.norm?.operation.epsilon, needsInputGradient: inputGradient != nil),
                inputs: [source] + weights.prefix(2) + [backward.gradient] + normalization + backward.outputInputs,
                outputs: (inputGradient.map { [$0] } ?? [])
                    + [backward.depthwiseWeights.node.outputs[0], backward.pointwiseWeights.node.outputs[0]]
                    + (backward.sum.map { [$0] } ?? []) + (absorbed?.node.outputs ?? []),
                path: backward.depthwiseWeights.node.path))
    }
}

extension GraphRewriter {
    // MARK: Convolutions of concatenated pictures

    mutating func fusePairConvolutions() {
        for place in indices {
            guard let concat = find(Concat.self, at: place), concat.node.inputs.count == 2,
                let conv = reader(Conv2D.self, of: concat.node.outputs[0], input: 0),
                PairConv2D.fits(
                    input: shape(of: concat.node.outputs[0]), weights: shape(of: conv.node.inputs[1]),
                    geometry: conv.operation.geometry)
            else { continue }
            let pair = concat.node.inputs
            let weights = reader(Conv2DWeightGradient.self, of: concat.node.outputs[0], input: 0)
            let places = [conv.place] + (weights.map { [$0.place] } ?? [])
            guard isPrivate(concat.node.outputs[0], to: Set(places)) else { continue }
            replace(
                [concat.place, conv.place], at: conv.place,
                by: Graph.Node(
                    operation: PairConv2D(
                        geometry: conv.operation.geometry, activation: conv.operation.activation,
                        givesStatistics: false),
                    inputs: pair + conv.node.inputs.dropFirst(), outputs: conv.node.outputs, path: conv.node.path))
            guard let weights else { continue }
            replace(
                [weights.place], at: weights.place,
                by: Graph.Node(
                    operation: PairConv2DWeightGradient(geometry: weights.operation.geometry),
                    inputs: pair + weights.node.inputs.dropFirst(), outputs: weights.node.outputs,
                    path: weights.node.path))
            fusePairInputGradient(
                pair, outputGradient: weights.node.inputs[1], weights: conv.node.inputs[1],
                geometry: conv.operation.geometry)
        }
    }

    private mutating func fusePairInputGradient(
        _ pair: [Graph.ValueID], outputGradient: Graph.ValueID, weights: Graph.ValueID, geometry: ConvolutionGeometry
    ) {
        guard let gradient = reader(Conv2DInputGradient.self, of: outputGradient, input: 0),
            gradient.node.inputs[1] == weights,
            let split = reader(Split.self, of: gradient.node.outputs[0], input: 0),
            isPrivate(gradient.node.outputs[0], to: [split.place]),
            split.node.outputs.map(shape(of:)) == pair.map(shape(of:))
        else { return }
        replace(
            [gradient.place, split.place], at: split.place,
            by: Graph.Node(
                operation: PairConv2DInputGradient(
                    geometry: geometry, firstShape: shape(of: pair[0]), secondShape: shape(of: pair[1])),
                inputs: gradient.node.inputs, outputs: split.node.outputs, path: gradient.node.path))
    }
}

/// The nodes that compute the gradients of one separable convolution.
private struct SeparableBackward {
    /// Gradient of the output, or of its normalised form where a normalisation follows.
    let gradient: Graph.ValueID
    /// What the gradient before the activation is computed from: the output and what belongs to its normalisation.
    let outputInputs: [Graph.ValueID]
    let norm: (operation: BatchNormReLUGradient, node: Graph.Node, place: Int)?
    let pointwiseWeights: (operation: Conv2DWeightGradient, node: Graph.Node, place: Int)
    let depthwiseInput: (operation: DepthwiseConv2DInputGradient, node: Graph.Node, place: Int)?
    let depthwiseWeights: (operation: DepthwiseConv2DWeightGradient, node: Graph.Node, place: Int)
    /// Gradient of the bias.
    let sum: Graph.ValueID?
    let places: [Int]

    /// Nil where the nodes do not look as gradient rules write them, or somebody else reads what would vanish.
    init?(_ graph: GraphRewriter, _ depthwise: Graph.Node, _ pointwise: Graph.Node, _ operation: Conv2D) {
        guard let weights = graph.reader(Conv2DWeightGradient.self, of: pointwise.inputs[0], input: 0) else {
            return nil
        }
        let outer = weights.node.inputs[1]
        guard let inner = graph.reader(Conv2DInputGradient.self, of: outer, input: 0),
            inner.node.inputs[1] == pointwise.inputs[1],
            let depthwiseWeights = graph.reader(
                DepthwiseConv2DWeightGradient.self, of: inner.node.outputs[0], input: 1),
            depthwiseWeights.node.inputs[0] == depthwise.inputs[0]
        else { return nil }
        depthwiseInput = graph.reader(DepthwiseConv2DInputGradient.self, of: inner.node.outputs[0], input: 0)
        self.depthwiseWeights = depthwiseWeights
        pointwiseWeights = weights
        var places = [weights.place, inner.place, depthwiseWeights.place]
        if let depthwiseInput { places.append(depthwiseInput.place) }
        let hasBias = pointwise.inputs.count == 3
        let before = graph.producer(of: outer)
        if let norm = graph.find(BatchNormReLUGradient.self, at: before), norm.node.inputs[0] == pointwise.outputs[0],
            hasBias, operation.activation == .relu
        {
            self.norm = norm
            gradient = norm.node.inputs[1]
            outputInputs = [norm.node.inputs[0]] + norm.node.inputs[2...]
            sum = norm.node.outputs[1]
            guard graph.isPrivate(outer, to: Set(places)) else { return nil }
            places.append(norm.place)
        } else {
            norm = nil
            let sum = hasBias ? graph.reader(ColumnSum.self, of: outer, input: 0) : nil
            if hasBias && sum == nil { return nil }
            self.sum = sum?.node.outputs[0]
            if let sum { places.append(sum.place) }
            if operation.activation == .relu {
                guard let relu = graph.find(ReLUGradient.self, at: before),
                    relu.node.inputs[0] == pointwise.outputs[0], graph.isPrivate(outer, to: Set(places))
                else { return nil }
                gradient = relu.node.inputs[1]
                outputInputs = [relu.node.inputs[0]]
                places.append(relu.place)
            } else {
                gradient = outer
                outputInputs = []
            }
        }
        guard graph.isPrivate(inner.node.outputs[0], to: Set(places)) else { return nil }
        self.places = places
    }
}
