import Basics
import FrameSources
import Testing

@Suite struct SyntheticScenesTests {
    private let scenes: SyntheticScenes

    init() throws { scenes = try SyntheticScenes(height: 32, width: 96, count: 6, seed: 5) }

    /// Mean absolute difference, over the pixels that both views see, between one view and the other one fetched along
    /// the disparity (bilinear), and between the views as they are.
    private func errors(_ record: Record, rebuildingRight: Bool) throws -> (warped: Double, copied: Double) {
        let target = try #require(record[rebuildingRight ? "right" : "left"])
        let source = try #require(record[rebuildingRight ? "left" : "right"])
        let disparity = try #require(record[rebuildingRight ? "disparity_right" : "disparity"])
        let visible = try #require(record[rebuildingRight ? "visible_right" : "visible"])
        var (warped, copied, count) = (0.0, 0.0, 0)
        disparity.withFloats { d in
            for pixel in d.indices where visible.bytes[pixel] == 255 {
                let row = pixel / target.width * target.width
                let x = Double(pixel - row) + Double(d[pixel]) * (rebuildingRight ? 1 : -1)
                let first = min(max(Int(x), 0), target.width - 2)
                let fraction = x - Double(first)
                for channel in 0..<3 {
                    let value = Double(target.bytes[pixel * 3 + channel])
                    let low = Double(source.bytes[(row + first) * 3 + channel])
                    let high = Double(source.bytes[(row + first + 1) * 3 + channel])
                    warped += abs(low + (high - low) * fraction - value)
                    copied += abs(Double(source.bytes[pixel * 3 + channel]) - value)
                    count += 1
                }
            }
        }
        return (warped / Double(count), copied / Double(count))
    }

    @Test func disparityTakesEachViewToTheOther() throws {
        let dark = try SyntheticScenes(height: 32, width: 96, count: 6, seed: 5, lighting: 0)
        for index in 0..<4 {
            let (cleanPair, litPair) = (dark.record(index), scenes.record(index))
            for rebuildingRight in [true, false] {
                let clean = try errors(cleanPair, rebuildingRight: rebuildingRight)
                // What is left is interpolation and pixels that mix two surfaces at an outline.
                #expect(clean.warped < 5, "scene \(index): \(clean)")
                #expect(clean.warped * 3.5 < clean.copied, "scene \(index): \(clean)")
                let lit = try errors(litPair, rebuildingRight: rebuildingRight)
                #expect(lit.warped < 8 && lit.warped > clean.warped, "scene \(index): \(lit)")
            }
        }
    }

    /// Left pixel → right view → its disparity leads back: the same point has the same disparity in both maps.
    @Test func bothMapsAgreeWhereBothViewsSee() throws {
        for index in 0..<3 {
            let record = scenes.record(index)
            let left = try #require(record["disparity"])
            let right = try #require(record["disparity_right"]).withFloats { Array($0) }
            let visible = try #require(record["visible"])
            var (agreeing, count) = (0, 0)
            left.withFloats { d in
                for pixel in d.indices where visible.bytes[pixel] == 255 {
                    let row = pixel / left.width * left.width
                    let x = Double(pixel - row) - Double(d[pixel])
                    // The nearest of the right view's pixels: half a pixel off on a slanted plane.
                    let nearest = min(max(Int(x.rounded()), 0), left.width - 1)
                    count += 1
                    if abs(right[row + nearest] - d[pixel]) < 0.2 { agreeing += 1 }
                }
            }
            #expect(count > left.count / 2)
            #expect(Double(agreeing) / Double(count) > 0.95, "scene \(index): \(agreeing) of \(count)")
        }
    }

    @Test func scenesHaveBothSignsOcclusionsAndRange() throws {
        var (lowest, highest): (Float, Float) = (0, 0)
        for index in 0..<6 {
            let record = scenes.record(index)
            for name in ["disparity", "disparity_right"] {
                let map = try #require(record[name])
                let range = try #require(Colormap.range(of: map))
                #expect(range.lowerBound >= -6.0001 && range.upperBound <= 6.0001)
                (lowest, highest) = (min(lowest, range.lowerBound), max(highest, range.upperBound))
            }
            for name in ["visible", "visible_right"] {
                let mask = try #require(record[name])
                let hidden = mask.bytes.count { $0 == 0 }
                #expect(mask.bytes.allSatisfy { $0 == 0 || $0 == 255 })
                #expect(hidden > 0 && hidden < mask.count / 2)
            }
        }
        #expect(lowest < -3 && highest > 3)
    }

    @Test func everyPlaceHasTexture() throws {
        // What is flat cannot be matched: no 8x8 block of a view may be.
        for index in 0..<3 {
            let left = try #require(scenes.record(index)["left"])
            for top in stride(from: 0, to: 32, by: 8) {
                for start in stride(from: 0, to: 96, by: 8) {
                    var (low, high): (UInt8, UInt8) = (255, 0)
                    for y in top..<(top + 8) {
                        for x in start..<(start + 8) {
                            let value = left.bytes[(y * 96 + x) * 3 + 1]
                            (low, high) = (min(low, value), max(high, value))
                        }
                    }
                    #expect(high - low >= 8, "scene \(index), block \(top),\(start)")
                }
            }
        }
    }

    @Test func aSceneDependsOnSeedAndIndexOnly() throws {
        let more = try SyntheticScenes(height: 32, width: 96, count: 99, seed: 5)
        #expect(more.record(3) == scenes.record(3))
        let items = scenes.items()
        #expect(items.count == 6 && items[3].key == "scene_000003")
        #expect(try items[3].load() == scenes.record(3))
        #expect(scenes.record(4)["left"] != scenes.record(3)["left"])
        let other = try SyntheticScenes(height: 32, width: 96, count: 6, seed: 6)
        #expect(other.record(3)["left"] != scenes.record(3)["left"])
    }

    @Test func theBytesNeverChange() throws {
        // Data sets are named by their seed: another hash means that published recipes give other data.
        let record = try SyntheticScenes(height: 32, width: 48, count: 1, seed: 1).record(0)
        let hash = record.fields.map { Hash.hexadecimal(Hash.xxh64($0.array.bytes)) }
        #expect(hash == Self.expected)
    }

    static let expected = [
        "cdf3b00b16fa6e70", "ad87cb48a90be661", "b7a074c1e8b52fa4", "42b5b796d23e3ed5", "121278293c8f71fa",
        "a6f2c82d9bc5032d",
    ]

    @Test func unfitSettingsAreUsageErrors() throws {
        for body in [
            { try SyntheticScenes(height: 8, width: 96, count: 1, seed: 1) },
            { try SyntheticScenes(height: 64, width: 96, count: 0, seed: 1) },
            { try SyntheticScenes(height: 64, width: 96, count: 1, seed: 1, disparityRange: 0...50) },
            { try SyntheticScenes(height: 64, width: 96, count: 1, seed: 1, lighting: -1) },
        ] as [() throws -> SyntheticScenes] {
            #expect(try #require(failure { _ = try body() }).0 == .usage)
        }
        #expect(SyntheticScenes.defaultDisparityRange(width: 96) == -6...6)
        #expect(SyntheticScenes.defaultDisparityRange(width: 1000) == -16...15)
    }
}
