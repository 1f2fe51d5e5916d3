import CKernels
import Tensors

/// A 3x3 convolution of stride 1 by Winograd's F(2x2, 3x3): 16 products over 2x2 output tiles instead of 36, so 2.25 times
/// fewer multiplications. The transforms only add, subtract and halve; errors stay those of a plain sum of that length
/// within a small factor. (F(4x4, 3x3) would save more and lose two digits.)
///
/// **Source:** A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, section 4.1.
///
/// Two ways to walk, by the size of the weights:
/// * fused: a chunk transforms a block of tiles, multiplies and transforms back, all in its thread's cache;
/// * phased: where 16 weight matrices alone exceed a cache, blocks of many tiles are shared by the threads phase by phase,
///   and a chunk of the middle phase is one of the 16 products: each weight matrix is read once per block.
struct WinogradPlan {
    let batch: Int
    /// Image that is transformed first and its padding; image that comes out.
    let inputHeight: Int
    let inputWidth: Int
    let inputChannels: Int
    let outputHeight: Int
    let outputWidth: Int
    let outputChannels: Int
    let padding: Int
    let tilesHigh: Int
    let tilesWide: Int
    let isInputGradient: Bool
    let isFused: Bool
    /// Tiles of a block.
    let block: Int
    /// Strands of a weight gradient: ranges of tiles with their own partial sums.
    let strandCount: Int

    enum Direction {
        case forward
        case inputGradient
        case weightGradient
    }

    var tileCount: Int { batch * tilesHigh * tilesWide }
    var weightCount: Int { inputChannels * outputChannels }

    /// Whether the direct way loses. Measured with AVX-512 and AVX2 kernel sets: from 16 channels on either side Winograd
    /// is 1.3 to 2.2 times as fast in all three passes, with 8 it loses; so it does below some two dozen tiles, where
    /// transforming the weights costs more than the products, and where much of the tiles lies outside the image.
    static func fits(_ extents: ConvolutionExtents) -> Bool {
        guard isPossible(extents), min(extents.bigChannels, extents.smallChannels) >= 16 else { return false }
        func fill(_ extent: Int) -> Double { Double(extent) / Double(roundUp(extent, to: 2)) }
        let forward = fill(extents.smallHeight) * fill(extents.smallWidth)
        let backward = fill(extents.bigHeight) * fill(extents.bigWidth)
        let tiles = extents.batch * ceilDivide(extents.smallHeight, 2) * ceilDivide(extents.smallWidth, 2)
        return min(forward, backward) >= 0.6 && tiles >= 24
    }

    static func isPossible(_ extents: ConvolutionExtents) -> Bool {
        let g = extents.geometry
        return g.kernelHeight == 3 && g.kernelWidth == 3 && g.stride == 1 && g.padding <= 2 && extents.smallCount > 0
    }

    init(_ extents: ConvolutionExtents, _ direction: Direction) {
        batch = extents.batch
        isInputGradient = direction == .inputGradient
        if direction == .inputGradient {
            (inputHeight, inputWidth, inputChannels) = (extents.smallHeight, extents.smallWidth, extents.smallChannels)
            (outputHeight, outputWidth, outputChannels) = (extents.bigHeight, extents.bigWidth, extents.bigChannels)
            padding = 2 - extents.geometry.padding
        } else {
            (inputHeight, inputWidth, inputChannels) = (extents.bigHeight, extents.bigWidth, extents.bigChannels)
            (outputHeight, outputWidth, outputChannels) = (
                extents.smallHeight, extents.smallWidth, extents.smallChannels
            )
            padding = extents.geometry.padding
        }
        tilesHigh = ceilDivide(outputHeight, 2)
        tilesWide = ceilDivide(outputWidth, 2)
        let tiles = batch * tilesHigh * tilesWide
        let planes = 16 * (inputChannels + outputChannels)
        isFused = inputChannels * outputChannels <= 1 << 14 && tiles >= 512
        if isFused {
            // 768 KB of transformed tiles: with the weights they fit into a second-level cache (512 KB to 1 MB measured
            // alike; 2 MB a third slower).
            let most = (3 << 16) / planes / 16 * 16
            block = max(48, min(most, 256))
            strandCount =
                direction == .weightGradient
                ? max(1, min(16, partialSumLimit / (16 * inputChannels * outputChannels))) : 1
        } else {
            // 24 MB of transformed tiles, shared by all threads.
            let most = max(128, min(1024, (6 << 20) / planes))
            block = roundUp(ceilDivide(tiles, ceilDivide(tiles, most)), to: 16)
            strandCount = 1
        }
    }

    // A line more than a power of two apart: 16 planes written together must not meet in one cache set.
    var inputPlane: Int { roundUp(block * inputChannels, to: 16) + 16 }
    var outputPlane: Int { roundUp(block * outputChannels, to: 16) + 16 }
    /// Transformed weights (or their gradients).
    var weightsCount: Int { roundUp(16 * weightCount, to: 16) }
    var zerosCount: Int { roundUp(max(inputChannels, outputChannels), to: 16) }
    var blockCount: Int { 16 * (inputPlane + outputPlane) }

