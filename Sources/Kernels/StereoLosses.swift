import CKernels
import Tensors

// Losses between the two views of a pair, with a weight for each pixel where one is given.

/// Constants of SSIM over 3x3 windows for pictures in 0…1.
///
/// **Source:** Godard, Mac Aodha, Brostow, "Unsupervised monocular depth estimation with left-right consistency", CVPR
/// 2017: C₁ = 0.01², C₂ = 0.03².
enum BoxWindow {
    static let c1: Float = 0.0001
    static let c2: Float = 0.0009
}

extension KernelContext {
    private func stereoChunks(_ shape: Shape) -> Chunks {
        .partials(shape[0] * shape[1], of: shape[2] * shape[3], floats: 1 << 14)
    }

    /// Σ weight · channels over rows for which `isInside` holds; at least 1.
    private func weightTotal(
        _ weight: TensorView?, _ shape: Shape, rows: Range<Int>, columns: Range<Int>
    ) -> Double {
        let (height, width) = (shape[1], shape[2])
        guard let weight else { return Double(shape[0] * rows.count * columns.count * shape[3]) }
        precondition(weight.count == shape[0] * height * width, "weights \(weight.shape) of \(shape)")
        var total = 0.0
        for picture in 0..<shape[0] {
            for row in rows {
                let base = weight.base + (picture * height + row) * width
                total += kernels.pointee.weighted_sum(base + columns.lowerBound, nil, columns.count, 1)
            }
        }
        return max(1, total * Double(shape[3]))
    }

    /// Floats of workspace of `weightedDifference`.
    public func weightedDifferenceWorkspaceCount(_ shape: Shape) -> Int { 2 * stereoChunks(shape).count }

    /// Σ w·|a − b| / (C · Σ w) over pictures `[N, H, W, C]` with weights `[N, H, W, 1]` (nil: all 1); Σ w counts as 1 / C at
    /// least. → scalar
    public func weightedDifference(
        _ a: TensorView, _ b: TensorView, weight: TensorView?, output: TensorView,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let shape = checkPair(a, b, output)
        let chunks = stereoChunks(shape)
        let partials = doubles(workspace, count: chunks.count)
        let (width, channels, kernels) = (shape[2], shape[3], kernels)
        pool.forEachChunk(chunks.count) { chunk, _ in
            let (pixel, count) = (chunks.begin(chunk) * width, chunks.length(chunk) * width)
            partials[chunk] = kernels.pointee.weighted_difference_sum(
                a.base + pixel * channels, b.base + pixel * channels, weight.map { UnsafePointer($0.base + pixel) },
                count, channels)
        }
        let total = weightTotal(weight, shape, rows: 0..<shape[1], columns: 0..<shape[2])
        output.base[0] = Float(stereoSum(partials, chunks.count) / total)
    }

    /// da = g · w · sign(a − b) / (C · Σ w)
    public func weightedDifferenceGradient(
        _ a: TensorView, _ b: TensorView, weight: TensorView?, outputGradient: TensorView, aGradient: TensorView
    ) {
        let shape = checkPair(a, b, outputGradient)
        precondition(aGradient.count == a.count, "gradient \(aGradient.shape) of \(shape)")
        let total = weightTotal(weight, shape, rows: 0..<shape[1], columns: 0..<shape[2])
        let factor = Float(Double(outputGradient.base[0]) / total)
        let (width, channels, kernels) = (shape[2], shape[3], kernels)
        forEach(stereoChunks(shape)) { begin, count in
            let (pixel, count) = (begin * width, count * width)
            kernels.pointee.weighted_difference_gradient(
                a.base + pixel * channels, b.base + pixel * channels, weight.map { UnsafePointer($0.base + pixel) },
                factor, aGradient.base + pixel * channels, count, channels)
        }
    }

    /// Floats of workspace of `boxDissimilarity`.
    public func boxDissimilarityWorkspaceCount(_ shape: Shape, threadCount: Int) -> Int {
        2 * stereoChunks(shape).count + threadCount * shape[2] * shape[3]
    }

