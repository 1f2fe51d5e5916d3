import CKernels
import COpenBLAS
import Tensors

/// A matrix in memory, as an operand: element (row, column) of the formula.
struct MatrixOperand {
    let base: UnsafePointer<Float>
    let layout: MatrixLayout
    /// Floats between rows of the matrix as stored.
    let rowStride: Int

    func at(row: Int, column: Int) -> UnsafePointer<Float> {
        layout == .normal ? base + row * rowStride + column : base + column * rowStride + row
    }
}

/// Rectangles of a kernel's taps whose patch columns are contiguous: whole kernel rows, or parts of one. A patch matrix is
/// built for one group at a time, which bounds it: at most `limit` columns, unless one tap has more channels than that.
struct TapGroups {
    let kernelHeight: Int
    let kernelWidth: Int
    let channels: Int
    /// Kernel rows and columns of a group (the last ones of the kernel may have fewer).
    let rows: Int
    let columns: Int
    private let columnGroups: Int
    let count: Int

    init(kernelHeight: Int, kernelWidth: Int, channels: Int, limit: Int) {
        self.kernelHeight = kernelHeight
        self.kernelWidth = kernelWidth
        self.channels = channels
        let row = kernelWidth * channels
        if row <= limit {
            rows = min(kernelHeight, max(1, limit / max(1, row)))
            columns = kernelWidth
        } else {
            rows = 1
            columns = max(1, limit / channels)
        }
        columnGroups = (kernelWidth + columns - 1) / columns
        count = (kernelHeight + rows - 1) / rows * columnGroups
    }

    /// The most columns that a patch matrix of a group has.
    var maxPatchCount: Int { rows * columns * channels }

    struct Group {
        let row: Int
        let column: Int
        let rows: Int
        let columns: Int
        /// First column in the whole patch matrix, and how many.
        let patchOffset: Int
        let patchCount: Int
    }

    subscript(index: Int) -> Group {
        let row = index / columnGroups * rows
        let column = index % columnGroups * columns
        let height = min(rows, kernelHeight - row)
        let width = min(columns, kernelWidth - column)
        return Group(
            row: row, column: column, rows: height, columns: width,
            patchOffset: (row * kernelWidth + column) * channels, patchCount: height * width * channels)
    }
}

extension patches_grid {
    /// The grid of a group of taps.
    func restricted(to group: TapGroups.Group) -> patches_grid {
        var grid = self
        grid.offset_y += Int64(group.row)
        grid.offset_x += Int64(group.column)
        grid.kernel_height = Int64(group.rows)
        grid.kernel_width = Int64(group.columns)
        return grid
    }
}

extension ConvolutionExtents {
    /// The patches of the big image that the small pixels see.
    var grid: patches_grid {
        patches_grid(
            height: Int64(bigHeight), width: Int64(bigWidth), channels: Int64(bigChannels),
            grid_height: Int64(smallHeight), grid_width: Int64(smallWidth), stride: Int64(geometry.stride),
            offset_y: Int64(-geometry.padding), offset_x: Int64(-geometry.padding),
            kernel_height: Int64(geometry.kernelHeight), kernel_width: Int64(geometry.kernelWidth))
    }
}

func roundUp(_ value: Int, to multiple: Int) -> Int { (value + multiple - 1) / multiple * multiple }
func ceilDivide(_ value: Int, _ divisor: Int) -> Int { (value + divisor - 1) / divisor }

/// How patches · matrix is split: blocks of pixels, and blocks of columns where pixels are few.
///
/// A block's patch matrix (at most 256 x 768 floats unless one tap has more than 768 channels) stays in the second-level
/// cache; the matrix of a layer is never built.
struct PatchProductPlan {
    let pixelCount: Int
    let columns: Int
    let isPointwise: Bool
    let taps: TapGroups
    let pixelBlock: Int
    let columnBlock: Int

    var pixelBlocks: Int { ceilDivide(pixelCount, pixelBlock) }
    var chunkCount: Int { pixelBlocks * ceilDivide(columns, columnBlock) }

