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
        let threshold = UInt32(min((Double(rate) * 0x1p32).rounded(), 0x1p32 - 1))
        let factor = Float(1 / (1 - Double(rate)))
        let kernels = kernels
        let chunks = Chunks.elements(sampleCount)
        pool.forEachChunk(samples * chunks.count) { index, _ in
            let sample = index / chunks.count
            let chunk = index % chunks.count
            let begin = chunks.begin(chunk)
            let offset = sample * sampleCount + begin
            kernels.pointee.dropout(
                input.base + offset, output.base + offset, keys[sample], UInt32(begin), chunks.length(chunk), threshold,
                factor)
        }
    }
}
