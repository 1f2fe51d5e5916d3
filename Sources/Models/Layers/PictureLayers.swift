import Graphs
import Kernels
import Operators
import Tensors

// Layers of networks other than W-net: convolutions of any stride and padding, fully connected layers, pooling, resizing.

extension Value {
    /// Dense convolution with zero padding: n becomes (n + 2 · padding − kernel) / stride + 1, rounded down.
    /// `name.weight` [out, in, k, k] and, if `hasBias`, `name.bias`.
    public func conv2D(
        _ name: String, to channels: Int, kernel: Int, stride: Int, padding: Int, activation: Activation,
        initial: Initialization = .glorot, hasBias: Bool = true, file: String = #fileID, line: Int = #line
    ) -> Value {
        builder.scope(name) {
            let taps = kernel * kernel
            let fans = Initialization.Fans(into: self.channels * taps, outOf: channels * taps)
            let weights = builder.parameter(
                "weight", [kernel, kernel, self.channels, channels], layout: .convolution,
                initializer: initial.weights(fans), file: file, line: line)
            let operation = Conv2D(
                geometry: ConvolutionGeometry(
                    kernelHeight: kernel, kernelWidth: kernel, stride: stride, padding: padding),
                activation: activation)
            return layer(
                "Conv2d", operation, weights, bias: hasBias ? initial.bias(fans) : nil, [channels], .plain, file: file,
                line: line)
        }
    }

    /// Applies an operation with weights and, if there is something for it to start from, a bias; a row of the summary.
    private func layer(
        _ type: String, _ operation: some Operation, _ weights: Value, bias initial: Initializer?,
        _ biasShape: Shape, _ layout: ParameterLayout, file: String, line: Int
    ) -> Value {
        let bias = initial.map {
            builder.parameter("bias", biasShape, layout: layout, initializer: $0, file: file, line: line)
        }
        let result = apply(operation, [weights] + (bias.map { [$0] } ?? []), file: file, line: line)
        builder.layer(type, [result], parameterCount: weights.shape.count + (bias?.shape.count ?? 0))
        return result
    }

    /// Transposed convolution: n becomes (n − 1) · stride − 2 · padding + kernel.
    /// `name.weight` [in, out, k, k] and, if `hasBias`, `name.bias`.
    public func transposedConv2D(
        _ name: String, to channels: Int, kernel: Int, stride: Int, padding: Int, initial: Initialization = .glorot,
        hasBias: Bool = true, file: String = #fileID, line: Int = #line
    ) -> Value {
        builder.scope(name) {
            let taps = kernel * kernel
            let fans = Initialization.Fans(into: channels * taps, outOf: self.channels * taps)
            let weights = builder.parameter(
                "weight", [self.channels, kernel, kernel, channels], layout: .transposedConvolution,
                initializer: initial.weights(fans), file: file, line: line)
            let operation = TransposedConv2D(
                geometry: ConvolutionGeometry(
                    kernelHeight: kernel, kernelWidth: kernel, stride: stride, padding: padding))
            return layer(
                "ConvTranspose2d", operation, weights, bias: hasBias ? initial.bias(fans) : nil, [channels], .plain,
                file: file, line: line)
        }
    }

    /// Fully connected layer over all values of a sample: `name.weight` [out, in] and `name.bias`.
    ///
    /// Pictures are flattened (and the result is folded into one) in PyTorch's order: channel, row, column.
    /// - Parameter output: [O], or a picture [height, width, channels] for what `view(N, channels, height, width)` gives.
    public func linear(
        _ name: String, to output: Shape, activation: Activation, initial: Initialization = .glorot,
        file: String = #fileID, line: Int = #line
    ) -> Value {
        linear(name, to: output, order: output, activation: activation, initial: initial, file: file, line: line)
    }

    /// The same, with the last axis of the folded picture running fastest: `view(N, height, width, channels)`.
    public func linearChannelsLast(
        _ name: String, to output: Shape, activation: Activation, initial: Initialization = .glorot,
        file: String = #fileID, line: Int = #line
    ) -> Value {
        linear(
            name, to: output, order: [output.count], activation: activation, initial: initial, file: file, line: line)
    }

    private func linear(
        _ name: String, to output: Shape, order: Shape, activation: Activation, initial: Initialization,
        file: String, line: Int
    ) -> Value {
        builder.scope(name) {
            let sample = Shape(Array(shape.dimensions.dropFirst()))
            let fans = Initialization.Fans(into: sample.count, outOf: output.count)
            let weights = builder.parameter(
                "weight", [sample.count, output.count], layout: .linear(input: sample, output: order),
                initializer: initial.weights(fans), file: file, line: line)
            return layer(
                "Linear", Linear(outputShape: output, activation: activation), weights, bias: initial.bias(fans),
                [output.count], .flattened(order), file: file, line: line)
        }
    }

    /// A layer without parameters: a row of the summary.
    private func row(_ type: String, _ result: Value) -> Value {
        builder.layer(type, [result], parameterCount: 0)
        return result
    }

    /// Maximum over windows that may overlap and hang over the border: n becomes (n + 2 · padding − window) / stride + 1,
    /// rounded down.
    public func maxPool2D(
        _ window: Int, stride: Int, padding: Int, file: String = #fileID, line: Int = #line
    ) -> Value {
        row("MaxPool2d", apply(MaxPool2D(window: window, stride: stride, padding: padding), file: file, line: line))
    }

    /// Means of blocks of `window` x `window` pixels.
    public func averagePool2D(_ window: Int, file: String = #fileID, line: Int = #line) -> Value {
        row("AvgPool2d", apply(AveragePool2D(window: window), file: file, line: line))
    }

    /// x where x > 0, else slope · x.
    public func leakyReLU(_ slope: Float, file: String = #fileID, line: Int = #line) -> Value {
        row("LeakyReLU", apply(LeakyReLU(slope: slope), file: file, line: line))
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
        row(
            "Upsample",
            apply(BilinearResize(height: height, width: width, alignedCorners: alignedCorners), file: file, line: line))
    }

    /// x · (bias + scale · Σ x²)^(−¾), the sum over channels at most `radius` away.
    public func responseNorm(
        radius: Int, bias: Float, scale: Float, file: String = #fileID, line: Int = #line
    ) -> Value {
        row(
            "LocalResponseNorm",
            apply(
                ResponseNorm(ResponseNormalization(radius: radius, bias: bias, scale: scale)), file: file, line: line))
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
                return builder.inferenceNorm(
                    NormReLUInference(epsilon: epsilon), parts + [gain, bias], channels: channels, file: file,
                    line: line)
            }
            return builder.normalized(
                NormReLU(epsilon: epsilon, partCount: parts.count), parts + means + variances + [gain, bias],
                channels: channels, samples: parts[0].shape.count / max(1, parts[0].channels), momentum: momentum,
                file: file, line: line)
        }
    }
}