    /// Mean of (1 − SSIM) / 2 over all windows of 3x3 pixels inside pictures `[N, H, W, C]`, 0…1, channel by channel, each
    /// with the weight of its middle (nil: all 1). → scalar
    public func boxDissimilarity(
        _ a: TensorView, _ b: TensorView, weight: TensorView?, output: TensorView,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let shape = checkPair(a, b, output)
        let (height, width, channels, kernels) = (shape[1], shape[2], shape[3], kernels)
        let chunks = stereoChunks(shape)
        let partials = doubles(workspace, count: chunks.count)
        let scratch = workspace + 2 * chunks.count
        let row = width * channels
        pool.forEachChunk(chunks.count) { chunk, worker in
            let values = scratch + worker * row
            var sum = 0.0
            for y in chunks.begin(chunk)..<chunks.begin(chunk) + chunks.length(chunk)
            where (1..<height - 1).contains(y % height) {
                kernels.pointee.box_dissimilarity_row(
                    a.base + y * row, b.base + y * row, values, row, channels, BoxWindow.c1, BoxWindow.c2)
                sum += kernels.pointee.weighted_sum(
                    values, weight.map { UnsafePointer($0.base + y * width) }, width, channels)
            }
            partials[chunk] = sum
        }
        let total = weightTotal(weight, shape, rows: 1..<height - 1, columns: 1..<width - 1)
        output.base[0] = Float(stereoSum(partials, chunks.count) / total)
    }

    /// Floats of workspace of `boxDissimilarityGradient`: three planes with a border.
    public func boxDissimilarityGradientWorkspaceCount(_ shape: Shape) -> Int {
        3 * shape[0] * (shape[1] + 2) * (shape[2] + 2) * shape[3]
    }

    /// The gradient of a.
    public func boxDissimilarityGradient(
        _ a: TensorView, _ b: TensorView, weight: TensorView?, outputGradient: TensorView, aGradient: TensorView,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let shape = checkPair(a, b, outputGradient)
        precondition(aGradient.count == a.count && aGradient.base != a.base, "gradient \(aGradient.shape) of \(shape)")
        let (height, width, channels, kernels) = (shape[1], shape[2], shape[3], kernels)
        let total = weightTotal(weight, shape, rows: 1..<height - 1, columns: 1..<width - 1)
        let factor = Float(Double(outputGradient.base[0]) / total)
        let (row, wide) = (width * channels, (width + 2) * channels)
        let plane = shape[0] * (height + 2) * wide
        forEach(.rows(shape[0] * (height + 2), of: wide, floats: 1 << 13)) { begin, count in
            for line in begin..<begin + count {
                let (picture, y) = (line / (height + 2), line % (height + 2) - 1)
                let p = workspace + line * wide
                if (1..<height - 1).contains(y) {
                    let at = picture * height + y
                    kernels.pointee.box_coefficient_row(
                        a.base + at * row, b.base + at * row, weight.map { UnsafePointer($0.base + at * width) },
                        factor, p, p + plane, p + 2 * plane, row, channels, BoxWindow.c1, BoxWindow.c2)
                } else {
                    for k in 0..<3 { kernels.pointee.fill(p + k * plane, 0, wide) }
                }
            }
        }
        forEach(.rows(shape[0] * height, of: row, floats: 1 << 13)) { begin, count in
            for at in begin..<begin + count {
                let p = workspace + (at / height * (height + 2) + at % height + 1) * wide
                kernels.pointee.box_gradient_row(
                    a.base + at * row, b.base + at * row, p, p + plane, p + 2 * plane, aGradient.base + at * row, row,
                    channels)
            }
        }
    }

    /// How much of each pixel of one view the other one's pixels reach, 0…1: pixel x of the other view lands at
    /// x + sign · d(x) and is shared by the two columns there. `[N, H, W, 1]`
    public func coverage(disparity: TensorView, sign: Float, output: TensorView) {
        precondition(disparity.count == output.count, "coverage \(output.shape) of \(disparity.shape)")
        let (rows, width, kernels) = (disparity.shape[0] * disparity.shape[1], disparity.shape[2], kernels)
        forEach(.rows(rows, of: width, floats: 1 << 12)) { begin, count in
            for row in begin..<begin + count {
                kernels.pointee.coverage_row(disparity.base + row * width, output.base + row * width, width, sign)
            }
        }
    }

