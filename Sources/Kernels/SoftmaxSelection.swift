import CKernels
import Tensors

// Softmax, selection layer and expected disparity as one: a few picture rows of levels stay in cache from the logits to
// the results, and from the results' gradients back to the logits'.

/// The shifts of a selection layer and the disparity of each level.
public struct SelectionLevels {
    let firstShift: Int
    let shiftStep: Int
    let border: SelectionBorder
    let disparities: UnsafePointer<Float>

    /// - Parameter disparities: one for each level; the memory belongs to the caller.
    public init(firstShift: Int, shiftStep: Int, border: SelectionBorder, disparities: UnsafePointer<Float>) {
        precondition(shiftStep == 1 || shiftStep == -1, "shift step \(shiftStep)")
        (self.firstShift, self.shiftStep, self.border) = (firstShift, shiftStep, border)
        self.disparities = disparities
    }
}

extension KernelContext {
    private static func selectionChunks(_ logits: Shape) -> Chunks {
        .rows(logits[0] * logits[1], of: logits[2] * logits[3], floats: 1 << 14)
    }

    /// Floats of workspace of `softmaxSelection` (one row chunk for each thread) and of its gradient (two).
    public static func softmaxSelectionWorkspaceCount(logits: Shape, threadCount: Int) -> Int {
        threadCount * roundUp(selectionChunks(logits).size * logits[2] * logits[3], to: 16)
    }

    public static func softmaxSelectionGradientWorkspaceCount(logits: Shape, threadCount: Int) -> Int {
        2 * softmaxSelectionWorkspaceCount(logits: logits, threadCount: threadCount)
    }

    /// logits `[N, H, W, S]`, image `[N, H, W, C]` → probability `[N, H, W, S]` (left out where nil), the selected view
    /// `[N, H, W, C]` and the expected disparity `[N, H, W, 1]`.
    public func softmaxSelection(
        logits: TensorView, image: TensorView, levels: SelectionLevels, probability: TensorView?, view: TensorView,
        disparity: TensorView, workspace: UnsafeMutablePointer<Float>
    ) {
        let (width, count, channels) = (logits.shape[2], logits.shape[3], image.shape[3])
        precondition(
            image.shape == view.shape && image.count / channels == logits.count / count
                && disparity.count == logits.count / count, "selection from \(image.shape) by \(logits.shape)")
        let kernels = kernels
        let chunks = Self.selectionChunks(logits.shape)
        let scratch = Self.softmaxSelectionWorkspaceCount(logits: logits.shape, threadCount: 1)
        pool.forEachChunk(chunks.count) { chunk, worker in
            let (row, rows) = (chunks.begin(chunk), chunks.length(chunk))
            let pixel = row * width
            let p = probability.map { $0.base + pixel * count } ?? workspace + worker * scratch
            kernels.pointee.softmax(logits.base + pixel * count, p, rows * width, count)
            kernels.pointee.selection(
                image.base + pixel * channels, p, view.base + pixel * channels, rows, width, channels, count,
                levels.firstShift, levels.shiftStep, levels.border.rawValue)
            kernels.pointee.channel_dot(p, levels.disparities, disparity.base + pixel, rows * width, count)
        }
    }

    /// The gradient of the logits, from those of the view and the disparity; it may alias `logits`.
    public func softmaxSelectionGradient(
        logits: TensorView, image: TensorView, levels: SelectionLevels, viewGradient: TensorView,
        disparityGradient: TensorView, logitGradient: TensorView, workspace: UnsafeMutablePointer<Float>
    ) {
        let (width, count, channels) = (logits.shape[2], logits.shape[3], image.shape[3])
        precondition(
            image.shape == viewGradient.shape && image.count / channels == logits.count / count
                && disparityGradient.count == logits.count / count && logitGradient.count == logits.count,
            "selection gradient from \(image.shape) by \(logits.shape)")
        let kernels = kernels
        let chunks = Self.selectionChunks(logits.shape)
        let scratch = Self.softmaxSelectionWorkspaceCount(logits: logits.shape, threadCount: 1)
        pool.forEachChunk(chunks.count) { chunk, worker in
            let (row, rows) = (chunks.begin(chunk), chunks.length(chunk))
            let pixel = row * width
            let p = workspace + 2 * worker * scratch
            let dp = p + scratch
            kernels.pointee.softmax(logits.base + pixel * count, p, rows * width, count)
            kernels.pointee.selection_probability_gradient(
                image.base + pixel * channels, viewGradient.base + pixel * channels, dp, rows, width, channels, count,
                levels.firstShift, levels.shiftStep, levels.border.rawValue)
            kernels.pointee.softmax_dot_gradient(
                p, dp, disparityGradient.base + pixel, levels.disparities, logitGradient.base + pixel * count,
                rows * width, count)
        }
    }
}
