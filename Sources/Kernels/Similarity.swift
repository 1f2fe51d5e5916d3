import CKernels
import Tensors

// Structural similarity and edges of maps `[N, H, W, 1]` against targets in which NaN means unknown.

/// The window and the constants of a structural similarity: 11 x 11, Gaussian of standard deviation 1.5, whole windows
/// only, population moments. **Source:** Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004.
public final class SimilarityWindow: @unchecked Sendable {
    /// Pixels of the window along each axis.
    public static let extent = 11
    let weights: [Double]
    let c1: Double
    let c2: Double

    /// - Parameter range: difference between the largest and the smallest value that the maps can have.
    public init(range: Float) {
        precondition(range > 0, "range \(range)")
        var weights: [Double] = []
        for i in 0..<Self.extent {
            let t = Double(i - Self.extent / 2) / 1.5
            weights.append(Self.exponential(-t * t / 2))
        }
        let sum = weights.reduce(0, +)
        self.weights = weights.map { $0 / sum }
        (c1, c2) = ((0.01 * Double(range)) * (0.01 * Double(range)), (0.03 * Double(range)) * (0.03 * Double(range)))
    }

    /// exp(x) for −6 … 0, the same on every machine.
    private static func exponential(_ x: Double) -> Double {
        let r = x / 64
        var (term, sum) = (1.0, 1.0)
        for k in 1...16 {
            term *= r / Double(k)
            sum += term
        }
        for _ in 0..<6 { sum *= sum }
        return sum
    }
}

extension KernelContext {
    /// Doubles of the parts of a workspace: results per picture and per row, blurred planes, terms, rows in work.
    private struct SimilarityPlan {
        let pictures, height, width, outHeight, outWidth: Int

        init(_ shape: Shape) {
            (pictures, height, width) = (shape[0], shape[1], shape[2])
            (outHeight, outWidth) = (height - SimilarityWindow.extent + 1, width - SimilarityWindow.extent + 1)
        }

        var rowCount: Int { pictures * outHeight }
        var sumCount: Int { 2 * (rowCount + pictures) }
        var plane: Int { pictures * height * outWidth }
        var termPlane: Int { rowCount * outWidth }
    }

    public static func similarityWorkspaceCount(prediction: Shape) -> Int {
        let plan = SimilarityPlan(prediction)
        return 2 * (plan.sumCount + 6 * plan.plane)
    }

    public static func similarityGradientWorkspaceCount(prediction: Shape, threadCount: Int) -> Int {
        let plan = SimilarityPlan(prediction)
        return 2 * (plan.sumCount + 6 * plan.plane + 3 * plan.termPlane + threadCount * 3 * plan.width)
    }

    /// Number of known windows and their mean similarity of each picture, at the start of the workspace.
    private func similarities(
        _ prediction: TensorView, _ target: TensorView, _ window: SimilarityWindow, _ plan: SimilarityPlan,
        _ memory: UnsafeMutablePointer<Double>, terms: UnsafeMutablePointer<Double>?
    ) {
        let kernels = kernels
        let planes = memory + plan.sumCount
        forEach(.rows(plan.pictures * plan.height, of: plan.width, floats: 1 << 11)) { begin, count in
            for row in begin..<begin + count {
                kernels.pointee.similarity_blur_row(
                    prediction.base + row * plan.width, target.base + row * plan.width, plan.width, window.weights,
                    planes + row * plan.outWidth, plan.plane)
            }
        }
        let sums = memory + 2 * plan.pictures
        forEach(.rows(plan.rowCount, of: plan.width, floats: 1 << 11)) { begin, count in
            for row in begin..<begin + count {
                sums[2 * row] = 0
                sums[2 * row + 1] = 0
                let (picture, y) = (row / plan.outHeight, row % plan.outHeight)
                kernels.pointee.similarity_row(
                    planes + (picture * plan.height + y) * plan.outWidth, plan.plane, plan.outWidth, window.weights,
                    window.c1, window.c2, sums + 2 * row, terms.map { $0 + row * plan.outWidth }, plan.termPlane)
            }
        }
        for picture in 0..<plan.pictures {
            var (count, sum) = (0.0, 0.0)
            for row in picture * plan.outHeight..<(picture + 1) * plan.outHeight {
                count += sums[2 * row]
                sum += sums[2 * row + 1]
            }
            memory[2 * picture] = count
            memory[2 * picture + 1] = sum / max(count, 1)
        }
    }

    /// Mean over pictures of (1 − SSIM) / 2, clipped to 0 … 1. Windows with unknown pixels don't count, nor do pictures that
    /// have no other. prediction, target `[N, H, W, 1]`, both sides at least 11 → scalar.
    public func dissimilarity(
        prediction: TensorView, target: TensorView, window: SimilarityWindow, output: TensorView,
        workspace: UnsafeMutablePointer<Float>
    ) {
        _ = checkMap(prediction, target)
        let plan = SimilarityPlan(prediction.shape)
        precondition(plan.outHeight > 0 && plan.outWidth > 0, "similarity of \(prediction.shape)")
        let memory = doubles(workspace, count: plan.sumCount + 6 * plan.plane)
        similarities(prediction, target, window, plan, memory, terms: nil)
        var (sum, pictures) = (0.0, 0.0)
        for picture in 0..<plan.pictures where memory[2 * picture] > 0 {
            let value = (1 - memory[2 * picture + 1]) / 2
            // A NaN stays.
            sum += value < 0 ? 0 : value > 1 ? 1 : value
            pictures += 1
        }
        output.base[0] = Float(sum / max(pictures, 1))
    }

