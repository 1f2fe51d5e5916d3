import CKernels
import Tensors

/// The patches of a picture, `count` rows of `width` floats, read chunk by chunk: the matrix of a whole layer never
/// exists. The chunk is chosen so that a piece of it stays in a core's second-level cache.
struct Patches {
    enum Kind { case pixels, gathered, gatheredTransposed }

    let kind: Kind
    let geometry: patches_geometry
    /// Number of patches over all pictures.
    let count: Int
    /// Floats of a patch.
    let width: Int
    /// Patches of a chunk.
    let chunk: Int

    /// Patches that a convolution with `geometry` reads from a picture of shape `source`, on a grid of rows × columns.
    init(
        _ kind: Kind, source: Shape, rows: Int, columns: Int, _ convolution: ConvolutionGeometry
    ) {
        self.kind = kind
        geometry = patches_geometry(
            height: source[1], width: source[2], channels: source[3], rows: rows, columns: columns,
            kernel_height: convolution.kernelHeight, kernel_width: convolution.kernelWidth,
            stride: convolution.stride, padding: convolution.padding)
        count = source[0] * rows * columns
        width = convolution.taps * source[3]
        chunk = Self.chunk(count: count, width: width)
    }

    /// A quarter of a megabyte to a megabyte, at least 64 rows (a matrix product of fewer is slow), at most 1/16 of the
    /// work where that leaves 64.
    static func chunk(count: Int, width: Int) -> Int {
        let bySize = (192 << 10) / max(1, width)
        let byShare = (count + 15) / 16
        return max(64, min(bySize, byShare, 2048)) / 16 * 16
    }

    var chunkCount: Int { (count + chunk - 1) / chunk }
    /// Scratch floats of one thread.
    var scratchCount: Int { kind == .pixels ? 0 : (chunk * width + 15) / 16 * 16 }

    func range(ofChunk index: Int) -> Range<Int> { (index * chunk)..<min(count, (index + 1) * chunk) }

    /// Patches of a range as a row-major matrix: in place for pixels, else in `scratch`.
    func matrix(
        _ picture: UnsafePointer<Float>, _ range: Range<Int>, scratch: UnsafeMutablePointer<Float>
    ) -> UnsafePointer<Float> {
        switch kind {
        case .pixels:
            return picture + range.lowerBound * width
        case .gathered:
            withUnsafePointer(to: geometry) { patches_gather(picture, $0, range.lowerBound, range.upperBound, scratch) }
            return UnsafePointer(scratch)
        case .gatheredTransposed:
            withUnsafePointer(to: geometry) {
                patches_gather_transposed(picture, $0, range.lowerBound, range.upperBound, scratch)
            }
            return UnsafePointer(scratch)
        }
    }
}

extension KernelContext {
    /// output [patches, columns] = patches · B, with bias and activation while a chunk is in cache.
    func patchProduct(
        _ patches: Patches, of picture: UnsafePointer<Float>, _ b: UnsafePointer<Float>, leading: Int,
        transposed: Bool, columns: Int, bias: UnsafePointer<Float>?, activation: Activation,
        output: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>
    ) {
        pool.forEachChunk(patches.chunkCount) { chunk, worker in
            let range = patches.range(ofChunk: chunk)
            let matrix = patches.matrix(picture, range, scratch: scratch + worker * patches.scratchCount)
            let target = output + range.lowerBound * columns
            matrixProduct(
                rows: range.count, columns: columns, inner: patches.width,
                matrix, leading: patches.width, transposed: false, b, leading: leading, transposed: transposed,
                target, leading: columns, accumulate: false)
            patches_epilogue(target, range.count, columns, bias, activation == .relu ? 1 : 0)
        }
    }

    /// Slabs of patches whose products are summed apart, then together in order: the parallelism of weight gradients.
    /// Partial sums stay under 16 M floats.
    static func slabCount(chunkCount: Int, resultCount: Int) -> Int {
        max(1, min(8, chunkCount, (16 << 20) / max(1, resultCount)))
    }

    /// output [rows, columns] = Σ over patches. Either patchesᵀ · other (rows = patch width) or otherᵀ · patches
    /// (columns = patch width), where `other` has one row per patch.
    func patchWeightProduct(
        _ patches: Patches, of picture: UnsafePointer<Float>, other: UnsafePointer<Float>, otherWidth: Int,
        patchesFirst: Bool, output: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>
    ) {
        let resultCount = patches.width * otherWidth
        let slabs = Self.slabCount(chunkCount: patches.chunkCount, resultCount: resultCount)
        let stride = (resultCount + 15) / 16 * 16
        let partials = scratch + pool.threadCount * patches.scratchCount
        pool.forEachChunk(slabs) { slab, worker in
            // The first slab sums where the result goes.
            let sum = slab == 0 ? output : partials + (slab - 1) * stride
            let chunks = (slab * patches.chunkCount / slabs)..<((slab + 1) * patches.chunkCount / slabs)
            for chunk in chunks {
                let range = patches.range(ofChunk: chunk)
                let matrix = patches.matrix(picture, range, scratch: scratch + worker * patches.scratchCount)
                let rows = other + range.lowerBound * otherWidth
                matrixProduct(
                    rows: patchesFirst ? patches.width : otherWidth,
                    columns: patchesFirst ? otherWidth : patches.width, inner: range.count,
                    patchesFirst ? matrix : rows, leading: patchesFirst ? patches.width : otherWidth, transposed: true,
                    patchesFirst ? rows : matrix, leading: patchesFirst ? otherWidth : patches.width,
                    transposed: false, sum, leading: patchesFirst ? otherWidth : patches.width,
                    accumulate: chunk > chunks.lowerBound)
            }
        }
        guard slabs > 1 else { return }
        let piece = 4096
        pool.forEachChunk((resultCount + piece - 1) / piece) { index, _ in
            let range = (index * piece)..<min(resultCount, (index + 1) * piece)
            for slab in 1..<slabs {
                let partial = partials + (slab - 1) * stride
                for i in range { output[i] += partial[i] }
            }
        }
    }

    static func patchWeightWorkspaceCount(_ patches: Patches, otherWidth: Int, threadCount: Int) -> Int {
        let resultCount = patches.width * otherWidth
        let slabs = slabCount(chunkCount: patches.chunkCount, resultCount: resultCount)
        return threadCount * patches.scratchCount + (slabs - 1) * ((resultCount + 15) / 16 * 16)
    }
}
