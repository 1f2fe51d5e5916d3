import CKernels

/// The way from the small image to the big one (input gradient of a convolution, transposed convolution) as a gather: every
/// big pixel collects what the small pixels send it, so chunks own their pixels and nothing is scattered with additions.
///
/// Big pixels fall into stride² classes by their position modulo the stride. Within a class, the taps that reach a pixel are
/// the same, and they form an ordinary stride-1 patch of the small image: patches · packed weights of the class.
struct GatherPlan {
    let extents: ConvolutionExtents
    let pixelBlock: Int

    init(_ extents: ConvolutionExtents) {
        self.extents = extents
        let stride = extents.geometry.stride
        let pixels = extents.batch * extents.bigHeight * extents.bigWidth
        pixelBlock = max(48, min(256, roundUp(ceilDivide(max(1, pixels), 16 * stride * stride), to: 16)))
    }

    /// One class of big pixels.
    struct Class {
        /// First row and column in the big image; rows and columns there.
        let top: Int
        let left: Int
        let height: Int
        let width: Int
        let tapHeight: Int
        let tapWidth: Int
        /// First kernel row and column; the others follow by the stride.
        let kernelTop: Int
        let kernelLeft: Int
        /// Where patches begin in the small image for the first pixel.
        let offsetY: Int
        let offsetX: Int

        var tapCount: Int { tapHeight * tapWidth }
    }

    var classCount: Int { extents.geometry.stride * extents.geometry.stride }

    subscript(index: Int) -> Class {
        let g = extents.geometry
        func axis(_ residue: Int, _ extent: Int, _ kernel: Int) -> (first: Int, count: Int, taps: Int, offset: Int) {
            // Big pixels i with (i + padding) % stride == residue get taps residue, residue + stride, … from small pixels
            // (i + padding - tap) / stride: ascending in memory when the taps descend.
            let first = ((residue - g.padding) % g.stride + g.stride) % g.stride
            let count = first < extent ? (extent - 1 - first) / g.stride + 1 : 0
            let taps = residue < kernel ? (kernel - 1 - residue) / g.stride + 1 : 0
            return (first, count, taps, (first + g.padding - residue) / g.stride - (taps - 1))
        }
        let (ry, rx) = (index / g.stride, index % g.stride)
        let y = axis(ry, extents.bigHeight, g.kernelHeight)
        let x = axis(rx, extents.bigWidth, g.kernelWidth)
        return Class(
            top: y.first, left: x.first, height: y.count, width: x.count, tapHeight: y.taps, tapWidth: x.taps,
            kernelTop: ry, kernelLeft: rx, offsetY: y.offset, offsetX: x.offset)
    }

    func product(_ part: Class) -> PatchProductPlan {
        PatchProductPlan(
            gatherPixels: extents.batch * part.height * part.width,
            taps: (part.tapHeight, part.tapWidth, extents.smallChannels), columns: extents.bigChannels,
            pixelBlock: pixelBlock)
    }

    /// Packed weights: [class][tap][small channels][big channels], as many floats as the weights.
    var packedCount: Int { roundUp(extents.tapCount * extents.smallChannels * extents.bigChannels, to: 16) }
    /// Patches and, for strides above 1, products of one block.
    var patchScratchCount: Int {
        let columns = (0..<classCount).reduce(0) { max($0, product(self[$1]).taps.maxPatchCount) }
        return roundUp(pixelBlock * columns, to: 16)
    }
    var productScratchCount: Int {
        extents.geometry.stride == 1 ? 0 : roundUp(pixelBlock * extents.bigChannels, to: 16)
    }
    func workspaceCount(threadCount: Int) -> Int {
        packedCount + threadCount * (patchScratchCount + productScratchCount)
    }
}

extension PatchProductPlan {
    /// A plan with a block size set from outside and all columns in one block.
    init(gatherPixels: Int, taps: (height: Int, width: Int, channels: Int), columns: Int, pixelBlock: Int) {
        pixelCount = gatherPixels
        self.columns = columns
        isPointwise = false
        self.taps = TapGroups(
            kernelHeight: max(1, taps.height), kernelWidth: max(1, taps.width), channels: taps.channels, limit: 768)
        self.pixelBlock = pixelBlock
        columnBlock = max(1, columns)
    }
}

