import CKernels
import Tensors

// Depthwise, then pointwise convolution as one: what lies between the two never leaves the cache, and neither do the
// normalised form of the input, the gradient before the activation and the gradient between the two. Work is a walk down
// strips of picture rows, a few rows at a time.

/// A batch normalisation that the input passes on its way in: `[C]` each.
public struct InputNormalization {
    public let mean: TensorView
    public let variance: TensorView
    public let gain: TensorView
    public let bias: TensorView
    public let epsilon: Float

    public init(mean: TensorView, variance: TensorView, gain: TensorView, bias: TensorView, epsilon: Float) {
        (self.mean, self.variance, self.gain, self.bias, self.epsilon) = (mean, variance, gain, bias, epsilon)
    }
}

/// A batch normalisation behind the output whose gradient is still to be taken: its statistics are the output's own, and
/// the gradients of its gain and bias (`[C]` each) are what the whole batch contributes.
public struct OutputNormalization {
    public let mean: TensorView
    public let variance: TensorView
    public let gain: TensorView
    public let gainGradient: TensorView
    public let biasGradient: TensorView
    public let epsilon: Float

    public init(
        mean: TensorView, variance: TensorView, gain: TensorView, gainGradient: TensorView, biasGradient: TensorView,
        epsilon: Float
    ) {
        (self.mean, self.variance, self.gain) = (mean, variance, gain)
        (self.gainGradient, self.biasGradient, self.epsilon) = (gainGradient, biasGradient, epsilon)
    }
}

/// Where the statistics of a picture go: mean and population variance of each channel, `[C]`.
public struct BatchStatistics {
    public let mean: TensorView
    public let variance: TensorView

    public init(mean: TensorView, variance: TensorView) { (self.mean, self.variance) = (mean, variance) }
}

/// Sizes of a separable convolution, and how it is cut: a function of the shapes only.
struct SeparablePlan {
    let batch: Int
    let height: Int
    let width: Int
    let inputChannels: Int
    let outputChannels: Int
    let kernelHeight: Int
    let kernelWidth: Int

    /// - depthwise: [kh, kw, Ci]; pointwise: [1, 1, Ci, Co].
    init(input: Shape, depthwise: Shape, pointwise: Shape) {
        precondition(
            input.rank == 4 && depthwise.rank == 3 && pointwise.rank == 4 && depthwise[2] == input[3]
                && pointwise[2] == input[3] && pointwise[0] == 1 && pointwise[1] == 1
                && depthwise[0] % 2 == 1 && depthwise[1] % 2 == 1 && depthwise[0] * depthwise[1] <= 128,
            "separable convolution of \(input) by \(depthwise) and \(pointwise)")
        (batch, height, width, inputChannels) = (input[0], input[1], input[2], input[3])
        (kernelHeight, kernelWidth, outputChannels) = (depthwise[0], depthwise[1], pointwise[3])
    }

    /// Rows above and below that the depthwise kernel sees.
    var margin: Int { kernelHeight / 2 }
    var rowCount: Int { batch * height }

    /// Rows of a step: about 128 KB of the wider side.
    var stepRows: Int {
        max(1, min(height, (1 << 15) / max(1, width * max(inputChannels, outputChannels))))
    }

    // MARK: Forward

    /// Rows of a chunk: the rows around it are normalised once more.
    var forwardRows: Int { min(height, max(2, min(8, ceilDivide(rowCount, 16)))) }
    var forwardStep: Int { min(forwardRows, stepRows) }

    /// Rows of a ring that holds those of a step and `margin` rows on either side: whole steps, so that none is cut.
    func ringRows(step: Int) -> Int { roundUp(step + 2 * margin, to: step) }
    func ringCount(step: Int) -> Int { roundUp(ringRows(step: step) * width * inputChannels, to: 16) }
    func inputRowsCount(_ rows: Int) -> Int { roundUp(rows * width * inputChannels, to: 16) }
    func outputRowsCount(_ rows: Int) -> Int { roundUp(rows * width * outputChannels, to: 16) }

