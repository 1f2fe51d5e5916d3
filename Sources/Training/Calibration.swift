import Execution
import Graphs
import Kernels
import Models
import Tensors

/// Estimates the statistics that inference uses: dropout off, normalisation by batch statistics, pooled over fixed lanes
/// of the first training records.
///
/// Training's running averages do not fit evaluation: dropout stands in front of normalisation layers, and a momentum of
/// 0.99 needs thousands of steps. Measured on film frames after 300 steps, they left an error four times as large.
public final class Calibrator {
    /// Records that take part: the first ones in index order.
    public static let recordLimit = 256

    private let graph: NetworkGraph
    private let executor: Executor
    private let lane: FloatArena
    private let state: ModelState

    public init(
        network: any Network, state: ModelState, batch: Int, height: Int, width: Int, kernels: KernelContext
    ) throws {
        graph = try NetworkGraph(network, .calibration, batch: batch, height: height, width: width)
        lane = FloatArena(count: state.trainingStatistics.count)
        self.state = state
        executor = Executor(
            graph.graph,
            memory: .calibration(parameters: state.parameterArena, batchStatistics: lane),
            kernels: kernels)
    }

    public var laneStatisticCount: Int { lane.count }

    public func input(_ field: String) -> TensorView? { executor.input(field) }

    /// Batch statistics of what was written to the inputs.
    public func run() -> [Float] {
        executor.run(.deterministic)
        return Array(lane.buffer)
    }

    /// Pools the statistics of all lanes, in lane order, into the state's inference statistics.
    ///
    /// With equal lanes of n samples per channel: mean = average of means; variance = average of variances + variance of
    /// the means, made unbiased by N / (N − 1) over all N samples. Float64, pairwise over the lanes.
    public func store(_ lanes: [[Float]]) {
        precondition(!lanes.isEmpty, "statistics of no lanes")
        let statistics = graph.graph.statistics
        var means: [String: [Double]] = [:]
        for statistic in statistics where statistic.kind == .mean {
            let span = statistic.offset..<(statistic.offset + statistic.shape.count)
            let mean = span.map { i in Self.pairwiseMean(lanes.indices.map { Double(lanes[$0][i]) }) }
            means[Self.layer(statistic.name)] = mean
            for (i, value) in zip(span, mean) { state.inferenceStatistics.base[i] = Float(value) }
        }
        for statistic in statistics where statistic.kind == .variance {
            guard let mean = means[Self.layer(statistic.name)],
                let meanStatistic = statistics.first(where: {
                    $0.kind == .mean && Self.layer($0.name) == Self.layer(statistic.name)
                })
            else { preconditionFailure("\(statistic.name) has no mean") }
            let total = Double(statistic.sampleCount * lanes.count)
            for c in 0..<statistic.shape.count {
                let within = Self.pairwiseMean(lanes.map { Double($0[statistic.offset + c]) })
                let between = Self.pairwiseMean(
                    lanes.map { lane in
                        let difference = Double(lane[meanStatistic.offset + c]) - mean[c]
                        return difference * difference
                    })
                state.inferenceStatistics.base[statistic.offset + c] = Float((within + between) * total / (total - 1))
            }
        }
    }

    /// `encoder1.norm1` of `encoder1.norm1.running_mean`.
    private static func layer(_ name: String) -> String {
        String(name[..<(name.lastIndex(of: ".") ?? name.endIndex)])
    }

    private static func pairwiseMean(_ values: [Double]) -> Double {
        func sum(_ range: Range<Int>) -> Double {
            if range.count == 1 { return values[range.lowerBound] }
            let middle = range.lowerBound + range.count / 2
            return sum(range.lowerBound..<middle) + sum(middle..<range.upperBound)
        }
        return sum(0..<values.count) / Double(values.count)
    }
}
