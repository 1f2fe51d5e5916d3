import CKernels
import Tensors

/// Transposed convolutions. Pictures [N, H, W, C], weights [Ci, kh, kw, Co].
///
/// Where the kernel equals the stride every input pixel owns a block of the output, and the whole is one matrix product
/// whose rows are blocks; otherwise each output pixel gathers what reaches it.
extension KernelContext {
    private static func pixels(_ input: Shape) -> Patches {
        Patches(
            .pixels, source: input, rows: input[1], columns: input[2],
            ConvolutionGeometry(kernelHeight: 1, kernelWidth: 1, stride: 1, padding: 0))
    }

    private static func gathering(_ input: Shape, _ geometry: ConvolutionGeometry) -> Patches {
        Patches(
            .gatheredTransposed, source: input, rows: geometry.transposedHeight(input[1]),
            columns: geometry.transposedWidth(input[2]), geometry)
    }

    /// Input pixels of a chunk whose blocks stay in cache.
    private static func blockChunk(_ patches: Patches, blockWidth: Int) -> Int {
        Patches.chunk(count: patches.count, width: max(blockWidth, patches.width))
    }

    public func transposedConvolution2DWorkspaceCount(
        input: Shape, weights: Shape, geometry: ConvolutionGeometry, threadCount: Int
    ) -> Int {
        if geometry.isBlockwise {
            let width = geometry.taps * weights[3]
            return threadCount * ((Self.blockChunk(Self.pixels(input), blockWidth: width) * width + 15) / 16 * 16)
        }
        return threadCount * Self.gathering(input, geometry).scratchCount + weights.count
    }

    public func transposedConvolution2D(
        input: TensorView, weights: TensorView, bias: TensorView?, output: TensorView, geometry: ConvolutionGeometry,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let (inputs, outputs) = (weights.shape[0], weights.shape[3])
        let biasValues = bias.map { UnsafePointer($0.base) }
        if geometry.isBlockwise {
            let pixelCount = input.count / inputs
            let width = geometry.taps * outputs
            let chunkSize = Self.blockChunk(Self.pixels(input.shape), blockWidth: width)
            let scratchCount = (chunkSize * width + 15) / 16 * 16
            let (height, columns) = (input.shape[1], input.shape[2])
            precondition(output.count == pixelCount * width)
            pool.forEachChunk((pixelCount + chunkSize - 1) / chunkSize) { chunk, worker in
                let range = (chunk * chunkSize)..<min(pixelCount, (chunk + 1) * chunkSize)
                let blocks = workspace + worker * scratchCount
                matrixProduct(
                    rows: range.count, columns: width, inner: inputs, input.base + range.lowerBound * inputs,
                    leading: inputs, transposed: false, weights.base, leading: width, transposed: false, blocks,
                    leading: width, accumulate: false)
                patches_scatter_blocks(
                    blocks, range.lowerBound, range.upperBound, height, columns, geometry.kernelHeight,
                    geometry.kernelWidth, outputs, biasValues, output.base)
            }
            return
        }
        // [Ci, tap, Co] → [tap, Ci, Co]
        let patches = Self.gathering(input.shape, geometry)
        let turned = workspace + pool.threadCount * patches.scratchCount
        for i in 0..<inputs {
            for tap in 0..<geometry.taps {
                (turned + (tap * inputs + i) * outputs).update(
                    from: weights.base + (i * geometry.taps + tap) * outputs, count: outputs)
            }
        }
        precondition(output.count == patches.count * outputs)
        patchProduct(
            patches, of: input.base, turned, leading: outputs, transposed: false, columns: outputs, bias: biasValues,
            activation: .none, output: output.base, scratch: workspace)
    }

    /// Patches of the output's gradient that an input pixel reached.
    private static func gradientPatches(
        _ input: Shape, outputChannels: Int, _ geometry: ConvolutionGeometry
    ) -> Patches {
        Patches(
            .gathered,
            source: [
                input[0], geometry.transposedHeight(input[1]), geometry.transposedWidth(input[2]), outputChannels,
            ], rows: input[1], columns: input[2], geometry)
    }

    public func transposedConvolution2DInputGradientWorkspaceCount(
        input: Shape, weights: Shape, geometry: ConvolutionGeometry, threadCount: Int
    ) -> Int {
        threadCount * Self.gradientPatches(input, outputChannels: weights[3], geometry).scratchCount
    }

    public func transposedConvolution2DInputGradient(
        outputGradient: TensorView, weights: TensorView, inputGradient: TensorView, geometry: ConvolutionGeometry,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let (inputs, outputs) = (weights.shape[0], weights.shape[3])
        let patches = Self.gradientPatches(inputGradient.shape, outputChannels: outputs, geometry)
        precondition(inputGradient.count == patches.count * inputs)
        patchProduct(
            patches, of: outputGradient.base, weights.base, leading: geometry.taps * outputs, transposed: true,
            columns: inputs, bias: nil, activation: .none, output: inputGradient.base, scratch: workspace)
    }

    public func transposedConvolution2DWeightGradientWorkspaceCount(
        input: Shape, weights: Shape, geometry: ConvolutionGeometry, threadCount: Int
    ) -> Int {
        Self.patchWeightWorkspaceCount(
            Self.gradientPatches(input, outputChannels: weights[3], geometry), otherWidth: input[3],
            threadCount: threadCount)
    }

    /// weightGradient [Ci, kh, kw, Co] = inputᵀ · patches of the gradient
    public func transposedConvolution2DWeightGradient(
        input: TensorView, outputGradient: TensorView, weightGradient: TensorView, geometry: ConvolutionGeometry,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let patches = Self.gradientPatches(input.shape, outputChannels: weightGradient.shape[3], geometry)
        let inputs = input.shape[3]
        precondition(input.count == patches.count * inputs && weightGradient.count == patches.width * inputs)
        patchWeightProduct(
            patches, of: outputGradient.base, other: input.base, otherWidth: inputs, patchesFirst: false,
            output: weightGradient.base, scratch: workspace)
    }
}
