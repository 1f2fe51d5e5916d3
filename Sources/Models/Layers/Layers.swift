import Graphs
import Operators
import Tensors

/// Layers: operations with parameters. Each declares its tensors under the current scope with PyTorch's names, so that a
/// checkpoint loads into a module with the same attribute names.
extension Value {
    /// Channels of a picture.
    public var channels: Int { shape.rank > 0 ? shape[shape.rank - 1] : 1 }

    /// Dense convolution, stride 1, zero padding that keeps the size: `name.weight` [out, in, k, k] and `name.bias`.
    public func conv2D(
        _ name: String, to channels: Int, kernel: Int, activation: Activation, initial: Initialization = .glorot,
        file: String = #fileID, line: Int = #line
    ) -> Value {
        builder.scope(name) {
            let taps = kernel * kernel
            let fans = Initialization.Fans(into: self.channels * taps, outOf: channels * taps)
            let weights = builder.parameter(
                "weight", [kernel, kernel, self.channels, channels], layout: .convolution,
                initializer: initial.weights(fans), file: file, line: line)
            let bias = builder.parameter(
                "bias", [channels], layout: .plain, initializer: initial.bias(fans), file: file, line: line)
            let geometry = ConvolutionGeometry(
                kernelHeight: kernel, kernelWidth: kernel, stride: 1, padding: kernel / 2)
            let result = apply(
                Conv2D(geometry: geometry, activation: activation), [weights, bias], file: file, line: line)
            builder.layer("Conv2d", [result], parameterCount: weights.shape.count + channels)
            return result
        }
    }

    /// One kernel per channel, without bias: `name.weight` [channels, 1, k, k].
    ///
    /// The fans are Keras': k² · channels in and k² out.
    public func depthwiseConv2D(
        _ name: String, kernel: Int, file: String = #fileID, line: Int = #line
    ) -> Value {
        builder.scope(name) {
            let taps = kernel * kernel
            let weights = builder.parameter(
                "weight", [kernel, kernel, channels], layout: .depthwise,
                initializer: .glorotUniform(fanIn: channels * taps, fanOut: taps), file: file, line: line)
            let result = apply(DepthwiseConv2D(), [weights], file: file, line: line)
            builder.layer("Conv2d", [result], parameterCount: weights.shape.count)
            return result
        }
    }

    /// Depthwise then pointwise convolution with bias: `name.depthwise`, `name.pointwise`.
    ///
    /// **Source:** Chollet, "Xception", CVPR 2017; no activation between the two, as in Keras' SeparableConv2D.
    public func separableConv2D(
        _ name: String, to channels: Int, kernel: Int, activation: Activation, file: String = #fileID,
        line: Int = #line
    ) -> Value {
        builder.scope(name) {
            depthwiseConv2D("depthwise", kernel: kernel, file: file, line: line)
                .conv2D("pointwise", to: channels, kernel: 1, activation: activation, file: file, line: line)
        }
    }

    /// Transposed convolution whose kernel equals its stride: each input pixel becomes a block of `scale`².
    /// `name.weight` [in, out, scale, scale] and `name.bias`.
    public func upsample2D(
        _ name: String, to channels: Int, scale: Int, file: String = #fileID, line: Int = #line
    ) -> Value {
        builder.scope(name) {
            let taps = scale * scale
            let weights = builder.parameter(
                "weight", [self.channels, scale, scale, channels], layout: .transposedConvolution,
                initializer: .glorotUniform(fanIn: self.channels * taps, fanOut: channels * taps), file: file,
                line: line)
            let bias = builder.parameter(
                "bias", [channels], layout: .plain, initializer: .constant(0), file: file, line: line)
            let geometry = ConvolutionGeometry(kernelHeight: scale, kernelWidth: scale, stride: scale, padding: 0)
            let result = apply(TransposedConv2D(geometry: geometry), [weights, bias], file: file, line: line)
            builder.layer("ConvTranspose2d", [result], parameterCount: weights.shape.count + channels)
            return result
        }
    }

    /// Batch normalisation: `name.weight`, `name.bias`, `name.running_mean`, `name.running_var`. The statistics are those
    /// of the batch, or the stored ones in inference graphs.
    ///
    /// `momentum` m in the sense running ← (1 − m) · running + m · batch.
    public func batchNorm(
        _ name: String, epsilon: Float, momentum: Float, file: String = #fileID, line: Int = #line
    ) -> Value {
        builder.scope(name) {
            let gain = builder.parameter(
                "weight", [channels], layout: .plain, initializer: .constant(1), file: file, line: line)
            let bias = builder.parameter(
                "bias", [channels], layout: .plain, initializer: .constant(0), file: file, line: line)
            if builder.mode == .inference {
                return builder.inferenceNorm(
                    BatchNormInference(epsilon: epsilon), [self, gain, bias], channels: channels, file: file, line: line
                )
            }
            return builder.normalized(
                BatchNorm(epsilon: epsilon), [self, gain, bias], channels: channels,
                samples: shape.count / max(1, channels), momentum: momentum, file: file, line: line)
        }
    }

    public func maxPool2D(_ window: Int, file: String = #fileID, line: Int = #line) -> Value {
        let result = apply(MaxPool2D(window: window, stride: window), file: file, line: line)
        builder.layer("MaxPool2d", [result], parameterCount: 0)
        return result
    }

    public func relu(file: String = #fileID, line: Int = #line) -> Value {
        let result = apply(ReLU(), file: file, line: line)
        builder.layer("ReLU", [result], parameterCount: 0)
        return result
    }

    /// 1 / (1 + exp(−x)), element by element.
    public func sigmoid(file: String = #fileID, line: Int = #line) -> Value {
        apply(Sigmoid(), file: file, line: line)
    }

    /// Layers that belong together, a row of their own in the network's summary.
    public func block(_ name: String, type: String, _ body: (Value) -> Value) -> Value {
        builder.scope(name) {
            let result = body(self)
            builder.layer(type, [result], parameterCount: 0)
            return result
        }
    }

    /// Inverted dropout in training graphs; nothing elsewhere.
    public func dropout(_ rate: Float, file: String = #fileID, line: Int = #line) -> Value {
        guard builder.mode == .training, rate > 0 else { return self }
        let result = apply(Dropout(rate: rate, key: builder.path), file: file, line: line)
        builder.layer("Dropout", [result], parameterCount: 0)
        return result
    }

    public func concat(_ others: Value..., file: String = #fileID, line: Int = #line) -> Value {
        apply(Concat(), others, file: file, line: line)
    }

    /// Two halves of the channels: the lower and the upper.
    public func halves(file: String = #fileID, line: Int = #line) -> (lower: Value, upper: Value) {
        let half = channels / 2
        let parts = builder.add(Split(counts: [half, channels - half]), [self], file: file, line: line)
        return (parts[0], parts.count > 1 ? parts[1] : parts[0])
    }

    public func softmax(file: String = #fileID, line: Int = #line) -> Value {
        apply(Softmax(), file: file, line: line)
    }

    /// The mean of this value and others of its shape.
    public func average(with others: [Value], file: String = #fileID, line: Int = #line) -> Value {
        let weight = 1 / Float(others.count + 1)
        return apply(
            LinearCombination(coefficients: [Float](repeating: weight, count: others.count + 1)), others, file: file,
            line: line)
    }
}
