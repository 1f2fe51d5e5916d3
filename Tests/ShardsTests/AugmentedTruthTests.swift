import Basics
import Glibc
import Shards
import TestSupport
import Testing

@testable import Streaming

/// After any augmentation, pictures and ground truth still belong together.
@Suite struct AugmentedTruthTests {
    private static let (height, width) = (40, 48)

    private func floats(_ channels: Int = 1, _ value: (Int, Int) -> Float) -> PixelArray {
        PixelArray(
            height: Self.height, width: Self.width, channels: channels,
            floats: (0..<(Self.height * Self.width)).map { value($0 / Self.width, $0 % Self.width) })
    }

    private func picture(_ value: (Int, Int) -> [Double]) -> PixelArray {
        PixelArray(
            height: Self.height, width: Self.width, channels: 3, element: .uint8,
            bytes: (0..<(Self.height * Self.width)).flatMap { i in
                value(i / Self.width, i % Self.width).map { UInt8(max(0, min(255, $0.rounded()))) }
            })
    }

    private func dataSet(_ folder: TemporaryFolder, count: Int, _ fields: [Record.Field]) throws -> DataSet {
        let writer = try DataSetWriter(path: folder.path)
        for number in 0..<count {
            try writer.append(
                try RecordEncoder(level: 1).encode(Record(key: "\(number)", fields: fields)), split: .train)
        }
        try writer.finish()
        return try DataSet(path: folder.path)
    }

    private func load(
        _ data: DataSet, _ fields: [StreamedField], _ options: String, height: Int, width: Int
    ) throws -> LaneBatch {
        var settings = BatchLoader.Settings(height: height, width: width, fields: fields)
        settings.augmentation = try AugmentationOptions(text: options, place: "test").settings(crop: .random)
        settings.seed = 3
        let count = data.count(.train)
        let loader = BatchLoader(
            data: data, split: .train, schedule: .sequential(records: 0..<count, batch: count), settings: settings)
        return try #require(try loader.nextBatch())
    }

    /// Values of row `y` of a map or one channel of a picture at column `x`, which need not be whole.
    private func sampled(_ base: UnsafePointer<Float>, _ width: Int, _ channels: Int, _ y: Int, _ x: Double) -> Double?
    {
        guard x >= 0, x <= Double(width - 1) else { return nil }
        let low = min(width - 2, Int(x))
        let part = x - Double(low)
        return Double(base[(y * width + low) * channels]) * (1 - part)
            + Double(base[(y * width + low + 1) * channels]) * part
    }

    @Test(arguments: ["mirror", "scale=1.5", "mirror,scale=1.5", "mirror,scale=0.8...1.3"])
    func `the right eye warped by the augmented disparity is the left eye`(options: String) throws {
        let folder = TemporaryFolder("truth")
        /// Disparities in the left eye's pixels grow with the row; both signs.
        func disparity(_ y: Int) -> Double { Double(y) / 5 - 3.5 }
        func texture(_ y: Int, _ x: Double) -> [Double] {
            [127 + 90 * cos(x * 0.35 + Double(y) * 0.1), 127 + 90 * cos(x * 0.21 + 1), 100]
        }
        let data = try dataSet(
            folder, count: 24,
            [
                .init("left", picture { y, x in texture(y, Double(x)) }),
                // left(x) = right(x − d).
                .init("right", picture { y, x in texture(y, Double(x) + disparity(y)) }),
                .init("disparity", floats { y, _ in Float(disparity(y)) }),
                .init("disparity_right", floats { y, _ in Float(disparity(y)) }),
            ])
        let (height, width) = options.contains("0.8") ? (28, 36) : (Self.height, Self.width)
        let batch = try load(
            data, stereoFields + [disparityField], options, height: height, width: width)
        defer { withExtendedLifetime(batch) {} }
        let (left, right, maps) = (
            try #require(batch["left"]), try #require(batch["right"]), try #require(batch["disparity"])
        )
        var (worst, unscaled, compared) = (0.0, 0.0, 0)
        for n in 0..<24 {
            for y in 0..<height {
                for x in 0..<width {
                    let pixel = (n * height + y) * width + x
                    let d = Double(maps.base[pixel])
                    let view = UnsafePointer(right.base + n * height * width * 3)
                    guard let found = sampled(view, width, 3, y, Double(x) - d) else { continue }
                    worst = max(worst, abs(found - Double(left.base[pixel * 3])))
                    compared += 1
                    if let other = sampled(view, width, 3, y, Double(x) - 0.6 * d) {
                        unscaled = max(unscaled, abs(other - Double(left.base[pixel * 3])))
                    }
                }
            }
        }
        #expect(compared > 24 * height * width / 2)
        // Bytes, and straight lines instead of curves, twice.
        #expect(worst < 0.045, "\(worst) over \(compared) pixels")
        #expect(unscaled > 0.1, "the test would not notice a wrong disparity")
    }

