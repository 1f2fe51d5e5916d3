import Basics
import Execution
import Graphs
import Kernels
import Operators
import Tensors
import Testing
import Threads

/// Suites over all operations × examples: an operation needs no test code of its own here. Forward passes are compared
/// with naive references in KernelsTests.
@Suite struct OperationTests {
    static let pool = ForkJoinPool(threadCount: 1)

    @Test func everyOperationHasAnExample() {
        let covered = Set(Examples.all.map { type(of: $0.operation).name })
        #expect(Set(OperationRegistry.all.map { $0.name }) == covered)
    }

    /// Directional finite differences with a random cotangent and a random direction: wrong factors that cancel in sums
    /// are caught. Central differences at h = 2⁻⁷ leave an error of about h² for smooth operations and, from float32
    /// rounding, about 1e-7 / h.
    @Test(arguments: Examples.all.filter { !$0.differentiable.isEmpty })
    func gradientMatchesFiniteDifferences(_ example: OperationExample) throws {
        let harness = try OperationHarness(example, gradients: true, pool: Self.pool)
        let inputs = example.inputValues(seed: 1)
        let outputCount = harness.executor.output("output0")?.count ?? 0
        let cotangentRandom = CounterRandom(2, "cotangent")
        let cotangent = (0..<outputCount).map { Float(cotangentRandom.uniform(UInt64($0), in: -1..<1)) }
        let analytic = harness.run(inputs, cotangent: cotangent)

        func value(_ inputs: [[Float]]) -> Double {
            let output = harness.run(inputs, cotangent: cotangent)["output0"] ?? []
            return zip(output, cotangent).reduce(0) { $0 + Double($1.0) * Double($1.1) }
        }
        for index in example.differentiable {
            let gradient = try #require(analytic["gradient\(index)"], "no gradient for input \(index)")
            let random = CounterRandom(3, "direction", UInt64(index))
            let direction = gradient.indices.map { Float(random.uniform(UInt64($0), in: -1..<1)) }
            let h: Float = 0x1p-7
            var plus = inputs
            var minus = inputs
            for i in gradient.indices {
                plus[index][i] += h * direction[i]
                minus[index][i] -= h * direction[i]
            }
            // The step that was taken, not the one that was meant.
            var expected = 0.0
            var scale = 0.0
            for i in gradient.indices {
                let term = Double(gradient[i]) * Double(plus[index][i] - minus[index][i])
                expected += term
                scale += term * term
            }
            let measured = value(plus) - value(minus)
            let tolerance = 2e-3 * scale.squareRoot() + 1e-6
            #expect(abs(measured - expected) < tolerance, "input \(index): \(measured) against \(expected)")
            #expect(scale > 0, "input \(index): the gradient vanishes, the example tests nothing")
        }
    }

    @Test(arguments: Examples.all)
    func sameBitsForAnyNumberOfThreads(_ example: OperationExample) throws {
        let inputs = example.inputValues(seed: 4)
        let reference = try OperationHarness(example, gradients: false, pool: Self.pool).run(inputs)
        for threads in [2, 3] {
            let pool = ForkJoinPool(threadCount: threads, spinMicroseconds: 0)
            defer { pool.shutDown() }
            let results = try OperationHarness(example, gradients: false, pool: pool).run(inputs)
            #expect(bits(results) == bits(reference), "\(threads) threads")
        }
    }

    @Test(arguments: Examples.all)
    func everyInstructionLevelAgrees(_ example: OperationExample) throws {
        let inputs = example.inputValues(seed: 5)
        let reference = try OperationHarness(example, gradients: false, pool: Self.pool, level: .best).run(inputs)
        for level in InstructionLevel.supported {
            let results = try OperationHarness(example, gradients: false, pool: Self.pool, level: level).run(inputs)
            if Self.multiplying.contains(example.operation.name) && !level.fusesMultiplyAdd {
                for (name, expected) in reference {
                    let largest = expected.reduce(Float.leastNormalMagnitude) { max($0, abs($1)) }
                    let worst = zip(expected, results[name] ?? []).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
                    #expect(results[name]?.count == expected.count && worst <= 1e-5 * largest, "\(level), \(name)")
                }
            } else {
                #expect(bits(results) == bits(reference), "\(level)")
            }
        }
    }

    /// Operations with kernels that multiply and add at once where the level can.
    static let multiplying: Set<String> = [
        TransposedConv2D.name, TransposedConv2DInputGradient.name, TransposedConv2DWeightGradient.name,
        DepthwiseConv2D.name, DepthwiseConv2DInputGradient.name, DepthwiseConv2DWeightGradient.name,
        SeparableConv2D.name, SeparableConv2DGradient.name, PairConv2D.name, PairConv2DInputGradient.name,
        PairConv2DWeightGradient.name, UpsampleSum.name, UpsampleGradient.name,
        Linear.name, LinearInputGradient.name, LinearWeightGradient.name,
    ]

    /// Outputs may take over inputs; results must not change.
    @Test(arguments: Examples.all.filter { !$0.differentiable.isEmpty })
    func memoryReuseDoesNotChangeResults(_ example: OperationExample) throws {
        let inputs = example.inputValues(seed: 6)
        let shared = try OperationHarness(example, gradients: true, pool: Self.pool, reuseMemory: true)
        let separate = try OperationHarness(example, gradients: true, pool: Self.pool, reuseMemory: false)
        let count = shared.executor.output("output0")?.count ?? 0
        let cotangent = (0..<count).map { Float($0 % 7) - 3 }
        #expect(bits(shared.run(inputs, cotangent: cotangent)) == bits(separate.run(inputs, cotangent: cotangent)))
    }

    private func bits(_ results: [String: [Float]]) -> [String: [UInt32]] {
        results.mapValues { $0.map(\.bitPattern) }
    }
}
