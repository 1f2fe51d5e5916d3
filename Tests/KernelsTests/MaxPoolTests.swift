import Kernels
import Tensors
import Testing

@Suite struct MaxPoolTests {
    private func pool(_ x: [Float], _ shape: Shape, window: Int, stride: Int) -> (y: [Float], at: [Int]) {
        let (n, h, w, c) = (shape[0], shape[1], shape[2], shape[3])
        var (y, at): ([Float], [Int]) = ([], [])
        for n in 0..<n {
            for oy in 0..<(h - window) / stride + 1 {
                for ox in 0..<(w - window) / stride + 1 {
                    for c in 0..<shape[3] {
                        var best = -1
                        for ky in 0..<window {
                            for kx in 0..<window {
                                let i = ((n * h + oy * stride + ky) * w + ox * stride + kx) * shape[3] + c
                                if best < 0 || x[i] > x[best] || x[i].isNaN { best = i }
                            }
                        }
                        y.append(x[best])
                        at.append(best)
                    }
                }
            }
        }
        _ = c
        return (y, at)
    }

    @Test(arguments: [(2, 2), (3, 2), (3, 1), (2, 3), (1, 1), (4, 4)], [1, 3, 4, 16, 21])
    func forwardAndGradient(window: (Int, Int), channels: Int) {
        let (window, stride) = window
        let shape: Shape = [2, 9, 11, channels]
        var noise = Noise(channels * 10 + window)
        // Few values: many ties.
        let x = noise.values(shape.count).map { ($0 * 4).rounded() }
        let (expected, at) = pool(x, shape, window: window, stride: stride)
        let out: Shape = [2, (9 - window) / stride + 1, (11 - window) / stride + 1, channels]
        let dy = noise.values(out.count)
        let y = everywhere { context in
            let output = Guarded(out, misalignment: 1)
            context.maxPool2D(
                Guarded(shape, misalignment: 2, x).view, output: output.view, window: window, stride: stride)
            #expect(output.isIntact)
            return output.values
        }
        #expect(y == expected)
        var gradient = [Double](repeating: 0, count: x.count)
        for (index, position) in at.enumerated() { gradient[position] += Double(dy[index]) }
        let dx = everywhere { context in
            let input = Guarded(shape, misalignment: 1)
            context.maxPool2DGradient(
                Guarded(shape, x).view, outputGradient: Guarded(out, dy).view, inputGradient: input.view,
                window: window, stride: stride)
            #expect(input.isIntact)
            return input.values
        }
        expectClose(dx, gradient)
    }

    /// Bands of rows: a picture larger than a chunk, with a remainder.
    @Test(arguments: [(2, 2), (3, 2)])
    func largePicturesAreCutIntoBands(window: (Int, Int)) {
        let (window, stride) = window
        let shape: Shape = [2, 83, 65, 24]
        var noise = Noise(1)
        let x = noise.values(shape.count)
        let (_, at) = pool(x, shape, window: window, stride: stride)
        let out: Shape = [2, (83 - window) / stride + 1, (65 - window) / stride + 1, 24]
        let dy = noise.values(out.count)
        let dx = everywhere { context in
            let input = Guarded(shape)
            context.maxPool2DGradient(
                Guarded(shape, x).view, outputGradient: Guarded(out, dy).view, inputGradient: input.view,
                window: window, stride: stride)
            return input.values
        }
        var gradient = [Double](repeating: 0, count: x.count)
        for (index, position) in at.enumerated() { gradient[position] += Double(dy[index]) }
        expectClose(dx, gradient)
    }

    /// From PyTorch: `y = max_pool2d(x, 2, 2); y.backward([[1, 2], [3, 4]])`.
    @Test func tiesAndNaNAsInPyTorch() {
        let nan = Float.nan
        let x: [Float] = [1, nan, 3, 3, 2, 5, 5, nan, 5, 1, 0, -1, 4, 4, 4, 4]
        let result = everywhere { context in
            let input = Guarded([1, 4, 4, 1], x)
            let (output, gradient) = (Guarded([1, 2, 2, 1]), Guarded([1, 4, 4, 1]))
            context.maxPool2D(input.view, output: output.view, window: 2, stride: 2)
            context.maxPool2DGradient(
                input.view, outputGradient: Guarded([1, 2, 2, 1], [1, 2, 3, 4]).view, inputGradient: gradient.view,
                window: 2, stride: 2)
            return output.values + gradient.values
        }
        #expect(result[0].isNaN && result[1].isNaN && result[2] == 5 && result[3] == 4)
        #expect(Array(result[4...]) == [0, 1, 0, 0, 0, 0, 0, 2, 3, 0, 0, 0, 0, 0, 4, 0])
    }
}
