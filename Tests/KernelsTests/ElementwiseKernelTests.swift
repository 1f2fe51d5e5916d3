import Basics
import Kernels
import Tensors
import Testing

@Suite struct ElementwiseKernelTests {
    @Test(arguments: tailLengths, [0, 1])
    func reluAndItsGradient(count: Int, misalignment: Int) {
        var noise = Noise(count)
        let x = noise.values(count)
        let dy = noise.values(count)
        let y = everywhere { context in
            let input = Guarded([count], misalignment: misalignment, x)
            let output = Guarded([count], misalignment: 3 * misalignment)
            context.relu(input.view, output: output.view)
            context.relu(input.view, output: input.view)
            #expect(input.values == output.values && input.isIntact && output.isIntact)
            return output.values
        }
        #expect(y == x.map { max($0, 0) })
        let dx = everywhere { context in
            let gradient = Guarded([count], misalignment: misalignment, dy)
            context.reluGradient(
                output: Guarded([count], y).view, outputGradient: gradient.view, inputGradient: gradient.view)
            #expect(gradient.isIntact)
            return gradient.values
        }
        #expect(dx == zip(y, dy).map { $0 > 0 ? $1 : 0 })
    }

    @Test func reluKeepsNaN() {
        let y = everywhere { context in
            let x = Guarded([3], [.nan, -.infinity, .infinity])
            context.relu(x.view, output: x.view)
            return x.values
        }
        #expect(y[0].isNaN && y[1] == 0 && y[2] == .infinity)
    }

    @Test(arguments: tailLengths + [100_000], [0, 1])
    func simpleArithmetic(count: Int, misalignment: Int) {
        var noise = Noise(count + 1)
        let x = noise.values(count)
        let y = noise.values(count)
        let result = everywhere { context in
            let target = Guarded([count], misalignment: misalignment, y)
            let copy = Guarded([count], misalignment: 2 * misalignment)
            context.accumulate(into: target.view, Guarded([count], x).view)
            context.scale(target.view, by: 0.37)
            context.copy(target.view, to: copy.view)
            context.fill(target.view, with: 4.5)
            #expect(target.values == [Float](repeating: 4.5, count: count) && target.isIntact && copy.isIntact)
            return copy.values
        }
        #expect(result == zip(x, y).map { ($1 + $0) * 0.37 })
    }

    @Test(arguments: [1, 2, 3, 5], [1, 17, 1000])
    func linearCombinationInOrder(terms: Int, count: Int) {
        var noise = Noise(terms * count)
        let inputs = (0..<terms).map { _ in noise.values(count) }
        let factors = noise.values(terms)
        for aliases in [false, true] {
            let result = everywhere { context in
                let tensors = inputs.enumerated().map { Guarded([count], misalignment: $0.offset % 3, $0.element) }
                let output = aliases ? tensors[0] : Guarded([count])
                tensors.map(\.view).withUnsafeBufferPointer { views in
                    factors.withUnsafeBufferPointer { factors in
                        context.linearCombination(inputs: views, coefficients: factors, output: output.view)
                    }
                }
                #expect(output.isIntact)
                return output.values
            }
            let expected = (0..<count).map { index in
                (1..<terms).reduce(inputs[0][index] * factors[0]) { $0 + inputs[$1][index] * factors[$1] }
            }
            #expect(result == expected)
        }
    }

    @Test(arguments: [1, 3, 4, 16, 21, 32])
    func copyChannelsConcatenatesAndSlices(channels: Int) {
        var noise = Noise(channels)
        let rows = 37
        let a = noise.values(rows * channels)
        let b = noise.values(rows * (channels + 5))
        for accumulate in [false, true] {
            let result = everywhere { context in
                let target = Guarded([rows, channels + 5], misalignment: 1, b)
                context.copyChannels(
                    from: Guarded([rows, channels], a).view, channelOffset: 0, to: target.view, channelOffset: 3,
                    count: channels, accumulate: accumulate)
                #expect(target.isIntact)
                return target.values
            }
            var expected = b
            for row in 0..<rows {
                for c in 0..<channels {
                    let at = row * (channels + 5) + 3 + c
                    expected[at] = accumulate ? b[at] + a[row * channels + c] : a[row * channels + c]
                }
            }
            #expect(result == expected)
            let slice = everywhere { context in
                let target = Guarded([rows, 1])
                context.copyChannels(
                    from: Guarded([rows, channels + 5], b).view, channelOffset: 4, to: target.view, channelOffset: 0,
                    count: 1, accumulate: false)
                #expect(target.isIntact)
                return target.values
            }
            #expect(slice == (0..<rows).map { b[$0 * (channels + 5) + 4] })
        }
    }

