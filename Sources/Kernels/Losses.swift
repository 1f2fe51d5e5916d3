import CKernels
import Tensors

// Scalar losses: float64 sums over fixed chunks, combined in index order.

extension KernelContext {
    private func lossChunks(_ count: Int) -> Chunks { .partials(count, floats: 1 << 15) }

    public func absoluteDifferenceMeanWorkspaceCount(inputShape: Shape, threadCount: Int) -> Int {
        2 * lossChunks(inputShape.count).count
    }

    /// mean |a − b| → scalar.
    public func absoluteDifferenceMean(
        _ a: TensorView, _ b: TensorView, output: TensorView, workspace: UnsafeMutablePointer<Float>
    ) {
        precondition(
            a.count == b.count && a.count > 0 && output.count == 1,
            "mean |\(a.shape) - \(b.shape)| into \(output.shape)")
        let chunks = lossChunks(a.count)
        let partials = doubles(workspace, count: chunks.count)
        let kernels = kernels
        pool.forEachChunk(chunks.count) { chunk, _ in
            let begin = chunks.begin(chunk)
            partials[chunk] = kernels.pointee.absolute_difference_sum(
                a.base + begin, b.base + begin, chunks.length(chunk))
        }
        output.base[0] = Float(sum(partials, chunks.count) / Double(a.count))
    }

    /// da = g·sign(a − b) / count, db = −da; sign(0) = 0. `bGradient` may be nil.
    public func absoluteDifferenceMeanGradient(
        _ a: TensorView, _ b: TensorView, outputGradient: TensorView, aGradient: TensorView, bGradient: TensorView?
    ) {
        precondition(
            a.count == b.count && a.count == aGradient.count && outputGradient.count == 1
                && (bGradient?.count ?? a.count) == a.count,
            "gradient of mean |\(a.shape) - \(b.shape)| into \(aGradient.shape)")
        guard a.count > 0 else { return }
        let factor = Float(Double(outputGradient.base[0]) / Double(a.count))
        let other = bGradient?.base
        let kernels = kernels
        forEach(.elements(a.count)) { begin, count in
            kernels.pointee.absolute_difference_gradient(
                a.base + begin, b.base + begin, factor, aGradient.base + begin, other.map { $0 + begin }, count)
        }
    }

    // Workspace of the smoothness: partial sums [N·H] as float64, then grey pictures [N, H, W], weights [N, H, W]
    // (gradient only), row maxima [N·H].
    public func smoothnessWorkspaceCount(disparityShape shape: Shape, threadCount: Int) -> Int {
        3 * shape[0] * shape[1] + shape.count
    }

    public func smoothnessGradientWorkspaceCount(disparityShape shape: Shape, threadCount: Int) -> Int {
        3 * shape[0] * shape[1] + 2 * shape.count
    }

    /// mean over N, H − 4, W − 4 of G(d)·(1 − G(gray / max gray of the picture)) → scalar.
    /// disparity `[N, H, W, 1]`, image `[N, H, W, C]`; H and W must be at least 5.
    ///
    /// **Source:** LouisFoucard/w-net, `w_net_v11.py` (gradient-weighted smoothness), with the maximum per picture, clamped
    /// at 1e-12, and 1e-12 under the root.
    public func smoothness(
        disparity: TensorView, image: TensorView, output: TensorView, workspace: UnsafeMutablePointer<Float>
    ) {
        precondition(output.count == 1, "smoothness into \(output.shape)")
        let (pictures, height, width) = checkSmoothness(disparity, image)
        let rows = pictures * height
        let partials = doubles(workspace, count: rows)
        let gray = workspace + 2 * rows
        normalizedGray(image, gray, rowMaxima: gray + rows * width, pictures, height, width)
        let kernels = kernels
        forEach(.rows(rows, of: width, floats: 1 << 13)) { begin, count in
            for row in begin..<begin + count {
                let isInside = (2..<height - 2).contains(row % height)
                partials[row] =
                    isInside
                    ? kernels.pointee.smoothness_row(disparity.base + row * width, gray + row * width, width) : 0
            }
        }
        output.base[0] = Float(sum(partials, rows) / Double(pictures * (height - 4) * (width - 4)))
    }

