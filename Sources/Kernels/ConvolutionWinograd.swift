import CKernels
import Tensors

/// A 3x3 convolution of stride 1 by Winograd's F(4x4, 3x3): 36 products over 4x4 output tiles instead of 144. The transforms
/// and their error stand in body_winograd.inc.
///
/// **Source:** A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, section 4.2.
///
/// Two ways to walk, by the size of the weights:
/// * fused: a chunk transforms a block of tiles, multiplies and transforms back, all in its thread's cache;
/// * phased: where 36 weight matrices alone exceed a cache, blocks of many tiles are shared by the threads phase by phase,
///   and a chunk of the middle phase is one of the 36 products: each weight matrix is read once per block.
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

    static let tile = 4
    /// Points of a transformed tile.
    static let points = 36

    enum Direction {
        case forward
        case inputGradient
        case weightGradient
    }

    var tileCount: Int { batch * tilesHigh * tilesWide }
    var weightCount: Int { inputChannels * outputChannels }

    /// Whether the direct way loses. From 16 channels on either side Winograd is faster in all three passes; it is not
    /// below a dozen tiles, where transforming the weights costs more than the products, nor where much of the tiles lies
    /// outside the image.
    static func fits(_ extents: ConvolutionExtents) -> Bool {
        guard isPossible(extents), min(extents.bigChannels, extents.smallChannels) >= 16 else { return false }
        func fill(_ extent: Int) -> Double { Double(extent) / Double(roundUp(extent, to: tile)) }
        let forward = fill(extents.smallHeight) * fill(extents.smallWidth)
        let backward = fill(extents.bigHeight) * fill(extents.bigWidth)
        let tiles = extents.batch * ceilDivide(extents.smallHeight, tile) * ceilDivide(extents.smallWidth, tile)
        return min(forward, backward) >= 0.4 && tiles >= 12
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
        tilesHigh = ceilDivide(outputHeight, Self.tile)
        tilesWide = ceilDivide(outputWidth, Self.tile)
        let tiles = batch * tilesHigh * tilesWide
        let planes = Self.points * (inputChannels + outputChannels)
        isFused = inputChannels * outputChannels <= 1 << 14 && tiles >= 128
        if isFused {
            // Transformed tiles and, forward, the weights that they meet again and again: 1.5 MB, in whole tiles of the
            // matrix kernel. Sums of a weight gradient pass by once per block, which wants long blocks.
            let floats =
                direction == .weightGradient ? 5 << 16 : (3 << 17) - Self.points * inputChannels * outputChannels
            block = max(28, min(floats / planes / 14 * 14, 112))
            strandCount =
                direction == .weightGradient
                ? max(1, min(16, tiles / (2 * block), partialSumLimit / (Self.points * inputChannels * outputChannels)))
                : 1
        } else {
            // 24 MB of transformed tiles, shared by all threads.
            let most = max(112, min(1024, (6 << 20) / planes))
            block = roundUp(ceilDivide(tiles, ceilDivide(tiles, most)), to: 14)
            strandCount = 1
        }
    }

    // A line more than a power of two apart: 36 planes written together must not meet in one cache set.
    var inputPlane: Int { roundUp(block * inputChannels, to: 16) + 16 }
    var outputPlane: Int { roundUp(block * outputChannels, to: 16) + 16 }
    /// One transformed and packed weight matrix.
    var packedPlane: Int { inputChannels * roundUp(outputChannels, to: Int(CK_PANEL)) }
    /// Transformed gradient of the weights of one strand: the strands' follow one another without a gap.
    var gradientCount: Int { Self.points * weightCount }
    var gradientsCount: Int { roundUp(strandCount * gradientCount, to: 16) }
    var zerosCount: Int { roundUp(max(inputChannels, outputChannels), to: 16) }
    var blockCount: Int { Self.points * (inputPlane + outputPlane) }

    /// Transposed weights of an input gradient.
    var transposedCount: Int { isInputGradient ? roundUp(9 * weightCount, to: 16) : 0 }

    /// Transformed and packed weights, and what their making needs besides.
    var packedCount: Int { Self.points * packedPlane }

    func convolutionWorkspaceCount(threadCount: Int, statistics: Bool) -> Int {
        zerosCount + (isFused ? threadCount : 1) * blockCount + (statistics ? 2 * momentsChunks * momentsCount : 0)
    }

    // Statistics of the result: float64 moments (see `ck_moments`) of the tiles that are transformed together.
    var momentsTiles: Int { isFused ? block : tilesPerChunk }
    var momentsChunks: Int { ceilDivide(tileCount, momentsTiles) }
    var momentsCount: Int { 2 * outputChannels + 1 }

    func weightGradientWorkspaceCount(threadCount: Int) -> Int {
        zerosCount + gradientsCount + (isFused ? threadCount : 1) * blockCount
    }

    func inputTiles(channels: Int) -> ck_tiles {
        ck_tiles(
            height: inputHeight, width: inputWidth, channels: channels, tiles_high: tilesHigh, tiles_wide: tilesWide,
            padding: padding, plane: inputPlane, row: inputChannels)
    }

    func outputTiles(channels: Int) -> ck_tiles {
        ck_tiles(
            height: outputHeight, width: outputWidth, channels: channels, tiles_high: tilesHigh, tiles_wide: tilesWide,
            padding: 0, plane: outputPlane, row: outputChannels)
    }
}

