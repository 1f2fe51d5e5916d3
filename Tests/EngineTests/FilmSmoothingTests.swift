import Basics
import Foundation
import FrameSources
import Models
import Testing

@testable import Training

/// Smoothing of maps over time, on a panning film whose depth and motion are known.
@Suite struct FilmSmoothingTests {
    static let (height, width, wide) = (96, 168, 400)

    /// A scene wider than the picture: texture, and disparity in three layers with slopes.
    static let scene: (texture: [Float], disparity: [Float]) = {
        let random = CounterRandom(key: 5)
        func noise(_ x: Int, _ y: Int) -> Float {
            Float(random.uniform(UInt64(y * 4096 + x)))
        }
        var texture = [Float](repeating: 0, count: height * wide)
        var disparity = texture
        for y in 0..<height {
            for x in 0..<wide {
                // Blobs of some pixels, as in pictures, not noise of single ones.
                let (u, v) = (Float(x) / 5, Float(y) / 5)
                let (i, j) = (Int(u), Int(v))
                let (a, b) = (u - Float(i), v - Float(j))
                let upper = noise(i, j) * (1 - a) + noise(i + 1, j) * a
                let lower = noise(i, j + 1) * (1 - a) + noise(i + 1, j + 1) * a
                texture[y * wide + x] = 40 + 170 * (upper * (1 - b) + lower * b)
                let isNear = (x / 70) % 2 == 0 && y > 30
                disparity[y * wide + x] = isNear ? 6 : -3 + Float(y) / 40
            }
        }
        return (texture, disparity)
    }()

    static func picture(at shift: Int, noise key: UInt64) -> PixelArray {
        let random = CounterRandom(key: key)
        var picture = PixelArray(zerosOf: height, width, 3, .uint8)
        for y in 0..<height {
            for x in 0..<width {
                let index = y * width + x
                let grain = Float(random.uniform(UInt64(index))) * 8 - 4
                let value = UInt8(min(max(scene.texture[y * wide + x + shift] + grain, 0), 255))
                for c in 0..<3 { picture.bytes[index * 3 + c] = value }
            }
        }
        return picture
    }

    static func truth(at shift: Int) -> [Float] {
        (0..<(height * width)).map { scene.disparity[$0 / width * wide + $0 % width + shift] }
    }

    /// What a network that flickers says: the truth, with errors of patches of 6 pixels that change with every frame.
    static func map(at shift: Int, noise key: UInt64) -> PixelArray {
        let random = CounterRandom(key: key &+ 1000)
        let truth = truth(at: shift)
        return PixelArray(
            height: height, width: width, channels: 1,
            floats: (0..<(height * width)).map { index in
                let patch = index / width / 6 * 100 + index % width / 6
                return truth[index] + Float(random.uniform(UInt64(patch))) * 2 - 1
            })
    }

    struct Figures {
        /// Mean change of a point of the scene between frames, pixels.
        var flicker = 0.0
        /// Mean distance from the truth.
        var error = 0.0
        /// The same at pixels beside steps of depth.
        var edgeError = 0.0
    }

    static func figures(strength: Float, step: Int, frames: Int = 30) -> Figures {
        var smoother = TemporalSmoother(strength: strength)
        var figures = Figures()
        var before: [Float] = []
        var (flickers, errors, edges) = (0, 0, 0)
        for number in 0..<frames {
            let shift = number * step
            let map = smoother.smooth(
                map(at: shift, noise: UInt64(number)), of: picture(at: shift, noise: UInt64(number) + 77))
            let values = map.withFloats { Array($0) }
            let truth = truth(at: shift)
            // The first frames have little to average over.
            if number >= 8 {
                for y in 0..<height {
                    for x in 2..<(width - 2 - step) {
                        let index = y * width + x
                        flickers += 1
                        figures.flicker += Double(abs(values[index] - before[index + step]))
                        let distance = Double(abs(values[index] - truth[index]))
                        errors += 1
                        figures.error += distance
                        if abs(truth[index + 2] - truth[index - 2]) > 2 {
                            edges += 1
                            figures.edgeError += distance
                        }
                    }
                }
            }
            before = values
        }
        figures.flicker /= Double(flickers)
        figures.error /= Double(errors)
        figures.edgeError /= Double(max(edges, 1))
        return figures
    }