    init(pixelCount: Int, taps: (height: Int, width: Int, channels: Int), columns: Int, isPointwise: Bool) {
        self.pixelCount = pixelCount
        self.columns = columns
        self.isPointwise = isPointwise
        self.taps = TapGroups(
            kernelHeight: taps.height, kernelWidth: taps.width, channels: taps.channels, limit: 768)
        // Without patches, the operands of a block are what has to stay in cache: 512 KB.
        let most = isPointwise ? min(1024, max(64, (1 << 17) / (taps.channels + columns) / 32 * 32)) : 256
        pixelBlock = max(48, min(most, roundUp(ceilDivide(max(1, pixelCount), 16), to: 16)))
        let pixelBlocks = ceilDivide(pixelCount, pixelBlock)
        if pixelBlocks > 0 && pixelBlocks < 8 && columns >= 256 {
            columnBlock = max(128, roundUp(ceilDivide(columns, ceilDivide(16, pixelBlocks)), to: 64))
        } else {
            columnBlock = max(1, columns)
        }
    }

    var scratchCount: Int { isPointwise ? 0 : roundUp(pixelBlock * taps.maxPatchCount, to: 16) }
    func workspaceCount(threadCount: Int) -> Int { threadCount * scratchCount }
}

/// Products whose second operand is transposed take OpenBLAS' packing path: from this many rows on it is cheaper to
/// transpose the weights first.
let transposingRows = 64

extension KernelContext {
    /// The operand if `pixels` rows don't pay for it; else its transpose in `workspace`, in normal layout.
    /// - Parameters: rows, columns: of the matrix in the formula.
    func normalOperand(
        _ operand: MatrixOperand, rows: Int, columns: Int, pixels: Int, workspace: UnsafeMutablePointer<Float>
    ) -> MatrixOperand {
        if operand.layout == .normal || pixels < transposingRows { return operand }
        let kernels = patches
        let block = 32
        pool.forEachChunk(ceilDivide(columns, block)) { chunk, _ in
            let column = chunk * block
            kernels.transpose(
                operand.base + column * operand.rowStride, Int64(operand.rowStride),
                Int64(min(block, columns - column)), Int64(rows), workspace + column, Int64(columns))
        }
        return MatrixOperand(base: workspace, layout: .normal, rowStride: columns)
    }

    /// output[pixels, columns] = patches(source)[pixels, taps · channels] · matrix, then bias and activation while the block
    /// is in cache.
    func multiplyPatches(
        _ grid: patches_grid, of source: UnsafePointer<Float>, by matrix: MatrixOperand, plan: PatchProductPlan,
        bias: UnsafePointer<Float>?, activation: Activation, into output: UnsafeMutablePointer<Float>,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let kernels = patches
        pool.forEachChunk(plan.chunkCount) { chunk, worker in
            let start = chunk % plan.pixelBlocks * plan.pixelBlock
            let end = min(start + plan.pixelBlock, plan.pixelCount)
            let column = chunk / plan.pixelBlocks * plan.columnBlock
            let columns = min(plan.columnBlock, plan.columns - column)
            let to = output + start * plan.columns + column
            multiplyPatchBlock(
                grid, of: source, start, end, by: matrix, column: column, columns: columns, plan: plan,
                kernels: kernels,
                into: to, rowStride: plan.columns, scratch: workspace + worker * plan.scratchCount)
            if bias != nil || activation == .relu {
                kernels.finish(
                    to, Int64(end - start), Int64(columns), Int64(plan.columns), bias.map { $0 + column },
                    activation == .relu ? 1 : 0)
            }
        }
    }

    /// One block of the product: patches of pixels start ..< end, columns column ..< column + columns.
    func multiplyPatchBlock(
        _ grid: patches_grid, of source: UnsafePointer<Float>, _ start: Int, _ end: Int, by matrix: MatrixOperand,
        column: Int, columns: Int, plan: PatchProductPlan, kernels: patches_kernels,
        into output: UnsafeMutablePointer<Float>, rowStride: Int, scratch: UnsafeMutablePointer<Float>
    ) {
        if plan.isPointwise {
            matrixProduct(
                rows: end - start, columns: columns, depth: plan.taps.channels,
                source + start * plan.taps.channels, rowStrideA: plan.taps.channels,
                matrix.at(row: 0, column: column), layoutB: matrix.layout, rowStrideB: matrix.rowStride,
                accumulate: false, into: output, rowStrideC: rowStride)
            return
        }
        for index in 0..<plan.taps.count {
            let group = plan.taps[index]
            var part = grid.restricted(to: group)
            kernels.gather(&part, source, Int64(start), Int64(end), scratch)
            matrixProduct(
                rows: end - start, columns: columns, depth: group.patchCount, scratch, rowStrideA: group.patchCount,
                matrix.at(row: group.patchOffset, column: column), layoutB: matrix.layout,
                rowStrideB: matrix.rowStride, accumulate: index > 0, into: output, rowStrideC: rowStride)
        }
    }
}