    /// Transposed weights of an input gradient: see `transposingRows`.
    var transposedCount: Int { isInputGradient ? roundUp(9 * weightCount, to: 16) : 0 }

    func workspaceCount(threadCount: Int) -> Int {
        zerosCount + transposedCount + strandCount * weightsCount + (isFused ? threadCount : 1) * blockCount
    }

    var inputTiles: patches_tiles { tiles(inputHeight, inputWidth, inputChannels, inputPlane) }
    var outputTiles: patches_tiles { tiles(outputHeight, outputWidth, outputChannels, outputPlane) }

    // The description of the tiles is made anew for each call: threads share nothing that could be written to.
    func transformInput(
        _ kernels: patches_kernels, _ image: UnsafePointer<Float>, _ zeros: UnsafePointer<Float>, _ range: Range<Int>,
        _ planes: UnsafeMutablePointer<Float>
    ) {
        var tiles = inputTiles
        kernels.winograd_input(&tiles, image, zeros, Int64(range.lowerBound), Int64(range.upperBound), planes)
    }

    func transformOutput(
        _ kernels: patches_kernels, _ planes: UnsafePointer<Float>, _ bias: UnsafePointer<Float>?, _ relu: Int32,
        _ range: Range<Int>, _ image: UnsafeMutablePointer<Float>
    ) {
        var tiles = outputTiles
        kernels.winograd_output(&tiles, planes, bias, relu, Int64(range.lowerBound), Int64(range.upperBound), image)
    }

    func transformOutputGradient(
        _ kernels: patches_kernels, _ image: UnsafePointer<Float>, _ zeros: UnsafePointer<Float>, _ range: Range<Int>,
        _ planes: UnsafeMutablePointer<Float>
    ) {
        var tiles = outputTiles
        kernels.winograd_output_gradient(
            &tiles, image, zeros, Int64(range.lowerBound), Int64(range.upperBound), planes)
    }

    private func tiles(_ height: Int, _ width: Int, _ channels: Int, _ plane: Int) -> patches_tiles {
        patches_tiles(
            height: Int64(height), width: Int64(width), tiles_high: Int64(tilesHigh), tiles_wide: Int64(tilesWide),
            padding: Int64(padding), channels: Int64(channels), plane: Int64(plane))
    }
}

/// Tiles that a chunk transforms where the phases are split over the threads.
private let tilesPerChunk = 32
/// Elements of the weights that a chunk transforms.
private let weightsPerChunk = 2048

extension KernelContext {
    /// The convolution, or the input gradient if the plan says so: then `input` is the output's gradient.
    func winogradConvolution(
        _ input: UnsafePointer<Float>, weights: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
        activation: Activation, plan: WinogradPlan, into output: UnsafeMutablePointer<Float>,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let kernels = patches
        let zeros = workspace
        let turned = zeros + plan.zerosCount
        let transformed = turned + plan.transposedCount
        let scratch = transformed + plan.weightsCount
        zeros.update(repeating: 0, count: plan.zerosCount)
        let count = plan.weightCount
        if plan.isInputGradient {
            pool.forEachChunk(9) { tap, _ in
                kernels.transpose(
                    weights + tap * count, Int64(plan.inputChannels), Int64(plan.outputChannels),
                    Int64(plan.inputChannels), turned + tap * count, Int64(plan.outputChannels))
            }
        }
        let source = plan.isInputGradient ? UnsafePointer(turned) : weights
        pool.forEachChunk(ceilDivide(count, weightsPerChunk)) { chunk, _ in
            kernels.winograd_weights(
                source, Int64(count), Int64(chunk * weightsPerChunk),
                Int64(min(count, (chunk + 1) * weightsPerChunk)), transformed)
        }
        let relu: Int32 = activation == .relu ? 1 : 0

        /// One of the 16 products, for rows of a block.
        func multiply(
            _ plane: Int, _ planes: UnsafeMutablePointer<Float>, _ products: UnsafeMutablePointer<Float>,
            _ rows: Range<Int>
        ) {
            let source = plan.isInputGradient ? WinogradPlan.flippedPlane(plane) : plane
            matrixProduct(
                rows: rows.count, columns: plan.outputChannels, depth: plan.inputChannels,
                planes + plane * plan.inputPlane + rows.lowerBound * plan.inputChannels,
                rowStrideA: plan.inputChannels, transformed + source * count, rowStrideB: plan.outputChannels,
                accumulate: false,
                into: products + plane * plan.outputPlane + rows.lowerBound * plan.outputChannels,
                rowStrideC: plan.outputChannels)
        }

        if plan.isFused {
            pool.forEachChunk(ceilDivide(plan.tileCount, plan.block)) { chunk, worker in
                let start = chunk * plan.block
                let end = min(start + plan.block, plan.tileCount)
                let planes = scratch + worker * plan.blockCount
                let products = planes + 16 * plan.inputPlane
                plan.transformInput(kernels, input, zeros, start..<end, planes)
                for plane in 0..<16 { multiply(plane, planes, products, 0..<(end - start)) }
                plan.transformOutput(kernels, products, bias, relu, start..<end, output)
            }
            return
        }
        let products = scratch + 16 * plan.inputPlane
        for start in stride(from: 0, to: plan.tileCount, by: plan.block) {
            let end = min(start + plan.block, plan.tileCount)
            let chunks = ceilDivide(end - start, tilesPerChunk)
            pool.forEachChunk(chunks) { chunk, _ in
                let first = start + chunk * tilesPerChunk
                plan.transformInput(
                    kernels, input, zeros, first..<min(end, first + tilesPerChunk),
                    scratch + (first - start) * plan.inputChannels)
            }
            pool.forEachChunk(16) { plane, _ in multiply(plane, scratch, products, 0..<(end - start)) }
            pool.forEachChunk(chunks) { chunk, _ in
                let first = start + chunk * tilesPerChunk
                plan.transformOutput(
                    kernels, products + (first - start) * plan.outputChannels, bias, relu,
                    first..<min(end, first + tilesPerChunk), output)
            }
        }
    }

