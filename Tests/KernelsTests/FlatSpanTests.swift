import Kernels
import Tensors
import Testing

@Suite struct FlatSpanTests {
    @Test(arguments: tailLengths + [200_003], [0, 1])
    func squaredNormInDouble(count: Int, misalignment: Int) {
        var noise = Noise(count)
        let x = noise.values(count)
        var first: Double?
        _ = everywhere { context in
            let norm = context.squaredNorm(Guarded([count], misalignment: misalignment, x).floats)
            if let first { #expect(norm.bitPattern == first.bitPattern) } else { first = norm }
            return []
        }
        let exact = x.reduce(0.0) { $0 + Double($1) * Double($1) }
        #expect(abs((first ?? -1) - exact) <= 1e-12 * max(1, exact))
    }

    @Test(arguments: [1, 15, 16, 17, 1000, 200_003])
    func nonFiniteValuesAreFound(count: Int) {
        var noise = Noise(count)
        let x = noise.values(count)
        _ = everywhere { context in
            let span = Guarded([count], misalignment: 1, x)
            #expect(context.nonFinite(span.floats) == (0, nil))
            span.view.base[count - 1] = .infinity
            #expect(context.nonFinite(span.floats) == (1, count - 1))
            span.view.base[count / 2] = .nan
            #expect(context.nonFinite(span.floats) == (count == 1 ? 1 : 2, count / 2))
            span.view.base[0] = -.infinity
            #expect(context.nonFinite(span.floats).firstIndex == 0)
            return []
        }
        _ = everywhere { context in
            let all = Guarded([count], [Float](repeating: .nan, count: count))
            #expect(context.nonFinite(all.floats) == (count, 0))
            // The largest finite value is none.
            all.view.base[0] = .greatestFiniteMagnitude
            #expect(context.nonFinite(all.floats).count == count - 1)
            return []
        }
    }

    @Test(arguments: tailLengths)
    func clampLimitsBothSides(count: Int) {
        var noise = Noise(count)
        var x = noise.values(count)
        if count > 3 { x[2] = .nan }
        let result = everywhere { context in
            let span = Guarded([count], misalignment: 1, x)
            context.clamp(span.view.buffer, limit: 0.5)
            #expect(span.isIntact)
            return span.values
        }
        expectClose(result, x.map { $0.isNaN ? .nan : Double(min(max($0, -0.5), 0.5)) }, tolerance: 0)
    }

    /// Tails and misalignment of the optimizer kernels against the formulas in double.
    @Test(arguments: tailLengths, [0, 1])
    func updatesMatchTheFormulas(count: Int, misalignment: Int) {
        var noise = Noise(count)
        let p = noise.values(count)
        let g = noise.values(count)
        let m = noise.values(count)
        let v = noise.values(count).map { abs($0) }
        let spans = count == 0 ? [] : [UpdateSpan(0..<count)]
        let sgd = everywhere { context in
            let (q, b) = (
                Guarded([count], misalignment: misalignment, p), Guarded([count], misalignment: misalignment, m)
            )
            context.sgdUpdate(
                parameters: q.view.base, gradients: Guarded([count], g).view.base, momentum: b.view.base, spans: spans,
                step: SGDStep(learningRate: 0.1, momentum: 0.9, weightDecay: 0.01, isNesterov: false))
            #expect(q.isIntact && b.isIntact)
            return q.values
        }
        expectClose(
            sgd,
            (0..<count).map { (i: Int) -> Double in
                let old = Double(p[i])
                let momentum = 0.9 * Double(m[i]) + (Double(g[i]) + 0.01 * old)
                return old - 0.1 * momentum
            }, tolerance: 3e-7)
        let adam = everywhere { context in
            let (q, a, s) = (
                Guarded([count], misalignment: misalignment, p), Guarded([count], m),
                Guarded([count], misalignment: 2, v)
            )
            context.adamUpdate(
                parameters: q.view.base, gradients: Guarded([count], g).view.base, firstMoment: a.view.base,
                secondMoment: s.view.base, maximumSecondMoment: nil, spans: spans,
                step: AdamStep(
                    learningRate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1, isDecoupled: true,
                    step: 7))
            #expect(q.isIntact && a.isIntact && s.isIntact)
            return q.values
        }
        var (correction1, correction2) = (1.0, 1.0)
        for _ in 0..<7 { (correction1, correction2) = (correction1 * 0.9, correction2 * 0.99) }
        (correction1, correction2) = (1 - correction1, 1 - correction2)
        expectClose(
            adam,
            (0..<count).map { (i: Int) -> Double in
                let gradient = Double(g[i])
                let mean = 0.9 * Double(m[i]) + 0.1 * gradient
                let square = 0.99 * Double(v[i]) + 0.01 * gradient * gradient
                let divisor = (square / correction2).squareRoot() + 1e-8
                return Double(p[i]) * (1 - 0.001) - 0.01 * (mean / correction1) / divisor
            }, tolerance: 3e-7)
    }
}
