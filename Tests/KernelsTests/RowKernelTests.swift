import CKernels
import Glibc
import Kernels
import Tensors
import Testing

@Suite struct RowKernelTests {
    /// Error in units of the last place of the true result, over the whole range and near its ends.
    @Test func exponentialIsWithinOneUlp() throws {
        var arguments = stride(from: -88.0, through: 88.0, by: 0.001_37).map { Float($0) }
        arguments += stride(from: -1.0, through: 0.0, by: 0.000_031).map { Float($0) }
        arguments += [0, -0.0, 1, -1, -87.33, -87.34, 88]
        var first: [Float]?
        for level in InstructionLevel.supported {
            let kernels = try #require(ck_kernels_for(Int32(level.rawValue)))
            var results = [Float](repeating: 0, count: arguments.count)
            kernels.pointee.exponential(arguments, &results, arguments.count)
            if let first { #expect(first.map(\.bitPattern) == results.map(\.bitPattern)) } else { first = results }
            var worst = 0.0
            for (x, y) in zip(arguments, results) {
                let exact = exp(Double(x))
                if exact < Double(Float.leastNormalMagnitude) {
                    #expect(y == 0 || y == Float.leastNormalMagnitude)
                } else {
                    worst = max(worst, abs(Double(y) - exact) / Double(Float(exact).ulp))
                }
            }
            #expect(worst < 1.0, "worst error \(worst) ulp at \(level)")
            var special = [Float](repeating: 0, count: 3)
            kernels.pointee.exponential([.nan, -.infinity, 0], &special, 3)
            #expect(special[0].isNaN && special[1] == 0 && special[2] == 1)
        }
    }

    private func softmax(_ x: [Double], _ levels: Int) -> [Double] {
        stride(from: 0, to: x.count, by: levels).flatMap { row in
            let values = x[row..<row + levels]
            let top = values.max() ?? 0
            let powers = values.map { exp($0 - top) }
            let sum = powers.reduce(0, +)
            return powers.map { $0 / sum }
        }
    }

    @Test(arguments: tailLengths.filter { $0 > 0 }, [0, 1])
    func softmaxAndItsGradient(levels: Int, misalignment: Int) {
        var noise = Noise(levels)
        let rows = levels == 1000 ? 3 : 11
        let x = noise.values(rows * levels).map { $0 * 8 }
        let dy = noise.values(rows * levels)
        let y = everywhere { context in
            let input = Guarded([rows, levels], misalignment: misalignment, x)
            let output = Guarded([rows, levels], misalignment: misalignment)
            context.softmax(input.view, output: output.view)
            context.softmax(input.view, output: input.view)
            #expect(output.values == input.values && input.isIntact && output.isIntact)
            return output.values
        }
        let exact = softmax(x.map(Double.init), levels)
        expectClose(y, exact, tolerance: 4e-7)
        let dx = everywhere { context in
            let gradient = Guarded([rows, levels], misalignment: misalignment, dy)
            context.softmaxGradient(
                output: Guarded([rows, levels], y).view, outputGradient: gradient.view, inputGradient: gradient.view)
            #expect(gradient.isIntact)
            return gradient.values
        }
        if levels <= 64 {
            expectClose(dx, finiteDifferences(x, cotangent: dy) { softmax($0, levels) }, tolerance: 2e-6)
        }
    }

    @Test func softmaxOfExtremes() {
        let y = everywhere { context in
            let x = Guarded([3, 4], [1e30, -1e30, 0, 1e30, -.infinity, 5, -.infinity, 5, 1, .nan, 2, 3])
            context.softmax(x.view, output: x.view)
            return x.values
        }
        #expect(Array(y[0..<8]) == [0.5, 0, 0, 0.5, 0, 0.5, 0, 0.5])
        #expect(y[8...].filter { !$0.isNaN }.isEmpty)
    }

    @Test(arguments: tailLengths.filter { $0 > 0 })
    func channelDotAndItsGradient(levels: Int) {
        var noise = Noise(levels)
        let rows = 13
        let x = noise.values(rows * levels)
        let factors = (0..<levels).map { Float($0 - levels / 2) }
        let dy = noise.values(rows)
        let y = everywhere { context in
            let output = Guarded([rows, 1], misalignment: 1)
            context.channelDot(
                Guarded([rows, levels], misalignment: 1, x).view, coefficients: factors, output: output.view)
            #expect(output.isIntact)
            return output.values
        }
        let exact = (0..<rows).map { row in
            (0..<levels).reduce(0.0) { $0 + Double(x[row * levels + $1]) * Double(factors[$1]) }
        }
        expectClose(y, exact, tolerance: levels == 1000 ? 1e-3 : 1e-5)
        let dx = everywhere { context in
            let gradient = Guarded([rows, levels], misalignment: 3)
            context.channelDotGradient(
                outputGradient: Guarded([rows, 1], dy).view, coefficients: factors, inputGradient: gradient.view)
            #expect(gradient.isIntact)
            return gradient.values
        }
        #expect(dx == (0..<rows * levels).map { factors[$0 % levels] * dy[$0 / levels] })
    }
}