    /// The weight gradient [3, 3, Ci, Co]: the products of the transformed input and output gradient, summed over all tiles
    /// before one transform back.
    func winogradWeightGradient(
        _ input: UnsafePointer<Float>, outputGradient: UnsafePointer<Float>, plan: WinogradPlan,
        into gradient: UnsafeMutablePointer<Float>, workspace: UnsafeMutablePointer<Float>
    ) {
        let kernels = patches
        let zeros = workspace
        let parts = workspace + plan.zerosCount
        let scratch = parts + plan.strandCount * plan.weightsCount
        zeros.update(repeating: 0, count: plan.zerosCount)
        let count = plan.weightCount

        func multiply(
            _ plane: Int, _ planes: UnsafeMutablePointer<Float>, _ gradients: UnsafeMutablePointer<Float>, tiles: Int,
            isFirst: Bool, into part: UnsafeMutablePointer<Float>
        ) {
            matrixProduct(
                rows: plan.inputChannels, columns: plan.outputChannels, depth: tiles, planes + plane * plan.inputPlane,
                layoutA: .transposed, rowStrideA: plan.inputChannels, gradients + plane * plan.outputPlane,
                rowStrideB: plan.outputChannels, accumulate: !isFirst, into: part + plane * count,
                rowStrideC: plan.outputChannels)
        }

        if plan.isFused {
            pool.forEachChunk(plan.strandCount) { strand, worker in
                let first = strand * plan.tileCount / plan.strandCount
                let last = (strand + 1) * plan.tileCount / plan.strandCount
                let planes = scratch + worker * plan.blockCount
                let gradients = planes + 16 * plan.inputPlane
                for start in stride(from: first, to: last, by: plan.block) {
                    let end = min(start + plan.block, last)
                    plan.transformInput(kernels, input, zeros, start..<end, planes)
                    plan.transformOutputGradient(
                        kernels, outputGradient, zeros, start..<end, gradients)
                    for plane in 0..<16 {
                        multiply(
                            plane, planes, gradients, tiles: end - start, isFirst: start == first,
                            into: parts + strand * plan.weightsCount)
                    }
                }
            }
        } else {
            let gradients = scratch + 16 * plan.inputPlane
            for start in stride(from: 0, to: plan.tileCount, by: plan.block) {
                let end = min(start + plan.block, plan.tileCount)
                pool.forEachChunk(ceilDivide(end - start, tilesPerChunk)) { chunk, _ in
                    let first = start + chunk * tilesPerChunk
                    let last = min(end, first + tilesPerChunk)
                    plan.transformInput(
                        kernels, input, zeros, first..<last,
                        scratch + (first - start) * plan.inputChannels)
                    plan.transformOutputGradient(
                        kernels, outputGradient, zeros, first..<last,
                        gradients + (first - start) * plan.outputChannels)
                }
                pool.forEachChunk(16) { plane, _ in
                    multiply(plane, scratch, gradients, tiles: end - start, isFirst: start == 0, into: parts)
                }
            }
        }
        pool.forEachChunk(ceilDivide(count, weightsPerChunk)) { chunk, _ in
            kernels.winograd_weight_gradient(
                parts, Int64(plan.strandCount), Int64(count), Int64(chunk * weightsPerChunk),
                Int64(min(count, (chunk + 1) * weightsPerChunk)), gradient)
        }
    }
}

extension WinogradPlan {
    /// The plane of the transform of a kernel turned by half a turn: its first and last rows and columns change places.
    static func flippedPlane(_ plane: Int) -> Int {
        func exchange(_ i: Int) -> Int { i == 0 ? 3 : i == 3 ? 0 : i }
        return exchange(plane / 4) * 4 + exchange(plane % 4)
    }
}