/// One picture, or two whose channels follow one another: what a concatenation would be, without the copy.
public struct PictureParts {
    public let first: TensorView
    public let second: TensorView?
    /// Of both together.
    public let shape: Shape

    public init(_ first: TensorView, _ second: TensorView? = nil) {
        precondition(
            second.map { $0.shape.rank == 4 && $0.shape.dimensions.prefix(3) == first.shape.dimensions.prefix(3) }
                ?? true,
            "\(first.shape) beside \(second?.shape ?? [])")
        self.first = first
        self.second = second
        shape =
            second.map { [first.shape[0], first.shape[1], first.shape[2], first.shape[3] + $0.shape[3]] } ?? first.shape
    }

    /// Calls `body` with each part and its first channel.
    func forEach(_ body: (_ base: UnsafeMutablePointer<Float>, _ channels: Int, _ first: Int) -> Void) {
        body(first.base, first.lastDimension, 0)
        if let second { body(second.base, second.lastDimension, first.lastDimension) }
    }
}

/// Work of one chunk where a transform is spread over threads.
private let tilesPerChunk = 14
private let weightsPerChunk = 1024

extension KernelContext {
    /// output = convolution of `input`, or, for a plan of an input gradient, of an output gradient with the turned weights.
    /// - Parameter transformed: what `transformWeights` made.
    func winogradConvolution(
        _ input: PictureParts, transformed: UnsafePointer<Float>, bias: UnsafePointer<Float>?, activation: Activation,
        plan: WinogradPlan, into output: PictureParts, statistics: BatchStatistics?,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let (kernels, points) = (kernels, WinogradPlan.points)
        let zeros = workspace
        let scratch = zeros + plan.zerosCount
        let moments = statistics.map { _ in
            doubles(
                scratch + (plan.isFused ? pool.threadCount : 1) * plan.blockCount,
                count: plan.momentsChunks * plan.momentsCount)
        }
        defer {
            if let statistics, let moments {
                ck_moments_combine(
                    moments, plan.momentsChunks, plan.outputChannels, statistics.mean.base, statistics.variance.base)
            }
        }
        zeros.update(repeating: 0, count: plan.zerosCount)
        let relu: Int32 = activation == .relu ? 1 : 0

        func transformInput(_ range: Range<Int>, _ planes: UnsafeMutablePointer<Float>) {
            input.forEach { base, channels, first in
                var tiles = plan.inputTiles(channels: channels)
                kernels.pointee.winograd_input(
                    &tiles, base, zeros, range.lowerBound, range.upperBound, planes + first)
            }
        }
        func transformOutput(_ range: Range<Int>, _ planes: UnsafeMutablePointer<Float>) {
            output.forEach { base, channels, first in
                var tiles = plan.outputTiles(channels: channels)
                kernels.pointee.winograd_output(
                    &tiles, planes + first, bias.map { $0 + first }, relu, range.lowerBound, range.upperBound, base)
            }
            if let moments {
                let chunk = range.lowerBound / plan.momentsTiles
                takeMoments(of: output.first, tiles: range, plan, into: moments + chunk * plan.momentsCount)
            }
        }
        func multiply(
            _ point: Int, _ planes: UnsafeMutablePointer<Float>, _ products: UnsafeMutablePointer<Float>, rows: Int
        ) {
            var product = ck_product(
                rows: rows, columns: plan.outputChannels, depth: plan.inputChannels,
                a: planes + point * plan.inputPlane, a_row: plan.inputChannels, a_depth: 1,
                b: transformed + point * plan.packedPlane, b_panel: plan.inputChannels * Int(CK_PANEL),
                b_depth: Int(CK_PANEL), c: products + point * plan.outputPlane, c_row: plan.outputChannels, bias: nil,
                accumulate: 0, relu: 0)
            self.multiply(&product)
        }

        if plan.isFused {
            pool.forEachChunk(ceilDivide(plan.tileCount, plan.block)) { chunk, worker in
                let start = chunk * plan.block
                let end = min(start + plan.block, plan.tileCount)
                let planes = scratch + worker * plan.blockCount
                let products = planes + points * plan.inputPlane
                transformInput(start..<end, planes)
                for point in 0..<points { multiply(point, planes, products, rows: end - start) }
                transformOutput(start..<end, products)
            }
            return
        }
        let products = scratch + points * plan.inputPlane
        for start in stride(from: 0, to: plan.tileCount, by: plan.block) {
            let end = min(start + plan.block, plan.tileCount)
            let chunks = ceilDivide(end - start, tilesPerChunk)
            pool.forEachChunk(chunks) { chunk, _ in
                let first = start + chunk * tilesPerChunk
                transformInput(
                    first..<min(end, first + tilesPerChunk), scratch + (first - start) * plan.inputChannels)
            }
            pool.forEachChunk(points) { point, _ in multiply(point, scratch, products, rows: end - start) }
            pool.forEachChunk(chunks) { chunk, _ in
                let first = start + chunk * tilesPerChunk
                transformOutput(
                    first..<min(end, first + tilesPerChunk), products + (first - start) * plan.outputChannels)
            }
        }
    }