    /// Floats of workspace of `consistency`.
    public func consistencyWorkspaceCount(_ shape: Shape) -> Int { 2 * stereoChunks(shape).count }

    /// Mean of w·|own(x) − other(x + sign · own(x))| over all pixels of maps `[N, H, W, 1]`, linearly between columns; a
    /// pixel whose partner lies outside adds nothing. Weights nil: all 1. → scalar
    public func consistency(
        own: TensorView, other: TensorView, weight: TensorView?, sign: Float, output: TensorView,
        workspace: UnsafeMutablePointer<Float>
    ) {
        let shape = checkPair(own, other, output)
        let chunks = stereoChunks(shape)
        let partials = doubles(workspace, count: chunks.count)
        let (width, kernels) = (shape[2], kernels)
        pool.forEachChunk(chunks.count) { chunk, _ in
            var sum = 0.0
            for row in chunks.begin(chunk)..<chunks.begin(chunk) + chunks.length(chunk) {
                let at = row * width
                sum += kernels.pointee.consistency_row(
                    own.base + at, other.base + at, weight.map { UnsafePointer($0.base + at) }, width, sign)
            }
            partials[chunk] = sum
        }
        output.base[0] = Float(stereoSum(partials, chunks.count) / Double(shape.count))
    }

    /// The gradients of both maps.
    public func consistencyGradient(
        own: TensorView, other: TensorView, weight: TensorView?, sign: Float, outputGradient: TensorView,
        ownGradient: TensorView, otherGradient: TensorView
    ) {
        let shape = checkPair(own, other, outputGradient)
        precondition(
            ownGradient.count == own.count && otherGradient.count == own.count
                && ownGradient.base != otherGradient.base,
            "gradients \(ownGradient.shape), \(otherGradient.shape) of \(shape)")
        let factor = Float(Double(outputGradient.base[0]) / Double(shape.count))
        let (width, kernels) = (shape[2], kernels)
        forEach(.rows(shape[0] * shape[1], of: width, floats: 1 << 12)) { begin, count in
            for row in begin..<begin + count {
                let at = row * width
                kernels.pointee.consistency_gradient_row(
                    own.base + at, other.base + at, weight.map { UnsafePointer($0.base + at) }, factor,
                    ownGradient.base + at, otherGradient.base + at, width, sign)
            }
        }
    }

    /// Σ p c / Σ p over the levels within `radius` of the most probable one. `[.., S]` → `[.., 1]`
    public func peakDot(
        _ probability: TensorView, coefficients: UnsafePointer<Float>, radius: Int, output: TensorView
    ) {
        let levels = probability.lastDimension
        precondition(output.count * levels == probability.count, "peaks \(output.shape) of \(probability.shape)")
        let kernels = kernels
        forEach(.rows(output.count, of: levels)) { begin, count in
            kernels.pointee.peak_dot(
                probability.base + begin * levels, coefficients, output.base + begin, count, levels, radius)
        }
    }

    public func peakDotGradient(
        _ probability: TensorView, coefficients: UnsafePointer<Float>, radius: Int, outputGradient: TensorView,
        probabilityGradient: TensorView
    ) {
        let levels = probability.lastDimension
        precondition(
            outputGradient.count * levels == probability.count && probabilityGradient.count == probability.count,
            "gradient \(probabilityGradient.shape) of \(probability.shape)")
        let kernels = kernels
        forEach(.rows(outputGradient.count, of: levels)) { begin, count in
            kernels.pointee.peak_dot_gradient(
                probability.base + begin * levels, coefficients, outputGradient.base + begin,
                probabilityGradient.base + begin * levels, count, levels, radius)
        }
    }

    private func checkPair(_ a: TensorView, _ b: TensorView, _ scalar: TensorView) -> Shape {
        precondition(
            a.shape.rank == 4 && a.shape == b.shape && scalar.count == 1,
            "loss of \(a.shape) and \(b.shape) into \(scalar.shape)")
        return a.shape
    }

    private func stereoSum(_ partials: UnsafeMutablePointer<Double>, _ count: Int) -> Double {
        var sum = 0.0
        for index in 0..<count { sum += partials[index] }
        return sum
    }
}