    @Test(arguments: [0, 1, 3, 6])
    func flickerGoesAndTheTruthStays(step: Int) {
        let plain = Self.figures(strength: 0, step: step)
        let smooth = Self.figures(strength: 0.7, step: step)
        print(
            "smoothing 0.7, pan of \(step) pixels a frame: flicker \(plain.flicker) -> \(smooth.flicker), error "
                + "\(plain.error) -> \(smooth.error), at edges \(plain.edgeError) -> \(smooth.edgeError)")
        #expect(abs(plain.flicker - 0.66) < 0.05)
        #expect(smooth.flicker < 0.4 * plain.flicker, "\(smooth.flicker) of \(plain.flicker)")
        #expect(smooth.error < 0.6 * plain.error, "\(smooth.error) of \(plain.error)")
        #expect(smooth.edgeError < 1.25 * plain.edgeError, "\(smooth.edgeError) of \(plain.edgeError)")
    }

    @Test func aCutMixesNothing() {
        var smoother = TemporalSmoother(strength: 0.9)
        _ = smoother.smooth(Self.map(at: 0, noise: 1), of: Self.picture(at: 0, noise: 1))
        // Another picture altogether: upside down and inverted.
        var other = Self.picture(at: 120, noise: 2)
        other.bytes = other.bytes.reversed().map { $0 < 128 ? 255 : 0 }
        let map = PixelArray(
            height: Self.height, width: Self.width, channels: 1,
            floats: [Float](repeating: 20, count: Self.height * Self.width))
        let result = smoother.smooth(map, of: other)
        let changed = result.withFloats { $0.count { abs($0 - 20) > 1 } }
        #expect(Double(changed) / Double(map.count) < 0.1, "\(changed) of \(map.count) pixels")
    }

    @Test func unknownStaysUnknownAndSpreadsNowhere() {
        var smoother = TemporalSmoother(strength: 0.8)
        var map = Self.map(at: 0, noise: 1)
        map.withMutableFloats { $0[5000] = .nan }
        _ = smoother.smooth(map, of: Self.picture(at: 0, noise: 1))
        let next = smoother.smooth(Self.map(at: 0, noise: 2), of: Self.picture(at: 0, noise: 2))
        #expect(next.withFloats { $0.allSatisfy(\.isFinite) })
        var third = Self.map(at: 0, noise: 3)
        third.withMutableFloats { $0[70] = .nan }
        let result = smoother.smooth(third, of: Self.picture(at: 0, noise: 3))
        #expect(result.withFloats { values in values.indices.allSatisfy { values[$0].isNaN == ($0 == 70) } })
    }

    @Test func stateGoesOnWithTheSameBits() {
        func run(savingAt save: Int?) -> [PixelArray] {
            var smoother = TemporalSmoother(strength: 0.7)
            return (0..<6).map { number in
                if number == save {
                    let bytes = smoother.state + [1, 2, 3]
                    smoother = TemporalSmoother(strength: 0.7)
                    #expect(smoother.restore(bytes[...]).map(Array.init) == [1, 2, 3])
                }
                return smoother.smooth(
                    Self.map(at: 2 * number, noise: UInt64(number)),
                    of: Self.picture(at: 2 * number, noise: UInt64(number)))
            }
        }
        let reference = run(savingAt: nil)
        for save in 1..<6 { #expect(run(savingAt: save) == reference) }
        var smoother = TemporalSmoother(strength: 0.7)
        #expect(smoother.restore([1, 2, 3]) == nil)
        #expect(smoother.restore([UInt8](repeating: 255, count: 64)[...]) == nil)
    }

    @Test func viewsAreFetchedFromTheRightSide() {
        // left(x) = right(x − d): a thing at column 10 of the left view is at column 6 of the right one, d = 4.
        var left = PixelArray(zerosOf: 1, 20, 3, .uint8)
        left.bytes[30] = 200
        let flat = PixelArray(height: 1, width: 20, channels: 1, floats: [Float](repeating: 4, count: 20))
        let right = ViewWarp.view(of: .right, source: left, disparity: flat)
        #expect(right.bytes[18] == 200 && right.bytes.count { $0 != 0 } == 1)
        let again = ViewWarp.view(of: .left, source: right, disparity: flat)
        #expect(again.bytes[30] == 200)
        let half = PixelArray(height: 1, width: 20, channels: 1, floats: [Float](repeating: 0.5, count: 20))
        let between = ViewWarp.view(of: .right, source: left, disparity: half)
        #expect(between.bytes[27] == 100 && between.bytes[30] == 100)
    }
}
