import Kernels
import Tensors
import Testing

/// Losses between two views against plain loops in double, at every level and with 1 to 3 threads.
@Suite struct StereoLossTests {
    static let shapes: [Shape] = [[2, 3, 3, 3], [1, 7, 19, 3], [2, 5, 34, 1], [1, 4, 131, 2]]

    private struct Views {
        let shape: Shape
        let a: [Float]
        let b: [Float]
        let weights: [Float]?
        let total: Double

        init(_ shape: Shape, weighted: Bool) {
            var noise = Noise(shape.count)
            self.shape = shape
            a = noise.values(shape.count).map { abs($0) }
            b = noise.values(shape.count).map { abs($0) }
            // A third of the pixels counts for nothing.
            let w = noise.values(shape.count / shape[3]).enumerated().map { $0 % 3 == 1 ? 0 : abs($1) }
            weights = weighted ? w : nil
            total = weighted ? max(1, w.reduce(0) { $0 + Double($1) } * Double(shape[3])) : Double(shape.count)
        }

        func weight(_ pixel: Int) -> Double { weights.map { Double($0[pixel]) } ?? 1 }
        func view(_ values: [Float], _ misalignment: Int) -> TensorView {
            Guarded(shape, misalignment: misalignment, values).view
        }
        var weightView: TensorView? {
            weights.map { Guarded([shape[0], shape[1], shape[2], 1], misalignment: 1, $0).view }
        }
    }

    @Test(arguments: shapes, [false, true])
    func differences(shape: Shape, weighted: Bool) {
        let views = Views(shape, weighted: weighted)
        let result = everywhere { context in
            let (a, b, w) = (views.view(views.a, 1), views.view(views.b, 3), views.weightView)
            let (output, da) = (Guarded([]), Guarded(shape, misalignment: 2))
            let space = workspace(context.weightedDifferenceWorkspaceCount(shape))
            context.weightedDifference(a, b, weight: w, output: output.view, workspace: space.base)
            context.weightedDifferenceGradient(
                a, b, weight: w, outputGradient: Guarded([], [0.75]).view, aGradient: da.view)
            #expect(output.isIntact && da.isIntact)
            return output.values + da.values
        }
        var sum = 0.0
        for i in views.a.indices {
            let w = views.weight(i / shape[3])
            sum += w * abs(Double(views.a[i]) - Double(views.b[i]))
            let expected = 0.75 * w * (views.a[i] > views.b[i] ? 1 : views.a[i] < views.b[i] ? -1 : 0) / views.total
            #expect(abs(Double(result[1 + i]) - expected) <= 3e-7 * abs(expected), "gradient \(i)")
        }
        #expect(abs(Double(result[0]) - sum / views.total) <= 1e-6 * sum / views.total)
    }

    /// SSIM of one 3x3 window, from deviations: not how the kernel computes it.
    private func similarity(_ views: Views, _ pixel: (Int, Int, Int), _ channel: Int) -> Double {
        let (_, height, width, channels) = (views.shape[0], views.shape[1], views.shape[2], views.shape[3])
        func window(_ values: [Float]) -> [Double] {
            (-1...1).flatMap { dy in
                (-1...1).map { dx in
                    let row = pixel.0 * height + pixel.1 + dy
                    return Double(values[(row * width + pixel.2 + dx) * channels + channel])
                }
            }
        }
        let (a, b) = (window(views.a), window(views.b))
        let (ma, mb) = (a.reduce(0, +) / 9, b.reduce(0, +) / 9)
        let va = a.reduce(0) { $0 + ($1 - ma) * ($1 - ma) } / 9
        let vb = b.reduce(0) { $0 + ($1 - mb) * ($1 - mb) } / 9
        let vab = zip(a, b).reduce(0) { $0 + ($1.0 - ma) * ($1.1 - mb) } / 9
        return (2 * ma * mb + 1e-4) * (2 * vab + 9e-4) / ((ma * ma + mb * mb + 1e-4) * (va + vb + 9e-4))
    }

