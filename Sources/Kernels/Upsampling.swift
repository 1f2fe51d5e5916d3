import CKernels
import Tensors

// Transposed convolutions whose kernel equals their stride, alone or summed: every small pixel becomes a block of
// scale x scale pixels. A row of blocks is `scale` rows of the big picture, and one of those is a matrix product of the
// small row that goes straight to its place: nothing is scattered.

/// A range of a picture's channels: every pixel lies `stride` floats from the last.
public struct ChannelSlice {
    public let base: UnsafeMutablePointer<Float>
    public let stride: Int
    let batch: Int
    let height: Int
    let width: Int
    public let channels: Int

    /// - Parameter channels: nil for all.
    public init(_ picture: TensorView, channels: Range<Int>? = nil) {
        let all = picture.lastDimension
        let range = channels ?? 0..<all
        precondition(
            picture.shape.rank == 4 && range.lowerBound >= 0 && range.upperBound <= all,
            "channels \(range) of \(picture.shape)")
        base = picture.base + range.lowerBound
        (batch, height, width) = (picture.shape[0], picture.shape[1], picture.shape[2])
        self.channels = range.count
        stride = all
    }

    /// Makes an array: not for use in a step.
    public var shape: Shape { [batch, height, width, channels] }

    func row(_ row: Int) -> UnsafeMutablePointer<Float> { base + row * width * stride }
}

/// One transposed convolution of a sum: input [N, h, w, Ci], weights [Ci, scale, scale, Co].
public struct UpsampleTerm {
    public let input: ChannelSlice
    public let weights: TensorView
    public let bias: TensorView?

    public init(input: ChannelSlice, weights: TensorView, bias: TensorView?) {
        (self.input, self.weights, self.bias) = (input, weights, bias)
    }

    var shape: UpsampleShape { UpsampleShape(input, weights: weights.shape) }
}

/// Sizes of one transposed convolution.
public struct UpsampleShape: Sendable {
    let batch: Int
    let height: Int
    let width: Int
    let inputChannels: Int
    let outputChannels: Int
    let scale: Int

    public init(input: Shape, weights: Shape) {
        precondition(
            input.rank == 4 && weights.rank == 4 && weights[0] == input[3] && weights[1] == weights[2],
            "upsampling of \(input) by \(weights)")
        (batch, height, width, inputChannels) = (input[0], input[1], input[2], input[3])
        (scale, outputChannels) = (weights[1], weights[3])
    }

    init(_ input: ChannelSlice, weights: Shape) {
        precondition(
            weights.rank == 4 && weights[0] == input.channels && weights[1] == weights[2],
            "upsampling of \(input.channels) channels by \(weights)")
        (batch, height, width, inputChannels) = (input.batch, input.height, input.width, input.channels)
        (scale, outputChannels) = (weights[1], weights[3])
    }

    func isOutput(_ shape: Shape) -> Bool {
        shape.rank == 4 && shape[0] == batch && shape[1] == height * scale && shape[2] == width * scale
            && shape[3] == outputChannels
    }

    /// Floats of a small pixel's part of one big row.
    var run: Int { scale * outputChannels }
    var weightCount: Int { inputChannels * scale * run }
    /// Packed weights of one kernel row, forward and transposed.
    var packedRow: Int { inputChannels * roundUp(run, to: Int(CK_PANEL)) }
    var transposedRow: Int { run * roundUp(inputChannels, to: Int(CK_PANEL)) }
    var output: Shape { [batch, height * scale, width * scale, outputChannels] }

    // Input gradient: a chunk is a band of small rows of one picture.
    var gradientBand: Int { max(1, min(height, ceilDivide(batch * height, 12))) }
    var gradientBands: Int { ceilDivide(height, gradientBand) }

    // Weight gradient: a chunk is a kernel row and a range of its columns, for a strand of small rows.
    var columnBlock: Int { min(run, 512) }
    var columnBlocks: Int { ceilDivide(run, columnBlock) }
    var strandCount: Int {
        let wanted = ceilDivide(16, max(1, scale * columnBlocks))
        return max(1, min(wanted, batch * height, partialSumLimit / max(1, weightCount)))
    }
    var partCount: Int { roundUp(weightCount, to: 16) }
    /// Small rows whose gradients are gathered for one product, at least one: a deep product reads its sums seldom.
    var gatheredRows: Int { max(1, 128 / max(1, width)) }
    var gatheredCount: Int { roundUp(gatheredRows * width * columnBlock, to: 16) }
}

