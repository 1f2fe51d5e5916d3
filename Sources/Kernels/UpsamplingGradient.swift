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
    var gatheredCount: Int { groupRows > 1 ? roundUp(groupRows * width * run, to: 16) : 0 }

    /// Strands are ranges of small rows with their own partial sums: 16, as far as these stay below 32 MB.
    var strandCount: Int { max(1, min(16, batch * height, 2 * partialSumLimit / max(1, weightCount))) }
    var partCount: Int { roundUp(weightCount, to: 16) }
    var biasCount: Int { roundUp(2 * strandCount * outputChannels, to: 16) }
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
                && weightGradient.shape == weights.shape && (biasGradient?.count ?? shape.outputChannels) == weights.shape[3],
            "gradient \(outputGradient.shape) of \(shape.output), \(inputGradient.shape), \(weightGradient.shape)")
        (self.outputGradient, self.input, self.weights) = (outputGradient, input, weights)
        (self.factor, self.inputGradient, self.weightGradient) = (factor, inputGradient, weightGradient)
        self.biasGradient = biasGradient
    }

    public static func workspaceCount(_ shape: UpsampleShape, threadCount: Int) -> Int {
        shape.transposedCount + shape.biasCount + shape.strandCount * shape.partCount
            + threadCount * shape.gatheredCount
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
        let (kernels, panel, strands) = (kernels, Int(CK_PANEL), shape.strandCount)
        let transposed = workspace
        let biasSums = doubles(transposed + shape.transposedCount, count: strands * shape.outputChannels)
        let parts = transposed + shape.transposedCount + shape.biasCount
        let gatheredBase = parts + strands * shape.partCount
        transposeWeights(site, into: transposed)
        pool.forEachChunk(strands) { strand, worker in
            let (first, last) = (strand * rows / strands, (strand + 1) * rows / strands)
            let sums = biasSums + strand * shape.outputChannels
            sums.update(repeating: 0, count: shape.outputChannels)
            let part = parts + strand * shape.partCount
            for row in stride(from: first, to: last, by: shape.groupRows) {
                let end = min(row + shape.groupRows, last)
                let pixels = (end - row) * shape.width
                for kernelRow in 0..<shape.scale {
                    let source = site.outputGradient.base + (row * shape.scale + kernelRow) * bigRow
                    var gradient = UnsafePointer(source)
                    if shape.groupRows > 1 {
                        let gathered = gatheredBase + worker * shape.gatheredCount
                        kernels.pointee.copy_channels(
                            source, shape.scale * bigRow, gathered, bigRow, end - row, bigRow, 0)
                        gradient = UnsafePointer(gathered)
                    }
                    if site.biasGradient != nil {
                        kernels.pointee.column_sums(gradient, pixels * shape.scale, shape.outputChannels, sums)
                    }
                    var back = ck_product(
                        rows: pixels, columns: shape.inputChannels, depth: run, a: gradient, a_row: run, a_depth: 1,
                        b: transposed + kernelRow * shape.transposedRow, b_panel: run * panel, b_depth: panel,
                        c: site.inputGradient.row(row), c_row: site.inputGradient.stride, bias: nil,
                        accumulate: kernelRow > 0 ? 1 : 0, relu: 0)
                    // The next kernel row of this group, or the first of the next one.
                    let isLast = kernelRow + 1 == shape.scale
                    let next = isLast ? (end * shape.scale) : (row * shape.scale + kernelRow + 1)
                    if !isLast || end < last {
                        back.ahead.0 = ck_ahead(
                            base: site.outputGradient.base + next * bigRow, stride: shape.scale * bigRow,
                            floats: bigRow, rows: isLast ? min(shape.groupRows, last - end) : end - row)
                    }
                    multiply(&back)
                    var weights = ck_product(
                        rows: shape.inputChannels, columns: run, depth: pixels, a: site.input.row(row), a_row: 1,
                        a_depth: site.input.stride, b: gradient, b_panel: panel, b_depth: run,
                        c: part + kernelRow * run, c_row: shape.scale * run, bias: nil,
                        accumulate: row > first ? 1 : 0, relu: 0)
                    multiply(&weights)
                }
            }
        }
        let patches = patches
        forEach(.elements(shape.weightCount)) { begin, count in
            patches.sum_parts(
                parts, Int64(shape.partCount), Int64(strands), Int64(begin), Int64(begin + count),
                site.weightGradient.base)
            if site.factor != 1 { kernels.pointee.scale(site.weightGradient.base + begin, site.factor, count) }
        }
        if let bias = site.biasGradient {
            ck_combine(biasSums, strands, shape.outputChannels, bias.base)
            for i in 0..<shape.outputChannels { bias.base[i] *= site.factor }
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
