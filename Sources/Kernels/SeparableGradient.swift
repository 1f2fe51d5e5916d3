import CKernels
import Tensors

// The way back through a separable convolution: all its gradients in one walk down strips of rows.

extension KernelContext {
    public static func separableConvolution2DGradientWorkspaceCount(
        input: Shape, depthwise: Shape, pointwise: Shape, threadCount: Int
    ) -> Int {
        SeparablePlan(input: input, depthwise: depthwise, pointwise: pointwise)
            .backwardWorkspaceCount(threadCount: threadCount)
    }

    /// What the gradient of a separable convolution reads besides its weights.
    public struct SeparableGradientInputs {
        /// Input of the forward pass, before its normalisation.
        public let input: TensorView
        public let normalization: InputNormalization?
        public let depthwise: TensorView
        public let pointwise: TensorView
        /// Output of the forward pass: needed where an activation or a normalisation followed.
        public let output: TensorView?
        public let activation: Activation
        public let outputNormalization: OutputNormalization?
        /// Gradient of the output, or of its normalised form.
        public let outputGradient: TensorView

        public init(
            input: TensorView, normalization: InputNormalization?, depthwise: TensorView, pointwise: TensorView,
            output: TensorView?, activation: Activation, outputNormalization: OutputNormalization?,
            outputGradient: TensorView
        ) {
            (self.input, self.normalization, self.depthwise) = (input, normalization, depthwise)
            (self.pointwise, self.output, self.activation) = (pointwise, output, activation)
            (self.outputNormalization, self.outputGradient) = (outputNormalization, outputGradient)
        }
    }

    /// Where its results go.
    public struct SeparableGradientOutputs {
        /// Gradient of the (normalised) input; nil where nobody asks for it.
        public let input: TensorView?
        public let depthwise: TensorView
        public let pointwise: TensorView
        public let bias: TensorView?
        /// Gradients of gain and bias of the input's normalisation.
        public let gain: TensorView?
        public let shift: TensorView?

        public init(
            input: TensorView?, depthwise: TensorView, pointwise: TensorView, bias: TensorView?, gain: TensorView?,
            shift: TensorView?
        ) {
            (self.input, self.depthwise, self.pointwise) = (input, depthwise, pointwise)
            (self.bias, self.gain, self.shift) = (bias, gain, shift)
        }
    }

    /// All gradients of a separable convolution in one walk. No result may share memory with an operand.
    public func separableConvolution2DGradient(
        _ site: SeparableGradientInputs, into results: SeparableGradientOutputs,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let plan = SeparablePlan(
            input: site.input.shape, depthwise: site.depthwise.shape, pointwise: site.pointwise.shape)
        let (ci, co) = (plan.inputChannels, plan.outputChannels)
        let strands = plan.strandCount
        let transposed = workspace
        let pointwiseParts = transposed + plan.transposedCount
        let sumsBase = pointwiseParts + strands * plan.pointwiseCount
        let depthwiseParts = doubles(sumsBase, count: strands * plan.depthwiseSums)
        let biasParts = depthwiseParts + strands * plan.depthwiseSums
        let normParts = biasParts + strands * co
        let sumsCount = roundUp(2 * (plan.depthwiseSums + co + 2 * ci), to: 16)
        let scratchBase = sumsBase + strands * sumsCount
        packPanels(site.pointwise.base, row: 1, column: co, depth: co, columns: ci, into: transposed)
        pool.forEachChunk(strands) { strand, worker in
            let walk = SeparableWalk(
                plan: plan, site: site, results: results, transposed: transposed,
                pointwiseSums: pointwiseParts + strand * plan.pointwiseCount,
                depthwiseSums: depthwiseParts + strand * plan.depthwiseSums, biasSums: biasParts + strand * co,
                normSums: normParts + strand * 2 * ci, scratch: scratchBase + worker * plan.backwardScratch)
            walk.clear()
            let first = strand * plan.stripCount / strands
            let last = (strand + 1) * plan.stripCount / strands
            for strip in first..<last { run(walk, strip: strip) }
        }
        let patches = patches
        forEach(.elements(ci * co)) { begin, count in
            patches.sum_parts(
                pointwiseParts, Int64(plan.pointwiseCount), Int64(strands), Int64(begin), Int64(begin + count),
                results.pointwise.base)
        }
        ck_combine(depthwiseParts, strands, plan.depthwiseSums, results.depthwise.base)
        if let bias = results.bias { ck_combine(biasParts, strands, co, bias.base) }
        if let norm = site.normalization, let gain = results.gain, let shift = results.shift {
            ck_norm_gradient_combine(
                normParts, strands, ci, norm.variance.base, norm.epsilon, gain.base, shift.base)
        }
    }