    /// Moments of the pixels of a range of tiles, about the first of them.
    private func takeMoments(
        of output: TensorView, tiles: Range<Int>, _ plan: WinogradPlan, into moments: UnsafeMutablePointer<Double>
    ) {
        let (channels, width, height) = (plan.outputChannels, plan.outputWidth, plan.outputHeight)
        func pixel(_ tile: Int) -> (image: Int, y: Int, x: Int) {
            let row = tile / plan.tilesWide
            return (
                row / plan.tilesHigh, row % plan.tilesHigh * WinogradPlan.tile,
                tile % plan.tilesWide * WinogradPlan.tile
            )
        }
        func place(_ image: Int, _ y: Int, _ x: Int) -> UnsafeMutablePointer<Float> {
            output.base + ((image * height + y) * width + x) * channels
        }
        moments.update(repeating: 0, count: 2 * channels)
        let first = pixel(tiles.lowerBound)
        let origin = place(first.image, first.y, first.x)
        var (tile, pixels) = (tiles.lowerBound, 0)
        while tile < tiles.upperBound {
            // Tiles side by side: their rows are runs of pixels.
            let count = min(plan.tilesWide - tile % plan.tilesWide, tiles.upperBound - tile)
            let (image, top, left) = pixel(tile)
            let run = min(count * WinogradPlan.tile, width - left)
            for y in top..<min(top + WinogradPlan.tile, height) {
                kernels.pointee.norm_sums(place(image, y, left), origin, run, channels, moments)
                pixels += run
            }
            tile += count
        }
        ck_moments(moments, origin, channels, pixels)
    }

    /// Weights [3, 3, Ci, Co] as 36 packed matrices; for an input gradient turned and transposed, which needs
    /// `transposedCount` floats besides.
    func transformWeights(
        _ weights: UnsafePointer<Float>, plan: WinogradPlan, turned: UnsafeMutablePointer<Float>,
        into transformed: UnsafeMutablePointer<Float>
    ) {
        let count = plan.weightCount
        if plan.isInputGradient {
            let patches = patches
            pool.forEachChunk(9) { tap, _ in
                patches.transpose(
                    weights + tap * count, Int64(plan.inputChannels), Int64(plan.outputChannels),
                    Int64(plan.inputChannels), turned + tap * count, Int64(plan.outputChannels))
            }
        }
        let kernels = kernels
        let source = plan.isInputGradient ? UnsafePointer(turned) : weights
        forEach(.rows(plan.inputChannels, of: plan.outputChannels, floats: weightsPerChunk)) { begin, rows in
            kernels.pointee.winograd_weights(
                source, plan.inputChannels, plan.outputChannels, plan.isInputGradient ? 1 : 0, begin, begin + rows,
                transformed)
        }
    }

