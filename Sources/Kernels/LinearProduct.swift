import CKernels
import Tensors

// Fully connected layers. Their weights are many and each is used once for a sample, so the way to memory decides: every
// pass reads (or writes) the weights once. Of few samples, row by row (`LinearRowsPlan`); of more, where arithmetic decides, in
// blocks that the product kernels find in cache.

/// How a fully connected layer of `samples` x `inputs` → `outputs` is cut: a function of the shapes only.
struct LinearPlan {
    let samples: Int
    let inputs: Int
    let outputs: Int
    /// Samples, rounded up so that vectors are whole.
    let columns: Int

    /// Inputs of a block: the depth that a tile of the product stays in registers.
    static let depth = 128
    /// Outputs of a chunk of the forward pass.
    static let panel = 256
    /// Inputs of a chunk of the gradients.
    static let band = 112

    init(samples: Int, inputs: Int, outputs: Int) {
        (self.samples, self.inputs, self.outputs) = (samples, inputs, outputs)
        columns = roundUp(samples, to: 16)
    }

    /// What streams rows instead, where samples are few.
    func rows(upTo limit: Int) -> LinearRowsPlan? {
        samples <= limit ? LinearRowsPlan(samples: samples, inputs: inputs, outputs: outputs) : nil
    }

    /// Samples up to which a pass streams rows.
    static let (fewForward, fewInputGradient, fewWeightGradient) = (32, 32, 32)

    var inputBlocks: Int { ceilDivide(inputs, Self.depth) }
    var packedInputCount: Int { inputBlocks * samples * Self.depth }
    var packedGradientCount: Int { roundUp(columns, to: Int(CK_PANEL)) * outputs }
    /// A copied block of weights and a transposed result.
    var inputGradientScratchCount: Int { Self.band * Self.depth + roundUp(Self.band * columns, to: 16) }
    /// Panels of the output gradient, and columns of the input.
    var weightGradientCount: Int { roundUp(outputs, to: Int(CK_PANEL)) * samples + inputs * samples }
}

extension KernelContext {
    private func linearPlan(_ input: TensorView, _ weights: Shape, _ output: TensorView) -> LinearPlan {
        precondition(
            weights.rank == 2 && input.shape.rank >= 1 && input.count == input.shape[0] * weights[0]
                && output.count == input.shape[0] * weights[1],
            "\(input.shape) times \(weights) into \(output.shape)")
        return LinearPlan(samples: input.shape[0], inputs: weights[0], outputs: weights[1])
    }

    /// `samples`: of the batch.
    public static func linearWorkspaceCount(samples: Int, weights: Shape) -> Int {
        let plan = LinearPlan(samples: samples, inputs: weights[0], outputs: weights[1])
        return plan.rows(upTo: LinearPlan.fewForward)?.forwardCount ?? plan.packedInputCount
    }

    /// output [N, O] = input [N, F] · weights [F, O] + bias [O], then ReLU. Axes behind the first are one.
    public func linear(
        input: TensorView, weights: TensorView, bias: TensorView?, output: TensorView, activation: Activation,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let plan = linearPlan(input, weights.shape, output)
        precondition(bias == nil || bias?.count == plan.outputs, "bias \(bias?.shape ?? [])")
        if plan.samples == 0 { return }
        if let few = plan.rows(upTo: LinearPlan.fewForward) {
            linearRows(
                few, input: input, weights: weights, bias: bias, output: output, activation: activation,
                workspace: workspace)
            return
        }
        let depth = LinearPlan.depth
        // Blocks [samples][depth]: rows that are whole pages apart would meet in few sets of the cache.
        pool.forEachChunk(plan.inputBlocks) { block, _ in
            let (begin, to) = (block * depth, workspace + block * plan.samples * depth)
            let count = min(depth, plan.inputs - begin)
            for sample in 0..<plan.samples {
                (to + sample * depth).update(from: input.base + sample * plan.inputs + begin, count: count)
            }
        }
        pool.forEachChunk(ceilDivide(plan.outputs, LinearPlan.panel)) { chunk, _ in
            let first = chunk * LinearPlan.panel
            let width = min(LinearPlan.panel, plan.outputs - first)
            for block in 0..<plan.inputBlocks {
                let begin = block * depth
                let count = min(depth, plan.inputs - begin)
                let next = begin + count
                let isLast = next == plan.inputs
                var product = ck_product(
                    rows: plan.samples, columns: width, depth: count, a: workspace + block * plan.samples * depth,
                    a_row: depth, a_depth: 1, b: weights.base + begin * plan.outputs + first, b_panel: Int(CK_PANEL),
                    b_depth: plan.outputs, c: output.base + first, c_row: plan.outputs,
                    bias: isLast ? bias.map { UnsafePointer($0.base + first) } : nil, accumulate: block > 0 ? 1 : 0,
                    relu: isLast && activation == .relu ? 1 : 0)
                if !isLast {
                    product.ahead.0 = ck_ahead(
                        base: weights.base + next * plan.outputs + first, stride: plan.outputs, floats: width,
                        rows: min(depth, plan.inputs - next))
                }
                multiply(&product)
            }
        }
    }