/// What upsampled terms are added to: some channels of a picture, which a normalisation and a dropout of the whole picture
/// may stand in front of.
public struct UpsampleBase {
    let slice: ChannelSlice
    let firstChannel: Int
    let pictureChannels: Int
    let normalization: InputNormalization?
    let mask: DropoutMask?

    public init(
        _ picture: TensorView, channels: Range<Int>, normalization: InputNormalization?, mask: DropoutMask?
    ) {
        slice = ChannelSlice(picture, channels: channels)
        firstChannel = channels.lowerBound
        pictureChannels = picture.lastDimension
        self.normalization = normalization
        self.mask = mask
    }
}

/// output = factor · (base + Σ upsampled terms), [N, H, W, Co], with everything resolved that does not change from run to
/// run. Bands of big rows stay in a second-level cache while all terms add to them.
public struct UpsampleSum {
    let base: UpsampleBase?
    let terms: [UpsampleTerm]
    let factor: Float
    let output: TensorView
    let shapes: [UpsampleShape]
    let bandRows: Int

    /// Every term's scale times its size is the output's.
    public init(base: UpsampleBase?, terms: [UpsampleTerm], factor: Float, output: TensorView) {
        self.base = base
        self.terms = terms
        self.factor = factor
        self.output = output
        shapes = terms.map(\.shape)
        for shape in shapes { precondition(shape.output == output.shape, "\(shape.output) in a sum of \(output.shape)") }
        if let base { precondition(base.slice.shape == output.shape, "\(base.slice.shape) in a sum of \(output.shape)") }
        let largest = shapes.reduce(1) { max($0, $1.scale) }
        let rowFloats = max(1, output.shape[2] * output.shape[3])
        let rows = max(largest, (3 << 17) / rowFloats / largest * largest)
        // At least 6 bands, if whole blocks allow it.
        bandRows = max(largest, min(rows, ceilDivide(output.shape[0] * output.shape[1], 6) / largest * largest))
    }

    var bands: Int { ceilDivide(output.shape[1], bandRows) }

    /// Floats of the weights and biases in the form that `upsampleSum` wants. It needs no other memory.
    public static func packedCount(_ shapes: [UpsampleShape]) -> Int {
        shapes.reduce(0) { $0 + roundUp($1.scale * $1.packedRow, to: 16) } + roundUp(shapes[0].run, to: 16)
    }
}

extension KernelContext {
    /// Weights and biases of a sum in the form that `upsampleSum` wants.
    public func packUpsampleSum(_ sum: UpsampleSum, into packed: UnsafeMutablePointer<Float>) {
        combineBiases(sum.terms, factor: sum.factor, run: sum.shapes[0].run, into: packed)
        var next = packed + roundUp(sum.shapes[0].run, to: 16)
        for index in sum.terms.indices {
            packScaled(sum.terms[index].weights.base, sum.shapes[index], factor: sum.factor, into: next)
            next += roundUp(sum.shapes[index].scale * sum.shapes[index].packedRow, to: 16)
        }
    }

