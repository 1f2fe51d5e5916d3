import Basics
import TestSupport
import Testing

@testable import Shards
@testable import Streaming

/// Every change of colours against its definition, one pixel at a time in float64.
@Suite struct ColourTests {
    private typealias Pixel = (r: Double, g: Double, b: Double)

    private func clip(_ p: Pixel) -> Pixel {
        func one(_ v: Double) -> Double { min(1, max(0, v)) }
        return (one(p.r), one(p.g), one(p.b))
    }

    private func gray(_ p: Pixel) -> Double { 0.299 * p.r + 0.587 * p.g + 0.114 * p.b }

    /// By way of HSV and its six cases.
    private func turned(_ p: Pixel, by hue: Double) -> Pixel {
        let (most, least) = (max(p.r, p.g, p.b), min(p.r, p.g, p.b))
        if most == least { return p }
        let chroma = most - least
        var h =
            most == p.r ? (p.g - p.b) / chroma : most == p.g ? 2 + (p.b - p.r) / chroma : 4 + (p.r - p.g) / chroma
        h = (h / 6 + hue).truncatingRemainder(dividingBy: 1)
        if h < 0 { h += 1 }
        let sector = Int(h * 6) % 6
        let f = h * 6 - Double(Int(h * 6))
        let s = chroma / most
        let (p0, q, t) = (most * (1 - s), most * (1 - s * f), most * (1 - s * (1 - f)))
        return [(most, t, p0), (q, most, p0), (p0, most, t), (p0, q, most), (t, p0, most), (most, p0, q)][sector]
    }

    private func values(_ pixels: Int, seed: UInt64) -> [Float] {
        let random = CounterRandom(seed, "colours")
        return (0..<(3 * pixels)).map { i in
            // Grays, black and white among them.
            let pixel = UInt64(i / 3)
            switch pixel % 11 {
            case 0: return Float(random.uniform(pixel))
            case 1: return 0
            case 2: return 1
            default: return Float(random.uniform(UInt64(i) + 1_000_000))
            }
        }
    }

    private func changed(_ values: [Float], _ change: PictureColours.Change, level: Int32 = 0) -> [Float] {
        var copy = values
        copy.withUnsafeMutableBufferPointer { PictureColours.change($0, by: change, level: level) }
        return copy
    }

    private func expect(_ change: PictureColours.Change, tolerance: Double = 2e-6, _ reference: ([Pixel]) -> [Pixel]) {
        for pixels in [1, 2, 15, 16, 17, 33, 3000] {
            let before = values(pixels, seed: UInt64(pixels))
            let after = changed(before, change)
            let expected = reference(
                (0..<pixels).map {
                    (Double(before[3 * $0]), Double(before[3 * $0 + 1]), Double(before[3 * $0 + 2]))
                })
            var worst = 0.0
            for i in 0..<pixels {
                for (k, value) in [expected[i].r, expected[i].g, expected[i].b].enumerated() {
                    worst = max(worst, abs(Double(after[3 * i + k]) - value))
                }
            }
            #expect(worst < tolerance, "\(pixels) pixels: \(worst)")
        }
    }

    @Test func `contrast is about the mean gray`() {
        for factor in [0.5, 1.3] {
            var change = PictureColours.Change()
            change.contrast = Float(factor)
            expect(change) { pixels in
                let mean = pixels.map { self.gray($0) }.reduce(0, +) / Double(pixels.count)
                let f = Double(change.contrast)
                return pixels.map {
                    self.clip((mean + f * ($0.r - mean), mean + f * ($0.g - mean), mean + f * ($0.b - mean)))
                }
            }
        }
    }

    @Test func `saturation is about each pixel's gray`() {
        for factor in [0, 0.5, 1.7] {
            var change = PictureColours.Change()
            change.saturation = Float(factor)
            expect(change) {
                $0.map { p in
                    let (g, f) = (self.gray(p), Double(change.saturation))
                    return self.clip((g + f * (p.r - g), g + f * (p.g - g), g + f * (p.b - g)))
                }
            }
        }
    }

    @Test func `hue turns the colour circle`() {
        for hue: Float in [-0.5, -0.31, -0.1, 0.05, 1.0 / 3, 0.5] {
            var change = PictureColours.Change()
            change.hue = hue
            expect(change, tolerance: 1e-5) { $0.map { self.turned($0, by: Double(hue)) } }
        }
        var third = PictureColours.Change()
        third.hue = 1.0 / 3
        let green = changed([1, 0, 0], third)
        #expect(abs(green[0]) < 1e-6 && abs(green[1] - 1) < 1e-6 && abs(green[2]) < 1e-6)
    }

