import Basics
import Foundation
import Metrics
import Testing

private func close(_ a: Double, _ b: Double, _ tolerance: Double = 1e-12) -> Bool { abs(a - b) <= tolerance }

/// A textured picture that repeats nowhere.
private func texture(height: Int, width: Int, channels: Int, seed: UInt64) -> PixelArray {
    var state = seed
    let bytes = (0..<height * width * channels).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(state >> 56)
    }
    return PixelArray(height: height, width: width, channels: channels, element: .uint8, bytes: bytes)
}

/// Structural similarity straight from its definition, with the window as a 2D sum around each mean.
private func naiveSimilarity(_ a: PixelArray, _ b: PixelArray) -> Double {
    var total = 0.0
    var count = 0
    var weights = [Double]()
    for dy in -5...5 { for dx in -5...5 { weights.append(exp(-Double(dx * dx + dy * dy) / 4.5)) } }
    let sum = weights.reduce(0, +)
    for channel in 0..<a.channels {
        for y in 5..<a.height - 5 {
            for x in 5..<a.width - 5 {
                func moment(_ value: (Double, Double) -> Double) -> Double {
                    var result = 0.0
                    for (index, weight) in weights.enumerated() {
                        let at = ((y + index / 11 - 5) * a.width + x + index % 11 - 5) * a.channels + channel
                        result += weight / sum * value(Double(a.bytes[at]), Double(b.bytes[at]))
                    }
                    return result
                }
                let ma = moment { p, _ in p }
                let mb = moment { _, q in q }
                let va = moment { p, _ in (p - ma) * (p - ma) }
                let vb = moment { _, q in (q - mb) * (q - mb) }
                let covariance = moment { ($0 - ma) * ($1 - mb) }
                let (c1, c2) = (2.55 * 2.55, 7.65 * 7.65)
                total += (2 * ma * mb + c1) * (2 * covariance + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
                count += 1
            }
        }
    }
    return total / Double(count)
}

@Suite struct MetricsViewTests {
    @Test func equalPictures() throws {
        let picture = texture(height: 12, width: 13, channels: 3, seed: 1)
        let sums = try ViewSums(prediction: picture, truth: picture)
        #expect(sums.mae == 0)
        #expect(sums.psnr == .infinity)
        #expect(close(sums.ssim, 1))
    }

    @Test func handComputedErrors() throws {
        let a = PixelArray(height: 1, width: 4, channels: 1, element: .uint8, bytes: [0, 10, 20, 255])
        let b = PixelArray(height: 1, width: 4, channels: 1, element: .uint8, bytes: [2, 10, 16, 255])
        let sums = try ViewSums(prediction: a, truth: b)
        #expect(close(sums.mae, 1.5))
        #expect(close(sums.psnr, 10 * log10(255 * 255 / 5.0), 1e-10))
        #expect(sums.ssim.isNaN)
        // The part without the first column: errors 0, 4, 0.
        #expect(close(try ViewSums(prediction: a, truth: b, columns: 1..<4).mae, 4.0 / 3))
    }

    @Test func similarityOfConstantPicturesHasAClosedForm() throws {
        let a = PixelArray(
            height: 11, width: 11, channels: 1, element: .uint8, bytes: [UInt8](repeating: 100, count: 121))
        let b = PixelArray(
            height: 11, width: 11, channels: 1, element: .uint8, bytes: [UInt8](repeating: 50, count: 121))
        let c1 = 2.55 * 2.55
        #expect(close(try ViewSums(prediction: a, truth: b).ssim, (2.0 * 5000 + c1) / (10000 + 2500 + c1), 1e-9))
    }

    @Test func similarityFollowsItsDefinition() throws {
        let a = texture(height: 17, width: 15, channels: 2, seed: 2)
        var b = a
        for index in b.bytes.indices where index % 3 == 0 { b.bytes[index] = b.bytes[index] / 2 + 30 }
        let found = try ViewSums(prediction: a, truth: b).ssim
        #expect(found < 0.95)
        #expect(close(found, naiveSimilarity(a, b), 1e-10))
    }

    @Test func peakScalesOut() throws {
        let a = texture(height: 12, width: 12, channels: 3, seed: 3)
        let b = texture(height: 12, width: 12, channels: 3, seed: 4)
        func unit(_ picture: PixelArray) -> PixelArray {
            PixelArray(height: 12, width: 12, channels: 3, floats: picture.bytes.map { Float($0) / 255 })
        }
        let bytes = try ViewSums(prediction: a, truth: b)
        let floats = try ViewSums(prediction: unit(a), truth: unit(b))
        for (x, y) in zip(bytes.values, floats.values) { #expect(close(x, y, 1e-4)) }
    }

    @Test func picturesMustBeAlike() {
        let a = PixelArray(zerosOf: 2, 2, 3, .uint8)
        #expect(throws: MetricError.sizesDiffer(what: "picture", found: [2, 2, 1], expected: [2, 2, 3])) {
            try ViewSums(prediction: PixelArray(zerosOf: 2, 2, 1, .uint8), truth: a)
        }
        #expect(throws: MetricError.elementsDiffer(found: "uint16", expected: "uint8")) {
            try ViewSums(prediction: PixelArray(zerosOf: 2, 2, 3, .uint16), truth: a)
        }
    }
}

