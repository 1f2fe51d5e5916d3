import Basics
import Graphs
import Kernels
import Models
import Optimizers
import Tensors

/// The numbers of a network: parameters, training's running statistics, and the statistics that inference uses.
public final class ModelState: @unchecked Sendable {
    /// A running mean or variance.
    public struct StatisticSlot: Sendable {
        public let name: String
        public let offset: Int
        public let count: Int
        public let initial: Float
    }

    public let parameters: [Parameter]
    public let statisticSlots: [StatisticSlot]
    public let parameterArena: FloatArena
    /// Running averages that training keeps, one update per step.
    public let trainingStatistics: FloatArena
    /// Statistics estimated anew without dropout: what evaluation, prediction and export use.
    public let inferenceStatistics: FloatArena

    /// - Parameter graph: an inference graph of the network, of any size.
    public init(inferenceGraph graph: Graph) {
        parameters = graph.parameters
        statisticSlots = graph.buffers.map {
            StatisticSlot(name: $0.name, offset: $0.offset, count: $0.shape.count, initial: $0.initial)
        }
        let (parameterCount, statisticCount) = Self.counts(inferenceGraph: graph)
        parameterArena = FloatArena(count: parameterCount)
        trainingStatistics = FloatArena(count: statisticCount)
        inferenceStatistics = FloatArena(count: statisticCount)
        for slot in statisticSlots {
            for arena in [trainingStatistics, inferenceStatistics] {
                arena[slot.offset..<(slot.offset + slot.count)].update(repeating: slot.initial)
            }
        }
    }

    /// Lengths of the arenas of a network's state, which are not taken.
    static func counts(inferenceGraph graph: Graph) -> (parameters: Int, statistics: Int) {
        (
            end(graph.parameters.map { ($0.offset, $0.shape.count) }),
            end(graph.buffers.map { ($0.offset, $0.shape.count) })
        )
    }

    private static func end(_ spans: [(offset: Int, count: Int)]) -> Int {
        ((spans.map { $0.offset + $0.count }.max() ?? 0) + 15) / 16 * 16
    }

    public var parameterCount: Int { parameters.reduce(0) { $0 + $1.shape.count } }

    /// Checksums of the parameters and of an optimizer's state, by tensor.
    func digest(with optimizer: any Optimizer) -> StateDigest {
        StateDigest(arenas: [("", parameterArena)] + optimizer.stateArenas, tensors: digestedTensors)
    }

    var digestedTensors: [(name: String, range: Range<Int>)] {
        parameters.map { ($0.name, $0.offset..<($0.offset + $0.shape.count)) }
    }

    /// Draws initial values: number i of a parameter in PyTorch's order is a pure function of (seed, parameter name, i).
    public func initialize(seed: UInt64) {
        for parameter in parameters {
            let values: [Float]
            switch parameter.initializer {
            case .constant(let value):
                values = [Float](repeating: value, count: parameter.shape.count)
            case .glorotUniform(let fanIn, let fanOut):
                let bound = (6 / Double(fanIn + fanOut)).squareRoot()
                let random = CounterRandom(seed, "initialize:" + parameter.name)
                values = (0..<parameter.shape.count).map { Float(random.uniform(UInt64($0), in: -bound..<bound)) }
            }
            parameter.import(values, to: parameterArena.base)
        }
    }
}