    var forwardScratch: Int { ringCount(step: forwardStep) + inputRowsCount(forwardStep) }
    var forwardChunksHigh: Int { ceilDivide(height, forwardRows) }
    /// Float64 moments of a chunk's results: see `ck_moments`.
    var momentsCount: Int { 2 * outputChannels + 1 }
    func forwardWorkspaceCount(threadCount: Int, statistics: Bool) -> Int {
        threadCount * forwardScratch + (statistics ? 2 * batch * forwardChunksHigh * momentsCount : 0)
    }

    // MARK: Backward

    /// Rows of a strip: `margin` rows around it are computed twice.
    var stripRows: Int { max(1, min(height, 48, max(6, ceilDivide(rowCount, 12)))) }
    var stripsHigh: Int { ceilDivide(height, stripRows) }
    var stripCount: Int { batch * stripsHigh }
    var backwardStep: Int { min(stripRows, stepRows) }
    /// Strips are shared out over strands, which keep partial sums of their own.
    var strandCount: Int { max(1, min(stripCount, 48, max(4, partialSumLimit / max(1, pointwiseCount)))) }
    var pointwiseCount: Int { roundUp(inputChannels * outputChannels, to: 16) }
    /// Float64 sums of a strand: depthwise weights, bias, and the two sums of the input's normalisation.
    var depthwiseSums: Int { kernelHeight * kernelWidth * inputChannels }
    var transposedCount: Int { outputChannels * roundUp(inputChannels, to: Int(CK_PANEL)) }

    var backwardScratch: Int {
        2 * ringCount(step: backwardStep) + inputRowsCount(backwardStep) + outputRowsCount(backwardStep)
    }

    func backwardWorkspaceCount(threadCount: Int) -> Int {
        let sums = roundUp(2 * (depthwiseSums + outputChannels + 2 * inputChannels), to: 16)
        return transposedCount + strandCount * (pointwiseCount + sums) + threadCount * backwardScratch
    }
}

extension KernelContext {
    /// Packs B `[depth, columns]`, element (k, n) at k · row + n · column, into panels for `product`.
    func packPanels(
        _ matrix: UnsafePointer<Float>, row: Int, column: Int, depth: Int, columns: Int,
        into panels: UnsafeMutablePointer<Float>
    ) {
        let (kernels, panel) = (kernels, Int(CK_PANEL))
        pool.forEachChunk(ceilDivide(columns, panel)) { chunk, _ in
            kernels.pointee.pack_panels(
                matrix, row, column, depth, chunk * panel, min(columns, (chunk + 1) * panel), panels)
        }
    }

    /// Floats of the pointwise weights in panels.
    public static func separableConvolution2DPackedCount(pointwise: Shape) -> Int {
        pointwise[2] * roundUp(pointwise[3], to: Int(CK_PANEL))
    }

    /// Pointwise weights `[1, 1, Ci, Co]` in the form that `separableConvolution2D` wants.
    public func packSeparableConvolution2D(pointwise: TensorView, into packed: UnsafeMutablePointer<Float>) {
        let (ci, co) = (pointwise.shape[2], pointwise.shape[3])
        packPanels(pointwise.base, row: co, column: 1, depth: ci, columns: co, into: packed)
    }

    public static func separableConvolution2DWorkspaceCount(
        input: Shape, depthwise: Shape, pointwise: Shape, statistics: Bool, threadCount: Int
    ) -> Int {
        SeparablePlan(input: input, depthwise: depthwise, pointwise: pointwise)
            .forwardWorkspaceCount(threadCount: threadCount, statistics: statistics)
    }