    /// The weight gradient [3, 3, Ci, Co]: the products of the transformed input and output gradient, summed over all tiles
    /// before one transform back.
    func winogradWeightGradient(
        _ input: PictureParts, outputGradient: UnsafePointer<Float>, plan: WinogradPlan,
        into gradient: UnsafeMutablePointer<Float>, workspace: UnsafeMutablePointer<Float>
    ) {
        let (kernels, points) = (kernels, WinogradPlan.points)
        let zeros = workspace
        let parts = workspace + plan.zerosCount
        let scratch = parts + plan.gradientsCount
        zeros.update(repeating: 0, count: plan.zerosCount)
        let count = plan.weightCount

        func transform(
            _ range: Range<Int>, _ planes: UnsafeMutablePointer<Float>, _ gradients: UnsafeMutablePointer<Float>
        ) {
            input.forEach { base, channels, first in
                var tiles = plan.inputTiles(channels: channels)
                kernels.pointee.winograd_input(
                    &tiles, base, zeros, range.lowerBound, range.upperBound, planes + first)
            }
            var tiles = plan.outputTiles(channels: plan.outputChannels)
            kernels.pointee.winograd_output_gradient(
                &tiles, outputGradient, zeros, range.lowerBound, range.upperBound, gradients)
        }
        func multiply(
            _ point: Int, _ planes: UnsafeMutablePointer<Float>, _ gradients: UnsafeMutablePointer<Float>, tiles: Int,
            isFirst: Bool, into part: UnsafeMutablePointer<Float>
        ) {
            var product = ck_product(
                rows: plan.inputChannels, columns: plan.outputChannels, depth: tiles,
                a: planes + point * plan.inputPlane, a_row: 1, a_depth: plan.inputChannels,
                b: gradients + point * plan.outputPlane, b_panel: Int(CK_PANEL), b_depth: plan.outputChannels,
                c: part + point * count, c_row: plan.outputChannels, bias: nil, accumulate: isFirst ? 0 : 1, relu: 0)
            self.multiply(&product)
        }

        if plan.isFused {
            pool.forEachChunk(plan.strandCount) { strand, worker in
                let first = strand * plan.tileCount / plan.strandCount
                let last = (strand + 1) * plan.tileCount / plan.strandCount
                let planes = scratch + worker * plan.blockCount
                let gradients = planes + points * plan.inputPlane
                for start in stride(from: first, to: last, by: plan.block) {
                    let end = min(start + plan.block, last)
                    transform(start..<end, planes, gradients)
                    for point in 0..<points {
                        multiply(
                            point, planes, gradients, tiles: end - start, isFirst: start == first,
                            into: parts + strand * plan.gradientCount)
                    }
                }
            }
        } else {
            let gradients = scratch + points * plan.inputPlane
            for start in stride(from: 0, to: plan.tileCount, by: plan.block) {
                let end = min(start + plan.block, plan.tileCount)
                pool.forEachChunk(ceilDivide(end - start, tilesPerChunk)) { chunk, _ in
                    let first = start + chunk * tilesPerChunk
                    transform(
                        first..<min(end, first + tilesPerChunk), scratch + (first - start) * plan.inputChannels,
                        gradients + (first - start) * plan.outputChannels)
                }
                pool.forEachChunk(points) { point, _ in
                    multiply(point, scratch, gradients, tiles: end - start, isFirst: start == 0, into: parts)
                }
            }
        }
        pool.forEachChunk(ceilDivide(count, weightsPerChunk)) { chunk, _ in
            kernels.pointee.winograd_weight_gradient(
                parts, plan.strandCount, count, chunk * weightsPerChunk, min(count, (chunk + 1) * weightsPerChunk),
                gradient)
        }
    }
}