    public static func linearInputGradientWorkspaceCount(samples: Int, weights: Shape, threadCount: Int) -> Int {
        let plan = LinearPlan(samples: samples, inputs: weights[0], outputs: weights[1])
        return plan.rows(upTo: LinearPlan.fewInputGradient)?.inputGradientCount
            ?? plan.packedGradientCount + threadCount * plan.inputGradientScratchCount
    }

    /// inputGradient [N, F] = outputGradient [N, O] · weightsᵀ: its transpose is computed, so that rows of weights are the
    /// left operand.
    public func linearInputGradient(
        outputGradient: TensorView, weights: TensorView, inputGradient: TensorView,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let plan = linearPlan(inputGradient, weights.shape, outputGradient)
        if plan.samples == 0 { return }
        if let few = plan.rows(upTo: LinearPlan.fewInputGradient) {
            linearRowsInputGradient(
                few, outputGradient: outputGradient, weights: weights, inputGradient: inputGradient,
                workspace: workspace)
            return
        }
        let (samples, outputs, columns) = (plan.samples, plan.outputs, plan.columns)
        let (panelWidth, kernels, movers) = (Int(CK_PANEL), kernels, patches)
        let panels = ceilDivide(columns, panelWidth)
        pool.forEachChunk(panels) { panel, _ in
            let to = workspace + panel * panelWidth * outputs
            to.update(repeating: 0, count: panelWidth * outputs)
            kernels.pointee.pack_panels(
                outputGradient.base + panel * panelWidth * outputs, 1, outputs, outputs, 0,
                min(panelWidth, samples - panel * panelWidth), to)
        }
        let scratchBase = workspace + plan.packedGradientCount
        let (band, depth) = (LinearPlan.band, LinearPlan.depth)
        pool.forEachChunk(ceilDivide(plan.inputs, band)) { chunk, worker in
            let first = chunk * band
            let rows = min(band, plan.inputs - first)
            let copy = scratchBase + worker * plan.inputGradientScratchCount
            let result = copy + band * depth
            for begin in stride(from: 0, to: outputs, by: depth) {
                let count = min(depth, outputs - begin)
                for row in 0..<rows {
                    (copy + row * depth).update(
                        from: weights.base + (first + row) * outputs + begin, count: count)
                }
                var product = ck_product(
                    rows: rows, columns: columns, depth: count, a: copy, a_row: depth, a_depth: 1,
                    b: workspace + begin * panelWidth, b_panel: panelWidth * outputs, b_depth: panelWidth, c: result,
                    c_row: columns, bias: nil, accumulate: begin > 0 ? 1 : 0, relu: 0)
                let next = begin + count
                if next < outputs {
                    product.ahead.0 = ck_ahead(
                        base: weights.base + first * outputs + next, stride: outputs,
                        floats: min(depth, outputs - next), rows: rows)
                }
                multiply(&product)
            }
            movers.transpose(
                result, Int64(columns), Int64(rows), Int64(samples), inputGradient.base + first, Int64(plan.inputs))
        }
    }

    public static func linearWeightGradientWorkspaceCount(samples: Int, weights: Shape) -> Int {
        let plan = LinearPlan(samples: samples, inputs: weights[0], outputs: weights[1])
        return plan.rows(upTo: LinearPlan.fewWeightGradient) == nil ? plan.weightGradientCount : 0
    }

    /// weightGradient [F, O] = inputᵀ · outputGradient (overwritten).
    public func linearWeightGradient(
        input: TensorView, outputGradient: TensorView, weightGradient: TensorView,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let plan = linearPlan(input, weightGradient.shape, outputGradient)
        let (samples, inputs, outputs) = (plan.samples, plan.inputs, plan.outputs)
        if samples == 0 {
            weightGradient.base.update(repeating: 0, count: inputs * outputs)
            return
        }
        if let few = plan.rows(upTo: LinearPlan.fewWeightGradient) {
            linearRowsWeightGradient(
                few, input: input, outputGradient: outputGradient, weightGradient: weightGradient)
            return
        }
        let (panelWidth, kernels, movers) = (Int(CK_PANEL), kernels, patches)
        let left = workspace + roundUp(outputs, to: panelWidth) * samples
        pool.forEachChunk(ceilDivide(outputs, 8 * panelWidth)) { chunk, _ in
            let begin = chunk * 8 * panelWidth
            kernels.pointee.pack_panels(
                outputGradient.base, outputs, 1, samples, begin, min(outputs, begin + 8 * panelWidth), workspace)
        }
        let band = LinearPlan.band
        pool.forEachChunk(ceilDivide(inputs, band)) { chunk, _ in
            let first = chunk * band
            let rows = min(band, inputs - first)
            let columns = left + first * samples
            movers.transpose(
                input.base + first, Int64(inputs), Int64(samples), Int64(rows), columns, Int64(samples))
            var product = ck_product(
                rows: rows, columns: outputs, depth: samples, a: columns, a_row: samples, a_depth: 1, b: workspace,
                b_panel: panelWidth * samples, b_depth: panelWidth, c: weightGradient.base + first * outputs,
                c_row: outputs, bias: nil, accumulate: 0, relu: 0)
            multiply(&product)
        }
    }
}
