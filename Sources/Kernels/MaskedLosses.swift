import CKernels
import Tensors

// Losses against targets in which NaN means unknown: such elements count for nothing and get no gradient; where nothing is
// known the loss is 0. A NaN among predictions makes the loss NaN. Float64 sums over fixed chunks, combined in order.

/// A scalar that depends on predictions and targets through sums over the known elements of each sample.
public enum MaskedLoss: Sendable, Hashable {
    /// Mean of |p − t| over the batch.
    case absoluteDifference
    /// [Σᵢ nᵢ Σd² − balance · Σᵢ (Σd)²] / max(Σᵢ nᵢ², 1) over samples i with nᵢ known elements, d = p − t.
    /// **Source:** Eigen, Puhrsch, Fergus, NIPS 2014, equation 4, weighted as in their release.
    case scaleInvariant(balance: Float)
    /// Mean over samples of 1 − Σpt / max(√(Σp² · Σt²), 1e-8).
    case cosineDistance
}

private let sumCount = Int(CK_MASKED_SUMS)

/// The sums of one sample.
private struct MaskedSums {
    let count, absolute, difference, square, product, predictionSquare, targetSquare: Double

    init(_ s: UnsafePointer<Double>) {
        (count, absolute, difference, square) = (s[0], s[1], s[2], s[3])
        (product, predictionSquare, targetSquare) = (s[4], s[5], s[6])
    }

    /// What the cosine is divided by, and whether that depends on the prediction.
    var norm: (value: Double, isClamped: Bool) {
        let norm = (predictionSquare * targetSquare).squareRoot()
        return norm < 1e-8 ? (1e-8, true) : (norm, false)
    }
}

extension KernelContext {
    private static func maskedChunks(_ shape: Shape) -> Chunks {
        .partials(shape.count / max(1, shape[0]), floats: 1 << 14, limit: 32)
    }

    public static func maskedLossWorkspaceCount(prediction: Shape) -> Int {
        2 * sumCount * prediction[0] * (maskedChunks(prediction).count + 1)
    }

    /// Sums of each sample, at the start of the workspace.
    private func maskedSums(
        _ prediction: TensorView, _ target: TensorView, _ workspace: UnsafeMutablePointer<Float>
    ) -> UnsafePointer<Double> {
        precondition(
            prediction.shape == target.shape && prediction.shape.rank >= 1 && prediction.count > 0,
            "loss of \(prediction.shape) against \(target.shape)")
        let samples = prediction.shape[0]
        let length = prediction.count / samples
        let chunks = Self.maskedChunks(prediction.shape)
        let sums = doubles(workspace, count: sumCount * samples * (chunks.count + 1))
        let parts = sums + sumCount * samples
        let kernels = kernels
        pool.forEachChunk(samples * chunks.count) { index, _ in
            let part = parts + index * sumCount
            part.update(repeating: 0, count: sumCount)
            let offset = index / chunks.count * length + chunks.begin(index % chunks.count)
            kernels.pointee.masked_sums(
                prediction.base + offset, target.base + offset, chunks.length(index % chunks.count), part)
        }
        for sample in 0..<samples {
            for k in 0..<sumCount {
                var sum = 0.0
                for chunk in 0..<chunks.count { sum += parts[(sample * chunks.count + chunk) * sumCount + k] }
                sums[sample * sumCount + k] = sum
            }
        }
        return UnsafePointer(sums)
    }

    /// prediction, target `[N, …]` → scalar.
    public func maskedLoss(
        _ loss: MaskedLoss, prediction: TensorView, target: TensorView, output: TensorView,
        workspace: UnsafeMutablePointer<Float>
    ) {
        precondition(output.count == 1, "a loss into \(output.shape)")
        let sums = maskedSums(prediction, target, workspace)
        var (numerator, divisor) = (0.0, 0.0)
        for sample in 0..<prediction.shape[0] {
            let s = MaskedSums(sums + sample * sumCount)
            switch loss {
            case .absoluteDifference:
                numerator += s.absolute
                divisor += s.count
            case .scaleInvariant(let balance):
                numerator += s.count * s.square - Double(balance) * s.difference * s.difference
                divisor += s.count * s.count
            case .cosineDistance:
                if s.count == 0 { continue }
                numerator += 1 - s.product / s.norm.value
                divisor += 1
            }
        }
        output.base[0] = Float(numerator / max(divisor, 1))
    }

