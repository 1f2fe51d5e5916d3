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
    /// How its network is trained.
    let recipe: Recipe
    public let parameterArena: FloatArena
    /// Running averages that training keeps, one update per step.
    public let trainingStatistics: FloatArena
    /// Statistics estimated anew without dropout: what evaluation, prediction and export use.
    public let inferenceStatistics: FloatArena

    /// - Parameter graph: an inference graph of the network, of any size.
    public init(inferenceGraph graph: Graph, recipe: Recipe = .standard) {
        self.recipe = recipe
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

    /// What an optimizer updates, with the rates of the parameters' groups; nil: all of it alike.
    var updateSpans: [UpdateSpan]? {
        if recipe.groups.isEmpty { return nil }
        return parameters.filter(\.isTrained).map { parameter in
            let group = recipe.group(of: parameter.name)
            // To the end of the last line, so that neighbours of equal rates join.
            return UpdateSpan(
                parameter.offset..<(parameter.offset + (parameter.shape.count + 15) / 16 * 16),
                learningRateScale: group?.learningRate ?? 1, weightDecayScale: group?.weightDecay ?? 1)
        }
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
            let random = CounterRandom(seed, "initialize:" + parameter.name)
            let count = parameter.shape.count
            func uniform(_ bound: Double) -> [Float] {
                (0..<count).map { Float(random.uniform(UInt64($0), in: -bound..<bound)) }
            }
            let values: [Float] =
                switch parameter.initializer {
                case .constant(let value): [Float](repeating: value, count: count)
                case .glorotUniform(let fanIn, let fanOut): uniform((6 / Double(fanIn + fanOut)).squareRoot())
                case .uniform(let bound): uniform(bound)
                case .normal(let deviation): (0..<count).map { Float(deviation * random.normal(UInt64($0))) }
                case .truncatedNormal(let deviation):
                    (0..<count).map { Float(deviation * Self.truncatedNormal(random, UInt64($0))) }
                case .bilinear: Self.bilinear(parameter.externalShape)
                }
            parameter.import(values, to: parameterArena.base)
        }
    }

    /// Number `index` of a stream of normal numbers within two deviations.
    private static func truncatedNormal(_ random: CounterRandom, _ index: UInt64) -> Double {
        let own = CounterRandom(key: CounterRandom.derive(random.key, index))
        // One in 22 lies beyond: the limit is never reached.
        for attempt in 0..<64 {
            let value = own.normal(UInt64(attempt))
            if abs(value) <= 2 { return value }
        }
        return 0
    }

    /// [in, out, k, k] with (1 − |y/f − c|)(1 − |x/f − c|), f = ⌈k/2⌉, c = (2f − 1 − f mod 2) / 2f, where in = out.
    private static func bilinear(_ shape: Shape) -> [Float] {
        let (inputs, outputs, height, width) = (shape[0], shape[1], shape[2], shape[3])
        func taps(_ k: Int) -> [Double] {
            let f = Double((k + 1) / 2)
            let c = (2 * f - 1 - f.truncatingRemainder(dividingBy: 2)) / (2 * f)
            return (0..<k).map { 1 - abs(Double($0) / f - c) }
        }
        let (rows, columns) = (taps(height), taps(width))
        var values = [Float](repeating: 0, count: shape.count)
        for channel in 0..<min(inputs, outputs) {
            let start = (channel * outputs + channel) * height * width
            for y in 0..<height {
                for x in 0..<width { values[start + y * width + x] = Float(rows[y] * columns[x]) }
            }
        }
        return values
    }
}
