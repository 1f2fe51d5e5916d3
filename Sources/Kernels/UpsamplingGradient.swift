import CKernels
import Tensors

// All gradients of a transposed convolution whose blocks tile the output, in one walk over the output's gradient: a few
// small rows' share of it, one kernel row at a time, meets the weights, the input and the sums while it is in cache.

extension UpsampleShape {
    /// Transposed and packed weights of one kernel row.
    var transposedRow: Int { run * roundUp(inputChannels, to: Int(CK_PANEL)) }
    var transposedCount: Int { roundUp(scale * transposedRow, to: 16) }

    /// Small rows that go together, at least one: deep products read their sums seldom.
    var groupRows: Int { max(1, 128 / max(1, width)) }
    /// Floats from one gathered small pixel, and from one row of sums, to the next: a line more than a run, which is a power
    /// of two and would have rows meet in few sets of a cache.
    var pitch: Int { run + 16 }
    var gatheredCount: Int { groupRows > 1 ? roundUp(groupRows * width * pitch, to: 16) : 0 }
    var inputCount: Int { batch * height * width * inputChannels }

    /// Sums of the weight gradient: [scale, Ci, pitch].
    var sumsCount: Int { scale * inputChannels * pitch }
    /// A walk goes over a range of small rows and of kernel rows. Ranges of small rows have their own sums of the weight
    /// gradient: 16, as far as these stay below 32 MB.
    private var mostStrands: Int { max(1, min(16, batch * height, 2 * partialSumLimit / max(1, weightCount))) }
    /// Where weights are many and pixels few, each kernel row is a range of its own instead, with its own part of the input
    /// gradient: the weights and sums of one kernel row stay in cache.
    var isByKernelRow: Bool { scale >= 8 && scale * inputCount < mostStrands * weightCount }
    var strandCount: Int { isByKernelRow ? 1 : mostStrands }
    var kernelStrandCount: Int { isByKernelRow ? scale : 1 }
    var walkCount: Int { strandCount * kernelStrandCount }

    var partCount: Int { roundUp(sumsCount, to: 16) }
    var inputPartCount: Int { isByKernelRow ? roundUp(inputCount, to: 16) : 0 }
    var biasCount: Int { roundUp(2 * walkCount * outputChannels, to: 16) }
}

/// Operands and results of the gradients of one transposed convolution; everything is multiplied by `factor`.
public struct UpsampleGradients {
    let shape: UpsampleShape
    let outputGradient: TensorView
    let input: ChannelSlice
    let weights: TensorView
    let factor: Float
    let inputGradient: ChannelSlice
    let weightGradient: TensorView
    let biasGradient: TensorView?

    /// outputGradient [N, h · s, w · s, Co]; input and its gradient [N, h, w, Ci]; weights and theirs [Ci, s, s, Co]; bias
    /// gradient [Co].
    public init(
        outputGradient: TensorView, input: ChannelSlice, weights: TensorView, factor: Float,
        inputGradient: ChannelSlice, weightGradient: TensorView, biasGradient: TensorView?
    ) {
        shape = UpsampleShape(input, weights: weights.shape)
        precondition(
            shape.isOutput(outputGradient.shape) && inputGradient.shape == input.shape
                && weightGradient.shape == weights.shape
                && (biasGradient?.count ?? shape.outputChannels) == weights.shape[3],
            "gradient \(outputGradient.shape) of \(shape.output), \(inputGradient.shape), \(weightGradient.shape)")
        (self.outputGradient, self.input, self.weights) = (outputGradient, input, weights)
        (self.factor, self.inputGradient, self.weightGradient) = (factor, inputGradient, weightGradient)
        self.biasGradient = biasGradient
    }

    public static func workspaceCount(_ shape: UpsampleShape, threadCount: Int) -> Int {
        shape.transposedCount + shape.biasCount + shape.strandCount * shape.partCount
            + shape.kernelStrandCount * shape.inputPartCount + threadCount * shape.gatheredCount
    }
}