    /// The gradient with respect to the prediction; 0 where the target is unknown.
    public func maskedLossGradient(
        _ loss: MaskedLoss, prediction: TensorView, target: TensorView, outputGradient: TensorView,
        predictionGradient: TensorView, workspace: UnsafeMutablePointer<Float>
    ) {
        precondition(
            outputGradient.count == 1 && predictionGradient.count == prediction.count,
            "loss gradient into \(predictionGradient.shape)")
        let sums = maskedSums(prediction, target, workspace)
        let samples = prediction.shape[0]
        let length = prediction.count / samples
        var divisor = 0.0
        for sample in 0..<samples {
            let s = MaskedSums(sums + sample * sumCount)
            switch loss {
            case .absoluteDifference: divisor += s.count
            case .scaleInvariant: divisor += s.count * s.count
            case .cosineDistance: divisor += s.count > 0 ? 1 : 0
            }
        }
        let scale = Double(outputGradient.base[0]) / max(divisor, 1)
        let chunks = Chunks.elements(length)
        let kernels = kernels
        pool.forEachChunk(samples * chunks.count) { index, _ in
            let s = MaskedSums(sums + index / chunks.count * sumCount)
            // Of sign, difference, one, prediction, target.
            var factors: (Float, Float, Float, Float, Float) = (0, 0, 0, 0, 0)
            switch loss {
            case .absoluteDifference: factors.0 = Float(scale)
            case .scaleInvariant(let balance):
                factors.1 = Float(2 * scale * s.count)
                factors.2 = Float(-2 * scale * Double(balance) * s.difference)
            case .cosineDistance:
                let norm = s.norm
                factors.3 = norm.isClamped ? 0 : Float(scale * s.product / (norm.value * s.predictionSquare))
                factors.4 = Float(-scale / norm.value)
            }
            let offset = index / chunks.count * length + chunks.begin(index % chunks.count)
            withUnsafeBytes(of: &factors) { bytes in
                guard let list = bytes.bindMemory(to: Float.self).baseAddress else { return }
                kernels.pointee.masked_gradient(
                    prediction.base + offset, target.base + offset, predictionGradient.base + offset,
                    chunks.length(index % chunks.count), list)
            }
        }
    }

    // Edges: differences of e = p − t between neighbouring pixels.

    public static func edgeDifferenceWorkspaceCount(prediction: Shape) -> Int { 4 * prediction[0] * prediction[1] }

    /// Σ |e(y + 1, x) − e(y, x)| + |e(y, x + 1) − e(y, x)| over neighbours that are both known, divided by the number of
    /// known pixels. prediction, target `[N, H, W, 1]` → scalar.
    public func edgeDifference(
        prediction: TensorView, target: TensorView, output: TensorView, workspace: UnsafeMutablePointer<Float>
    ) {
        let (rows, height, width) = checkMap(prediction, target)
        let parts = edgeSums(prediction, target, rows, height, width, workspace)
        var (known, sum) = (0.0, 0.0)
        for row in 0..<rows {
            known += parts[2 * row]
            sum += parts[2 * row + 1]
        }
        output.base[0] = Float(sum / max(known, 1))
    }

    private func edgeSums(
        _ prediction: TensorView, _ target: TensorView, _ rows: Int, _ height: Int, _ width: Int,
        _ workspace: UnsafeMutablePointer<Float>
    ) -> UnsafePointer<Double> {
        let parts = doubles(workspace, count: 2 * rows)
        let kernels = kernels
        forEach(.rows(rows, of: width, floats: 1 << 13)) { begin, count in
            for row in begin..<begin + count {
                parts[2 * row] = 0
                parts[2 * row + 1] = 0
                let (p, t) = (prediction.base + row * width, target.base + row * width)
                let isLast = row % height == height - 1
                kernels.pointee.edge_difference_row(
                    p, t, isLast ? nil : UnsafePointer(p + width), isLast ? nil : UnsafePointer(t + width), width,
                    parts + 2 * row)
            }
        }
        return UnsafePointer(parts)
    }

    public func edgeDifferenceGradient(
        prediction: TensorView, target: TensorView, outputGradient: TensorView, predictionGradient: TensorView,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let (rows, height, width) = checkMap(prediction, target)
        let parts = edgeSums(prediction, target, rows, height, width, workspace)
        var known = 0.0
        for row in 0..<rows { known += parts[2 * row] }
        let factor = Float(Double(outputGradient.base[0]) / max(known, 1))
        let kernels = kernels
        forEach(.rows(rows, of: width, floats: 1 << 13)) { begin, count in
            for row in begin..<begin + count {
                let picture = row / height * height * width
                kernels.pointee.edge_difference_gradient_row(
                    prediction.base + picture, target.base + picture, predictionGradient.base + row * width,
                    row % height, height, width, factor)
            }
        }
    }

    /// Maps with one value per pixel, of one size.
    func checkMap(_ prediction: TensorView, _ target: TensorView) -> (rows: Int, height: Int, width: Int) {
        let shape = prediction.shape
        precondition(
            shape.rank == 4 && shape[3] == 1 && shape == target.shape && shape.count > 0,
            "maps \(shape) and \(target.shape)")
        return (shape[0] * shape[1], shape[1], shape[2])
    }
}
