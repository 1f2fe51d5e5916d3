import Basics
import Execution
import Graphs
import Kernels
import Operators
import Tensors
import Threads

/// An instance of an operation on inputs of given shapes.
struct OperationExample: Sendable, CustomStringConvertible {
    /// How example values are drawn. Finite differences need inputs away from kinks.
    enum Values: Sendable {
        /// Uniform in −1 … 1.
        case signed
        /// ±(0.2 … 1): away from 0.
        case awayFromZero
        /// Distinct multiples of 0.05 in random order: no ties, no near-ties.
        case distinct
        /// 0.1 … 1.
        case positive
        /// −1 … −0.1.
        case negative
        case zero
        /// Rows of positive numbers that sum to 1.
        case distribution
        /// 0.1 … 1, a seventh of them NaN: targets that are not known everywhere.
        case partlyUnknown
        /// 1 … 3, above `partlyUnknown`.
        case large
        /// −2 … 0, at least a quarter away from whole numbers.
        case fractional
        /// Rows of 0.1 … 0.4 with one number that is larger by 1.
        case peaked
    }

    let operation: any Runnable
    let shapes: [Shape]
    let values: [Values]
    /// Inputs whose gradient is checked by finite differences; empty for gradient operations.
    let differentiable: [Int]

    init(_ operation: any Runnable, _ shapes: [Shape], _ values: [Values], differentiable: [Int] = []) {
        self.operation = operation
        self.shapes = shapes
        self.values = values
        self.differentiable = differentiable
    }

    var description: String {
        "\(operation.name)\(operation.attributes.map { " \($0.name)=\($0.value)" }.joined()) \(shapes)"
    }

    func inputValues(seed: UInt64) -> [[Float]] {
        zip(shapes, values).enumerated().map { index, pair in
            let random = CounterRandom(seed, "example", UInt64(index))
            let (shape, kind) = pair
            func uniform(_ i: Int) -> Float { Float(random.uniform(UInt64(i))) }
            switch kind {
            case .signed: return (0..<shape.count).map { 2 * uniform($0) - 1 }
            case .awayFromZero:
                return (0..<shape.count).map {
                    let u = 2 * uniform($0) - 1
                    return (u < 0 ? -1 : 1) * (0.2 + 0.8 * abs(u))
                }
            case .distinct:
                let order = (0..<shape.count).sorted { random.bits(UInt64($0)) < random.bits(UInt64($1)) }
                return order.map { 0.05 * Float($0 - shape.count / 2) }
            case .positive: return (0..<shape.count).map { 0.1 + 0.9 * uniform($0) }
            case .partlyUnknown:
                return (0..<shape.count).map { $0 % 7 == 3 ? .nan : 0.1 + 0.9 * uniform($0) }
            case .large: return (0..<shape.count).map { 1 + 2 * uniform($0) }
            case .fractional:
                return (0..<shape.count).map { Float($0 % 2 - 2) + 0.25 + 0.5 * uniform($0) }
            case .peaked:
                let width = shape[shape.rank - 1]
                return (0..<shape.count).map { i in
                    0.1 + 0.3 * uniform(i) + (i % width == i / width * 7 % width ? 1 : 0)
                }
            case .negative: return (0..<shape.count).map { -0.1 - 0.9 * uniform($0) }
            case .zero: return [Float](repeating: 0, count: shape.count)
            case .distribution:
                let width = shape[shape.rank - 1]
                var result = (0..<shape.count).map { 0.1 + uniform($0) }
                for row in stride(from: 0, to: result.count, by: width) {
                    let sum = result[row..<(row + width)].reduce(0, +)
                    for i in row..<(row + width) { result[i] /= sum }
                }
                return result
            }
        }
    }
}

/// A graph of one operation (and, if asked for, its gradient) that runs on given numbers.
struct OperationHarness {
    let executor: Executor
    let inputCount: Int
    let gradientNames: [String?]

    /// With a cotangent, `gradient.i` outputs hold d⟨outputs[0], cotangent⟩ / d input i.
    init(
        _ example: OperationExample, gradients: Bool, pool: ForkJoinPool, level: InstructionLevel = .best,
        reuseMemory: Bool = true
    ) throws {
        let builder = GraphBuilder(mode: .training)
        let inputs = example.shapes.enumerated().map { builder.input("input\($0)", $1) }
        let results = builder.add(example.operation, inputs)
        for (index, result) in results.enumerated() { builder.output("output\(index)", result) }
        var names = [String?](repeating: nil, count: inputs.count)
        if gradients {
            let cotangent = builder.input("cotangent", results[0].shape)
            let targets = example.differentiable.map { inputs[$0] }
            let found = builder.gradients(
                of: results[0], cotangent: cotangent, withRespectTo: targets.map(\.id), arithmetic: Arithmetic.self)
            for (index, gradient) in zip(example.differentiable, found) {
                guard let gradient else { continue }
                names[index] = "gradient\(index)"
                builder.output("gradient\(index)", gradient)
            }
        }
        let graph = try builder.build()
        executor = Executor(
            graph,
            memory: .calibration(parameters: FloatArena(count: 0), batchStatistics: FloatArena(count: 0)),
            kernels: KernelContext(pool: pool, level: level), reuseMemory: reuseMemory)
        inputCount = inputs.count
        gradientNames = names
    }

    func run(_ inputs: [[Float]], cotangent: [Float]? = nil) -> [String: [Float]] {
        for (index, values) in inputs.enumerated() {
            if let view = executor.input("input\(index)") { view.base.update(from: values, count: values.count) }
        }
        if let cotangent, let view = executor.input("cotangent") {
            view.base.update(from: cotangent, count: cotangent.count)
        }
        executor.run(.deterministic)
        var results: [String: [Float]] = [:]
        for (name, _) in executor.graph.outputs {
            if let view = executor.output(name) { results[name] = Array(view.buffer) }
        }
        return results
    }
}
