import Basics
import Graphs
import Kernels
import Models
import Tensors
import Testing
import Threads
import Training

@Suite struct StepCostTests {
    private static let rows = (0..<12).map { index -> [Double] in
        let random = CounterRandom(7, "fit", UInt64(index))
        // Units as of a step: multiply-adds, bytes, nodes.
        return [1e9 * (1 + random.uniform(0)), 1e8 * (1 + random.uniform(1)), 100 + 200 * random.uniform(2)]
    }

    private static func values(_ x: [Double]) -> [Double] { rows.map { zip($0, x).reduce(0) { $0 + $1.0 * $1.1 } } }

    @Test(arguments: [[2e-11, 1e-10, 3e-5], [2e-11, 0, 3e-5], [0, 1e-10, 0]])
    func fitRecoversCoefficients(expected: [Double]) {
        let found = NonnegativeFit.relative(rows: Self.rows, values: Self.values(expected))
        for (value, truth) in zip(found, expected) {
            // Rounding of the normal equations, whose condition is the square of the columns'.
            #expect(abs(value - truth) <= 1e-8 * max(truth, 1e-6), "\(found)")
        }
    }

    /// Where plain least squares would subtract, the column is left out and the rest is the best there is.
    @Test func fitIsNeverNegative() {
        let found = NonnegativeFit.relative(rows: Self.rows, values: Self.values([2e-11, -2e-11, 3e-5]))
        #expect(found.allSatisfy { $0 >= 0 } && found[1] == 0)
        let values = Self.values([2e-11, -2e-11, 3e-5])
        func error(_ x: [Double]) -> Double {
            zip(Self.values(x), values).reduce(0) { $0 + ($1.0 / $1.1 - 1) * ($1.0 / $1.1 - 1) }
        }
        for column in 0..<3 {
            let unit = [1e-13, 1e-12, 1e-7][column]
            for step in [unit, -unit] {
                var other = found
                other[column] = max(0, other[column] + step)
                #expect(error(other) >= error(found) - 1e-15)
            }
        }
    }

    @Test func fitTakesColumnsThatSayTheSame() {
        let twice = Self.rows.map { [$0[0], $0[0], 0] }
        let found = NonnegativeFit.relative(rows: twice, values: Self.rows.map { 2e-11 * $0[0] })
        #expect(abs(found[0] + found[1] - 2e-11) < 1e-18 && found[2] == 0)
    }

    /// 4x4 tiles, whole or overhanging, times 36 points, against 9 taps a pixel.
    @Test func executedMultiplyAddsOfConvolutions() {
        let geometry = ConvolutionGeometry(kernelHeight: 3, kernelWidth: 3, stride: 1, padding: 1)
        func count(_ pass: KernelContext.ConvolutionPass, _ input: Shape, _ channels: Int) -> Int {
            KernelContext.convolution2DMultiplyAdds(
                pass, input: input, weights: [3, 3, input[3], channels], geometry: geometry)
        }
        for pass in [KernelContext.ConvolutionPass.forward, .inputGradient, .weightGradient] {
            #expect(count(pass, [2, 32, 48, 32], 16) == 36 * 2 * 8 * 12 * 32 * 16)
            #expect(count(pass, [2, 30, 45, 16], 64) == 36 * 2 * 8 * 12 * 16 * 64)
            // Few channels are multiplied directly.
            #expect(count(pass, [2, 32, 48, 3], 32) == 9 * 2 * 32 * 48 * 3 * 32)
        }
        let pointwise = ConvolutionGeometry(kernelHeight: 1, kernelWidth: 1, stride: 1, padding: 0)
        #expect(
            KernelContext.convolution2DMultiplyAdds(
                .forward, input: [1, 5, 7, 32], weights: [1, 1, 32, 16], geometry: pointwise) == 5 * 7 * 32 * 16)
    }

    /// Work comes from the graph: what doubles with the batch and what does not.
    @Test func workOfABatch() throws {
        let kernels = KernelContext(pool: ForkJoinPool(threadCount: 1), level: .best)
        defer { kernels.pool.shutDown() }
        let network = try NetworkRegistry.make("wnet", settings: [("width", "4"), ("levels", "6")])
        let works = try [2, 4].map {
            try StepWork(network, batch: $0, height: 64, width: 96, optimizerStates: 2, kernels: kernels)
        }
        #expect(works[0].nodeCount == works[1].nodeCount && works[0].optimizerBytes == works[1].optimizerBytes)
        #expect(works[0].optimizerBytes == Double(7 * 4 * works[0].parameterCount))
        #expect(works[0].stateByteCount == works[1].stateByteCount)
        #expect(works[1].bytes > 1.5 * works[0].bytes && works[1].bytes < 2 * works[0].bytes)
        #expect(works[1].arenaByteCount > works[0].arenaByteCount)
        #expect(throws: Failure.self) { try StepCost(fitting: [(works[0], 1)]) }
    }
}