    /// One strip of rows. Rows of the gradient between the two convolutions (`inner`) are computed from one margin above
    /// the strip to one below; a ring keeps the last 2 · margin of them for the next step.
    private func run(_ walk: SeparableWalk, strip: Int) {
        let (plan, site, results, kernels) = (walk.plan, walk.site, walk.results, kernels)
        let (height, width, ci, co) = (plan.height, plan.width, plan.inputChannels, plan.outputChannels)
        let (margin, kernelHeight, kernelWidth) = (plan.margin, plan.kernelHeight, plan.kernelWidth)
        let image = strip / plan.stripsHigh * height
        let first = image + strip % plan.stripsHigh * plan.stripRows
        let last = min(first + plan.stripRows, image + height)
        let begin = max(first - margin, image)
        let end = min(last + margin, image + height)
        let ring = plan.ringRows(step: plan.backwardStep)
        var rows = NormalizedRows(
            site.input, site.normalization, plan, first: begin, ring: ring, memory: walk.normalized)
        var inner = ck_rows(base: walk.inner, first: begin, ring: ring)
        for row in stride(from: begin, to: end, by: plan.backwardStep) {
            let next = min(row + plan.backwardStep, end)
            let outer = outerGradient(walk, row..<next)
            var product = ck_product(
                rows: (next - row) * width, columns: ci, depth: co, a: outer, a_row: co, a_depth: 1,
                b: walk.transposed, b_panel: co * Int(CK_PANEL), b_depth: Int(CK_PANEL),
                c: walk.inner + (row - begin) % ring * width * ci, c_row: ci, bias: nil, accumulate: 0, relu: 0)
            let after = min(next + plan.backwardStep, end) - next
            if after > 0 {
                let (offset, count) = (next * width * co, after * width * co)
                product.ahead.0 = ck_ahead(site.outputGradient.base + offset, count: count)
                if let output = site.output { product.ahead.1 = ck_ahead(output.base + offset, count: count) }
            }
            multiply(&product)
            // Rows of the strip itself count for the weights.
            let own = max(row, first)..<max(max(row, first), min(next, last))
            if !own.isEmpty {
                rows.extend(to: min(image + height, own.upperBound + margin), kernels)
                kernels.pointee.depthwise(
                    &rows.source, site.depthwise.base, walk.between, own.lowerBound, own.lowerBound,
                    own.upperBound, height, width, ci, kernelHeight, kernelWidth, 0)
                let ownOuter = outer + (own.lowerBound - row) * width * co
                var weights = ck_product(
                    rows: ci, columns: co, depth: own.count * width, a: walk.between, a_row: 1, a_depth: ci,
                    b: ownOuter, b_panel: Int(CK_PANEL), b_depth: co, c: walk.pointwiseSums, c_row: co, bias: nil,
                    accumulate: 1, relu: 0)
                let ahead = min(next + plan.backwardStep, image + height - margin) - next
                if ahead > 0 {
                    weights.ahead.0 = ck_ahead(
                        site.input.base + (next + margin) * width * ci, count: ahead * width * ci)
                }
                if let gradient = results.input {
                    weights.ahead.1 = ck_ahead(
                        gradient.base + max(first, row - margin) * width * ci, count: own.count * width * ci)
                }
                multiply(&weights)
                kernels.pointee.column_sums(ownOuter, own.count * width, co, walk.biasSums)
                kernels.pointee.depthwise_weight_gradient(
                    &rows.source, &inner, walk.depthwiseSums, own.lowerBound,
                    own.upperBound, height, width, ci, kernelHeight, kernelWidth)
            }
            // Rows whose neighbours below are known by now.
            let low = max(first, row - margin)
            let high = next == end ? last : next - margin
            if let gradient = results.input, high > low {
                kernels.pointee.depthwise(
                    &inner, site.depthwise.base, gradient.base, 0, low, high, height, width, ci,
                    kernelHeight, kernelWidth, 1)
                if let norm = site.normalization {
                    kernels.pointee.norm_gradient_sums(
                        site.input.base + low * width * ci, gradient.base + low * width * ci, norm.mean.base,
                        (high - low) * width, ci, walk.normSums)
                }
            }
        }
    }

    /// Rows of the gradient before activation and normalisation.
    private func outerGradient(_ walk: SeparableWalk, _ rows: Range<Int>) -> UnsafePointer<Float> {
        let (site, plan) = (walk.site, walk.plan)
        let offset = rows.lowerBound * plan.width * plan.outputChannels
        let gradient = UnsafePointer(site.outputGradient.base + offset)
        guard let output = site.output else { return gradient }
        let pixels = rows.count * plan.width
        if let norm = site.outputNormalization {
            kernels.pointee.norm_relu_gradient(
                output.base + offset, gradient, walk.outer, pixels, plan.outputChannels, norm.mean.base,
                norm.variance.base, norm.gain.base, norm.gainGradient.base, norm.biasGradient.base, norm.epsilon,
                plan.rowCount * plan.width, site.activation == .relu ? 1 : 0)
        } else if site.activation == .relu {
            kernels.pointee.relu_gradient(output.base + offset, gradient, walk.outer, pixels * plan.outputChannels)
        } else {
            return gradient
        }
        return UnsafePointer(walk.outer)
    }
}

/// Memory of one strand's walk.
private struct SeparableWalk {
    let plan: SeparablePlan
    let site: KernelContext.SeparableGradientInputs
    let results: KernelContext.SeparableGradientOutputs
    /// Pointwise weights, transposed, in panels.
    let transposed: UnsafePointer<Float>
    let pointwiseSums: UnsafeMutablePointer<Float>
    let depthwiseSums: UnsafeMutablePointer<Double>
    let biasSums: UnsafeMutablePointer<Double>
    let normSums: UnsafeMutablePointer<Double>
    let scratch: UnsafeMutablePointer<Float>

    /// Ring of rows of the input as the depthwise kernel sees it.
    var normalized: UnsafeMutablePointer<Float> { scratch }
    /// Result of the depthwise convolution.
    var between: UnsafeMutablePointer<Float> { normalized + plan.ringCount(step: plan.backwardStep) }
    /// Gradient before the activation.
    var outer: UnsafeMutablePointer<Float> { between + plan.inputRowsCount(plan.backwardStep) }
    /// Ring of rows of the gradient between the two convolutions.
    var inner: UnsafeMutablePointer<Float> { outer + plan.outputRowsCount(plan.backwardStep) }

    func clear() {
        pointwiseSums.update(repeating: 0, count: plan.inputChannels * plan.outputChannels)
        depthwiseSums.update(repeating: 0, count: plan.depthwiseSums)
        biasSums.update(repeating: 0, count: plan.outputChannels)
        normSums.update(repeating: 0, count: 2 * plan.inputChannels)
    }
}
