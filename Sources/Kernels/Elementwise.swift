import CKernels
import Tensors

// Elementwise kernels. Unless said otherwise an output may be the same memory as an input, but not overlap it partly.

extension KernelContext {
    /// y = max(x, 0); NaN stays NaN.
    public func relu(_ input: TensorView, output: TensorView) {
        precondition(input.count == output.count, "relu of \(input.shape) into \(output.shape)")
        let kernels = kernels
        forEach(.elements(input.count)) { begin, count in
            kernels.pointee.relu(input.base + begin, output.base + begin, count)
        }
    }

    /// dx = dy where the *output* y > 0, else 0. `inputGradient` may alias `outputGradient`.
    public func reluGradient(output: TensorView, outputGradient: TensorView, inputGradient: TensorView) {
        precondition(
            output.count == outputGradient.count && output.count == inputGradient.count,
            "relu gradient of \(output.shape), \(outputGradient.shape) into \(inputGradient.shape)")
        let kernels = kernels
        forEach(.elements(output.count)) { begin, count in
            kernels.pointee.relu_gradient(
                output.base + begin, outputGradient.base + begin, inputGradient.base + begin, count)
        }
    }

    /// y += x
    public func accumulate(into target: TensorView, _ input: TensorView) {
        precondition(target.count == input.count, "adding \(input.shape) to \(target.shape)")
        add(into: target.buffer, from: UnsafeBufferPointer(input.buffer))
    }

    /// y *= factor
    public func scale(_ target: TensorView, by factor: Float) { scale(target.buffer, by: factor) }

    /// y = value
    public func fill(_ target: TensorView, with value: Float) {
        let kernels = kernels
        forEach(.elements(target.count)) { begin, count in kernels.pointee.fill(target.base + begin, value, count) }
    }

    /// y = x. The two must not overlap unless they are the same.
    public func copy(_ input: TensorView, to output: TensorView) {
        precondition(input.count == output.count, "copying \(input.shape) to \(output.shape)")
        if input.base == output.base { return }
        forEach(.elements(input.count)) { begin, count in
            (output.base + begin).update(from: input.base + begin, count: count)
        }
    }

    /// y = c₀·x₀ + c₁·x₁ + …, summed in this order, 1 to 64 terms. `output` may alias any input.
    public func linearCombination(
        inputs: UnsafeBufferPointer<TensorView>, coefficients: UnsafeBufferPointer<Float>, output: TensorView
    ) {
        let terms = inputs.count
        precondition(
            (1...64).contains(terms) && coefficients.count == terms, "\(terms) terms, \(coefficients.count) factors")
        for input in inputs { precondition(input.count == output.count, "\(input.shape) into \(output.shape)") }
        guard let factors = coefficients.baseAddress else { return }
        let kernels = kernels
        // At most 512 bytes: lives on the stack.
        withUnsafeTemporaryAllocation(of: UnsafePointer<Float>.self, capacity: terms) { pointers in
            for term in 0..<terms { pointers.initializeElement(at: term, to: UnsafePointer(inputs[term].base)) }
            guard let list = pointers.baseAddress else { return }
            forEach(.elements(output.count)) { begin, count in
                kernels.pointee.linear_combination(list, factors, terms, output.base, begin, count)
            }
        }
    }

    /// Inverted dropout over `[N, …]`: element i of sample n is kept iff hash(keys[n], i) ≥ rate·2³², and then multiplied by
    /// 1 / (1 − rate). The gradient is the same function applied to the output's gradient.
    ///
    /// The mask is a pure function of (key, i): no rank, lane or thread enters it. Keys must be well mixed, as those of
    /// `CounterRandom` are: masks of two keys with the same lower half are not independent.
    public func dropout(_ input: TensorView, output: TensorView, keys: UnsafePointer<UInt64>, rate: Float) {
        precondition(input.count == output.count, "dropout of \(input.shape) into \(output.shape)")
        precondition(rate >= 0 && rate < 1, "dropout rate \(rate) is not in 0 ..< 1")
        let samples = input.shape[0]
        guard samples > 0, input.count > 0 else { return }
        let sampleCount = input.count / samples
        precondition(sampleCount <= Int(UInt32.max), "a sample of \(sampleCount) elements")
        let mask = DropoutMask(keys: keys, rate: rate)
        let kernels = kernels
        let chunks = Chunks.elements(sampleCount)
        pool.forEachChunk(samples * chunks.count) { index, _ in
            let sample = index / chunks.count
            let chunk = index % chunks.count
            let begin = chunks.begin(chunk)
            let offset = sample * sampleCount + begin
            kernels.pointee.dropout(
                input.base + offset, output.base + offset, keys[sample], UInt32(begin), chunks.length(chunk),
                mask.threshold, mask.factor)
        }
    }
}

