import Kernels
import Tensors
import Testing

struct DepthwiseCase: CustomTestStringConvertible, Sendable {
    var n = 2, h = 5, w = 7, c = 1, kh = 3, kw = 3
    var testDescription: String { "\(n)x\(h)x\(w)x\(c) by \(kh)x\(kw)" }
    var count: Int { n * h * w * c }

    static let all: [DepthwiseCase] =
        [1, 2, 3, 5, 6, 7, 8, 9, 15, 16, 17, 20, 31, 32, 33, 48, 64].map { DepthwiseCase(c: $0) }
        + [1, 2, 3, 4].flatMap { w in [6, 16, 19].map { DepthwiseCase(h: w == 2 ? 1 : 2, w: w, c: $0) } }
        + [
            DepthwiseCase(h: 40, w: 41, c: 6), DepthwiseCase(n: 1, h: 30, w: 150, c: 32),
            DepthwiseCase(h: 9, w: 70, c: 64),
            DepthwiseCase(h: 4, w: 12, c: 528), DepthwiseCase(h: 8, w: 9, c: 6, kh: 5, kw: 5),
            DepthwiseCase(h: 8, w: 9, c: 16, kh: 5, kw: 3), DepthwiseCase(h: 8, w: 9, c: 20, kh: 1, kw: 7),
            DepthwiseCase(h: 6, w: 9, c: 3, kh: 1, kw: 1), DepthwiseCase(h: 3, w: 4, c: 15, kh: 11, kw: 11),
            DepthwiseCase(n: 1, h: 2, w: 25, c: 16, kh: 1, kw: 19),
        ]
}

@Suite struct DepthwiseConvolutionTests {
    /// Calls `body(output, input, weight)` with flat indices for every product of the convolution.
    private func forEachProduct(_ t: DepthwiseCase, _ body: (Int, Int, Int) -> Void) {
        for n in 0..<t.n {
            for y in 0..<t.h {
                for x in 0..<t.w {
                    for ky in 0..<t.kh {
                        for kx in 0..<t.kw {
                            let (iy, ix) = (y + ky - t.kh / 2, x + kx - t.kw / 2)
                            guard iy >= 0, iy < t.h, ix >= 0, ix < t.w else { continue }
                            for c in 0..<t.c {
                                body(
                                    ((n * t.h + y) * t.w + x) * t.c + c, ((n * t.h + iy) * t.w + ix) * t.c + c,
                                    (ky * t.kw + kx) * t.c + c)
                            }
                        }
                    }
                }
            }
        }
    }

    @Test(arguments: DepthwiseCase.all)
    func forwardAndGradients(_ t: DepthwiseCase) {
        var noise = Noise(t.count)
        let x = noise.values(t.count)
        let w = noise.values(t.kh * t.kw * t.c)
        let dy = noise.values(t.count)
        var y = [Double](repeating: 0, count: t.count)
        var dx = y
        var dw = [Double](repeating: 0, count: w.count)
        forEachProduct(t) { output, input, weight in
            y[output] += Double(x[input]) * Double(w[weight])
            dx[input] += Double(dy[output]) * Double(w[weight])
            dw[weight] += Double(dy[output]) * Double(x[input])
        }
        let shape: Shape = [t.n, t.h, t.w, t.c]
        let kernel: Shape = [t.kh, t.kw, t.c]
        let forward = everywhere("forward", multiplies: true) { context in
            let output = Guarded(shape, misalignment: 1)
            context.depthwiseConvolution2D(
                Guarded(shape, misalignment: 2, x).view, weights: Guarded(kernel, misalignment: 3, w).view,
                output: output.view)
            #expect(output.isIntact)
            return output.values
        }
        expectClose(forward, y, tolerance: 4e-6, "forward")
        let inputGradient = everywhere("input gradient", multiplies: true) { context in
            let output = Guarded(shape)
            context.depthwiseConvolution2DInputGradient(
                outputGradient: Guarded(shape, dy).view, weights: Guarded(kernel, w).view, inputGradient: output.view)
            #expect(output.isIntact)
            return output.values
        }
        expectClose(inputGradient, dx, tolerance: 4e-6, "input gradient")
        let weightGradient = everywhere("weight gradient", multiplies: true) { context in
            let output = Guarded(kernel)
            let count = context.depthwiseConvolution2DWeightGradientWorkspaceCount(
                inputShape: shape, kernelHeight: t.kh, kernelWidth: t.kw, threadCount: context.pool.threadCount)
            let space = Guarded([count])
            context.depthwiseConvolution2DWeightGradient(
                Guarded(shape, misalignment: 1, x).view, outputGradient: Guarded(shape, misalignment: 2, dy).view,
                weightGradient: output.view, workspace: space.view.base)
            #expect(output.isIntact && space.isIntact)
            return output.values
        }
        expectClose(weightGradient, dw, tolerance: 2e-5, "weight gradient")
    }
}