@Suite struct MetricsBaselineTests {
    @Test func shiftFillsTheEdge() {
        let picture = PixelArray(
            height: 2, width: 3, channels: 2, element: .uint8, bytes: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
        #expect(Baselines.shifted(picture, byColumns: 1).bytes == [1, 2, 1, 2, 3, 4, 7, 8, 7, 8, 9, 10])
        #expect(Baselines.shifted(picture, byColumns: -2).bytes == [5, 6, 5, 6, 5, 6, 11, 12, 11, 12, 11, 12])
        #expect(Baselines.shifted(picture, byColumns: 0) == picture)
        #expect(Baselines.shifted(picture, byColumns: .min).bytes == [5, 6, 5, 6, 5, 6, 11, 12, 11, 12, 11, 12])
    }

    @Test(arguments: [-7, -1, 0, 1, 5])
    func shiftIsFoundAgain(columns: Int) throws {
        let picture = texture(height: 4, width: 30, channels: 3, seed: 5)
        let moved = Baselines.shifted(picture, byColumns: columns)
        #expect(try Baselines.bestGlobalShift(of: picture, to: moved, maximumShift: 8) == columns)
        // left(x) = right(x − d)
        #expect(try Baselines.bestGlobalDisparity(left: moved, right: picture, maximumShift: 8) == columns)
        #expect(try Baselines.bestGlobalDisparity(left: picture, right: moved, maximumShift: 8) == -columns)
    }

    @Test func tiesGoToTheSmallestShift() throws {
        let flat = PixelArray(zerosOf: 3, 10, 1, .uint8)
        #expect(try Baselines.bestGlobalShift(of: flat, to: flat, maximumShift: 4) == 0)
        // Period 4, moved by 2: +2 and −2 are as good.
        let wave = PixelArray(
            height: 1, width: 16, channels: 1, element: .uint8, bytes: (0..<16).map { [0, 9, 50, 100][$0 % 4] })
        let moved = PixelArray(
            height: 1, width: 16, channels: 1, element: .uint8, bytes: (0..<16).map { [50, 100, 0, 9][$0 % 4] })
        #expect(try Baselines.bestGlobalShift(of: wave, to: moved, maximumShift: 3) == 2)
        #expect(try Baselines.bestGlobalShift(of: wave, to: moved, maximumShift: .max) == 2)
    }

    @Test func constantIsTheMedian() throws {
        func best(_ values: [Float]) throws -> Double {
            try Baselines.bestConstantDisparity(
                truth: PixelArray(height: 1, width: values.count, channels: 1, floats: values))
        }
        #expect(try best([5, .nan, -1, 9]) == 5)
        #expect(try best([4, 1, 2, .infinity, 3]) == 2.5)
        #expect(try best([.nan]).isNaN)
        // Against sorting, with many ties.
        for count in 1...60 {
            let values = (0..<count).map { Float(($0 * 37 + 11) % 13) - 6 }
            let sorted = values.sorted()
            #expect(try best(values) == Double(sorted[(count - 1) / 2] + sorted[count / 2]) / 2)
        }
    }

    @Test func noOtherConstantIsBetter() throws {
        let values: [Float] = [3, -4, 10, 22, 5.5, 5, .nan, 0]
        let truth = PixelArray(height: 2, width: 4, channels: 1, floats: values)
        func epe(_ constant: Double) throws -> Double {
            try DisparitySums(prediction: Baselines.constantMap(constant, height: 2, width: 4), truth: truth).epe
        }
        let least = try epe(try Baselines.bestConstantDisparity(truth: truth))
        for step in -100...100 { #expect(try epe(Double(step) / 4) >= least) }
    }
}