    public func dissimilarityGradient(
        prediction: TensorView, target: TensorView, window: SimilarityWindow, outputGradient: TensorView,
        predictionGradient: TensorView, workspace: UnsafeMutablePointer<Float>
    ) {
        _ = checkMap(prediction, target)
        let plan = SimilarityPlan(prediction.shape)
        precondition(plan.outHeight > 0 && plan.outWidth > 0, "similarity of \(prediction.shape)")
        let threads = pool.threadCount
        let memory = doubles(
            workspace,
            count: plan.sumCount + 6 * plan.plane + 3 * plan.termPlane + threads * 3 * plan.width)
        let terms = memory + plan.sumCount + 6 * plan.plane
        let scratch = terms + 3 * plan.termPlane
        similarities(prediction, target, window, plan, memory, terms: terms)
        var pictures = 0.0
        for picture in 0..<plan.pictures where memory[2 * picture] > 0 { pictures += 1 }
        let scale = Double(outputGradient.base[0]) * -0.5 / max(pictures, 1)
        let kernels = kernels
        let chunks = Chunks.rows(plan.pictures * plan.height, of: plan.width, floats: 1 << 11)
        pool.forEachChunk(chunks.count) { chunk, worker in
            for row in chunks.begin(chunk)..<chunks.begin(chunk) + chunks.length(chunk) {
                let picture = row / plan.height
                let (count, value) = (memory[2 * picture], memory[2 * picture + 1])
                let factor = count == 0 || value < -1 || value > 1 ? 0 : scale / count
                kernels.pointee.similarity_gradient_row(
                    prediction.base + row * plan.width, target.base + row * plan.width,
                    predictionGradient.base + row * plan.width, row % plan.height, plan.height, plan.width,
                    window.weights, terms + picture * plan.outHeight * plan.outWidth, plan.termPlane, factor,
                    scratch + worker * 3 * plan.width)
            }
        }
    }

    // Edges

    public static func edgeScoreWorkspaceCount(prediction: Shape) -> Int { 8 * prediction[0] }

    public static func edgeScoreGradientWorkspaceCount(prediction: Shape) -> Int {
        8 * prediction[0] + 2 * prediction.count
    }

    /// Σ q·e, Σ q, Σ e of each picture.
    private func edgeSums(
        _ prediction: TensorView, _ target: TensorView, _ edges: EdgeThreshold, _ sums: UnsafeMutablePointer<Double>
    ) {
        let (_, height, width) = checkMap(prediction, target)
        precondition(height >= 2 && width >= 2, "edges of \(prediction.shape)")
        let kernels = kernels
        pool.forEachChunk(prediction.shape[0]) { picture, _ in
            let offset = picture * height * width
            for k in 0..<3 { sums[4 * picture + k] = 0 }
            kernels.pointee.edge_score(
                prediction.base + offset, target.base + offset, height, width, edges.threshold, edges.sharpness,
                sums + 4 * picture)
        }
    }

    /// Mean over pictures of 1 − F1, F1 = (2 Σ q·e + 1) / (Σ q + Σ e + 1) over pixels whose neighbourhood is known.
    /// prediction, target `[N, H, W, 1]` → scalar.
    public func edgeScoreLoss(
        prediction: TensorView, target: TensorView, edges: EdgeThreshold, output: TensorView,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let pictures = prediction.shape[0]
        let sums = doubles(workspace, count: 4 * pictures)
        edgeSums(prediction, target, edges, sums)
        var total = 0.0
        for picture in 0..<pictures {
            let s = sums + 4 * picture
            total += 1 - (2 * s[0] + 1) / (s[1] + s[2] + 1)
        }
        output.base[0] = Float(total / Double(pictures))
    }

    public func edgeScoreLossGradient(
        prediction: TensorView, target: TensorView, edges: EdgeThreshold, outputGradient: TensorView,
        predictionGradient: TensorView, workspace: UnsafeMutablePointer<Float>
    ) {
        let pictures = prediction.shape[0]
        let sums = doubles(workspace, count: 4 * pictures + prediction.count)
        edgeSums(prediction, target, edges, sums)
        let scratch = sums + 4 * pictures
        let (height, width) = (prediction.shape[1], prediction.shape[2])
        let scale = Double(outputGradient.base[0]) / Double(pictures)
        let kernels = kernels
        pool.forEachChunk(pictures) { picture, _ in
            let (s, offset) = (sums + 4 * picture, picture * height * width)
            let all = s[1] + s[2] + 1
            kernels.pointee.edge_score_gradient(
                prediction.base + offset, target.base + offset, predictionGradient.base + offset, height, width,
                edges.threshold, edges.sharpness, -2 * scale / all, scale * (2 * s[0] + 1) / (all * all),
                scratch + offset)
        }
    }
}

/// What counts as an edge: a Sobel magnitude above `threshold`; for the prediction σ(sharpness · (magnitude − threshold)).
public struct EdgeThreshold: Sendable, Hashable {
    public let threshold: Double
    public let sharpness: Double

    public init(threshold: Double, sharpness: Double) {
        (self.threshold, self.sharpness) = (threshold, sharpness)
    }
}