extension KernelContext {
    /// big = transposed convolution of small. `tap(index)` is the [small channels, big channels] matrix of a kernel tap.
    func gatherFromSmall(
        _ small: UnsafePointer<Float>, plan: GatherPlan, tap: (Int) -> MatrixOperand, bias: UnsafePointer<Float>?,
        into big: UnsafeMutablePointer<Float>, workspace: UnsafeMutablePointer<Float>
    ) {
        let kernels = patches
        let extents = plan.extents
        let stride = extents.geometry.stride
        let tapSize = extents.smallChannels * extents.bigChannels

        // Packs the weights in the order of the classes' patches.
        pool.forEachChunk(plan.classCount) { index, _ in
            let part = plan[index]
            var to = workspace + packedOffset(plan, index) * tapSize
            for y in (0..<part.tapHeight).reversed() {
                for x in (0..<part.tapWidth).reversed() {
                    let row = part.kernelTop + y * stride
                    let matrix = tap(row * extents.geometry.kernelWidth + part.kernelLeft + x * stride)
                    if matrix.layout == .transposed {
                        kernels.transpose(
                            matrix.base, Int64(matrix.rowStride), Int64(extents.bigChannels),
                            Int64(extents.smallChannels), to, Int64(extents.bigChannels))
                    } else {
                        for channel in 0..<extents.smallChannels {
                            (to + channel * extents.bigChannels).update(
                                from: matrix.base + channel * matrix.rowStride, count: extents.bigChannels)
                        }
                    }
                    to += tapSize
                }
            }
        }

        let scratchBase = workspace + plan.packedCount
        let scratchCount = plan.patchScratchCount + plan.productScratchCount
        let patchScratchCount = plan.patchScratchCount
        let classBlocks = ceilDivide(
            extents.batch * ceilDivide(extents.bigHeight, stride) * ceilDivide(extents.bigWidth, stride),
            plan.pixelBlock)
        pool.forEachChunk(plan.classCount * classBlocks) { chunk, worker in
            // Neighbouring chunks are classes of the same place: they write to the same lines of the big image.
            let index = chunk % plan.classCount
            let part = plan[index]
            let product = plan.product(part)
            let start = chunk / plan.classCount * plan.pixelBlock
            let end = min(start + plan.pixelBlock, product.pixelCount)
            if start >= end { return }
            var blocks = patches_blocks(
                height: Int64(extents.bigHeight), width: Int64(extents.bigWidth),
                channels: Int64(extents.bigChannels), grid_height: Int64(part.height), grid_width: Int64(part.width),
                step: Int64(stride), offset_y: Int64(part.top), offset_x: Int64(part.left), block_height: 1,
                block_width: 1)
            if part.tapCount == 0 {
                kernels.scatter(&blocks, nil, 0, bias, Int64(start), Int64(end), big)
                return
            }
            let grid = patches_grid(
                height: Int64(extents.smallHeight), width: Int64(extents.smallWidth),
                channels: Int64(extents.smallChannels), grid_height: Int64(part.height),
                grid_width: Int64(part.width), stride: 1, offset_y: Int64(part.offsetY),
                offset_x: Int64(part.offsetX), kernel_height: Int64(part.tapHeight),
                kernel_width: Int64(part.tapWidth))
            let weights = MatrixOperand(
                base: workspace + packedOffset(plan, index) * tapSize, layout: .normal,
                rowStride: extents.bigChannels)
            let scratch = scratchBase + worker * scratchCount
            let to = stride == 1 ? big + start * extents.bigChannels : scratch + patchScratchCount
            multiplyPatchBlock(
                grid, of: small, start, end, by: weights, column: 0, columns: extents.bigChannels, plan: product,
                kernels: kernels, into: to, rowStride: extents.bigChannels, scratch: scratch)
            if stride > 1 {
                kernels.scatter(&blocks, to, Int64(extents.bigChannels), bias, Int64(start), Int64(end), big)
            } else if let bias {
                kernels.finish(
                    to, Int64(end - start), Int64(extents.bigChannels), Int64(extents.bigChannels), bias, 0)
            }
        }
    }

    /// Taps of the classes before this one.
    private func packedOffset(_ plan: GatherPlan, _ index: Int) -> Int {
        (0..<index).reduce(0) { $0 + plan[$1].tapCount }
    }
}
