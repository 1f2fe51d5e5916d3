import CKernels
import Tensors

// Fully connected layers of few samples: each pass streams whole rows of the weights, once.

/// How a fully connected layer of few samples is cut: a function of the shapes only.
struct LinearRowsPlan {
    let samples: Int
    let inputs: Int
    let outputs: Int

    /// Rows of weights that are read side by side in the forward pass: as many streams as a processor follows.
    static let streams = 16
    /// Rows of a chunk of the gradients: 24 groups of CK_LINEAR_ROWS.
    static let band = 72
    /// Weights from here on (floats) do not stay in a cache until somebody reads them.
    static let pastCaches = 4 << 20

    /// Rows of a part of the forward pass: each part has a result of its own, and these are added in order.
    var partRows: Int { max(64, roundUp(ceilDivide(inputs, 32), to: Self.streams)) }
    var partCount: Int { ceilDivide(inputs, partRows) }
    var partFloats: Int { roundUp(samples * outputs, to: 16) }
    var forwardCount: Int { partCount * partFloats }
    var inputGradientCount: Int { roundUp(outputs, to: 16) * samples }
}

extension KernelContext {
    func linearRows(
        _ plan: LinearRowsPlan, input: TensorView, weights: TensorView, bias: TensorView?, output: TensorView,
        activation: Activation, workspace: UnsafeMutablePointer<Float>
    ) {
        let (samples, inputs, outputs, kernels) = (plan.samples, plan.inputs, plan.outputs, kernels)
        pool.forEachChunk(plan.partCount) { part, _ in
            let (first, to) = (part * plan.partRows, workspace + part * plan.partFloats)
            let end = min(inputs, first + plan.partRows)
            for row in stride(from: first, to: end, by: LinearRowsPlan.streams) {
                kernels.pointee.linear_rows(
                    input.base + row, inputs, weights.base + row * outputs, outputs, samples,
                    min(LinearRowsPlan.streams, end - row), outputs, to, outputs, row > first ? 1 : 0)
            }
        }
        let columns = 1024
        let chunks = ceilDivide(outputs, columns)
        pool.forEachChunk(samples * chunks) { chunk, _ in
            let begin = chunk % chunks * columns
            let at = chunk / chunks * outputs + begin
            kernels.pointee.linear_sum(
                workspace + at, plan.partCount, plan.partFloats, bias.map { UnsafePointer($0.base + begin) },
                activation == .relu ? 1 : 0, output.base + at, min(columns, outputs - begin))
        }
    }

    func linearRowsInputGradient(
        _ plan: LinearRowsPlan, outputGradient: TensorView, weights: TensorView, inputGradient: TensorView,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let (samples, inputs, outputs, kernels) = (plan.samples, plan.inputs, plan.outputs, kernels)
        kernels.pointee.linear_blocks(outputGradient.base, outputs, samples, outputs, workspace)
        let band = LinearRowsPlan.band
        pool.forEachChunk(ceilDivide(inputs, band)) { chunk, _ in
            let first = chunk * band
            kernels.pointee.linear_dots(
                workspace, weights.base + first * outputs, outputs, samples, min(band, inputs - first), outputs,
                inputGradient.base + first, inputs)
        }
    }

    func linearRowsWeightGradient(
        _ plan: LinearRowsPlan, input: TensorView, outputGradient: TensorView, weightGradient: TensorView
    ) {
        let (samples, inputs, outputs, kernels) = (plan.samples, plan.inputs, plan.outputs, kernels)
        let band = LinearRowsPlan.band
        let isLarge = inputs * outputs >= LinearRowsPlan.pastCaches
        pool.forEachChunk(ceilDivide(inputs, band)) { chunk, _ in
            let first = chunk * band
            kernels.pointee.linear_outer(
                input.base + first, inputs, outputGradient.base, outputs, samples, min(band, inputs - first), outputs,
                weightGradient.base + first * outputs, outputs, isLarge ? 1 : 0)
        }
    }
}
