import CKernels
import Tensors

/// Rows of a partial sum: at least 256, at most 64 partial sums.
private func columnSumBlock(_ rows: Int) -> Int { max(256, ceilDivide(rows, 64)) }

extension KernelContext {
    /// Floats of workspace that `columnSum` needs.
    public static func columnSumWorkspaceCount(input: Shape, threadCount: Int) -> Int {
        let columns = input.dimensions.last ?? 1
        let rows = columns == 0 ? 0 : input.count / columns
        return 2 * columns * max(1, ceilDivide(rows, columnSumBlock(rows)))
    }

    /// Sums over all axes but the last: `[..., C] → [C]`, added in float64. It is the gradient of a bias.
    public func columnSum(input: TensorView, output: TensorView, workspace: UnsafeMutablePointer<Float>) {
        let columns = input.shape.dimensions.last ?? 1
        precondition(output.count == columns, "column sum of \(input.shape) into \(output.shape)")
        let rows = columns == 0 ? 0 : input.count / columns
        let block = columnSumBlock(rows)
        let parts = max(1, ceilDivide(rows, block))
        let kernels = patches
        workspace.withMemoryRebound(to: Double.self, capacity: parts * columns) { sums in
            pool.forEachChunk(parts) { part, _ in
                let start = part * block
                kernels.column_sum(
                    input.base + start * columns, Int64(max(0, min(block, rows - start))), Int64(columns),
                    sums + part * columns)
            }
            for column in 0..<columns {
                var sum = 0.0
                for part in 0..<parts { sum += sums[part * columns + column] }
                output.base[column] = Float(sum)
            }
        }
    }
}
