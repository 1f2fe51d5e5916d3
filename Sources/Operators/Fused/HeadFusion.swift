import Execution
import Graphs
import Tensors

// Fusion of sums of upsampled pictures, of dropout behind a normalisation, and of their gradients.

extension GraphRewriter {
    mutating func fuseUpsampleSums() {
        for place in indices {
            guard let split = find(Split.self, at: place) else { continue }
            let sums = split.node.outputs.map { output in
                reader(LinearCombination.self, of: output, input: 0).flatMap { sum in
                    isPrivate(output, to: [sum.place])
                        ? UpsampleSumNodes(self, sum.node, sum.operation, sum.place) : nil
                }
            }
            guard sums.allSatisfy({ $0 != nil }) else { continue }
            let base = normalizedBase(split.node.inputs[0], readers: [place])
            var first = 0
            for (sum, output) in zip(sums.compactMap(\.self), split.node.outputs) {
                let channels = first..<(first + shape(of: output)[3])
                first = channels.upperBound
                replace(
                    [sum.place] + sum.terms.map(\.place), at: sum.place,
                    by: Graph.Node(
                        operation: UpsampleSum(
                            factor: sum.factor, scales: sum.terms.map(\.operation.geometry.stride),
                            channels: channels, epsilon: base.epsilon, dropout: base.dropout),
                        inputs: [base.source] + base.normalization + sum.terms.flatMap(\.node.inputs),
                        outputs: sum.outputs, path: sum.path))
            }
        }
    }

    /// Looks through a dropout and a normalisation that only these nodes read; the normalisation keeps its statistics.
    private mutating func normalizedBase(
        _ value: Graph.ValueID, readers: Set<Int>
    ) -> (source: Graph.ValueID, normalization: [Graph.ValueID], epsilon: Float?, dropout: Dropout?) {
        var (source, readers) = (value, readers)
        var mask: Dropout?
        if let dropout = find(Dropout.self, at: producer(of: source)), isPrivate(source, to: readers) {
            mask = dropout.operation
            source = dropout.node.inputs[0]
            readers = [dropout.place]
        }
        guard isPrivate(source, to: readers) else { return (source, [], nil, mask) }
        let before = producer(of: source)
        if let norm = find(BatchNormInference.self, at: before) {
            let x = norm.node.inputs
            return (x[0], [x[3], x[4], x[1], x[2]], norm.operation.epsilon, mask)
        }
        guard let norm = find(BatchNorm.self, at: before) else { return (source, [], nil, mask) }
        return (norm.node.inputs[0], statistics(of: norm.node, at: norm.place), norm.operation.epsilon, mask)
    }

    /// Reduces a batch normalisation to its statistics; returns mean, variance, gain and shift.
    mutating func statistics(of norm: Graph.Node, at place: Int) -> [Graph.ValueID] {
        let statistics = Array(norm.outputs.dropFirst())
        replace(
            [place], at: place,
            by: Graph.Node(
                operation: BatchNormStatistics(), inputs: [norm.inputs[0]], outputs: statistics, path: norm.path))
        return statistics + [norm.inputs[1], norm.inputs[2]]
    }

    /// Dropout of a normalised value that nobody else reads.
    mutating func fuseNormalizedDropouts() {
        for place in indices {
            guard let dropout = find(Dropout.self, at: place),
                let norm = find(BatchNorm.self, at: producer(of: dropout.node.inputs[0])),
                shape(of: norm.node.inputs[0]).rank == 4,
                isPrivate(dropout.node.inputs[0], to: [place])
            else { continue }
            let normalization = statistics(of: norm.node, at: norm.place)
            replace(
                [place], at: place,
                by: Graph.Node(
                    operation: NormalizedDropout(epsilon: norm.operation.epsilon, dropout: dropout.operation),
                    inputs: [norm.node.inputs[0]] + normalization, outputs: dropout.node.outputs,
                    path: dropout.node.path))
        }
    }