    @Test func `gains and orders of channels`() {
        for (number, order) in ColourChange.orders.enumerated() {
            var change = PictureColours.Change()
            change.gains = SIMD3(0.8, 1, 1.25)
            change.order = order
            expect(change) {
                $0.map { p in
                    let q = self.clip((p.r * Double(Float(0.8)), p.g, p.b * 1.25))
                    let all = [q.r, q.g, q.b]
                    return (all[Int(order.x)], all[Int(order.y)], all[Int(order.z)])
                }
            }
            #expect(Set([order.x, order.y, order.z]).count == 3, "order \(number)")
        }
        #expect(Set(ColourChange.orders.map { [$0.x, $0.y, $0.z] }).count == 6)
    }

    @Test func `noise is nearly normal, has no mean, and no neighbour knows another`() {
        var change = PictureColours.Change()
        change.noise = 0.05
        change.noiseKey = 77
        let count = 200_000
        let drawn = changed([Float](repeating: 0.5, count: 3 * count), change).map { (Double($0) - 0.5) / 0.05 }
        func mean(_ body: (Int) -> Double) -> Double { drawn.indices.reduce(0) { $0 + body($1) } / Double(drawn.count) }
        #expect(abs(mean { drawn[$0] }) < 0.01)
        #expect(abs(mean { drawn[$0] * drawn[$0] } - 1) < 0.01)
        // A normal one has 3; a sum of four uniform ones 2.7.
        #expect(abs(mean { drawn[$0] * drawn[$0] * drawn[$0] * drawn[$0] } - 2.7) < 0.06)
        for lag in [1, 2, 3, 16, 32, 48, 64, 1008] {
            let correlation =
                (0..<(drawn.count - lag)).reduce(0.0) { $0 + drawn[$1] * drawn[$1 + lag] } / Double(drawn.count - lag)
            #expect(abs(correlation) < 0.01, "lag \(lag): \(correlation)")
        }
        change.noiseKey = 78
        let other = changed([Float](repeating: 0.5, count: 3 * count), change).map { (Double($0) - 0.5) / 0.05 }
        #expect(abs(mean { drawn[$0] * other[$0] }) < 0.01)
        // The same number of an element, however many are behind it.
        #expect(
            changed([0.5, 0.5, 0.5], change).elementsEqual(other[0..<3].map { Float($0 * 0.05 + 0.5) }) {
                abs($0 - $1) < 1e-6
            })
    }

    @Test func `all instruction levels give the same bits`() {
        var change = PictureColours.Change()
        (change.contrast, change.saturation, change.hue, change.noise, change.noiseKey) = (1.2, 0.7, 0.13, 0.02, 5)
        change.gains = SIMD3(0.9, 1.1, 1.05)
        change.order = SIMD3(2, 0, 1)
        let before = values(5003, seed: 9)
        let reference = changed(before, change, level: 0)
        let bytes = PixelArray(
            height: 31, width: 45, channels: 3, element: .uint8,
            bytes: (0..<(31 * 45 * 3)).map { UInt8(truncatingIfNeeded: $0 * 7 + $0 / 45) })
        for level: Int32 in 1...2 {
            // A level that this processor lacks changes nothing.
            let found = changed(before, change, level: level)
            #expect(found == reference || found == before, "level \(level)")
        }
        for angle in [0.0, 0.2] {
            var window = PictureColours.Window()
            (window.height, window.width, window.sourceHeight, window.sourceWidth) = (20, 33, 31, 45)
            (window.centerY, window.centerX, window.stepX, window.stepY) = (15, 22, 0.83, angle)
            let cuts = (0...2).map { level in
                var target = [Float](repeating: -1, count: 20 * 33 * 3)
                bytes.bytes.withUnsafeBytes { source in
                    target.withUnsafeMutableBufferPointer {
                        PictureColours.cut(source, window, into: $0, level: Int32(level))
                    }
                }
                return target
            }
            #expect(cuts[0].allSatisfy { (0...1).contains($0) })
            // Through a table: red turned over, green halved, blue as it is. Interpolation keeps such sums.
            let table: [Float] = (0..<768).map {
                let value = Float($0 % 256) / 255
                return $0 < 256 ? 1 - value : $0 < 512 ? value / 2 : value
            }
            var mapped = [Float](repeating: -1, count: 20 * 33 * 3)
            bytes.bytes.withUnsafeBytes { source in
                mapped.withUnsafeMutableBufferPointer { target in
                    table.withUnsafeBufferPointer {
                        PictureColours.cut(source, window, table: $0, into: target, level: 0)
                    }
                }
            }
            for (index, value) in cuts[0].enumerated() {
                let expected = index % 3 == 0 ? 1 - value : index % 3 == 1 ? value / 2 : value
                #expect(abs(mapped[index] - expected) < 1e-6)
            }
            for cut in cuts[1...] { #expect(cut == cuts[0] || cut.allSatisfy { $0 == -1 }) }
        }
    }

    @Test func `bytes through a table are what floats are`() throws {
        var settings = AugmentationSettings.off
        settings.brightness = 0.7...1.4
        settings.gamma = 0.8...1.2
        settings.channelGain = 0.8...1.2
        let random = CounterRandom(3, "table")
        for record in 0..<20 {
            settings.contrast = record % 2 == 0 ? 1...1 : 0.8...1.2
            let change = ColourChange(settings, CounterRandom(key: random.bits(UInt64(record))))
            let table = try #require(change.table())
            let bytes: [UInt8] = (0..<768).map { UInt8(truncatingIfNeeded: $0 * 37 + $0 / 256) }
            var fast = [Float](repeating: 0, count: bytes.count)
            fast.withUnsafeMutableBufferPointer { target in
                bytes.withUnsafeBytes {
                    PictureColours.expand(
                        $0, .init(height: 1, width: 256, channels: 3, stride: 768), isMirrored: false,
                        table: table.values, change: .init(), into: target)
                }
                ColourChange.apply(table.rest, to: target, noiseKey: 0)
            }
            var slow = bytes.map { Float($0) / 255 }
            slow.withUnsafeMutableBufferPointer { change.apply(to: $0, noiseKey: 0) }
            #expect(zip(fast, slow).allSatisfy { abs($0 - $1) < 1e-6 })
        }
    }

    /// The way of training, row by row, against the one of floats, which the tests above hold to the definitions.
    @Test(arguments: [1, 3]) func `rows of bytes change as whole pictures of floats do`(channels: Int) throws {
        let options = [
            "", "brightness=0.3,gamma=0.2", "contrast=0.4", "contrast=0.4,brightness=0.3,gamma=0.2", "noise=0.1",
            "channel-gain=0.3", "permute-channels=1", "saturation=0.5", "hue=0.4", "permute-channels=1,noise=0.05",
            "brightness=0.2,contrast=0.3,gamma=0.1,saturation=0.4,hue=0.1,channel-gain=0.2,permute-channels=1,noise=0.05",
        ]
        // A cut of 7 by `width` out of rows that are 5 pixels longer.
        for (number, (text, width)) in options.flatMap({ text in [1, 15, 16, 49, 400].map { (text, $0) } }).enumerated()
        {
            let settings = try AugmentationOptions(text: text, place: "test").settings(crop: .none)
            let change = ColourChange(settings, CounterRandom(UInt64(number), "rows"))
            let (height, isMirrored, stride) = (7, number % 2 == 1, (width + 5) * channels)
            let random = CounterRandom(UInt64(number), "bytes")
            let bytes = (0..<(height * stride)).map { UInt8(truncatingIfNeeded: random.bits(UInt64($0))) }
            let layout = PictureColours.Layout(height: height, width: width, channels: channels, stride: stride)
            var wanted: [Float] = []
            for y in 0..<height {
                for x in 0..<width {
                    let column = isMirrored ? width - 1 - x : x
                    for k in 0..<3 {
                        wanted.append(Float(bytes[y * stride + column * channels + (channels == 3 ? k : 0)]) / 255)
                    }
                }
            }
            wanted.withUnsafeMutableBufferPointer { change.apply(to: $0, noiseKey: 9) }
            var first: [Float]?
            for level in FilterEngine.levels {
                var found = [Float](repeating: -1, count: wanted.count)
                bytes.withUnsafeBytes { rows in
                    let table = change.table { PictureColours.meanGray(rows, layout, table: $0, level: level) }
                    var rest = table?.rest ?? change.rest
                    rest.noiseKey = 9
                    #expect(rest.contrast == 1)
                    found.withUnsafeMutableBufferPointer {
                        PictureColours.expand(
                            rows, layout, isMirrored: isMirrored, table: table?.values, change: rest, into: $0,
                            level: level)
                    }
                }
                let worst = zip(found, wanted).map { abs($0 - $1) }.max() ?? 0
                #expect(worst < 4e-6, "'\(text)', width \(width), level \(level): \(worst)")
                first = first ?? found
                #expect(
                    found.map(\.bitPattern) == first?.map(\.bitPattern), "'\(text)', width \(width), level \(level)")
            }
        }
    }

    @Test func `draws have the ranges and frequencies that were asked for`() throws {
        let options = try AugmentationOptions(
            text: "mirror,scale=1.5,rotate=5,brightness=0.2,contrast=0.3,gamma=0.1,saturation=0.4,hue=0.1,"
                + "channel-gain=0.2,permute-channels=0.25,noise=0.05,eye-colours=0.5", place: "test")
        let settings = try options.settings(crop: .random)
        let all = (0..<4000).map { Augmentation(settings, seed: 5, epoch: 2, record: $0) }
        func share(_ body: (Augmentation) -> Bool) -> Double { Double(all.filter(body).count) / 4000 }
        func mean(_ body: (Augmentation) -> Double) -> Double { all.map(body).reduce(0, +) / 4000 }
        // Four standard deviations of a share of one half are 0.032.
        #expect(abs(share(\.isMirrored) - 0.5) < 0.032)
        #expect(abs(share { $0.colours.left.rest.order != SIMD3(0, 1, 2) } - 0.25) < 0.028)
        #expect(abs(share { $0.colours.left != $0.colours.right } - 0.5) < 0.032)
        #expect(all.allSatisfy { (1...1.5).contains($0.scale) } && abs(mean(\.scale) - 1.25) < 0.01)
        #expect(all.allSatisfy { abs($0.rotationRadians) <= 5 * .pi / 180 } && abs(mean(\.rotationRadians)) < 0.005)
        for k in 0..<3 {
            #expect(all.allSatisfy { (0.799...1.201).contains($0.colours.left.rest.gains[k]) })
            #expect(abs(mean { Double($0.colours.left.rest.gains[k]) } - 1) < 0.01)
        }
        #expect(all.allSatisfy { abs($0.colours.left.rest.hue) <= 0.1 && $0.colours.left.rest.noise <= 0.05 })
        #expect(abs(mean { Double($0.colours.left.rest.noise) } - 0.025) < 0.002)
        // No two draws of a record go together.
        let draws: [(Augmentation) -> Double] = [
            { $0.isMirrored ? 1 : 0 }, \.cropX, \.cropY, \.scale, \.rotationRadians, { $0.colours.left.brightness },
            { $0.colours.left.gamma }, { Double($0.colours.left.rest.contrast) },
            { Double($0.colours.left.rest.saturation) }, { Double($0.colours.left.rest.hue) },
            { Double($0.colours.left.rest.gains.x) }, { Double($0.colours.left.rest.gains.y) },
            { Double($0.colours.left.rest.noise) },
            { $0.colours.right.brightness == $0.colours.left.brightness ? 1 : 0 },
        ]
        let centered = draws.map { draw -> [Double] in
            let values: [Double] = all.map(draw)
            let mean: Double = values.reduce(0, +) / 4000
            let squares: [Double] = values.map { ($0 - mean) * ($0 - mean) }
            let deviation: Double = (squares.reduce(0, +) / 4000).squareRoot()
            return values.map { ($0 - mean) / deviation }
        }
        for a in centered.indices {
            for b in 0..<a {
                let correlation: Double = zip(centered[a], centered[b]).map { $0 * $1 }.reduce(0, +) / 4000
                #expect(abs(correlation) < 0.08, "draws \(a) and \(b): \(correlation)")
            }
        }
        // Off means that nothing is computed and no value changes.
        let off = Augmentation(.off, seed: 1, epoch: 0, record: 0)
        #expect(off.colours.left.table() == nil && off.colours.left.rest.isNothing && !off.isMirrored)
        #expect(
            Resampling(off, crop: .none, height: 8, width: 9, sourceHeight: 8, sourceWidth: 9) == nil)
    }

    @Test func `options are read, written and refused`() throws {
        let options = try AugmentationOptions(text: "mirror, scale=0.8...1.2 ,hue=0.1", place: "--augment")
        #expect(options.mirror && options.scale == 0.8...1.2 && options.hue == 0.1)
        for field in AugmentationOptions.fields {
            var copy = AugmentationOptions()
            try copy.set(field.name, to: field.format(options), place: "test")
            #expect(field.format(copy) == field.format(options))
        }
        for (text, part) in [
            ("miror", "did you mean 'mirror'"), ("scale=0.2", "scale is '0.2'; give a number in 1…4"),
            ("hue", "hue needs a value"), ("noise=2", "give a number in 0.0…0.5"), ("mirror=2", "give true or false"),
        ] {
            let error = #expect(throws: Failure.self) { try AugmentationOptions(text: text, place: "--augment") }
            #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
        }
        var turned = AugmentationOptions()
        turned.rotate = 5
        #expect(throws: Failure.self) { try turned.check(fields: stereoFields) }
        try turned.check(fields: [.picture("image", substitutes: ["left"])])
    }
}
