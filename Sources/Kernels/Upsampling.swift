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
    /// Packed weights of one kernel row.
    var packedRow: Int { inputChannels * roundUp(run, to: Int(CK_PANEL)) }
    var output: Shape { [batch, height * scale, width * scale, outputChannels] }
    /// Whether all weights together take a small part of a second-level cache.
    var isSmall: Bool { scale * packedRow <= 1 << 16 }
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
    let hasBias: Bool

    /// Every term's scale times its size is the output's.
    public init(base: UpsampleBase?, terms: [UpsampleTerm], factor: Float, output: TensorView) {
        self.base = base
        self.terms = terms
        self.factor = factor
        self.output = output
        shapes = terms.map(\.shape)
        hasBias = terms.contains { $0.bias != nil }
        for shape in shapes { precondition(shape.output == output.shape, "\(shape.output) in a sum of \(output.shape)") }
        if let base { precondition(base.slice.shape == output.shape, "\(base.slice.shape) in a sum of \(output.shape)") }
        let largest = shapes.reduce(1) { max($0, $1.scale) }
        let rowFloats = max(1, output.shape[2] * output.shape[3])
        let rows = max(largest, (3 << 17) / rowFloats / largest * largest)
        // At least 6 bands, if whole blocks allow it.
        bandRows = max(largest, min(rows, ceilDivide(output.shape[0] * output.shape[1], 6) / largest * largest))
    }

    var bands: Int { ceilDivide(output.shape[1], bandRows) }

    /// Rows are numbered over all pictures.
    func outputRow(_ row: Int) -> UnsafeMutablePointer<Float> { output.base + row * output.shape[2] * output.shape[3] }

    /// A term's share of one big row.
    func product(
        term index: Int, row: Int, packed: UnsafePointer<Float>, biasRow: UnsafePointer<Float>
    ) -> ck_product {
        let (term, shape) = (terms[index], shapes[index])
        return ck_product(
            rows: shape.width, columns: shape.run, depth: shape.inputChannels, a: term.input.row(row / shape.scale),
            a_row: term.input.stride, a_depth: 1, b: packed + row % shape.scale * shape.packedRow,
            b_panel: shape.inputChannels * Int(CK_PANEL), b_depth: Int(CK_PANEL), c: outputRow(row), c_row: shape.run,
            bias: index == 0 && hasBias ? biasRow : nil, accumulate: index > 0 || base != nil ? 1 : 0, relu: 0)
    }

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
        let height = sum.output.shape[1]
        pool.forEachChunk(sum.output.shape[0] * sum.bands) { chunk, _ in
            let picture = chunk / sum.bands * height
            let first = chunk % sum.bands * sum.bandRows
            let band = (picture + first)..<(picture + min(first + sum.bandRows, height))
            let isInterleaved = sum.shapes[0].isSmall
            if !isInterleaved { placeBase(sum, rows: band) }
            var packed = biasRow + roundUp(sum.shapes[0].run, to: 16)
            for (term, shape) in sum.shapes.enumerated() {
                let small = (band.lowerBound / shape.scale)..<(band.upperBound / shape.scale)
                if term == 0 && isInterleaved {
                    addByRows(sum, small, packed: packed, biasRow: biasRow)
                } else {
                    addByKernelRows(sum, term: term, small, packed: packed, biasRow: biasRow)
                }
                packed += roundUp(shape.scale * shape.packedRow, to: 16)
            }
        }
    }

    /// The base's share of big rows of one picture.
    private func placeBase(_ sum: UpsampleSum, rows: Range<Int>) {
        guard let base = sum.base else { return }
        normalizedDropout(
            base.slice, normalization: base.normalization, firstChannel: base.firstChannel, mask: base.mask,
            elementStride: base.pictureChannels, factor: sum.factor, rows: rows, into: sum.outputRow(rows.lowerBound),
            outputStride: sum.output.shape[3])
    }

    /// The base and the first term, one big row after the other: each product fetches the next row's memory.
    private func addByRows(
        _ sum: UpsampleSum, _ small: Range<Int>, packed: UnsafePointer<Float>, biasRow: UnsafePointer<Float>
    ) {
        let shape = sum.shapes[0]
        let last = small.upperBound * shape.scale
        for row in (small.lowerBound * shape.scale)..<last {
            placeBase(sum, rows: row..<(row + 1))
            var product = sum.product(term: 0, row: row, packed: packed, biasRow: biasRow)
            if row + 1 < last {
                product.ahead.0 = ck_ahead(sum.outputRow(row + 1), count: shape.width * shape.run)
                if let slice = sum.base?.slice {
                    product.ahead.1 = ck_ahead(
                        base: slice.row(row + 1), stride: slice.stride, floats: slice.channels, rows: slice.width)
                }
            }
            multiply(&product)
        }
    }

    /// One term; its weights come from afar, so each row of them meets all small rows of the band, and these fetch the
    /// next.
    private func addByKernelRows(
        _ sum: UpsampleSum, term: Int, _ small: Range<Int>, packed: UnsafePointer<Float>, biasRow: UnsafePointer<Float>
    ) {
        let shape = sum.shapes[term]
        let share = roundUp(ceilDivide(shape.packedRow, max(1, small.count)), to: 16)
        for kernelRow in 0..<shape.scale {
            for row in small {
                var product = sum.product(
                    term: term, row: row * shape.scale + kernelRow, packed: packed, biasRow: biasRow)
                let begin = (row - small.lowerBound) * share
                if kernelRow + 1 < shape.scale && begin < shape.packedRow {
                    product.ahead.0 = ck_ahead(
                        packed + (kernelRow + 1) * shape.packedRow + begin, count: min(share, shape.packedRow - begin))
                }
                multiply(&product)
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
}