    // MARK: Gradients

    /// Gradients of transposed convolutions; a factor in front of them is taken along.
    mutating func fuseUpsampleGradients() {
        for place in indices {
            if let concat = find(Concat.self, at: place) { fusePairDropout(concat.node, place) }
        }
        for place in indices {
            guard let input = find(TransposedConv2DInputGradient.self, at: place), input.operation.geometry.isTiling
            else { continue }
            let arrived = input.node.inputs[0]
            // The partners read the same gradient and come from the same node.
            let partners = readers(of: arrived).filter { node($0)?.path == input.node.path }.sorted()
            let weights = partners.compactMap { find(TransposedConv2DWeightGradient.self, at: $0) }
            let sums = partners.compactMap { find(ColumnSum.self, at: $0) }
            guard weights.count == 1, sums.count <= 1,
                shape(of: weights[0].node.outputs[0]) == shape(of: input.node.inputs[1]),
                shape(of: weights[0].node.inputs[0]) == input.operation.inputShape
            else { continue }
            let scale = find(LinearCombination.self, at: producer(of: arrived)).flatMap {
                $0.operation.coefficients.count == 1 ? $0 : nil
            }
            let places = [place, weights[0].place] + sums.map(\.place)
            replace(
                places, at: places.reduce(place, min),
                by: Graph.Node(
                    operation: UpsampleGradient(
                        factor: scale?.operation.coefficients[0] ?? 1, hasBias: !sums.isEmpty),
                    inputs: [scale?.node.inputs[0] ?? arrived, weights[0].node.inputs[0], input.node.inputs[1]],
                    outputs: [input.node.outputs[0], weights[0].node.outputs[0]] + sums.map { $0.node.outputs[0] },
                    path: input.node.path))
        }
    }

    /// Two scaled gradients side by side that only go through a dropout.
    private mutating func fusePairDropout(_ concat: Graph.Node, _ place: Int) {
        guard concat.inputs.count == 2, shape(of: concat.outputs[0]).rank == 4,
            let dropout = reader(Dropout.self, of: concat.outputs[0], input: 0),
            isPrivate(concat.outputs[0], to: [dropout.place])
        else { return }
        let scales = concat.inputs.compactMap { find(LinearCombination.self, at: producer(of: $0)) }
            .filter { $0.operation.coefficients.count == 1 }
        guard scales.count == 2, scales[0].operation.coefficients == scales[1].operation.coefficients else { return }
        replace(
            [place, dropout.place], at: dropout.place,
            by: Graph.Node(
                operation: PairDropout(
                    factor: scales[0].operation.coefficients[0], dropout: dropout.operation),
                inputs: scales.map { $0.node.inputs[0] }, outputs: dropout.node.outputs, path: dropout.node.path))
    }
}

/// A linear combination with equal coefficients of one value and transposed convolutions that nobody else reads.
private struct UpsampleSumNodes {
    let factor: Float
    let terms: [(operation: TransposedConv2D, node: Graph.Node, place: Int)]
    let place: Int
    let outputs: [Graph.ValueID]
    let path: String

    init?(_ graph: GraphRewriter, _ node: Graph.Node, _ operation: LinearCombination, _ place: Int) {
        let terms = node.inputs.dropFirst().compactMap { graph.find(TransposedConv2D.self, at: graph.producer(of: $0)) }
        guard node.inputs.count > 1, terms.count == node.inputs.count - 1,
            Set(operation.coefficients).count == 1, graph.shape(of: node.outputs[0]).rank == 4,
            terms.allSatisfy({
                $0.operation.geometry.isTiling && $0.node.inputs.count == 3
                    && graph.isPrivate($0.node.outputs[0], to: [place])
            })
        else { return nil }
        factor = operation.coefficients[0]
        self.terms = terms
        self.place = place
        outputs = node.outputs
        path = node.path
    }
}