    @Test(arguments: shapes, [false, true])
    func dissimilarities(shape: Shape, weighted: Bool) {
        let views = Views(shape, weighted: weighted)
        let result = everywhere { context in
            let output = Guarded([])
            let space = workspace(
                context.boxDissimilarityWorkspaceCount(shape, threadCount: context.pool.threadCount))
            context.boxDissimilarity(
                views.view(views.a, 1), views.view(views.b, 3), weight: views.weightView, output: output.view,
                workspace: space.base)
            let da = Guarded(shape, misalignment: 2)
            let planes = workspace(context.boxDissimilarityGradientWorkspaceCount(shape))
            context.boxDissimilarityGradient(
                views.view(views.a, 1), views.view(views.b, 3), weight: views.weightView,
                outputGradient: Guarded([], [1]).view, aGradient: da.view, workspace: planes.base)
            #expect(output.isIntact && da.isIntact)
            return output.values + da.values
        }
        var (sum, total) = (0.0, 0.0)
        for picture in 0..<shape[0] {
            for y in 1..<shape[1] - 1 {
                for x in 1..<shape[2] - 1 {
                    let w = views.weight((picture * shape[1] + y) * shape[2] + x)
                    total += w * Double(shape[3])
                    for c in 0..<shape[3] { sum += w * (1 - similarity(views, (picture, y, x), c)) / 2 }
                }
            }
        }
        // Variances are differences of float32 means, off by some 1e-7 beside C2 = 9e-4.
        #expect(abs(Double(result[0]) - sum / max(1, total)) <= 1e-4, "\(result[0]) against \(sum / max(1, total))")
        // A constant added to both pictures' windows hardly matters; moving a towards b everywhere lowers the loss.
        let towards = zip(views.a.indices, result.dropFirst()).reduce(0.0) {
            $0 + Double($1.1) * Double(views.b[$1.0] - views.a[$1.0])
        }
        #expect(towards < 0 || total == 0)
    }

    @Test func equalPicturesAreNotDissimilar() {
        let shape: Shape = [1, 6, 40, 3]
        let views = Views(shape, weighted: false)
        let result = everywhere { context in
            let (output, da) = (Guarded([]), Guarded(shape))
            let space = workspace(
                context.boxDissimilarityWorkspaceCount(shape, threadCount: context.pool.threadCount))
            context.boxDissimilarity(
                views.view(views.a, 0), views.view(views.a, 1), weight: nil, output: output.view,
                workspace: space.base)
            let planes = workspace(context.boxDissimilarityGradientWorkspaceCount(shape))
            context.boxDissimilarityGradient(
                views.view(views.a, 0), views.view(views.a, 1), weight: nil, outputGradient: Guarded([], [1]).view,
                aGradient: da.view, workspace: planes.base)
            return output.values + da.values
        }
        #expect(abs(result[0]) < 1e-6)
        #expect(result.dropFirst().allSatisfy { abs($0) < 1e-5 })
    }

    private func maps(_ width: Int) -> (own: [Float], other: [Float], weights: [Float]) {
        var noise = Noise(width)
        let own = noise.values(2 * width).map { 6 * $0 }
        let other = noise.values(2 * width).map { 6 * $0 }
        return (own, other, noise.values(2 * width).map { abs($0) })
    }

    @Test(arguments: [2, 3, 17, 64, 101], [Float(1), -1])
    func coverages(width: Int, sign: Float) {
        var own = maps(width).own
        // What is not finite reaches nobody.
        if width > 4 { (own[1], own[width], own[3]) = (.nan, .infinity, -1e30) }
        let result = everywhere { context in
            let output = Guarded([1, 2, width, 1], misalignment: 3)
            context.coverage(
                disparity: Guarded([1, 2, width, 1], misalignment: 1, own).view, sign: sign, output: output.view)
            #expect(output.isIntact)
            return output.values
        }
        for row in 0..<2 {
            for u in 0..<width {
                var sum = 0.0
                for x in 0..<width where own[row * width + x].isFinite {
                    sum += max(0, 1 - abs(Double(Float(x) + sign * own[row * width + x]) - Double(u)))
                }
                #expect(abs(Double(result[row * width + u]) - min(1, sum)) <= 1e-5, "\(row), \(u)")
            }
        }
    }

