import Kernels
import Tensors
import Testing

@Suite struct LossKernelTests {
    @Test(arguments: tailLengths.filter { $0 > 0 } + [100_001])
    func absoluteDifference(count: Int) {
        var noise = Noise(count)
        let a = noise.values(count)
        var b = noise.values(count)
        b[count / 2] = a[count / 2]
        let result = everywhere { context in
            let (x, y) = (Guarded([count], misalignment: 1, a), Guarded([count], misalignment: 2, b))
            let output = Guarded([1])
            let space = workspace(context.absoluteDifferenceMeanWorkspaceCount(inputShape: [count], threadCount: 3))
            context.absoluteDifferenceMean(x.view, y.view, output: output.view, workspace: space.base)
            let (da, db) = (Guarded([count], misalignment: 1), Guarded([count]))
            context.absoluteDifferenceMeanGradient(
                x.view, y.view, outputGradient: Guarded([1], [0.75]).view, aGradient: da.view, bGradient: db.view)
            let alone = Guarded([count])
            context.absoluteDifferenceMeanGradient(
                x.view, y.view, outputGradient: Guarded([1], [0.75]).view, aGradient: alone.view, bGradient: nil)
            #expect(alone.values == da.values && da.isIntact && db.isIntact && alone.isIntact)
            return output.values + da.values + db.values
        }
        let differences = zip(a, b).map { Double($0 - $1) }
        let mean = differences.reduce(0) { $0 + abs($1) } / Double(count)
        let signs = differences.map { 0.75 / Double(count) * ($0 > 0 ? 1 : $0 < 0 ? -1 : 0) }
        expectClose(result, [mean] + signs + signs.map { -$0 }, tolerance: 1e-7)
    }

    // Smoothness

    private struct Pictures {
        var n = 2, h = 7, w = 9, c = 3
        var disparity: [Float]
        var image: [Float]
    }

    /// models.md A.3, term by term.
    private func smoothness(_ p: Pictures, _ d: [Double]) -> Double {
        func g(_ a: [Double], _ y: Int, _ x: Int) -> Double {
            let here = a[y * p.w + x]
            let sum = [(-1, 0), (1, 0), (0, -1), (0, 1)].reduce(1e-12) { sum, o in
                let e = here - a[(y + o.0) * p.w + x + o.1]
                return sum + e * e
            }
            return 0.25 * sum.squareRoot()
        }
        var total = 0.0
        for n in 0..<p.n {
            let map = Array(d[n * p.h * p.w..<(n + 1) * p.h * p.w])
            var gray = (0..<p.h * p.w).map { i in
                (0..<p.c).reduce(0.0) { $0 + Double(p.image[(n * p.h * p.w + i) * p.c + $1]) } / Double(p.c)
            }
            let top = max(gray.max() ?? 0, 1e-12)
            gray = gray.map { $0 / top }
            for y in 2..<p.h - 2 { for x in 2..<p.w - 2 { total += g(map, y, x) * (1 - g(gray, y, x)) } }
        }
        return total / Double(p.n * (p.h - 4) * (p.w - 4))
    }

    private func run(_ p: Pictures, outputGradient: Float) -> (loss: Float, gradient: [Float]) {
        let result = everywhere { context in
            let map: Shape = [p.n, p.h, p.w, 1]
            let disparity = Guarded(map, misalignment: 1, p.disparity)
            let image = Guarded([p.n, p.h, p.w, p.c], misalignment: 2, p.image)
            let (output, gradient) = (Guarded([1]), Guarded(map, misalignment: 3))
            let space = Guarded([context.smoothnessWorkspaceCount(disparityShape: map, threadCount: 3)])
            context.smoothness(
                disparity: disparity.view, image: image.view, output: output.view, workspace: space.view.base)
            let more = Guarded([context.smoothnessGradientWorkspaceCount(disparityShape: map, threadCount: 3)])
            context.smoothnessGradient(
                disparity: disparity.view, image: image.view, outputGradient: Guarded([1], [outputGradient]).view,
                disparityGradient: gradient.view, workspace: more.view.base)
            #expect(gradient.isIntact && space.isIntact && more.isIntact)
            return output.values + gradient.values
        }
        return (result[0], Array(result[1...]))
    }

    @Test(arguments: [(5, 5), (5, 6), (6, 5), (7, 20), (12, 37), (8, 21)])
    func smoothnessAndItsGradient(size: (Int, Int)) {
        var noise = Noise(size.0 * 100 + size.1)
        let pixels = 2 * size.0 * size.1
        let p = Pictures(
            h: size.0, w: size.1, disparity: noise.values(pixels).map { $0 * 5 },
            image: noise.values(pixels * 3).map { abs($0) })
        let (loss, gradient) = run(p, outputGradient: 1.5)
        let exact = smoothness(p, p.disparity.map(Double.init))
        #expect(abs(Double(loss) - exact) < 1e-6 * exact)
        let differences = finiteDifferences(p.disparity, cotangent: [1.5]) { [smoothness(p, $0)] }
        expectClose(gradient, differences, tolerance: 2e-6)
    }

    /// A flat map has a finite (zero) gradient, and a black picture weighs everything alike.
    @Test func flatMapsAndBlackPictures() {
        let pixels = 2 * 7 * 9
        let flat = Pictures(
            disparity: [Float](repeating: 3, count: pixels), image: [Float](repeating: 0, count: pixels * 3))
        let (loss, gradient) = run(flat, outputGradient: 1)
        #expect(abs(loss - 2.5e-7) < 1e-12)
        #expect(gradient.filter { $0 != 0 }.isEmpty)
    }

    /// From PyTorch in float64 (peer `gradient` and `losses`), N, H, W = 2, 7, 9:
    ///
    ///     d = [((i * 37) % 23) / 7 …].view(N, H, W); im = [((i * 53) % 31) / 31 * (1 + i // (H * W * 3)) …].view(N, H, W, 3)
    ///     g = im.mean(3); g = g / g.amax((1, 2), keepdim=True).clamp_min(1e-12)
    ///     loss = (gradient(d) * (1 - gradient(g))).mean(); loss.backward()
    @Test func smoothnessMatchesThePeer() {
        let pixels = 2 * 7 * 9
        let p = Pictures(
            disparity: (0..<pixels).map { (index: Int) -> Float in Float((index * 37) % 23) / 7 },
            image: (0..<pixels * 3).map { (index: Int) -> Float in
                let value = Float((index * 53) % 31) / 31
                return index < 7 * 9 * 3 ? value : 2 * value
            })
        let (loss, gradient) = run(p, outputGradient: 1)
        #expect(abs(Double(loss) - 0.713_591_696_617_040_8) < 1e-7)
        let places = [10, 11, 20, 30, 31, 40, 93, 96]
        let expected: [Double] = [
            0, 0.003_760_140_475_771_950_4, -0.022_386_637_511_127_443, -0.028_944_428_486_971_91,
            0.029_821_327_490_147_36, -0.025_380_948_211_460_665, 0.028_924_922_019_866_503, -0.018_146_673_630_687_504,
        ]
        expectClose(places.map { gradient[$0] }, expected, tolerance: 1e-7)
        #expect(abs(gradient.reduce(0.0) { $0 + Double(abs($1)) } - 0.791_064_617_707_207_2) < 1e-6)
    }
}