    @Test(arguments: ["scale=1.5", "rotate=20", "mirror,scale=1.4,rotate=10"])
    func `maps go where pictures go, and depth is divided by the enlargement`(options: String) throws {
        let folder = TemporaryFolder("truth")
        let data = try dataSet(
            folder, count: 16,
            [
                // A picture that says where it was: linear, so that interpolation keeps it.
                .init("left", picture { y, x in [5 * Double(x), 5 * Double(y), 0] }),
                .init("depth", floats { _, _ in 10 }),
                .init("x", floats { _, x in Float(x) }),
                .init("y", floats { y, _ in Float(y) }),
            ])
        let fields = [
            StreamedField.picture("image", substitutes: ["left"]), StreamedField("depth", kind: .map),
            StreamedField("x", kind: .map), StreamedField("y", kind: .map),
        ]
        let (height, width) = (20, 26)
        let batch = try load(data, fields, options, height: height, width: width)
        defer { withExtendedLifetime(batch) {} }
        let (image, depth) = (try #require(batch["image"]), try #require(batch["depth"]))
        let (xs, ys) = (try #require(batch["x"]), try #require(batch["y"]))
        var angles: Set<Int> = []
        for n in 0..<16 {
            func at(_ y: Int, _ x: Int) -> (x: Double, y: Double) {
                let pixel = 3 * ((n * height + y) * width + x)
                return (Double(image.base[pixel]) * 51, Double(image.base[pixel + 1]) * 51)
            }
            for y in 0..<height {
                for x in 0..<width {
                    let place = at(y, x)
                    let pixel = (n * height + y) * width + x
                    // The nearest pixel's own numbers; near the border pictures are held.
                    #expect(
                        abs(Double(xs.base[pixel]) - place.x) < 0.52 && abs(Double(ys.base[pixel]) - place.y) < 0.52)
                }
            }
            // What one step in the sample is in the record.
            let (a, b, c) = (at(5, 5), at(5, 15), at(15, 5))
            let across = ((b.x - a.x) * (b.x - a.x) + (b.y - a.y) * (b.y - a.y)).squareRoot() / 10
            let down = ((c.x - a.x) * (c.x - a.x) + (c.y - a.y) * (c.y - a.y)).squareRoot() / 10
            #expect(abs(across - down) < 0.01)
            let scale = 10 / Double(depth.base[n * height * width])
            #expect(abs(across * scale - 1) < 0.01, "step \(across), depth says \(scale)")
            #expect(abs((b.x - a.x) * (c.x - a.x) + (b.y - a.y) * (c.y - a.y)) < 1)
            if !options.contains("mirror") { angles.insert(Int(((b.y - a.y) * 10).rounded())) }
        }
        if options == "rotate=20" { #expect(angles.count > 8 && angles.min() ?? 0 < 0 && angles.max() ?? 0 > 0) }
    }

    /// Bilinear by its definition, in float64, one pixel at a time.
    @Test(arguments: [1, 3], [ElementType.uint8, .uint16])
    func `cuts are what the definition says`(channels: Int, element: ElementType) throws {
        let random = CounterRandom(8, "cuts")
        var array = PixelArray(zerosOf: 19, 23, channels, element)
        for index in array.bytes.indices { array.bytes[index] = UInt8(truncatingIfNeeded: random.bits(UInt64(index))) }
        let values: [Double] =
            element == .uint8
            ? array.bytes.map { Double($0) / 255 } : array.withUInt16s { $0.map { Double($0) / 65535 } }
        var settings = AugmentationSettings.off
        (settings.scale, settings.rotationDegrees, settings.mirrorProbability, settings.crop) = (
            1.1...1.6, 15, 0.5, .random
        )
        for record in 0..<12 {
            if record == 6 { settings.rotationDegrees = 0 }
            let change = Augmentation(settings, seed: 2, epoch: 0, record: record)
            let (height, width) = (12, 15)
            let cut = try #require(
                Resampling(change, crop: .random, height: height, width: width, sourceHeight: 19, sourceWidth: 23))
            var target = [Float](repeating: -1, count: height * width * 3)
            array.bytes.withUnsafeBytes { bytes in
                target.withUnsafeMutableBufferPointer { cut.picture(bytes, element, channels: channels, into: $0) }
            }
            let angle = change.rotationRadians
            let (c, s) = (cos(angle), sin(angle))
            let (w, h) = (Double(width), Double(height))
            let (boxWidth, boxHeight): (Double, Double) = (w * c + h * abs(s), w * abs(s) + h * c)
            let scale = max(change.scale, max(boxWidth / 23, boxHeight / 19))
            #expect(abs(cut.scale - scale) < 1e-12)
            let centerX: Double = boxWidth / scale / 2 + (23 - boxWidth / scale) * change.cropX
            let centerY: Double = boxHeight / scale / 2 + (19 - boxHeight / scale) * change.cropY
            var worst = 0.0
            for y in 0..<height {
                for x in 0..<width {
                    let u: Double = (Double(x) + 0.5 - w / 2) * (change.isMirrored ? -1 : 1)
                    let v: Double = Double(y) + 0.5 - h / 2
                    let px: Double = centerX + (c * u - s * v) / scale - 0.5
                    let py: Double = centerY + (s * u + c * v) / scale - 0.5
                    #expect(px > -0.51 && px < 22.51 && py > -0.51 && py < 18.51, "outside of the record")
                    for k in 0..<3 {
                        let channel = channels == 3 ? k : 0
                        var sum = 0.0
                        for row in 0..<19 {
                            // How much a row counts, borders held: the tent function around it.
                            let wy = max(0, 1 - abs(min(18, max(0, py)) - Double(row)))
                            if wy == 0 { continue }
                            for column in 0..<23 {
                                let wx = max(0, 1 - abs(min(22, max(0, px)) - Double(column)))
                                if wx > 0 { sum += wy * wx * values[(row * 23 + column) * channels + channel] }
                            }
                        }
                        worst = max(worst, abs(sum - Double(target[(y * width + x) * 3 + k])))
                    }
                }
            }
            #expect(worst < 2e-6, "\(worst)")
        }
    }

    @Test func `a shown record has its geometry scaled, and its own types`() throws {
        let folder = TemporaryFolder("truth")
        let rig = PixelArray(height: 1, width: 1, channels: 3, floats: [500, 0.25, 12])
        let data = try dataSet(
            folder, count: 3,
            [
                .init("left", picture { y, x in [5 * Double(x), 5 * Double(y), 0] }),
                .init("right", picture { y, x in [5 * Double(x), 5 * Double(y), 0] }),
                .init("disparity", floats { _, _ in 4 }), .init("disparity_right", floats { _, _ in 4 }),
                .init("calibration", rig),
            ])
        let plain = try AugmentedRecord.make(data, .train, 1, AugmentationOptions(), seed: 1, epoch: 0)
        #expect(plain["left"] == (try data.record(.train, 1))["left"] && plain["calibration"] == rig)
        let options = try AugmentationOptions(text: "scale=2", place: "test")
        for epoch in 0..<5 {
            let record = try AugmentedRecord.make(data, .train, 1, options, seed: 1, epoch: epoch)
            let scale = try #require(record["disparity"]).withFloats { $0[0] / 4 }
            #expect(scale > 1 && scale <= 2)
            let found = try #require(record["calibration"]).withFloats { Array($0) }
            // depth = focal · baseline / (disparity + offset) is what it was: both grow alike.
            #expect(abs(found[0] - 500 * scale) < 1e-3 && found[1] == 0.25 && abs(found[2] - 12 * scale) < 1e-4)
            #expect(record["left"]?.element == .uint8 && record["left"]?.width == Self.width)
        }
    }
}
