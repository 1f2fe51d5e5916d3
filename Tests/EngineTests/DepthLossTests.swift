import Execution
import Graphs
import Kernels
import Models
import Operators
import Tensors
import Testing
import Threads

/// Losses against numbers of an independent implementation (PyTorch, float64) on inputs made by hashing; and what unknown
/// targets and broken predictions do.
@Suite struct DepthLossTests {
    private static let pool = ForkJoinPool(threadCount: 1)
    private let shape: Shape = [2, 24, 32, 1]
    private var a: [Float] { HashingFixtures.input("a", shape.count) }
    private var b: [Float] { HashingFixtures.input("b", shape.count) }

    /// The scalar and its gradient with respect to the prediction.
    private func run(
        _ prediction: [Float], _ target: [Float], shape: Shape? = nil, _ loss: (Value, Value) -> Value
    ) throws -> (loss: Double, gradient: [Float]) {
        let builder = GraphBuilder(mode: .training)
        let shape = shape ?? self.shape
        let (p, t) = (builder.input("p", shape), builder.input("t", shape))
        let result = loss(p, t)
        builder.output("loss", result)
        let found = builder.gradients(
            of: result, cotangent: nil, withRespectTo: [p.id], arithmetic: Arithmetic.self)
        builder.output("gradient", try #require(found[0]))
        let executor = Executor(
            try builder.build(),
            memory: .calibration(parameters: FloatArena(count: 0), batchStatistics: FloatArena(count: 0)),
            kernels: KernelContext(pool: Self.pool))
        try #require(executor.input("p")).base.update(from: prediction, count: prediction.count)
        try #require(executor.input("t")).base.update(from: target, count: target.count)
        executor.run(.deterministic)
        return (
            Double(try #require(executor.output("loss")).base[0]),
            Array(try #require(executor.output("gradient")).buffer)
        )
    }

    private func expect(_ value: Double, _ wanted: Double, _ label: String = "") {
        #expect(abs(value - wanted) <= 1e-5 * abs(wanted), "\(label) \(value), not \(wanted)")
    }

    @Test func similarity() throws {
        // The mean of SSIM over both pictures; the same for any range if values go with it.
        let mean = (0.025_098_102_548_977_506 + 0.020_751_619_289_964_277) / 2
        expect(try run(a, b) { $0.dissimilarity(to: $1, range: 1) }.loss, (1 - mean) / 2)
        let (x, y) = (a.map { $0 * 100 }, b.map { $0 * 100 })
        expect(try run(x, y) { $0.dissimilarity(to: $1, range: 100) }.loss, (1 - mean) / 2)
        #expect(try run(a, a) { $0.dissimilarity(to: $1, range: 1) }.loss == 0)
    }

    @Test func lossOfDenseDepth() throws {
        func loss(_ p: Value, _ t: Value, _ range: Float) -> Value {
            p.dissimilarity(to: t, range: range)
                .combined(1, with: [(1, p.edgeDifference(to: t)), (0.1, p.maskedAbsoluteDifference(to: t))])
        }
        let (x, y) = (a.map { $0 * 100 }, b.map { $0 * 100 })
        expect(try run(x, y) { loss($0, $1, 100) }.loss, 90.627_074_047_267, "range 100")
        expect(try run(a, b) { loss($0, $1, 1) }.loss, 1.389_922_934_317_531_7, "range 1")
    }

    @Test func lossOfSimilarityEdgesAndCosine() throws {
        let result = try run(a, b) { p, t in
            p.dissimilarity(to: t, range: 1).combined(
                1,
                with: [(1, p.edgeScore(to: t, threshold: 0.5, sharpness: 10)), (0.1, p.cosineDistance(to: t))])
        }
        expect(result.loss, 0.641_104_369_441_292_1)
    }

    @Test func scaleInvariantErrorWithMask() throws {
        let (x, y) = (a.map { ($0 - 0.5) * 4 }, b.map { ($0 - 0.5) * 4 })
        let mask = HashingFixtures.input("mask", shape.count).map { $0 > 0.3 }
        let unknown = zip(y, mask).map { $1 ? $0 : Float.nan }
        expect(try run(x, unknown) { $0.scaleInvariantError(to: $1, balance: 0.5) }.loss, 2.482_873_435_326_587)
        // Pictures by themselves, as in the paper: their mean.
        let half = shape.count / 2
        let single = try [0..<half, half..<(2 * half)].map { range in
            try run(Array(x[range]), Array(unknown[range]), shape: [1, 24, 32, 1]) {
                $0.scaleInvariantError(to: $1, balance: 0.5)
            }.loss
        }
        expect((single[0] + single[1]) / 2, 2.482_324_602_354_381_7)
        // A factor of all depths is free.
        let shifted = try run(x.map { $0 + 3 }, unknown) { $0.scaleInvariantError(to: $1, balance: 1) }
        expect(shifted.loss, try run(x, unknown) { $0.scaleInvariantError(to: $1, balance: 1) }.loss)
    }

    static let losses: [(name: String, loss: @Sendable (Value, Value) -> Value)] = [
        ("absolute difference", { $0.maskedAbsoluteDifference(to: $1) }),
        ("scale-invariant", { $0.scaleInvariantError(to: $1, balance: 0.5) }),
        ("cosine", { $0.cosineDistance(to: $1) }),
        ("edge difference", { $0.edgeDifference(to: $1) }),
        ("dissimilarity", { $0.dissimilarity(to: $1, range: 1) }),
        ("edge score", { $0.edgeScore(to: $1, threshold: 0.5, sharpness: 10) }),
    ]

    /// A corner of unknown pixels: what the prediction says there changes nothing, NaN excepted nowhere else.
    @Test(arguments: losses.indices)
    func unknownTargetsCountForNothing(index: Int) throws {
        let (name, loss) = Self.losses[index]
        func isUnknown(_ i: Int) -> Bool { i % 32 < 5 && i / 32 % 24 < 4 }
        var target = b
        for i in target.indices where isUnknown(i) { target[i] = .nan }
        let first = try run(a, target, loss)
        var other = a
        for i in other.indices where isUnknown(i) { other[i] += 5 }
        let second = try run(other, target, loss)
        #expect(first.loss.isFinite && first.gradient.allSatisfy(\.isFinite), "\(name)")
        #expect(first.loss != (try run(a, b, loss)).loss, "\(name): nothing is masked")
        for i in first.gradient.indices where isUnknown(i) { #expect(first.gradient[i] == 0, "\(name) at \(i)") }
        if name != "edge score" {
            // Neighbourhoods of known pixels do not reach unknown ones.
            #expect(first.loss == second.loss && first.gradient == second.gradient, "\(name)")
        }
        let nothing = try run(a, [Float](repeating: .nan, count: shape.count), loss)
        #expect(nothing.loss == 0 && nothing.gradient.allSatisfy { $0 == 0 }, "\(name): \(nothing.loss)")
    }

    /// A NaN among the predictions of known pixels is not hidden.
    @Test(arguments: losses.indices)
    func brokenPredictionsShow(index: Int) throws {
        let (name, loss) = Self.losses[index]
        var broken = a
        broken[400] = .nan
        let result = try run(broken, b, loss)
        #expect(result.loss.isNaN, "\(name): \(result.loss)")
    }

    /// Every element of the gradient by central differences, with targets that are partly unknown.
    @Test(arguments: losses.indices)
    func gradients(index: Int) throws {
        let (name, loss) = Self.losses[index]
        let small: Shape = [1, 12, 13, 1]
        let prediction = HashingFixtures.input("p", small.count)
        var target = HashingFixtures.input("t", small.count)
        target[5] = .nan
        let result = try run(prediction, target, shape: small, loss)
        let largest = result.gradient.reduce(0) { max($0, abs($1)) }
        var worst = 0.0
        for i in stride(from: 0, to: small.count, by: 3) {
            let h: Float = 0x1p-9
            var (plus, minus) = (prediction, prediction)
            plus[i] += h
            minus[i] -= h
            let up = try run(plus, target, shape: small, loss).loss
            let down = try run(minus, target, shape: small, loss).loss
            let slope = (up - down) / Double(plus[i] - minus[i])
            // A kink within the step makes differences of the two edge-wise losses meaningless at single pixels.
            let error = abs(slope - Double(result.gradient[i]))
            if error > 0.02 * Double(largest) + 2e-4, ["absolute difference", "edge difference"].contains(name) {
                continue
            }
            worst = max(worst, error)
        }
        #expect(largest > 0 && worst <= 0.02 * Double(largest) + 2e-4, "\(name): \(worst) of \(largest)")
    }
}
