import Foundation
import Kernels
import Tensors
import Testing

/// Sigmoid, cross-entropy, root mean square and Dice against plain loops in double, at every level and with 1 to 3
/// threads.
@Suite struct MaskLossKernelTests {
    private static let counts = tailLengths.filter { $0 > 0 } + [100_001]

    /// Logits from −30 to 30 with a few beyond what float32's exponential holds, and targets in 0…1.
    private func numbers(_ count: Int) -> (logits: [Float], targets: [Float], others: [Float]) {
        var noise = Noise(count)
        var logits = noise.values(count).map { $0 * 30 }
        for (i, extreme) in [Float(-200), 200, 0, -90, 90].enumerated() where i < count { logits[i] = extreme }
        return (logits, noise.values(count).map { abs($0).truncatingRemainder(dividingBy: 1) }, noise.values(count))
    }

    private func sigmoid(_ x: Float) -> Double { 1 / (1 + exp(-Double(x))) }

    @Test(arguments: counts)
    func sigmoids(count: Int) {
        let (logits, _, gradient) = numbers(count)
        let result = everywhere { context in
            let (x, y) = (Guarded([count], misalignment: 1, logits), Guarded([count], misalignment: 2))
            context.sigmoid(x.view, output: y.view)
            let (dy, dx) = (Guarded([count], gradient), Guarded([count], misalignment: 3))
            context.sigmoidGradient(output: y.view, outputGradient: dy.view, inputGradient: dx.view)
            #expect(y.isIntact && dx.isIntact)
            return y.values + dx.values
        }
        let expected = logits.map(sigmoid)
        for i in 0..<count {
            #expect(abs(Double(result[i]) - expected[i]) <= 4e-7 * expected[i] + 1e-38, "sigmoid(\(logits[i]))")
            let derivative = Double(gradient[i]) * expected[i] * (1 - expected[i])
            #expect(abs(Double(result[count + i]) - derivative) <= 4e-7 * abs(Double(gradient[i])))
        }
    }

    @Test(arguments: counts)
    func crossEntropies(count: Int) {
        let (logits, targets, _) = numbers(count)
        let result = everywhere { context in
            let (x, t) = (Guarded([count], misalignment: 1, logits), Guarded([count], misalignment: 2, targets))
            let (output, dx) = (Guarded([1]), Guarded([count], misalignment: 3))
            let space = workspace(context.maskLossWorkspaceCount([count]))
            context.crossEntropyMean(logits: x.view, targets: t.view, output: output.view, workspace: space.base)
            context.crossEntropyMeanGradient(
                logits: x.view, targets: t.view, outputGradient: Guarded([1], [0.75]).view, logitGradient: dx.view)
            #expect(dx.isIntact)
            return output.values + dx.values
        }
        let mean =
            zip(logits, targets).reduce(0.0) { sum, pair in
                let (x, t) = (Double(pair.0), Double(pair.1))
                return sum + max(x, 0) - x * t + log1p(exp(-abs(x)))
            } / Double(count)
        #expect(abs(Double(result[0]) - mean) <= 3e-7 * mean + 1e-12, "\(result[0]) against \(mean)")
        for i in 0..<count {
            let expected = (sigmoid(logits[i]) - Double(targets[i])) * 0.75 / Double(count)
            #expect(abs(Double(result[1 + i]) - expected) <= 5e-7 * 0.75 / Double(count))
        }
    }

    @Test(arguments: counts)
    func rootMeanSquares(count: Int) {
        let (_, a, b) = numbers(count)
        let result = everywhere { context in
            let (x, y) = (Guarded([count], misalignment: 1, a), Guarded([count], misalignment: 2, b))
            let (output, dx) = (Guarded([1]), Guarded([count], misalignment: 3))
            let space = workspace(context.maskLossWorkspaceCount([count]))
            context.rootMeanSquareError(x.view, y.view, epsilon: 1e-6, output: output.view, workspace: space.base)
            context.rootMeanSquareErrorGradient(
                x.view, y.view, value: output.view, outputGradient: Guarded([1], [0.75]).view, aGradient: dx.view)
            #expect(dx.isIntact)
            return output.values + dx.values
        }
        let differences = zip(a, b).map { Double($0) - Double($1) }
        let value = (differences.reduce(0) { $0 + $1 * $1 } / Double(count) + 1e-6).squareRoot()
        #expect(abs(Double(result[0]) - value) <= 2e-7 * value)
        for i in 0..<count {
            let expected = 0.75 * differences[i] / (Double(count) * value)
            #expect(abs(Double(result[1 + i]) - expected) <= 5e-7 * 0.75 / (Double(count) * value))
        }
    }

    @Test(arguments: counts)
    func dice(count: Int) {
        let (_, p, others) = numbers(count)
        let y = others.map { Float($0 > 0 ? 1 : 0) }
        let result = everywhere { context in
            let (a, b) = (Guarded([count], misalignment: 1, p), Guarded([count], misalignment: 2, y))
            let (output, overlap) = (Guarded([1]), Guarded([2]))
            let dp = Guarded([count], misalignment: 3)
            let space = workspace(context.maskLossWorkspaceCount([count]))
            context.diceLoss(a.view, b.view, output: output.view, overlap: overlap.view, workspace: space.base)
            context.diceLossGradient(
                b.view, overlap: overlap.view, outputGradient: Guarded([1], [0.75]).view, pGradient: dp.view)
            #expect(dp.isIntact && overlap.isIntact)
            return output.values + dp.values
        }
        let numerator = 2 * zip(p, y).reduce(0.0) { $0 + Double($1.0) * Double($1.1) } + 1
        let denominator = (p + y).reduce(0.0) { $0 + Double($1) } + 1
        #expect(abs(Double(result[0]) - (1 - numerator / denominator)) <= 2e-7)
        for i in 0..<count {
            let expected = 0.75 * (numerator / denominator - 2 * Double(y[i])) / denominator
            #expect(abs(Double(result[1 + i]) - expected) <= 1e-6 / denominator)
        }
    }
}
