import Glibc
import Kernels
import Tensors
import Testing

@Suite struct LinearTests {
    /// Samples, inputs, outputs: above and below blocks, panels and bands, whole and not.
    static let cases: [(Int, Int, Int)] = [
        (1, 1, 1), (3, 10, 7), (2, 300, 66), (33, 140, 290), (32, 256, 512), (5, 129, 257), (50, 113, 33),
        (16, 128, 32),
        (31, 513, 260), (8, 2101, 130), (9, 1000, 97), (1, 4100, 40), (34, 1030, 40),
    ]

    @Test(arguments: cases.indices, [false, true])
    func allThreePasses(index: Int, relu: Bool) {
        let (n, f, o) = Self.cases[index]
        var noise = Noise(index)
        let (x, w, b, dy) = (noise.values(n * f), noise.values(f * o), noise.values(o), noise.values(n * o))
        var y = [Double](repeating: 0, count: n * o)
        var dx = [Double](repeating: 0, count: n * f)
        var dw = [Double](repeating: 0, count: f * o)
        for s in 0..<n {
            for i in 0..<f {
                for k in 0..<o {
                    y[s * o + k] += Double(x[s * f + i]) * Double(w[i * o + k])
                    dx[s * f + i] += Double(dy[s * o + k]) * Double(w[i * o + k])
                    dw[i * o + k] += Double(x[s * f + i]) * Double(dy[s * o + k])
                }
            }
        }
        for i in y.indices {
            if relu { y[i] = max(y[i] + Double(b[i % o]), 0) }
        }
        let result = everywhere(multiplies: true) { context in
            let weights = Guarded([f, o], misalignment: 1, w)
            let (output, input, gradient) = (
                Guarded([n, o], misalignment: 3), Guarded([n, f], misalignment: 1), Guarded([f, o], misalignment: 2)
            )
            let threads = context.pool.threadCount
            let space = workspace(
                max(
                    KernelContext.linearWorkspaceCount(samples: n, weights: [f, o]),
                    KernelContext.linearInputGradientWorkspaceCount(
                        samples: n, weights: [f, o], threadCount: threads),
                    KernelContext.linearWeightGradientWorkspaceCount(samples: n, weights: [f, o])))
            // What lies in the workspace must not matter.
            space.base.update(repeating: .nan, count: space.count)
            let source = Guarded([n, f], misalignment: 2, x).view
            context.linear(
                input: source, weights: weights.view, bias: relu ? Guarded([o], b).view : nil, output: output.view,
                activation: relu ? .relu : .none, workspace: space.base)
            let arrived = Guarded([n, o], misalignment: 1, dy).view
            context.linearInputGradient(
                outputGradient: arrived, weights: weights.view, inputGradient: input.view, workspace: space.base)
            context.linearWeightGradient(
                input: source, outputGradient: arrived, weightGradient: gradient.view, workspace: space.base)
            #expect(output.isIntact && input.isIntact && gradient.isIntact)
            return output.values + input.values + gradient.values
        }
        // Sums of up to 513 products of numbers below 1: rounding grows with their number.
        expectClose(result, y + dx + dw, tolerance: 2e-7 * Double(max(f, o, n)).squareRoot() * 4)
    }

    /// Weights so large that their gradient is written past the caches.
    @Test func largeWeightGradient() {
        let (n, f, o) = (3, 1027, 4096)
        var noise = Noise(5)
        let (x, dy) = (noise.values(n * f), noise.values(n * o))
        let result = everywhere(multiplies: true) { context in
            let gradient = FloatArena(count: f * o + 64)
            gradient.base.update(repeating: 7, count: gradient.count)
            context.linearWeightGradient(
                input: Guarded([n, f], x).view, outputGradient: Guarded([n, o], dy).view,
                weightGradient: TensorView(gradient.base, [f, o]),
                workspace: workspace(KernelContext.linearWeightGradientWorkspaceCount(samples: n, weights: [f, o])).base
            )
            #expect(gradient.buffer[(f * o)...].allSatisfy { $0 == 7 })
            return Array(gradient.buffer.prefix(f * o))
        }
        var expected = [Double](repeating: 0, count: f * o)
        for i in 0..<f {
            for k in 0..<o {
                for s in 0..<n { expected[i * o + k] += Double(x[s * f + i]) * Double(dy[s * o + k]) }
            }
        }
        expectClose(result, expected, tolerance: 1e-6)
    }

    @Test func responseNormAgainstTheFormula() {
        for (channels, radius) in [(1, 2), (5, 2), (16, 1), (37, 2), (96, 2), (21, 0)] {
            let shape: Shape = [2, 3, channels]
            var noise = Noise(channels)
            let (x, dy) = (noise.values(shape.count).map { 3 * $0 }, noise.values(shape.count))
            let norm = ResponseNormalization(radius: radius, bias: 2, scale: 0.1)
            func forward(_ x: [Double]) -> [Double] {
                x.indices.map { i in
                    let c = i % channels
                    let sum = (max(0, c - radius)...min(channels - 1, c + radius)).reduce(0.0) {
                        $0 + x[i - c + $1] * x[i - c + $1]
                    }
                    return x[i] * pow(2 + Double(Float(0.1)) * sum, -0.75)
                }
            }
            let result = everywhere { context in
                let (output, input) = (Guarded(shape, misalignment: 1), Guarded(shape, misalignment: 3))
                let space = workspace(
                    KernelContext.responseNormWorkspaceCount(
                        input: shape, radius: radius, threadCount: context.pool.threadCount))
                let source = Guarded(shape, misalignment: 2, x).view
                context.responseNorm(source, norm, output: output.view, workspace: space.base)
                context.responseNormGradient(
                    source, norm, outputGradient: Guarded(shape, dy).view, inputGradient: input.view,
                    workspace: space.base)
                #expect(output.isIntact && input.isIntact)
                return output.values + input.values
            }
            let differences = finiteDifferences(x, cotangent: dy, forward)
            expectClose(result, forward(x.map(Double.init)) + differences, tolerance: 1e-6, "\(channels) channels")
        }
    }
}
