import Kernels
import Tensors
import Testing

@Suite struct BatchNormTests {
    private let epsilon = 1e-3

    private func statistics(_ x: [Double], _ channels: Int) -> (mean: [Double], variance: [Double]) {
        let rows = Double(x.count / channels)
        var mean = [Double](repeating: 0, count: channels)
        var variance = mean
        for (index, value) in x.enumerated() { mean[index % channels] += value / rows }
        for (index, value) in x.enumerated() {
            let centred = value - mean[index % channels]
            variance[index % channels] += centred * centred / rows
        }
        return (mean, variance)
    }

    private func normalize(_ x: [Double], _ gain: [Float], _ bias: [Float]) -> [Double] {
        let channels = gain.count
        let (mean, variance) = statistics(x, channels)
        return x.enumerated().map { index, value in
            let c = index % channels
            return (value - mean[c]) / (variance[c] + epsilon).squareRoot() * Double(gain[c]) + Double(bias[c])
        }
    }

    @Test(arguments: [1, 3, 6, 8, 15, 16, 17, 32, 33, 64, 300], [1, 2, 37])
    func trainingForwardAndGradient(channels: Int, rows: Int) {
        var noise = Noise(channels * rows)
        let x = noise.values(channels * rows).map { $0 * 2 + 0.5 }
        let dy = noise.values(channels * rows)
        let gain = noise.values(channels).map { $0 + 1.5 }
        let bias = noise.values(channels)
        let shape: Shape = [rows, channels]
        let vector: Shape = [channels]
        let result = everywhere { context in
            let input = Guarded(shape, misalignment: 1, x)
            let (mean, variance) = (Guarded(vector, misalignment: 2), Guarded(vector, misalignment: 3))
            let space = workspace(context.batchNormWorkspaceCount(inputShape: shape, threadCount: 3))
            context.batchNormStatistics(input.view, mean: mean.view, variance: variance.view, workspace: space.base)
            let output = Guarded(shape, misalignment: 1)
            let (g, b) = (Guarded(vector, gain), Guarded(vector, bias))
            context.batchNormApply(
                input.view, mean: mean.view, variance: variance.view, gain: g.view, bias: b.view,
                epsilon: Float(epsilon), output: output.view)
            let gradient = Guarded(shape, dy)
            let (gainGradient, biasGradient) = (Guarded(vector), Guarded(vector))
            context.batchNormGradient(
                input.view, outputGradient: gradient.view, mean: mean.view, variance: variance.view, gain: g.view,
                epsilon: Float(epsilon), inputGradient: gradient.view, gainGradient: gainGradient.view,
                biasGradient: biasGradient.view, workspace: space.base)
            // In place gives the same.
            context.batchNormApply(
                input.view, mean: mean.view, variance: variance.view, gain: g.view, bias: b.view,
                epsilon: Float(epsilon), output: input.view)
            #expect(input.values == output.values)
            for tensor in [input, mean, variance, output, gradient, gainGradient, biasGradient] {
                #expect(tensor.isIntact)
            }
            return mean.values + variance.values + output.values + gradient.values + gainGradient.values
                + biasGradient.values
        }
        let total = channels * rows
        let exact = x.map(Double.init)
        let (mean, variance) = statistics(exact, channels)
        expectClose(Array(result[0..<channels]), mean, tolerance: 1e-6, "mean")
        expectClose(Array(result[channels..<2 * channels]), variance, tolerance: 1e-6, "variance")
        expectClose(Array(result[2 * channels..<2 * channels + total]), normalize(exact, gain, bias), tolerance: 1e-5)
        guard total <= 700 else { return }
        let tail = Array(result[(2 * channels + total)...])
        expectClose(
            Array(tail[0..<total]), finiteDifferences(x, cotangent: dy) { normalize($0, gain, bias) }, tolerance: 5e-5,
            "input gradient")
        let centred = normalize(exact, [Float](repeating: 1, count: channels), [Float](repeating: 0, count: channels))
        var (gains, biases) = ([Double](repeating: 0, count: channels), [Double](repeating: 0, count: channels))
        for (index, d) in dy.enumerated() {
            gains[index % channels] += centred[index] * Double(d)
            biases[index % channels] += Double(d)
        }
        expectClose(Array(tail[total..<total + channels]), gains, tolerance: 2e-5, "gain gradient")
        expectClose(Array(tail[(total + channels)...]), biases, tolerance: 1e-5, "bias gradient")
    }

