import Glibc
import Kernels
import Tensors
import Testing

@Suite struct MapTests {
    static let functions: [(map: NumberMap, value: @Sendable (Double) -> Double, slope: @Sendable (Double) -> Double)] =
        [
            (.affine(scale: -2, offset: 0.5), { -2 * $0 + 0.5 }, { _ in -2 }),
            (.clip(lower: 0.75, upper: 2), { min(max($0, 0.75), 2) }, { $0 < 0.75 || $0 > 2 ? 0 : 1 }),
            (.reciprocal(numerator: 3), { 3 / $0 }, { -3 / ($0 * $0) }),
            (.logarithm(factor: 1.5), { 1.5 * log($0) }, { 1.5 / $0 }),
            (.exponential(factor: 0.5), { exp(0.5 * $0) }, { 0.5 * exp(0.5 * $0) }),
        ]

    @Test(arguments: functions.indices, tailLengths)
    func valuesAndSlopes(index: Int, count: Int) {
        let function = Self.functions[index]
        var noise = Noise(count + index)
        let x = noise.values(count).map { 1.5 + $0 }
        let dy = noise.values(count)
        let result = everywhere("\(function.map)") { context in
            let (input, output) = (Guarded([count], misalignment: 1, x), Guarded([count], misalignment: 2))
            let gradient = Guarded([count], misalignment: 3, dy)
            context.map(function.map, input.view, output: output.view)
            context.mapGradient(
                function.map, input.view, outputGradient: gradient.view, inputGradient: gradient.view)
            #expect(output.isIntact && gradient.isIntact)
            return output.values + gradient.values
        }
        let wanted = x.map { function.value(Double($0)) } + zip(x, dy).map { function.slope(Double($0)) * Double($1) }
        expectClose(result, wanted, tolerance: 4e-7, "\(function.map)")
    }

    /// From the smallest normal number to the largest, and what has no logarithm.
    @Test func logarithmsOfAllSizes() {
        let x = (-126...127).flatMap { e in [1, 1.37, 1.414, 1.415, 1.9999].map { Float(scalbn($0, Int32(e))) } }
        let all = x + [0, -1, .nan, -.infinity, 1e-40, .infinity]
        let result = everywhere { context in
            let output = Guarded([all.count])
            context.map(.logarithm(factor: 1), Guarded([all.count], all).view, output: output.view)
            return output.values
        }
        for (value, y) in zip(x, result) {
            let exact = log(Double(value))
            #expect(abs(Double(y) - exact) <= 1.5e-7 * max(abs(exact), 0.05), "ln \(value): \(y)")
        }
        #expect(result[x.count..<x.count + 5].allSatisfy(\.isNaN) && result[x.count + 5] == .infinity)
    }

    @Test(arguments: tailLengths)
    func leakyReLU(count: Int) {
        var noise = Noise(count)
        var x = noise.values(count)
        let dy = noise.values(count)
        if count > 4 { (x[1], x[3]) = (0, .nan) }
        let result = everywhere { context in
            let (values, gradient) = (Guarded([count], misalignment: 1, x), Guarded([count], misalignment: 2, dy))
            context.leakyReLU(values.view, slope: 0.2, output: values.view)
            context.leakyReLUGradient(
                output: values.view, outputGradient: gradient.view, slope: 0.2, inputGradient: gradient.view)
            #expect(values.isIntact && gradient.isIntact)
            return values.values + gradient.values
        }
        let slope = Double(Float(0.2))
        let wanted =
            x.map { $0.isNaN ? .nan : Double($0) * ($0 > 0 ? 1 : slope) }
            + zip(x, dy).map { Double($1) * ($0 > 0 ? 1 : slope) }
        expectClose(result, wanted)
    }
}
