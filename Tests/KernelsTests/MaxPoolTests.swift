import Kernels
import Tensors
import Testing

@Suite struct MaxPoolTests {
    private func pool(
        _ x: [Float], _ shape: Shape, window: Int, stride: Int, padding: Int = 0
    ) -> (y: [Float], at: [Int]) {
        let (n, h, w, c) = (shape[0], shape[1], shape[2], shape[3])
        var (y, at): ([Float], [Int]) = ([], [])
        for n in 0..<n {
            for oy in 0..<(h + 2 * padding - window) / stride + 1 {
                for ox in 0..<(w + 2 * padding - window) / stride + 1 {
                    for c in 0..<shape[3] {
                        var best = -1
                        for ky in 0..<window {
                            for kx in 0..<window {
                                let (y, x0) = (oy * stride + ky - padding, ox * stride + kx - padding)
                                guard y >= 0, y < h, x0 >= 0, x0 < w else { continue }
                                let i = ((n * h + y) * w + x0) * shape[3] + c
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

    /// Windows that hang over the border: values below zero, so that a padding of zeros would win.
    @Test(arguments: [(3, 2, 1), (2, 1, 1), (5, 3, 2), (4, 4, 1)], [1, 5, 16, 35])
    func paddedWindows(window: (Int, Int, Int), channels: Int) {
        let (window, stride, padding) = window
        let shape: Shape = [2, 10, 12, channels]
        var noise = Noise(channels * 10 + window)
        let x = noise.values(shape.count).map { ($0 * 4).rounded() - 8 }
        let (expected, at) = pool(x, shape, window: window, stride: stride, padding: padding)
        let out: Shape = [
            2, (10 + 2 * padding - window) / stride + 1, (12 + 2 * padding - window) / stride + 1, channels,
        ]
        let dy = noise.values(out.count)
        var gradient = [Double](repeating: 0, count: x.count)
        for (index, position) in at.enumerated() { gradient[position] += Double(dy[index]) }
        let result = everywhere { context in
            let (output, input) = (Guarded(out, misalignment: 1), Guarded(shape, misalignment: 3))
            context.maxPool2D(
                Guarded(shape, misalignment: 2, x).view, output: output.view, window: window, stride: stride,
                padding: padding)
            context.maxPool2DGradient(
                Guarded(shape, x).view, outputGradient: Guarded(out, dy).view, inputGradient: input.view,
                window: window, stride: stride, padding: padding)
            #expect(output.isIntact && input.isIntact)
            return output.values + input.values
        }
        expectClose(result, expected.map(Double.init) + gradient)
    }

    @Test(arguments: [1, 2, 3], [1, 4, 16, 21])
    func averages(window: Int, channels: Int) {
        let (big, small): (Shape, Shape) = ([2, 3 * window, 5 * window, channels], [2, 3, 5, channels])
        var noise = Noise(window * 100 + channels)
        let (x, dy) = (noise.values(big.count), noise.values(small.count))
        var y = [Double](repeating: 0, count: small.count)
        var dx = [Double](repeating: 0, count: big.count)
        let share = 1 / Double(window * window)
        for n in 0..<2 {
            for row in 0..<3 * window {
                for column in 0..<5 * window {
                    for c in 0..<channels {
                        let i = ((n * 3 * window + row) * 5 * window + column) * channels + c
                        let o = ((n * 3 + row / window) * 5 + column / window) * channels + c
                        y[o] += Double(x[i]) * share
                        dx[i] = Double(dy[o]) * share
                    }
                }
            }
        }
        let result = everywhere { context in
            let (output, input) = (Guarded(small, misalignment: 1), Guarded(big, misalignment: 3))
            context.averagePool2D(Guarded(big, misalignment: 2, x).view, output: output.view, window: window)
            context.averagePool2DGradient(
                outputGradient: Guarded(small, dy).view, inputGradient: input.view, window: window)
            #expect(output.isIntact && input.isIntact)
            return output.values + input.values
        }
        expectClose(result, y + dx)
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
