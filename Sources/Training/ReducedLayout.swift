import Graphs
import Models
import Tensors

/// One array per lane holds all that is averaged over lanes: gradients, then batch statistics, then losses. Everything in
/// it goes through the same tree, so every rank ends with the same bits of all of it.
public struct ReducedLayout: Sendable {
    public let gradientCount: Int
    public let statisticOffset: Int
    public let statisticCount: Int
    public let lossOffset: Int
    public let lossNames: [String]
    /// Two more numbers: positive if any rank was asked to stop, and if any was asked to save.
    public let stopOffset: Int
    public let saveOffset: Int
    public let count: Int

    public init(graph: NetworkGraph, state: ModelState) {
        self.init(
            graph: graph, parameterCount: state.parameterArena.count, statisticCount: state.trainingStatistics.count)
    }

    /// - Parameters: lengths of the arenas of a `ModelState`.
    init(graph: NetworkGraph, parameterCount: Int, statisticCount: Int) {
        gradientCount = parameterCount
        statisticOffset = gradientCount
        self.statisticCount = statisticCount
        lossOffset = statisticOffset + statisticCount
        lossNames = graph.lossNames
        stopOffset = lossOffset + lossNames.count
        saveOffset = stopOffset + 1
        count = (saveOffset + 1 + 15) / 16 * 16
    }

    /// A span that is exchanged as one, as soon as backward has passed `lastNode`.
    public struct Bucket: Sendable, Equatable {
        public let range: Range<Int>
        /// Index of the node after which the span is complete.
        public let lastNode: Int
    }

    /// Cuts the array into buckets of about `elementCount`, last layers first, in the order in which backward completes
    /// them; statistics and losses are the first. The cut changes no bits. Frozen parameters in front of the first
    /// trained one are left out; their gradients are zero.
    public func buckets(of graph: Graph, elementCount: Int) -> [Bucket] {
        let completion = zip(graph.trainedParameters, graph.parameterGradients).map { parameter, gradient in
            guard let node = graph.producer(of: gradient) else {
                preconditionFailure("the gradient of \(parameter.name) is not computed")
            }
            return (parameter.offset, node)
        }
        let lossNodes =
            graph.outputs.filter { lossNames.contains($0.name) }.map(\.value)
            + graph.statistics.map(\.value)
        var lastNode = lossNodes.reduce(-1) { max($0, graph.producer(of: $1) ?? -1) }
        var buckets = [Bucket(range: gradientCount..<count, lastNode: lastNode)]
        var end = gradientCount
        for (offset, node) in completion.reversed() {
            lastNode = max(lastNode, node)
            if end - offset >= elementCount || offset == completion[0].0 {
                buckets.append(Bucket(range: offset..<end, lastNode: lastNode))
                end = offset
            }
        }
        return buckets
    }
}