extension KernelContext {
    public func upsampleGradients(_ site: UpsampleGradients, workspace: UnsafeMutablePointer<Float>) {
        let shape = site.shape
        let (rows, bigRow, run) = (shape.batch * shape.height, shape.width * shape.run, shape.run)
        if rows * shape.width == 0 {
            site.weightGradient.base.update(repeating: 0, count: shape.weightCount)
            site.biasGradient?.base.update(repeating: 0, count: shape.outputChannels)
            return
        }
        let (kernels, panel, strands, pitch) = (kernels, Int(CK_PANEL), shape.strandCount, shape.pitch)
        let transposed = workspace
        let biasSums = doubles(transposed + shape.transposedCount, count: shape.walkCount * shape.outputChannels)
        let parts = transposed + shape.transposedCount + shape.biasCount
        let inputParts = parts + strands * shape.partCount
        let gatheredBase = inputParts + shape.kernelStrandCount * shape.inputPartCount
        transposeWeights(site, into: transposed)
        pool.forEachChunk(shape.walkCount) { walk, worker in
            let (strand, kernelStrand) = (walk / shape.kernelStrandCount, walk % shape.kernelStrandCount)
            let (first, last) = (strand * rows / strands, (strand + 1) * rows / strands)
            let kernelRows = shape.isByKernelRow ? kernelStrand..<(kernelStrand + 1) : 0..<shape.scale
            let sums = biasSums + walk * shape.outputChannels
            sums.update(repeating: 0, count: shape.outputChannels)
            let part = parts + strand * shape.partCount
            let inputPart = inputParts + kernelStrand * shape.inputPartCount
            for row in stride(from: first, to: last, by: shape.groupRows) {
                let end = min(row + shape.groupRows, last)
                let pixels = (end - row) * shape.width
                let (inputRow, inputStride) =
                    shape.isByKernelRow
                    ? (inputPart + row * shape.width * shape.inputChannels, shape.inputChannels)
                    : (site.inputGradient.row(row), site.inputGradient.stride)
                for kernelRow in kernelRows {
                    var (gradient, pixel) = (UnsafePointer(site.outputGradient.base), run)
                    gradient += (row * shape.scale + kernelRow) * bigRow
                    if site.biasGradient != nil {
                        for small in 0..<(end - row) {
                            kernels.pointee.column_sums(
                                gradient + small * shape.scale * bigRow, shape.width * shape.scale,
                                shape.outputChannels, sums)
                        }
                    }
                    if shape.groupRows > 1 {
                        let gathered = gatheredBase + worker * shape.gatheredCount
                        for small in 0..<(end - row) {
                            kernels.pointee.copy_channels(
                                gradient + small * shape.scale * bigRow, run, gathered + small * shape.width * pitch,
                                pitch, shape.width, run, 0)
                        }
                        (gradient, pixel) = (UnsafePointer(gathered), pitch)
                    }
                    var back = ck_product(
                        rows: pixels, columns: shape.inputChannels, depth: run, a: gradient, a_row: pixel, a_depth: 1,
                        b: transposed + kernelRow * shape.transposedRow, b_panel: run * panel, b_depth: panel,
                        c: inputRow, c_row: inputStride, bias: nil,
                        accumulate: kernelRow > kernelRows.lowerBound ? 1 : 0, relu: 0)
                    // The next kernel row of this group, or the first of the next one.
                    let isLast = kernelRow + 1 == kernelRows.upperBound
                    let next = isLast ? end * shape.scale + kernelRows.lowerBound : row * shape.scale + kernelRow + 1
                    if !isLast || end < last {
                        back.ahead.0 = ck_ahead(
                            base: site.outputGradient.base + next * bigRow, stride: shape.scale * bigRow,
                            floats: bigRow, rows: isLast ? min(shape.groupRows, last - end) : end - row)
                    }
                    multiply(&back)
                    var weights = ck_product(
                        rows: shape.inputChannels, columns: run, depth: pixels, a: site.input.row(row), a_row: 1,
                        a_depth: site.input.stride, b: gradient, b_panel: panel, b_depth: pixel,
                        c: part + kernelRow * shape.inputChannels * pitch, c_row: pitch, bias: nil,
                        accumulate: row > first ? 1 : 0, relu: 0)
                    multiply(&weights)
                }
            }
        }
        combineWeightGradient(site, parts)
        if shape.isByKernelRow { combineInputGradient(site, inputParts) }
        if let bias = site.biasGradient {
            ck_combine(biasSums, shape.walkCount, shape.outputChannels, bias.base)
            for i in 0..<shape.outputChannels { bias.base[i] *= site.factor }
        }
    }

    /// Adds the strands' sums [scale, Ci, pitch] into the gradient [Ci, scale, run], times the factor.
    private func combineWeightGradient(_ site: UpsampleGradients, _ parts: UnsafePointer<Float>) {
        let (shape, kernels, patches) = (site.shape, kernels, patches)
        let run = shape.run
        forEach(.rows(shape.inputChannels, of: shape.scale * run)) { begin, count in
            for channel in begin..<(begin + count) {
                for kernelRow in 0..<shape.scale {
                    let from = parts + (kernelRow * shape.inputChannels + channel) * shape.pitch
                    let to = site.weightGradient.base + (channel * shape.scale + kernelRow) * run
                    patches.sum_parts(from, Int64(shape.partCount), Int64(shape.strandCount), 0, Int64(run), to)
                    if site.factor != 1 { kernels.pointee.scale(to, site.factor, run) }
                }
            }
        }
    }

    /// Adds the kernel rows' parts of the input gradient.
    private func combineInputGradient(_ site: UpsampleGradients, _ parts: UnsafeMutablePointer<Float>) {
        let (shape, kernels) = (site.shape, kernels)
        let (channels, stride) = (shape.inputChannels, site.inputGradient.stride)
        forEach(.rows(shape.batch * shape.height * shape.width, of: channels)) { begin, count in
            let total = parts + begin * channels
            for part in 1..<shape.kernelStrandCount {
                kernels.pointee.add(total, total + part * shape.inputPartCount, count * channels)
            }
            kernels.pointee.copy_channels(
                total, channels, site.inputGradient.base + begin * stride, stride, count, channels, 0)
        }
    }

    /// Weights [Ci, scale, scale · Co] as `scale` packed matrices [scale · Co, Ci], times the factor.
    private func transposeWeights(_ site: UpsampleGradients, into transposed: UnsafeMutablePointer<Float>) {
        let (kernels, panel, shape) = (kernels, Int(CK_PANEL), site.shape)
        let panels = ceilDivide(shape.inputChannels, panel)
        pool.forEachChunk(shape.scale * panels) { chunk, _ in
            let (row, first) = (chunk / panels, chunk % panels * panel)
            let to = transposed + row * shape.transposedRow
            kernels.pointee.pack_panels(
                site.weights.base + row * shape.run, 1, shape.scale * shape.run, shape.run, first,
                min(shape.inputChannels, first + panel), to)
            if site.factor != 1 { kernels.pointee.scale(to + first * shape.run, site.factor, shape.run * panel) }
        }
    }
}