    @Test(arguments: [2, 3, 17, 64, 101], [Float(1), -1])
    func consistencies(width: Int, sign: Float) {
        let (own, other, weights) = maps(width)
        let shape: Shape = [1, 2, width, 1]
        for weighted in [false, true] {
            let result = everywhere { context in
                let (output, down, dother) = (Guarded([]), Guarded(shape, misalignment: 1), Guarded(shape))
                let w = weighted ? Guarded(shape, misalignment: 2, weights).view : nil
                let (a, b) = (Guarded(shape, misalignment: 3, own).view, Guarded(shape, other).view)
                let space = workspace(context.consistencyWorkspaceCount(shape))
                context.consistency(
                    own: a, other: b, weight: w, sign: sign, output: output.view, workspace: space.base)
                context.consistencyGradient(
                    own: a, other: b, weight: w, sign: sign, outputGradient: Guarded([], [1]).view,
                    ownGradient: down.view, otherGradient: dother.view)
                #expect(output.isIntact && down.isIntact && dother.isIntact)
                return output.values + down.values + dother.values
            }
            var sum = 0.0
            for i in own.indices {
                let at = Double(Float(i % width) + sign * own[i])
                guard at >= 0, at <= Double(width - 1) else {
                    #expect(result[1 + i] == 0)
                    continue
                }
                let start = i / width * width
                let below = min(Int(at), width - 2)
                let part = at - Double(below)
                let there = Double(other[start + below]) * (1 - part) + Double(other[start + below + 1]) * part
                sum += (weighted ? Double(weights[i]) : 1) * abs(Double(own[i]) - there)
            }
            let expected = sum / Double(2 * width)
            #expect(abs(Double(result[0]) - expected) <= 1e-5 * expected + 1e-7)
        }
    }

    @Test func mapsThatAgreeCostNothing() {
        // Disparity 3 of the right view's pixels; left(x + 3) = right(x).
        let shape: Shape = [1, 1, 20, 1]
        let map = [Float](repeating: 3, count: 20)
        let result = everywhere { context in
            let (output, seen) = (Guarded([]), Guarded(shape))
            let space = workspace(context.consistencyWorkspaceCount(shape))
            context.consistency(
                own: Guarded(shape, map).view, other: Guarded(shape, map).view, weight: nil, sign: 1,
                output: output.view, workspace: space.base)
            context.coverage(disparity: Guarded(shape, map).view, sign: 1, output: seen.view)
            return output.values + seen.values
        }
        #expect(result == [0, 0, 0, 0] + [Float](repeating: 1, count: 17))
    }

    @Test(arguments: [1, 3, 8, 33], [0, 1, 5])
    func peaks(levels: Int, radius: Int) {
        var noise = Noise(levels)
        let pixels = 37
        let p = noise.values(pixels * levels).map { abs($0) + 0.01 }
        let c = noise.values(levels).map { 10 * $0 }
        let dy = noise.values(pixels)
        let result = everywhere { context in
            let (y, dp) = (Guarded([pixels, 1], misalignment: 1), Guarded([pixels, levels], misalignment: 2))
            let x = Guarded([pixels, levels], misalignment: 3, p)
            c.withUnsafeBufferPointer { c in
                guard let c = c.baseAddress else { return }
                context.peakDot(x.view, coefficients: c, radius: radius, output: y.view)
                context.peakDotGradient(
                    x.view, coefficients: c, radius: radius, outputGradient: Guarded([pixels, 1], dy).view,
                    probabilityGradient: dp.view)
            }
            #expect(y.isIntact && dp.isIntact)
            return y.values + dp.values
        }
        for i in 0..<pixels {
            let row = Array(p[i * levels..<(i + 1) * levels])
            let best = row.indices.reduce(0) { row[$1] > row[$0] ? $1 : $0 }
            let range = row.indices.filter { abs($0 - best) <= radius }
            let all = range.reduce(0.0) { $0 + Double(row[$1]) }
            let mean = range.reduce(0.0) { $0 + Double(row[$1]) * Double(c[$1]) } / all
            #expect(abs(Double(result[i]) - mean) <= 1e-5)
            for k in 0..<levels {
                let expected = range.contains(k) ? Double(dy[i]) * (Double(c[k]) - mean) / all : 0
                #expect(abs(Double(result[pixels + i * levels + k]) - expected) <= 1e-5 * (1 + abs(expected)))
            }
        }
    }
}
