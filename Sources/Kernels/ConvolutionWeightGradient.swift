import CKernels

/// The most floats of partial weight gradients that a call keeps (16 MB), besides one copy of the gradient itself.
let partialSumLimit = 1 << 22

/// How patchesᵀ · small (a weight gradient) is split: groups of taps, which own rows of the result, times strands, which are
/// contiguous ranges of pixels with their own partial result, added in order at the end. The number of strands depends on
/// the shape only: 16 over the groups, as far as partial results stay below `partialSumLimit` floats.
struct WeightGradientPlan {
    let extents: ConvolutionExtents
    let taps: TapGroups
    let groupCount: Int
    let strandCount: Int
    let pixelBlock = 256

    /// Channels of a group where patches are pixels.
    static let pointwiseGroup = 512

    init(_ extents: ConvolutionExtents) {
        self.extents = extents
        taps = TapGroups(
            kernelHeight: extents.geometry.kernelHeight, kernelWidth: extents.geometry.kernelWidth,
            channels: extents.bigChannels, limit: 512)
        groupCount =
            extents.isPointwise ? ceilDivide(extents.bigChannels, WeightGradientPlan.pointwiseGroup) : taps.count
        let size = max(1, extents.patchCount * extents.smallChannels)
        let wanted = groupCount >= 16 ? 1 : ceilDivide(16, max(1, groupCount))
        // A strand of fewer than 64 pixels costs more to add than it saves.
        strandCount = max(1, min(wanted, partialSumLimit / size, extents.smallCount / 64))
    }

    var partCount: Int { roundUp(extents.patchCount * extents.smallChannels, to: 16) }
    var scratchCount: Int { extents.isPointwise ? 0 : roundUp(pixelBlock * taps.maxPatchCount, to: 16) }
    func workspaceCount(threadCount: Int) -> Int {
        (strandCount > 1 ? strandCount * partCount : 0) + threadCount * scratchCount
    }
}

extension KernelContext {
    /// gradient = patches(big)ᵀ · small as [taps · big channels, small channels], or its transpose.
    func patchWeightGradient(
        big: UnsafePointer<Float>, small: UnsafePointer<Float>, plan: WeightGradientPlan, transposed: Bool,
        into gradient: UnsafeMutablePointer<Float>, workspace: UnsafeMutablePointer<Float>
    ) {
        let kernels = patches
        let extents = plan.extents
        let parts = plan.strandCount > 1 ? workspace : gradient
        let scratchBase = workspace + (plan.strandCount > 1 ? plan.strandCount * plan.partCount : 0)
        let (patchCount, smallChannels) = (extents.patchCount, extents.smallChannels)

        /// part[columns of the group] (+)= rowsᵀ · small pixels
        func accumulate(
            _ rows: UnsafePointer<Float>, rowStride: Int, offset: Int, count: Int, _ start: Int, _ end: Int,
            isFirst: Bool, into part: UnsafeMutablePointer<Float>
        ) {
            let pixels = small + start * smallChannels
            if transposed {
                matrixProduct(
                    rows: smallChannels, columns: count, depth: end - start, pixels, layoutA: .transposed,
                    rowStrideA: smallChannels, rows, rowStrideB: rowStride, accumulate: !isFirst, into: part + offset,
                    rowStrideC: patchCount)
            } else {
                matrixProduct(
                    rows: count, columns: smallChannels, depth: end - start, rows, layoutA: .transposed,
                    rowStrideA: rowStride, pixels, rowStrideB: smallChannels, accumulate: !isFirst,
                    into: part + offset * smallChannels, rowStrideC: smallChannels)
            }
        }

        if extents.smallCount == 0 {
            gradient.update(repeating: 0, count: patchCount * smallChannels)
            return
        }
        pool.forEachChunk(plan.groupCount * plan.strandCount) { chunk, worker in
            let strand = chunk / plan.groupCount
            let index = chunk % plan.groupCount
            let first = strand * extents.smallCount / plan.strandCount
            let last = (strand + 1) * extents.smallCount / plan.strandCount
            let part = parts + strand * plan.partCount
            if extents.isPointwise {
                let offset = index * WeightGradientPlan.pointwiseGroup
                accumulate(
                    big + first * extents.bigChannels + offset, rowStride: extents.bigChannels, offset: offset,
                    count: min(WeightGradientPlan.pointwiseGroup, extents.bigChannels - offset), first, last,
                    isFirst: true, into: part)
                return
            }
            let group = plan.taps[index]
            var grid = extents.grid.restricted(to: group)
            let scratch = scratchBase + worker * plan.scratchCount
            for start in stride(from: first, to: last, by: plan.pixelBlock) {
                let end = min(start + plan.pixelBlock, last)
                kernels.gather(&grid, big, Int64(start), Int64(end), scratch)
                accumulate(
                    scratch, rowStride: group.patchCount, offset: group.patchOffset, count: group.patchCount, start,
                    end, isFirst: start == first, into: part)
            }
        }
        if plan.strandCount > 1 {
            let count = patchCount * smallChannels
            let block = 4096
            pool.forEachChunk(ceilDivide(count, block)) { chunk, _ in
                kernels.sum_parts(
                    parts, Int64(plan.partCount), Int64(plan.strandCount), Int64(chunk * block),
                    Int64(min(count, (chunk + 1) * block)), gradient)
            }
        }
    }
}
