import CKernels
import Tensors

/// Dense convolutions as matrix products of patches. Pictures [N, H, W, C], weights [kh, kw, Ci, Co].
extension KernelContext {
    private static func forwardPatches(_ input: Shape, _ geometry: ConvolutionGeometry) -> Patches {
        Patches(
            geometry.isPointwise ? .pixels : .gathered, source: input, rows: geometry.outputHeight(input[1]),
            columns: geometry.outputWidth(input[2]), geometry)
    }

    public func convolution2DWorkspaceCount(
        input: Shape, weights: Shape, geometry: ConvolutionGeometry, threadCount: Int
    ) -> Int {
        threadCount * Self.forwardPatches(input, geometry).scratchCount
    }

    /// output = input ⋆ weights + bias, then the activation.
    public func convolution2D(
        input: TensorView, weights: TensorView, bias: TensorView?, output: TensorView, geometry: ConvolutionGeometry,
        activation: Activation, workspace: UnsafeMutablePointer<Float>
    ) {
        let patches = Self.forwardPatches(input.shape, geometry)
        let columns = weights.shape[3]
        precondition(weights.count == patches.width * columns && output.count == patches.count * columns)
        patchProduct(
            patches, of: input.base, weights.base, leading: columns, transposed: false, columns: columns,
            bias: bias.map { UnsafePointer($0.base) }, activation: activation, output: output.base, scratch: workspace)
    }

    private static func gradientPatches(
        _ input: Shape, outputChannels: Int, _ geometry: ConvolutionGeometry
    ) -> Patches {
        let gradient: Shape = [
            input[0], geometry.outputHeight(input[1]), geometry.outputWidth(input[2]), outputChannels,
        ]
        return Patches(
            geometry.isPointwise ? .pixels : .gatheredTransposed, source: gradient, rows: input[1], columns: input[2],
            geometry)
    }

    public func convolution2DInputGradientWorkspaceCount(
        input: Shape, weights: Shape, geometry: ConvolutionGeometry, threadCount: Int
    ) -> Int {
        let patches = Self.gradientPatches(input, outputChannels: weights[3], geometry)
        return threadCount * patches.scratchCount + (geometry.isPointwise ? 0 : weights.count)
    }

    /// inputGradient = the adjoint of the convolution applied to outputGradient.
    public func convolution2DInputGradient(
        outputGradient: TensorView, weights: TensorView, inputGradient: TensorView, geometry: ConvolutionGeometry,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let (inputs, outputs) = (weights.shape[2], weights.shape[3])
        let patches = Self.gradientPatches(inputGradient.shape, outputChannels: outputs, geometry)
        precondition(inputGradient.count == patches.count * inputs)
        if geometry.isPointwise {
            // [Ci, Co] read as its transpose.
            patchProduct(
                patches, of: outputGradient.base, weights.base, leading: outputs, transposed: true, columns: inputs,
                bias: nil, activation: .none, output: inputGradient.base, scratch: workspace)
            return
        }
        // [tap, Ci, Co] → [tap, Co, Ci], so that a patch of gradients meets one matrix.
        let turned = workspace + pool.threadCount * patches.scratchCount
        pool.forEachChunk(geometry.taps) { tap, _ in
            let source = weights.base + tap * inputs * outputs
            let target = turned + tap * inputs * outputs
            for i in 0..<inputs {
                for o in 0..<outputs { target[o * inputs + i] = source[i * outputs + o] }
            }
        }
        patchProduct(
            patches, of: outputGradient.base, turned, leading: inputs, transposed: false, columns: inputs, bias: nil,
            activation: .none, output: inputGradient.base, scratch: workspace)
    }

    public func convolution2DWeightGradientWorkspaceCount(
        input: Shape, weights: Shape, geometry: ConvolutionGeometry, threadCount: Int
    ) -> Int {
        Self.patchWeightWorkspaceCount(
            Self.forwardPatches(input, geometry), otherWidth: weights[3], threadCount: threadCount)
    }

    /// weightGradient [kh, kw, Ci, Co] = patchesᵀ · outputGradient
    public func convolution2DWeightGradient(
        input: TensorView, outputGradient: TensorView, weightGradient: TensorView, geometry: ConvolutionGeometry,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let patches = Self.forwardPatches(input.shape, geometry)
        let outputs = weightGradient.shape[3]
        precondition(outputGradient.count == patches.count * outputs && weightGradient.count == patches.width * outputs)
        patchWeightProduct(
            patches, of: input.base, other: outputGradient.base, otherWidth: outputs, patchesFirst: true,
            output: weightGradient.base, scratch: workspace)
    }

    public func columnSumWorkspaceCount(input: Shape, threadCount: Int) -> Int {
        let columns = input[input.rank - 1]
        return 2 * columns * Self.columnSumChunks(rows: input.count / max(1, columns))
    }

    private static func columnSumChunks(rows: Int) -> Int { max(1, min(64, rows / 512)) }

    /// output [C] = Σ over all rows of input [.., C], in float64.
    public func columnSum(input: TensorView, output: TensorView, workspace: UnsafeMutablePointer<Float>) {
        let columns = output.count
        let rows = input.count / columns
        let chunks = Self.columnSumChunks(rows: rows)
        UnsafeMutableRawPointer(workspace).withMemoryRebound(to: Double.self, capacity: chunks * columns) { sums in
            pool.forEachChunk(chunks) { chunk, _ in
                let range = (chunk * rows / chunks)..<((chunk + 1) * rows / chunks)
                patches_column_sum(
                    input.base + range.lowerBound * columns, range.count, columns, sums + chunk * columns)
            }
            for column in 0..<columns {
                var sum = 0.0
                for chunk in 0..<chunks { sum += sums[chunk * columns + column] }
                output.base[column] = Float(sum)
            }
        }
    }
}