    /// input `[N, H, W, Ci]`, normalised first if asked for; depthwise `[kh, kw, Ci]`, zero padding that keeps the size;
    /// pointwise `[1, 1, Ci, Co]` (`packed`), bias `[Co]`, activation → output `[N, H, W, Co]`, and its statistics if
    /// asked for: taken row by row while they are in cache, in float64 about each chunk's first pixel.
    public func separableConvolution2D(
        input: TensorView, normalization: InputNormalization?, depthwise: TensorView,
        packed: UnsafePointer<Float>, bias: TensorView?, activation: Activation, output: TensorView,
        statistics: BatchStatistics?, workspace: UnsafeMutablePointer<Float>
    ) {
        let plan = SeparablePlan(
            input: input.shape, depthwise: depthwise.shape,
            pointwise: [1, 1, input.lastDimension, output.lastDimension])
        let (height, width, ci, co) = (plan.height, plan.width, plan.inputChannels, plan.outputChannels)
        precondition(output.count == plan.rowCount * width * co, "output \(output.shape) of \(input.shape)")
        let (kernels, margin) = (kernels, plan.margin)
        let scratchBase = workspace
        let chunksHigh = plan.forwardChunksHigh
        let momentsBase = doubles(
            workspace + pool.threadCount * plan.forwardScratch, count: plan.batch * chunksHigh * plan.momentsCount)
        pool.forEachChunk(plan.batch * chunksHigh) { chunk, worker in
            let image = chunk / chunksHigh * height
            let first = image + chunk % chunksHigh * plan.forwardRows
            let last = min(first + plan.forwardRows, image + height)
            let normalized = scratchBase + worker * plan.forwardScratch
            let between = normalized + plan.ringCount(step: plan.forwardStep)
            var rows = NormalizedRows(
                input, normalization, plan, first: max(image, first - margin),
                ring: plan.ringRows(step: plan.forwardStep), memory: normalized)
            let moments = momentsBase + chunk * plan.momentsCount
            let origin = output.base + first * width * co
            if statistics != nil { moments.update(repeating: 0, count: 2 * co) }
            for row in stride(from: first, to: last, by: plan.forwardStep) {
                let end = min(row + plan.forwardStep, last)
                rows.extend(to: min(image + height, end + margin), kernels)
                kernels.pointee.depthwise(
                    &rows.source, depthwise.base, between, row, row, end, height, width, ci, plan.kernelHeight,
                    plan.kernelWidth, 0)
                var product = ck_product(
                    rows: (end - row) * width, columns: co, depth: ci, a: between, a_row: ci, a_depth: 1, b: packed,
                    b_panel: ci * Int(CK_PANEL), b_depth: Int(CK_PANEL), c: output.base + row * width * co, c_row: co,
                    bias: bias.map { UnsafePointer($0.base) }, accumulate: 0, relu: activation == .relu ? 1 : 0)
                // The next step's rows, and the place of its results.
                let next = min(end + plan.forwardStep, last) - end
                if next > 0 {
                    let below = min(end + margin, image + height)
                    product.ahead.0 = ck_ahead(
                        input.base + below * width * ci, count: min(next, image + height - below) * width * ci)
                    product.ahead.1 = ck_ahead(output.base + end * width * co, count: next * width * co)
                }
                multiply(&product)
                if statistics != nil {
                    kernels.pointee.norm_sums(
                        output.base + row * width * co, origin, (end - row) * width, co, moments)
                }
            }
            if statistics != nil { ck_moments(moments, origin, co, (last - first) * width) }
        }
        if let statistics {
            ck_moments_combine(
                momentsBase, plan.batch * chunksHigh, co, statistics.mean.base, statistics.variance.base)
        }
    }
}

/// Rows of the input as the depthwise kernel reads them. Behind a normalisation they lie in a ring, and each is normalised
/// once as the walk comes to it.
struct NormalizedRows {
    var source: ck_rows
    private let input: TensorView
    private let normalization: InputNormalization?
    private let row: Int
    private let channels: Int
    private let memory: UnsafeMutablePointer<Float>
    /// Rows before this one are there.
    private var end: Int

    /// - Parameter first: the first row that the walk reads.
    init(
        _ input: TensorView, _ normalization: InputNormalization?, _ plan: SeparablePlan, first: Int, ring: Int,
        memory: UnsafeMutablePointer<Float>
    ) {
        (self.input, self.normalization, self.memory, end) = (input, normalization, memory, first)
        (row, channels) = (plan.width * plan.inputChannels, plan.inputChannels)
        source = normalization == nil ? ck_rows(input) : ck_rows(base: memory, first: first, ring: ring)
    }

    /// Adds the rows up to `last`, at the cost of those that a ring's length lie before them.
    mutating func extend(to last: Int, _ kernels: UnsafePointer<ck_kernels>) {
        guard let norm = normalization else { return }
        while end < last {
            let place = (end - source.first) % source.ring
            let count = min(last - end, source.ring - place)
            kernels.pointee.norm_apply(
                input.base + end * row, memory + place * row, count * row / channels, channels, norm.mean.base,
                norm.variance.base, norm.gain.base, norm.bias.base, norm.epsilon)
            end += count
        }
    }
}