    /// The gradient with respect to the disparity.
    public func smoothnessGradient(
        disparity: TensorView, image: TensorView, outputGradient: TensorView, disparityGradient: TensorView,
        workspace: UnsafeMutablePointer<Float>
    ) {
        precondition(
            outputGradient.count == 1 && disparityGradient.count == disparity.count
                && disparityGradient.base != disparity.base,
            "smoothness gradient of \(disparity.shape) into \(disparityGradient.shape)")
        let (pictures, height, width) = checkSmoothness(disparity, image)
        let rows = pictures * height
        let gray = workspace + 2 * rows
        let weights = gray + rows * width
        normalizedGray(image, gray, rowMaxima: weights + rows * width, pictures, height, width)
        let factor = Float(Double(outputGradient.base[0]) / Double(pictures * (height - 4) * (width - 4)))
        let kernels = kernels
        forEach(.rows(rows, of: width, floats: 1 << 13)) { begin, count in
            for row in begin..<begin + count {
                let at = row * width
                if (2..<height - 2).contains(row % height) {
                    kernels.pointee.smoothness_weight_row(disparity.base + at, gray + at, weights + at, factor, width)
                } else {
                    kernels.pointee.fill(weights + at, 0, width)
                }
            }
        }
        forEach(.rows(rows, of: width, floats: 1 << 13)) { begin, count in
            for row in begin..<begin + count {
                let at = row * width
                if (1..<height - 1).contains(row % height) {
                    kernels.pointee.smoothness_gradient_row(
                        disparity.base + at, weights + at, disparityGradient.base + at, width)
                } else {
                    kernels.pointee.fill(disparityGradient.base + at, 0, width)
                }
            }
        }
    }

    /// Grey pictures divided by their own maxima.
    private func normalizedGray(
        _ image: TensorView, _ gray: UnsafeMutablePointer<Float>, rowMaxima: UnsafeMutablePointer<Float>,
        _ pictures: Int, _ height: Int, _ width: Int
    ) {
        let channels = image.lastDimension
        let kernels = kernels
        let chunks = Chunks.rows(pictures * height, of: width, floats: 1 << 13)
        forEach(chunks) { begin, count in
            for row in begin..<begin + count {
                rowMaxima[row] = kernels.pointee.gray_rows(
                    image.base + row * width * channels, gray + row * width, width, channels)
            }
        }
        for picture in 0..<pictures {
            let maxima = rowMaxima + picture * height
            var top = maxima[0]
            // A NaN stays.
            for row in 1..<height where maxima[row] > top || maxima[row].isNaN { top = maxima[row] }
            maxima[0] = top < 1e-12 ? 1e-12 : top
        }
        forEach(chunks) { begin, count in
            for row in begin..<begin + count {
                kernels.pointee.divide(gray + row * width, rowMaxima[row / height * height], width)
            }
        }
    }

    private func checkSmoothness(
        _ disparity: TensorView, _ image: TensorView
    ) -> (pictures: Int, height: Int, width: Int) {
        let (map, picture) = (disparity.shape, image.shape)
        precondition(
            map.rank == 4 && picture.rank == 4 && map[3] == 1 && picture[3] >= 1 && map[0] == picture[0]
                && map[1] == picture[1] && map[2] == picture[2] && map[0] >= 1,
            "smoothness of \(map) over \(picture)")
        precondition(map[1] >= 5 && map[2] >= 5, "smoothness needs at least 5x5 pixels, got \(map)")
        return (map[0], map[1], map[2])
    }

    private func sum(_ partials: UnsafeMutablePointer<Double>, _ count: Int) -> Double {
        var sum = 0.0
        for index in 0..<count { sum += partials[index] }
        return sum
    }
}