    public func upsampleSum(_ sum: UpsampleSum, packed biasRow: UnsafePointer<Float>) {
        let panel = Int(CK_PANEL)
        let (batch, height, width, channels) = (
            sum.output.shape[0], sum.output.shape[1], sum.output.shape[2], sum.output.shape[3]
        )
        let packed = biasRow + roundUp(sum.shapes[0].run, to: 16)
        let hasBias = sum.terms.contains { $0.bias != nil }
        let row = width * channels
        pool.forEachChunk(batch * sum.bands) { chunk, _ in
            let picture = chunk / sum.bands
            let first = chunk % sum.bands * sum.bandRows
            let last = min(first + sum.bandRows, height)
            if let base = sum.base {
                normalizedDropout(
                    base.slice, normalization: base.normalization, firstChannel: base.firstChannel, mask: base.mask,
                    elementStride: base.pictureChannels, factor: sum.factor,
                    rows: (picture * height + first)..<(picture * height + last),
                    into: sum.output.base + (picture * height + first) * row, outputStride: channels)
            }
            var packedTerm = packed
            for index in sum.terms.indices {
                let (term, shape) = (sum.terms[index], sum.shapes[index])
                for kernelRow in 0..<shape.scale {
                    for small in (first / shape.scale)..<(last / shape.scale) {
                        var product = ck_product(
                            rows: shape.width, columns: shape.run, depth: shape.inputChannels,
                            a: term.input.row(picture * shape.height + small), a_row: term.input.stride, a_depth: 1,
                            b: packedTerm + kernelRow * shape.packedRow, b_panel: shape.inputChannels * panel,
                            b_depth: panel,
                            c: sum.output.base + (picture * height + small * shape.scale + kernelRow) * row,
                            c_row: shape.run, bias: index == 0 && hasBias ? biasRow : nil,
                            accumulate: index > 0 || sum.base != nil ? 1 : 0, relu: 0)
                        multiply(&product)
                    }
                }
                packedTerm += roundUp(shape.scale * shape.packedRow, to: 16)
            }
        }
    }

    /// factor · the sum of all biases, once for every column of a block row of the first term.
    private func combineBiases(
        _ terms: [UpsampleTerm], factor: Float, run: Int, into row: UnsafeMutablePointer<Float>
    ) {
        row.update(repeating: 0, count: run)
        for term in terms {
            guard let bias = term.bias else { continue }
            for i in 0..<run { row[i] += factor * bias.base[i % bias.count] }
        }
    }

    /// Weights [Ci, scale, scale · Co] as `scale` packed matrices [Ci, scale · Co], times `factor`.
    private func packScaled(
        _ weights: UnsafePointer<Float>, _ shape: UpsampleShape, factor: Float,
        into packed: UnsafeMutablePointer<Float>
    ) {
        let (kernels, panel) = (kernels, Int(CK_PANEL))
        let panels = ceilDivide(shape.run, panel)
        pool.forEachChunk(shape.scale * panels) { chunk, _ in
            let (row, first) = (chunk / panels, chunk % panels * panel)
            let to = packed + row * shape.packedRow
            kernels.pointee.pack_panels(
                weights + row * shape.run, shape.scale * shape.run, 1, shape.inputChannels, first,
                min(shape.run, first + panel), to)
            if factor != 1 {
                kernels.pointee.scale(to + first * shape.inputChannels, factor, shape.inputChannels * panel)
            }
        }
    }

    // MARK: Gradients

    public static func upsampleInputGradientWorkspaceCount(_ shape: UpsampleShape) -> Int {
        roundUp(shape.scale * shape.transposedRow, to: 16)
    }

    public static func upsampleWeightGradientWorkspaceCount(_ shape: UpsampleShape, threadCount: Int) -> Int {
        (shape.strandCount > 1 ? shape.strandCount * shape.partCount : 0) + threadCount * shape.gatheredCount
    }

