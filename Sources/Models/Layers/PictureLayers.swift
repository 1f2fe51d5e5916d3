import Graphs
import Kernels
import Operators
import Tensors

// Layers of networks other than W-net: convolutions of any stride and padding, fully connected layers, pooling, resizing.

extension Value {
    /// Dense convolution with zero padding: n becomes (n + 2 · padding − kernel) / stride + 1, rounded down.
    /// `name.weight` [out, in, k, k] and, if asked for, `name.bias`.
    ///
    /// - Parameters:
    ///   - weights: what weights start from; Glorot's uniform distribution if nil.
    ///   - bias: what the bias starts from; nil for no bias.
    public func conv2D(
        _ name: String, to channels: Int, kernel: Int, stride: Int, padding: Int, activation: Activation,
        weights initial: Initializer? = nil, bias: Initializer? = .constant(0), file: String = #fileID,
        line: Int = #line
    ) -> Value {
        builder.scope(name) {
            let taps = kernel * kernel
            let weights = builder.parameter(
                "weight", [kernel, kernel, self.channels, channels], layout: .convolution,
                initializer: initial ?? .glorotUniform(fanIn: self.channels * taps, fanOut: channels * taps),
                file: file, line: line)
            let operation = Conv2D(
                geometry: ConvolutionGeometry(
                    kernelHeight: kernel, kernelWidth: kernel, stride: stride, padding: padding),
                activation: activation)
            return apply(
                operation, [weights] + biasTerm(bias, [channels], .plain, file, line), file: file, line: line)
        }
    }

    private func biasTerm(
        _ initial: Initializer?, _ shape: Shape, _ layout: ParameterLayout, _ file: String, _ line: Int
    ) -> [Value] {
        initial.map { [builder.parameter("bias", shape, layout: layout, initializer: $0, file: file, line: line)] }
            ?? []
    }

    /// Transposed convolution: n becomes (n − 1) · stride − 2 · padding + kernel.
    /// `name.weight` [in, out, k, k] and, if asked for, `name.bias`.
    public func transposedConv2D(
        _ name: String, to channels: Int, kernel: Int, stride: Int, padding: Int, weights initial: Initializer? = nil,
        bias: Initializer? = .constant(0), file: String = #fileID, line: Int = #line
    ) -> Value {
        builder.scope(name) {
            let taps = kernel * kernel
            let weights = builder.parameter(
                "weight", [self.channels, kernel, kernel, channels], layout: .transposedConvolution,
                initializer: initial ?? .glorotUniform(fanIn: self.channels * taps, fanOut: channels * taps),
                file: file, line: line)
            let operation = TransposedConv2D(
                geometry: ConvolutionGeometry(
                    kernelHeight: kernel, kernelWidth: kernel, stride: stride, padding: padding))
            return apply(
                operation, [weights] + biasTerm(bias, [channels], .plain, file, line), file: file, line: line)
        }
    }

    /// Fully connected layer over all values of a sample: `name.weight` [out, in] and `name.bias`.
    ///
    /// Pictures are flattened (and the result is folded into one) in PyTorch's order: channel, row, column.
    /// - Parameter output: [O], or a picture [height, width, channels] for what `view(N, channels, height, width)` gives.
    public func linear(
        _ name: String, to output: Shape, activation: Activation, weights initial: Initializer? = nil,
        bias: Initializer? = .constant(0), file: String = #fileID, line: Int = #line
    ) -> Value {
        linear(
            name, to: output, order: output, activation: activation, weights: initial, bias: bias, file: file,
            line: line)
    }

    /// The same, with the last axis of the folded picture running fastest: `view(N, height, width, channels)`.
    public func linearChannelsLast(
        _ name: String, to output: Shape, activation: Activation, weights initial: Initializer? = nil,
        bias: Initializer? = .constant(0), file: String = #fileID, line: Int = #line
    ) -> Value {
        linear(
            name, to: output, order: [output.count], activation: activation, weights: initial, bias: bias, file: file,
            line: line)
    }

    private func linear(
        _ name: String, to output: Shape, order: Shape, activation: Activation, weights initial: Initializer?,
        bias: Initializer?, file: String, line: Int
    ) -> Value {
        builder.scope(name) {
            let sample = Shape(Array(shape.dimensions.dropFirst()))
            let weights = builder.parameter(
                "weight", [sample.count, output.count], layout: .linear(input: sample, output: order),
                initializer: initial ?? .glorotUniform(fanIn: sample.count, fanOut: output.count), file: file,
                line: line)
            return apply(
                Linear(outputShape: output, activation: activation),
                [weights] + biasTerm(bias, [output.count], .flattened(order), file, line), file: file, line: line)
        }
    }

    /// Maximum over windows that may overlap and hang over the border: n becomes (n + 2 · padding − window) / stride + 1,
    /// rounded down.
    public func maxPool2D(
        _ window: Int, stride: Int, padding: Int, file: String = #fileID, line: Int = #line
    ) -> Value {
        apply(MaxPool2D(window: window, stride: stride, padding: padding), file: file, line: line)
    }

    /// Means of blocks of `window` x `window` pixels.
    public func averagePool2D(_ window: Int, file: String = #fileID, line: Int = #line) -> Value {
        apply(AveragePool2D(window: window), file: file, line: line)
    }

    /// x where x > 0, else slope · x.
    public func leakyReLU(_ slope: Float, file: String = #fileID, line: Int = #line) -> Value {
        apply(LeakyReLU(slope: slope), file: file, line: line)
    }

