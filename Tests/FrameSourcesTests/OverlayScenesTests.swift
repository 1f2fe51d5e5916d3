import Basics
import FrameSources
import Testing

@Suite struct OverlayScenesTests {
    /// Where there is no foreground, the picture is the background up to light and noise; where there is, it is not.
    @Test func theMaskIsWhereThePictureDiffers() throws {
        let scenes = try OverlayScenes(height: 48, width: 64, count: 8, seed: 3, lighting: 0)
        for index in 0..<8 {
            let record = scenes.record(index)
            let (image, background) = (try #require(record["image"]), try #require(record["background"]))
            let (mask, depth) = (try #require(record["mask"]), try #require(record["depth"]))
            #expect(image.channels == 3 && mask.channels == 1 && depth.element == .uint8)
            var (inside, outside, differences) = (0, 0, 0.0)
            for pixel in 0..<(48 * 64) {
                let difference = (0..<3).reduce(0) {
                    $0 + abs(Int(image.bytes[3 * pixel + $1]) - Int(background.bytes[3 * pixel + $1]))
                }
                if mask.bytes[pixel] == 0 {
                    #expect(difference == 0)
                    outside += 1
                } else if mask.bytes[pixel] == 255 {
                    differences += Double(difference)
                    inside += 1
                }
            }
            #expect(inside > 20 && outside > 48 * 32, "\(inside) inside, \(outside) outside")
            #expect(differences / Double(inside) > 10)
        }
    }

    /// Rows of the floor come nearer towards the bottom, and a figure is as near as the floor it stands on.
    @Test func depthFallsTowardsTheBottom() throws {
        let record = try OverlayScenes(height: 48, width: 64, count: 1, seed: 9).record(0)
        let (mask, depth) = (try #require(record["mask"]), try #require(record["depth"]))
        for column in 0..<64 {
            var last = 255
            for row in 0..<48 where mask.bytes[row * 64 + column] == 0 {
                let own = Int(depth.bytes[row * 64 + column])
                #expect(own <= last)
                last = own
            }
        }
    }

    @Test func samplesAreFunctionsOfTheirIndex() throws {
        let scenes = try OverlayScenes(height: 16, width: 24, count: 12, seed: 5)
        let items = scenes.items()
        #expect(items.count == 12 && items[3].key == "overlay_000003")
        #expect(try items[5].load() == scenes.record(5))
        #expect(scenes.record(5) != scenes.record(6))
        let clean = try OverlayScenes(height: 16, width: 24, count: 12, seed: 5, lighting: 0)
        // Four in a row share their room.
        #expect(clean.record(4)["background"] == clean.record(7)["background"])
        #expect(clean.record(4)["background"] != clean.record(8)["background"])
    }

    @Test func monoDepthIsTheDisparitysReciprocal() throws {
        let mono = try MonoScenes(height: 32, width: 48, count: 2, seed: 7)
        let stereo = try SyntheticScenes(height: 32, width: 48, count: 2, seed: 7)
        for index in 0..<2 {
            let depth = try #require(mono.record(index)["depth"])
            let disparity = try #require(stereo.record(index)["disparity"])
            let (low, high) = (stereo.disparityRange.lowerBound, stereo.disparityRange.upperBound)
            depth.withFloats { z in
                disparity.withFloats { d in
                    for i in z.indices {
                        let expected = 1 / (0.1 + 0.9 * (Double(d[i]) - low) / (high - low))
                        #expect((1...10).contains(z[i]) && abs(Double(z[i]) - expected) < 1e-3 * expected)
                    }
                }
            }
        }
        #expect(throws: Failure.self) { try MonoScenes(height: 32, width: 48, count: 2, seed: 7, depthRange: 0...1) }
    }

    /// Pairs in haze: the left view of `MonoScenes`, the geometry of clear pairs, and another right view.
    @Test func hazyPairs() throws {
        let mono = try MonoScenes(height: 32, width: 48, count: 1, seed: 7)
        let clear = try SyntheticScenes(height: 32, width: 48, count: 1, seed: 7).record(0)
        let hazy = try SyntheticScenes(height: 32, width: 48, count: 1, seed: 7, isHazy: true).record(0)
        #expect(hazy["left"] == mono.record(0)["image"])
        #expect(hazy["disparity"] == clear["disparity"] && hazy["visible"] == clear["visible"])
        #expect(hazy["right"] != clear["right"] && hazy["right"] != hazy["left"])
    }
}
