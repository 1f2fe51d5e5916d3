import Kernels
import Tensors
import Testing

@Suite struct BilinearResizingTests {
    /// Input and output height and width, channels, corners.
    static let cases: [(from: (Int, Int), to: (Int, Int), channels: Int)] = [
        ((4, 5), (8, 10), 3), ((4, 5), (8, 10), 17), ((7, 9), (14, 18), 32), ((6, 5), (3, 11), 1), ((1, 1), (2, 3), 5),
        ((3, 4), (1, 1), 2), ((5, 5), (5, 5), 4), ((9, 8), (4, 3), 6), ((2, 3), (20, 31), 2), ((60, 41), (120, 82), 20),
    ]

    @Test(arguments: cases.indices, [false, true])
    func interpolationAndItsTranspose(index: Int, aligned: Bool) {
        let (from, to, channels) = Self.cases[index]
        let (small, big): (Shape, Shape) = ([2, from.0, from.1, channels], [2, to.0, to.1, channels])
        var noise = Noise(index)
        let (x, dy) = (noise.values(small.count), noise.values(big.count))

        func samples(_ n: Int, _ m: Int, _ i: Int) -> [(Int, Double)] {
            let place =
                aligned
                ? (m > 1 ? Double(i * (n - 1)) / Double(m - 1) : 0)
                : max(0, (Double(i) + 0.5) * Double(n) / Double(m) - 0.5)
            let first = min(Int(place), n - 1)
            return [(first, 1 - (place - Double(first))), (min(first + 1, n - 1), place - Double(first))]
        }
        var y = [Double](repeating: 0, count: big.count)
        var dx = [Double](repeating: 0, count: small.count)
        for n in 0..<2 {
            for oy in 0..<to.0 {
                for ox in 0..<to.1 {
                    for (iy, wy) in samples(from.0, to.0, oy) {
                        for (ix, wx) in samples(from.1, to.1, ox) {
                            for c in 0..<channels {
                                let o = ((n * to.0 + oy) * to.1 + ox) * channels + c
                                let i = ((n * from.0 + iy) * from.1 + ix) * channels + c
                                y[o] += wy * wx * Double(x[i])
                                dx[i] += wy * wx * Double(dy[o])
                            }
                        }
                    }
                }
            }
        }
        let resizing = BilinearResizing(from: from, to: to, alignedCorners: aligned)
        let result = everywhere { context in
            let (output, input) = (Guarded(big, misalignment: 1), Guarded(small, misalignment: 3))
            let space = workspace(
                KernelContext.resizeWorkspaceCount(
                    input: small, output: big, threadCount: context.pool.threadCount))
            context.resize(
                Guarded(small, misalignment: 2, x).view, output: output.view, by: resizing, workspace: space.base)
            context.resizeGradient(
                outputGradient: Guarded(big, misalignment: 1, dy).view, inputGradient: input.view, by: resizing,
                workspace: space.base)
            #expect(output.isIntact && input.isIntact)
            return output.values + input.values
        }
        // Gradients of much smaller pictures are sums of up to a hundred terms.
        expectClose(result, y + dx, tolerance: 3e-6)
    }

    /// `interpolate([[1, 2], [3, 4]], scale_factor=2, mode="bilinear")` in PyTorch.
    @Test func asPyTorch() {
        func enlarge(_ aligned: Bool) -> [Float] {
            everywhere { context in
                let output = Guarded([1, 4, 4, 1])
                let space = workspace(16 * context.pool.threadCount)
                context.resize(
                    Guarded([1, 2, 2, 1], [1, 2, 3, 4]).view, output: output.view,
                    by: BilinearResizing(from: (2, 2), to: (4, 4), alignedCorners: aligned), workspace: space.base)
                return output.values
            }
        }
        #expect(
            enlarge(false) == [
                1, 1.25, 1.75, 2, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3, 3.25, 3.75, 4,
            ])
        let plane = (0..<16).map { (i: Int) -> Double in
            let (row, column) = (Double(i / 4), Double(i % 4))
            return 1 + column / 3 + 2 * row / 3
        }
        expectClose(enlarge(true), plane)
    }
}