    /// `scale` times larger on both axes, linearly between pixels: with aligned corners or with half-pixel centres.
    public func upsampledBilinearly(
        _ scale: Int, alignedCorners: Bool, file: String = #fileID, line: Int = #line
    ) -> Value {
        guard shape.rank == 4 else { return apply(BilinearResize(height: 1, width: 1, alignedCorners: alignedCorners)) }
        return resizedBilinearly(
            height: scale * shape[1], width: scale * shape[2], alignedCorners: alignedCorners, file: file, line: line)
    }

    public func resizedBilinearly(
        height: Int, width: Int, alignedCorners: Bool, file: String = #fileID, line: Int = #line
    ) -> Value {
        apply(
            BilinearResize(height: height, width: width, alignedCorners: alignedCorners), file: file, line: line)
    }

    /// x · (bias + scale · Σ x²)^(−¾), the sum over channels at most `radius` away.
    public func responseNorm(
        radius: Int, bias: Float, scale: Float, file: String = #fileID, line: Int = #line
    ) -> Value {
        apply(
            ResponseNorm(ResponseNormalization(radius: radius, bias: bias, scale: scale)), file: file, line: line)
    }

    /// f(x), element by element.
    public func mapped(_ function: NumberMap, file: String = #fileID, line: Int = #line) -> Value {
        apply(NumberMapping(function), file: file, line: line)
    }

    /// scale · x + offset
    public func affine(_ scale: Float, _ offset: Float, file: String = #fileID, line: Int = #line) -> Value {
        mapped(.affine(scale: scale, offset: offset), file: file, line: line)
    }

    /// height x width pixels from (top, left) on, or every `step`-th pixel.
    public func cropped(
        top: Int, left: Int, height: Int, width: Int, step: Int = 1, file: String = #fileID, line: Int = #line
    ) -> Value {
        apply(
            Crop(CropWindow(top: top, left: left, height: height, width: width, step: step)), file: file, line: line)
    }

    /// Groups of channels, in order.
    public func channelGroups(_ counts: [Int], file: String = #fileID, line: Int = #line) -> [Value] {
        let parts = builder.add(Split(counts: counts), [self], file: file, line: line)
        return parts.count == counts.count ? parts : counts.map { _ in self }
    }

    /// The sum of this value and others of its shape.
    public func adding(_ others: Value..., file: String = #fileID, line: Int = #line) -> Value {
        apply(
            LinearCombination(coefficients: [Float](repeating: 1, count: others.count + 1)), others, file: file,
            line: line)
    }

    /// Batch normalisation and ReLU in one: parameters and statistics as `batchNorm`.
    public func batchNormReLU(
        _ name: String, epsilon: Float, momentum: Float, file: String = #fileID, line: Int = #line
    ) -> Value {
        FeatureList(self, file: file, line: line).batchNormReLU(
            name, epsilon: epsilon, momentum: momentum, file: file, line: line)
    }
}

/// Pictures of one size that stand for their concatenation, which is never made: the state of a dense block.
///
/// A layer reads it through `batchNormReLU`, which writes the normalised concatenation; each part's batch statistics are
/// taken once, when it is added.
public struct FeatureList {
    private var parts: [Value] = []
    private var means: [Value] = []
    private var variances: [Value] = []

    public init(_ first: Value, file: String = #fileID, line: Int = #line) {
        append(first, file: file, line: line)
    }

    public var channels: Int { parts.reduce(0) { $0 + $1.channels } }

    public mutating func append(_ part: Value, file: String = #fileID, line: Int = #line) {
        parts.append(part)
        if part.builder.mode == .inference { return }
        let statistics = part.builder.add(BatchNormStatistics(), [part], file: file, line: line)
        means.append(statistics[0])
        variances.append(statistics.count > 1 ? statistics[1] : statistics[0])
    }

    /// Batch normalisation and ReLU of all channels: `name.weight`, `name.bias`, `name.running_mean`,
    /// `name.running_var`; running ← (1 − momentum) · running + momentum · batch.
    public func batchNormReLU(
        _ name: String, epsilon: Float, momentum: Float, file: String = #fileID, line: Int = #line
    ) -> Value {
        let (builder, channels) = (parts[0].builder, channels)
        return builder.scope(name) {
            let gain = builder.parameter(
                "weight", [channels], layout: .plain, initializer: .constant(1), file: file, line: line)
            let bias = builder.parameter(
                "bias", [channels], layout: .plain, initializer: .constant(0), file: file, line: line)
            if builder.mode == .inference {
                let mean = builder.buffer("running_mean", [channels], initial: 0, file: file, line: line)
                let variance = builder.buffer("running_var", [channels], initial: 1, file: file, line: line)
                return builder.add(
                    NormReLUInference(epsilon: epsilon), parts + [gain, bias, mean, variance], file: file, line: line)[
                        0]
            }
            let results = builder.add(
                NormReLU(epsilon: epsilon, partCount: parts.count), parts + means + variances + [gain, bias],
                file: file, line: line)
            guard results.count == 3 else { return results[0] }
            let samples = parts[0].shape.count / max(1, parts[0].channels)
            builder.statistic(
                "running_mean", .mean, results[1], momentum: momentum, sampleCount: samples, initial: 0, file: file,
                line: line)
            builder.statistic(
                "running_var", .variance, results[2], momentum: momentum, sampleCount: samples, initial: 1, file: file,
                line: line)
            return results[0]
        }
    }
}