    // Dropout

    /// The documented hash, written once more.
    private func isKept(_ index: Int, _ key: UInt64, _ rate: Double) -> Bool {
        var h = UInt32(index) &* 0x9E37_79B1 &+ UInt32(truncatingIfNeeded: key)
        h ^= h >> 16
        h = h &* 0x7FEB_352D
        h ^= h >> 15
        h = h &+ UInt32(key >> 32)
        h = h &* 0x846C_A68B
        h ^= h >> 16
        return Double(h) >= (rate * 0x1p32).rounded()
    }

    @Test(arguments: [1, 15, 16, 33, 1000, 70_001], [0.0, 0.4, 0.9])
    func dropoutFollowsItsHash(count: Int, rate: Double) {
        var noise = Noise(count)
        let x = noise.values(2 * count)
        let keys: [UInt64] = [0x0123_4567_89AB_CDEF, 42]
        let y = everywhere { context in
            let input = Guarded([2, count], misalignment: 1, x)
            let output = Guarded([2, count])
            context.dropout(input.view, output: output.view, keys: keys, rate: Float(rate))
            context.dropout(input.view, output: input.view, keys: keys, rate: Float(rate))
            #expect(input.values == output.values && input.isIntact && output.isIntact)
            return output.values
        }
        let factor = Float(1 / (1 - Double(Float(rate))))
        let expected = (0..<2 * count).map {
            isKept($0 % count, keys[$0 / count], Double(Float(rate))) ? x[$0] * factor : 0
        }
        #expect(y == expected)
    }

    /// The share of kept elements is right for many keys, and masks of neighbouring keys have nothing in common. The
    /// gradient's mask is the forward mask because it is the same call; a sample's mask does not depend on its place.
    @Test func dropoutMasksAreFairAndIndependent() {
        let count = 40_000
        let rate = 0.4
        // Small ones, and keys as CounterRandom makes them.
        let keys: [UInt64] =
            [0, 1, 2, 3, 0xFFFF_FFFF] + (0..<4).map { CounterRandom(7, "dropout", $0).key }
        let masks = everywhere { context in
            let ones = Guarded([keys.count, count], [Float](repeating: 1, count: keys.count * count))
            context.dropout(ones.view, output: ones.view, keys: keys, rate: Float(rate))
            return ones.values
        }.map { $0 > 0 }
        let deviation = (rate * (1 - rate) / Double(count)).squareRoot()
        for first in keys.indices {
            let a = masks[first * count..<(first + 1) * count]
            let kept = Double(a.filter { $0 }.count) / Double(count)
            #expect(abs(kept - (1 - rate)) < 4.5 * deviation, "key \(keys[first]) keeps \(kept)")
            for second in 0..<first {
                let b = masks[second * count..<(second + 1) * count]
                let both = Double(zip(a, b).filter { $0 && $1 }.count) / Double(count)
                #expect(
                    abs(both - 0.36) < 4.5 * (0.36 * 0.64 / Double(count)).squareRoot(), "\(first), \(second): \(both)")
            }
            // Neighbours within a mask too.
            let pairs = Double(zip(a, a.dropFirst()).filter { $0 && $1 }.count) / Double(count - 1)
            #expect(abs(pairs - 0.36) < 6 * (0.36 * 0.64 / Double(count)).squareRoot(), "key \(keys[first]): \(pairs)")
        }
        let alone = everywhere { context in
            let ones = Guarded([1, count], [Float](repeating: 1, count: count))
            context.dropout(ones.view, output: ones.view, keys: [keys[3]], rate: Float(rate))
            return ones.values
        }
        #expect(alone.map { $0 > 0 } == Array(masks[3 * count..<4 * count]))
    }
}