/// What a dropout keeps: one key for each sample, see `dropout`.
public struct DropoutMask {
    let keys: UnsafePointer<UInt64>
    let threshold: UInt32
    /// What kept elements are multiplied by.
    let factor: Float

    public init(keys: UnsafePointer<UInt64>, rate: Float) {
        precondition(rate >= 0 && rate < 1, "dropout rate \(rate) is not in 0 ..< 1")
        self.keys = keys
        threshold = UInt32(min((Double(rate) * 0x1p32).rounded(), 0x1p32 - 1))
        factor = Float(1 / (1 - Double(rate)))
    }
}

extension KernelContext {
    /// output channels [first, first + C) = factor · dropout(normalised input). `mask` and `normalization` are left out
    /// where nil. The mask numbers the elements of `output`, whose pixels are `output.stride` floats apart.
    func normalizedDropout(
        _ input: ChannelSlice, normalization: InputNormalization?, firstChannel: Int, mask: DropoutMask?,
        elementStride: Int, factor: Float, rows: Range<Int>, into output: UnsafeMutablePointer<Float>,
        outputStride: Int
    ) {
        // Rows of one picture.
        let (height, width) = (input.height, input.width)
        let sample = rows.lowerBound / height
        let norm = normalization
        let begin = (rows.lowerBound - sample * height) * width * elementStride + firstChannel
        kernels.pointee.normalize_dropout(
            input.row(rows.lowerBound), input.stride, output, outputStride, rows.count * width, input.channels,
            norm.map { UnsafePointer($0.mean.base + firstChannel) },
            norm.map { UnsafePointer($0.variance.base + firstChannel) },
            norm.map { UnsafePointer($0.gain.base + firstChannel) },
            norm.map { UnsafePointer($0.bias.base + firstChannel) }, norm?.epsilon ?? 0, mask?.keys[sample] ?? 0,
            UInt32(begin), UInt32(elementStride), mask?.threshold ?? 0, factor * (mask?.factor ?? 1))
    }

    /// output [N, H, W, C] = dropout(normalised input).
    public func normalizedDropout(
        _ input: TensorView, normalization: InputNormalization, mask: DropoutMask, output: TensorView
    ) {
        forEachRows(output) { rows in
            normalizedDropout(
                ChannelSlice(input), normalization: normalization, firstChannel: 0, mask: mask,
                elementStride: output.lastDimension, factor: 1, rows: rows,
                into: ChannelSlice(output).row(rows.lowerBound), outputStride: output.lastDimension)
        }
    }

    /// output [N, H, W, C1 + C2] = factor · dropout(first beside second).
    public func dropoutOfPair(_ pair: PictureParts, factor: Float, mask: DropoutMask, output: TensorView) {
        precondition(pair.shape == output.shape, "dropout of \(pair.shape) into \(output.shape)")
        let channels = output.lastDimension
        forEachRows(output) { rows in
            let to = ChannelSlice(output).row(rows.lowerBound)
            normalizedDropout(
                ChannelSlice(pair.first), normalization: nil, firstChannel: 0, mask: mask, elementStride: channels,
                factor: factor, rows: rows, into: to, outputStride: channels)
            guard let second = pair.second else { return }
            let first = pair.first.lastDimension
            normalizedDropout(
                ChannelSlice(second), normalization: nil, firstChannel: first, mask: mask, elementStride: channels,
                factor: factor, rows: rows, into: to + first, outputStride: channels)
        }
    }

    /// Ranges of picture rows, each within one picture.
    private func forEachRows(_ picture: TensorView, _ body: (Range<Int>) -> Void) {
        let (batch, height) = (picture.shape[0], picture.shape[1])
        let chunks = Chunks.rows(height, of: picture.shape[2] * picture.lastDimension, floats: 1 << 16)
        pool.forEachChunk(batch * chunks.count) { chunk, _ in
            let first = chunk / chunks.count * height + chunks.begin(chunk % chunks.count)
            body(first..<(first + chunks.length(chunk % chunks.count)))
        }
    }
}
