import Basics
import Metrics
import Testing

private let unknown = Float.nan

private func row(_ values: [Float]) -> PixelArray {
    PixelArray(height: 1, width: values.count, channels: 1, floats: values)
}

private func close(_ a: Double, _ b: Double, _ tolerance: Double = 1e-12) -> Bool { abs(a - b) <= tolerance }

@Suite struct MetricsDisparityTests {
    @Test func handComputedCase() throws {
        // Errors 0.5, 1, 1.5, 3, 4 (5 % of 100 is 5), 4 (5 % of 10), and two pixels that do not count.
        let truth = row([10, 10, -10, 0, 100, 10, unknown, .infinity])
        let guess = row([10.5, 9, -11.5, 3, 104, 14, 5, 5])
        let sums = try DisparitySums(prediction: guess, truth: truth)
        #expect(sums.validCount == 6)
        #expect(close(sums.epe, 14.0 / 6))
        #expect(close(sums.rms, ((0.25 + 1 + 2.25 + 9 + 16 + 16) / 6).squareRoot()))
        #expect(close(sums.bad1, 4.0 / 6))
        #expect(close(sums.bad2, 3.0 / 6))
        #expect(close(sums.bad3, 2.0 / 6))
        #expect(close(sums.d1, 1.0 / 6))
        #expect(sums.density == 1)
    }

    @Test func negativeTruthUsesItsMagnitudeForD1() throws {
        let sums = try DisparitySums(prediction: row([-96, -6]), truth: row([-100, -10]))
        #expect(sums.bad3 == 1)
        #expect(sums.d1 == 0.5)
    }

    @Test func missingPredictionsLowerTheDensityOnly() throws {
        let sums = try DisparitySums(prediction: row([1, unknown, .infinity, 4]), truth: row([2, 2, 2, unknown]))
        #expect(sums.validCount == 3)
        #expect(sums.estimatedCount == 1)
        #expect(sums.epe == 1)
        #expect(close(sums.density, 1.0 / 3))
    }

    @Test func averageOfImagesIsNotThePooledOne() throws {
        var average = MetricAverage<DisparitySums>()
        average.add(try DisparitySums(prediction: row([1]), truth: row([0])))
        average.add(try DisparitySums(prediction: row([4, 4, 4]), truth: row([0, 0, 0])))
        average.add(try DisparitySums(prediction: row([9]), truth: row([unknown])))
        #expect(average.imageCount == 2)
        #expect(average.skippedImageCount == 1)
        #expect(average["epe"] == 2.5)
        #expect(average.pooled.epe == 13.0 / 4)
        #expect(average.pooled["bad3"] == 0.75)
        #expect(average["no such metric"] == nil)
    }

    @Test func imageWithoutPredictionsSpoilsTheMean() throws {
        var average = MetricAverage<DisparitySums>()
        average.add(try DisparitySums(prediction: row([1]), truth: row([0])))
        average.add(try DisparitySums(prediction: row([unknown]), truth: row([0])))
        #expect(average["epe"]?.isNaN == true)
        #expect(average["density"] == 0.5)
    }

    @Test func mergedAveragesEqualOne() throws {
        let images = try [Float(1), 2, 5].map { try DisparitySums(prediction: row([$0]), truth: row([0])) }
        var whole = MetricAverage<DisparitySums>()
        for image in images { whole.add(image) }
        var first = MetricAverage<DisparitySums>()
        first.add(images[0])
        var second = MetricAverage<DisparitySums>()
        second.add(images[1])
        second.add(images[2])
        first.merge(second)
        #expect(first == whole)
        #expect(MetricAverage<DisparitySums>()["epe"]?.isNaN == true)
    }

    @Test func sizesAndTypesAreChecked() {
        #expect(throws: MetricError.sizesDiffer(what: "disparity prediction", found: [1, 2, 1], expected: [1, 3, 1])) {
            try DisparitySums(prediction: row([1, 2]), truth: row([1, 2, 3]))
        }
        #expect(throws: MetricError.notFloat(what: "disparity truth", found: "uint16")) {
            try DisparitySums(prediction: row([1, 2]), truth: PixelArray(zerosOf: 1, 2, 1, .uint16))
        }
        let text = MetricError.sizesDiffer(what: "disparity prediction", found: [1, 2, 1], expected: [1, 3, 1])
        #expect(
            text.description == "disparity prediction: is 1x2x1, but 1x3x1 (height x width x channels) is needed; "
                + "compare maps of one size")
        #expect(text.exitCode == .badData)
    }

    @Test func interpolationTakesTheBackground() {
        let n = unknown
        let map = PixelArray(
            height: 5, width: 5, channels: 1,
            floats: [
                n, n, n, n, n,
                n, 7, n, n, 3,
                n, n, n, n, n,
                2, n, 9, n, n,
                n, n, n, n, n,
            ])
        let expected: [Float] = [
            7, 7, 3, 3, 3,
            7, 7, 3, 3, 3,
            7, 7, 3, 3, 3,
            2, 2, 9, 9, 9,
            2, 2, 9, 9, 9,
        ]
        #expect(interpolatedLikeKITTI(map).withFloats { Array($0) } == expected)
        let empty = row([n, n])
        #expect(interpolatedLikeKITTI(empty).withFloats { $0.allSatisfy(\.isNaN) })
    }
}