    /// Many chunks, and a mean far above the spread: float32 sums of squares would lose every digit here.
    @Test func statisticsSurviveALargeMean() {
        let (rows, channels) = (20_000, 8)
        var noise = Noise(3)
        let x = noise.values(rows * channels).map { 4096 + $0 / 16 }
        let result = everywhere { context in
            let (mean, variance) = (Guarded([channels]), Guarded([channels]))
            let space = workspace(context.batchNormWorkspaceCount(inputShape: [rows, channels], threadCount: 3))
            context.batchNormStatistics(
                Guarded([rows, channels], x).view, mean: mean.view, variance: variance.view, workspace: space.base)
            return mean.values + variance.values
        }
        let (mean, variance) = statistics(x.map(Double.init), channels)
        expectClose(Array(result[0..<channels]), mean, tolerance: 1e-7)
        for (value, exact) in zip(result[channels...], variance) { #expect(abs(Double(value) - exact) < 1e-6 * exact) }
    }

    /// Taken while a separable convolution writes, against float64 sums over what it wrote: many chunks, a mean far above
    /// the spread, and a first pixel far from all others.
    @Test(arguments: [(width: 7, channels: 5), (width: 9, channels: 48)])
    func statisticsOfASeparableConvolution(width: Int, channels: Int) {
        let (batch, height, inputs) = (2, 21, 6)
        let shape: Shape = [batch, height, width, inputs]
        let (depthwise, pointwise): (Shape, Shape) = ([3, 3, inputs], [1, 1, inputs, channels])
        let outputShape: Shape = [batch, height, width, channels]
        var noise = Noise(channels)
        var x = noise.values(shape.count).map { $0 / 256 }
        x[0] = 500
        let (w, v) = (noise.values(depthwise.count), noise.values(pointwise.count))
        let result = everywhere(multiplies: true) { context in
            let (y, mean, variance) = (Guarded(outputShape), Guarded([channels]), Guarded([channels]))
            let packed = workspace(KernelContext.separableConvolution2DPackedCount(pointwise: pointwise))
            context.packSeparableConvolution2D(pointwise: Guarded(pointwise, v).view, into: packed.base)
            let space = workspace(
                KernelContext.separableConvolution2DWorkspaceCount(
                    input: shape, depthwise: depthwise, pointwise: pointwise, statistics: true,
                    threadCount: context.pool.threadCount))
            context.separableConvolution2D(
                input: Guarded(shape, x).view, normalization: nil, depthwise: Guarded(depthwise, w).view,
                packed: packed.base, bias: Guarded([channels], Array(repeating: 4096, count: channels)).view,
                activation: .none, output: y.view,
                statistics: BatchStatistics(mean: mean.view, variance: variance.view), workspace: space.base)
            for tensor in [y, mean, variance] { #expect(tensor.isIntact) }
            return mean.values + variance.values + y.values
        }
        let output = Array(result[(2 * channels)...])
        let (mean, variance) = statistics(output.map(Double.init), channels)
        expectClose(Array(result[0..<channels]), mean, tolerance: 1e-7)
        for (value, exact) in zip(result[channels...], variance) { #expect(abs(Double(value) - exact) < 1e-6 * exact) }
    }

    @Test(arguments: [3, 16, 40])
    func inferenceGradientTreatsStatisticsAsConstants(channels: Int) {
        let rows = 5
        var noise = Noise(channels)
        let x = noise.values(rows * channels)
        let dy = noise.values(rows * channels)
        let gain = noise.values(channels)
        let mean = noise.values(channels)
        let variance = noise.values(channels).map { $0 + 1.5 }
        let shape: Shape = [rows, channels]
        let result = everywhere { context in
            let output = Guarded(shape)
            let (gainGradient, biasGradient) = (Guarded([channels]), Guarded([channels]))
            let space = workspace(context.batchNormWorkspaceCount(inputShape: shape, threadCount: 1))
            context.batchNormInferenceGradient(
                Guarded(shape, x).view, outputGradient: Guarded(shape, dy).view, mean: Guarded([channels], mean).view,
                variance: Guarded([channels], variance).view, gain: Guarded([channels], gain).view,
                epsilon: Float(epsilon), inputGradient: output.view, gainGradient: gainGradient.view,
                biasGradient: biasGradient.view, workspace: space.base)
            return output.values + gainGradient.values + biasGradient.values
        }
        let root = variance.map { (Double($0) + epsilon).squareRoot() }
        var (gains, biases) = ([Double](repeating: 0, count: channels), [Double](repeating: 0, count: channels))
        var inputs: [Double] = []
        for (index, d) in dy.enumerated() {
            let c = index % channels
            inputs.append(Double(d) * Double(gain[c]) / root[c])
            gains[c] += Double(d) * (Double(x[index]) - Double(mean[c])) / root[c]
            biases[c] += Double(d)
        }
        expectClose(result, inputs + gains + biases, tolerance: 2e-6)
    }
}
