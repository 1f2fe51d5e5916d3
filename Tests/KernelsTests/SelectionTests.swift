import Kernels
import Tensors
import Testing

struct SelectionCase: CustomTestStringConvertible, Sendable {
    var width = 21, channels = 3, levels = 8, first = -4, step = 1, border = SelectionBorder.zero
    var testDescription: String {
        "width \(width), \(channels) channels, \(levels) levels from \(first) by \(step), \(border)"
    }

    static let all: [SelectionCase] =
        [2, 6, 8, 14, 16, 18, 32, 64].flatMap { levels in
            [1, -1].map { SelectionCase(levels: levels, first: -$0 * levels / 2, step: $0) }
        }
        + [1, 2, 3, 4, 5, 9].map { SelectionCase(width: 150, channels: $0, levels: 20, first: -10) }
        + [
            SelectionCase(width: 3, levels: 32, first: 16, step: -1), SelectionCase(width: 64, levels: 33, first: -40),
            SelectionCase(width: 65, levels: 16, first: 40), SelectionCase(width: 129, levels: 32, first: 16, step: -1),
            // Deep3D's: 32 disparities with the edge repeated, or 33 shifts into the mirrored row.
            SelectionCase(width: 96, levels: 32, first: 15, step: -1, border: .edge),
            SelectionCase(width: 70, levels: 33, first: -16, border: .reflect),
            SelectionCase(width: 3, levels: 32, first: 16, step: -1, border: .edge),
            SelectionCase(width: 17, channels: 1, levels: 33, first: 16, step: -1, border: .reflect),
        ]
}

@Suite struct SelectionTests {
    private let n = 2
    private let h = 3

    @Test(arguments: SelectionCase.all)
    func forwardAndGradients(_ t: SelectionCase) {
        let pixels = n * h * t.width
        var noise = Noise(t.width + t.levels)
        let image = noise.values(pixels * t.channels)
        let p = noise.values(pixels * t.levels)
        let dy = noise.values(pixels * t.channels)
        var y = [Double](repeating: 0, count: image.count)
        var dp = [Double](repeating: 0, count: p.count)
        var di = y
        for pixel in 0..<pixels {
            for k in 0..<t.levels {
                var column = pixel % t.width + t.first + k * t.step
                switch t.border {
                case .zero: if column < 0 || column >= t.width { continue }
                case .edge: column = min(max(column, 0), t.width - 1)
                case .reflect: column = column < 0 ? -column : column >= t.width ? 2 * t.width - 2 - column : column
                }
                let source = pixel - pixel % t.width + column
                for c in 0..<t.channels {
                    let (o, i) = (pixel * t.channels + c, source * t.channels + c)
                    y[o] += Double(p[pixel * t.levels + k]) * Double(image[i])
                    dp[pixel * t.levels + k] += Double(dy[o]) * Double(image[i])
                    di[i] += Double(dy[o]) * Double(p[pixel * t.levels + k])
                }
            }
        }
        let picture: Shape = [n, h, t.width, t.channels]
        let levels: Shape = [n, h, t.width, t.levels]
        let forward = everywhere("forward") { context in
            let output = Guarded(picture, misalignment: 1)
            context.selection(
                image: Guarded(picture, misalignment: 3, image).view,
                probability: Guarded(levels, misalignment: 1, p).view,
                firstShift: t.first, shiftStep: t.step, border: t.border, output: output.view)
            #expect(output.isIntact)
            return output.values
        }
        expectClose(forward, y, tolerance: 4e-6, "forward")
        let probability = everywhere("probability gradient") { context in
            let output = Guarded(levels, misalignment: 1)
            context.selectionProbabilityGradient(
                image: Guarded(picture, image).view, outputGradient: Guarded(picture, dy).view, firstShift: t.first,
                shiftStep: t.step, border: t.border, probabilityGradient: output.view)
            #expect(output.isIntact)
            return output.values
        }
        expectClose(probability, dp, tolerance: 1e-6, "probability gradient")
        let pictureGradient = everywhere("image gradient") { context in
            let output = Guarded(picture, misalignment: 1)
            context.selectionImageGradient(
                probability: Guarded(levels, p).view, outputGradient: Guarded(picture, dy).view, firstShift: t.first,
                shiftStep: t.step, border: t.border, imageGradient: output.view)
            #expect(output.isIntact)
            return output.values
        }
        expectClose(pictureGradient, di, tolerance: 6e-6, "image gradient")
    }

    /// A distribution that is sure of one level shifts the picture: the sign of models.md.
    @Test func aSureLevelShiftsThePicture() {
        let (width, levels) = (6, 4)
        let image = (0..<width).map { Float($0 + 1) }
        // Left map: first −S/2, step +1. Level 3 means s = +1.
        let left = shifted(image, level: 3, levels, first: -2, step: 1)
        #expect(left == [2, 3, 4, 5, 6, 0])
        // Right map: first +S/2, step −1. Level 0 means s = +2.
        let right = shifted(image, level: 0, levels, first: 2, step: -1)
        #expect(right == [3, 4, 5, 6, 0, 0])
    }

    private func shifted(_ image: [Float], level: Int, _ levels: Int, first: Int, step: Int) -> [Float] {
        everywhere { context in
            let p = image.indices.flatMap { _ in (0..<levels).map { $0 == level ? Float(1) : 0 } }
            let output = Guarded([1, 1, image.count, 1])
            context.selection(
                image: Guarded([1, 1, image.count, 1], image).view,
                probability: Guarded([1, 1, image.count, levels], p).view, firstShift: first, shiftStep: step,
                border: .zero, output: output.view)
            return output.values
        }
    }
}