    /// inputGradient [N, h, w, Ci] (+)= factor · the gradient of the upsampled input; `accumulate` adds to what is there.
    public func upsampleInputGradient(
        outputGradient: TensorView, weights: TensorView, factor: Float, accumulate: Bool, inputGradient: ChannelSlice,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let shape = UpsampleShape(inputGradient, weights: weights.shape)
        precondition(shape.isOutput(outputGradient.shape), "gradient \(outputGradient.shape) of \(shape.output)")
        let (kernels, panel) = (kernels, Int(CK_PANEL))
        let panels = ceilDivide(shape.inputChannels, panel)
        pool.forEachChunk(shape.scale * panels) { chunk, _ in
            let (row, first) = (chunk / panels, chunk % panels * panel)
            let to = workspace + row * shape.transposedRow
            kernels.pointee.pack_panels(
                weights.base + row * shape.run, 1, shape.scale * shape.run, shape.run, first,
                min(shape.inputChannels, first + panel), to)
            if factor != 1 { kernels.pointee.scale(to + first * shape.run, factor, shape.run * panel) }
        }
        let bigRow = shape.width * shape.run
        pool.forEachChunk(shape.batch * shape.gradientBands) { chunk, _ in
            let picture = chunk / shape.gradientBands * shape.height
            let first = chunk % shape.gradientBands * shape.gradientBand
            let last = min(first + shape.gradientBand, shape.height)
            for kernelRow in 0..<shape.scale {
                for row in (picture + first)..<(picture + last) {
                    var product = ck_product(
                        rows: shape.width, columns: shape.inputChannels, depth: shape.run,
                        a: outputGradient.base + (row * shape.scale + kernelRow) * bigRow, a_row: shape.run,
                        a_depth: 1, b: workspace + kernelRow * shape.transposedRow, b_panel: shape.run * panel,
                        b_depth: panel, c: inputGradient.row(row), c_row: inputGradient.stride, bias: nil,
                        accumulate: accumulate || kernelRow > 0 ? 1 : 0, relu: 0)
                    product.ahead.0 = ck_ahead(
                        outputGradient.base + (min(row + 1, picture + last - 1) * shape.scale + kernelRow) * bigRow,
                        count: bigRow)
                    multiply(&product)
                }
            }
        }
    }

    /// weightGradient [Ci, scale, scale, Co] = factor · the gradient of the weights.
    public func upsampleWeightGradient(
        input: ChannelSlice, outputGradient: TensorView, factor: Float, weightGradient: TensorView,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let shape = UpsampleShape(input, weights: weightGradient.shape)
        precondition(shape.isOutput(outputGradient.shape), "gradient \(outputGradient.shape) of \(shape.output)")
        let kernels = kernels
        let strands = shape.strandCount
        let parts = strands > 1 ? workspace : weightGradient.base
        let (rows, bigRow) = (shape.batch * shape.height, shape.width * shape.run)
        if rows * shape.width == 0 {
            weightGradient.base.update(repeating: 0, count: weightGradient.count)
            return
        }
        let blocks = shape.columnBlocks
        let gatheredBase = workspace + (strands > 1 ? strands * shape.partCount : 0)
        pool.forEachChunk(strands * shape.scale * blocks) { chunk, worker in
            let strand = chunk / (shape.scale * blocks)
            let kernelRow = chunk / blocks % shape.scale
            let column = chunk % blocks * shape.columnBlock
            let columns = min(shape.columnBlock, shape.run - column)
            let gathered = gatheredBase + worker * shape.gatheredCount
            let (first, last) = (strand * rows / strands, (strand + 1) * rows / strands)
            for row in stride(from: first, to: last, by: shape.gatheredRows) {
                let end = min(row + shape.gatheredRows, last)
                for small in row..<end {
                    kernels.pointee.copy_channels(
                        outputGradient.base + (small * shape.scale + kernelRow) * bigRow + column, shape.run,
                        gathered + (small - row) * shape.width * columns, columns, shape.width, columns, 0)
                }
                var product = ck_product(
                    rows: shape.inputChannels, columns: columns, depth: (end - row) * shape.width,
                    a: input.row(row), a_row: 1, a_depth: input.stride, b: gathered, b_panel: Int(CK_PANEL),
                    b_depth: columns, c: parts + strand * shape.partCount + kernelRow * shape.run + column,
                    c_row: shape.scale * shape.run, bias: nil, accumulate: row > first ? 1 : 0, relu: 0)
                let next = min(shape.gatheredRows, last - end)
                if next > 0 {
                    product.ahead.0 = ck_ahead(
                        base: outputGradient.base + (end * shape.scale + kernelRow) * bigRow,
                        stride: shape.scale * bigRow, floats: bigRow, rows: next)
                }
                multiply(&product)
            }
        }
        let patches = patches
        forEach(.elements(shape.weightCount)) { begin, count in
            if strands > 1 {
                patches.sum_parts(
                    parts, Int64(shape.partCount), Int64(strands), Int64(begin), Int64(begin + count),
                    weightGradient.base)
            }
            if factor != 1 { kernels.pointee.scale(weightGradient.base + begin, factor, count) }
        }
    }
}
