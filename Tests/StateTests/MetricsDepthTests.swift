import Basics
import Foundation
import Metrics
import Testing

private func row(_ values: [Float]) -> PixelArray {
    PixelArray(height: 1, width: values.count, channels: 1, floats: values)
}

private func close(_ a: Double, _ b: Double, _ tolerance: Double = 1e-12) -> Bool { abs(a - b) <= tolerance }

@Suite struct MetricsDepthTests {
    let plain = DepthProtocol(maximumMetres: 80)

    @Test func handComputedCase() throws {
        // Ratios 2, 1/2, 1 and 1.2.
        let sums = try plain.measure(prediction: row([4, 4, 5, 12]), truth: row([2, 8, 5, 10])).sums
        let l2 = log(2.0)
        let l12 = log(1.2)
        #expect(sums.validCount == 4)
        #expect(close(sums.absRel, (1 + 0.5 + 0 + 0.2) / 4))
        #expect(close(sums.sqRel, (2 + 2 + 0 + 0.4) / 4))
        #expect(close(sums.rmse, (24.0 / 4).squareRoot()))
        #expect(close(sums.rmseLog, ((2 * l2 * l2 + l12 * l12) / 4).squareRoot()))
        #expect(close(sums.log10, (2 * l2 + l12) / 4 / log(10)))
        #expect(close(sums.a1, 0.5) && close(sums.a2, 0.5) && close(sums.a3, 0.5))
        #expect(close(sums.silog, 100 * ((2 * l2 * l2 + l12 * l12) / 4 - l12 * l12 / 16).squareRoot(), 1e-10))
    }

    @Test func thresholdsAreStrict() throws {
        let sums = try plain.measure(prediction: row([1.25, 1.5625, 1.9531, 1.9532]), truth: row([1, 1, 1, 1])).sums
        #expect(sums.a1 == 0)
        #expect(sums.a2 == 0.25)
        #expect(sums.a3 == 0.75)
    }

    @Test func aConstantFactorHasNoScaleInvariantError() throws {
        let truth: [Float] = [1, 2, 3, 4, 7]
        let result = try plain.measure(prediction: row(truth.map { 2 * $0 }), truth: row(truth)).sums
        #expect(close(result.silog, 0, 1e-5))
        #expect(close(result.absRel, 1))
        let scaling = DepthProtocol(maximumMetres: 80, scalesByMedian: true)
        let (sums, scale) = try scaling.measure(prediction: row(truth.map { 2 * $0 }), truth: row(truth))
        #expect(scale == 0.5)
        #expect(close(sums.absRel, 0))
    }

    @Test func maskIsStrictAndPredictionsAreClipped() throws {
        let ten = DepthProtocol(minimumMetres: 1, maximumMetres: 10)
        let truth = row([1, 10, .nan, 0, 5, 5, 5, 5])
        let (sums, scale) = try ten.measure(prediction: row([1, 1, 1, 1, .infinity, -3, 5, .nan]), truth: truth)
        #expect(sums.validCount == 4)
        #expect(sums.estimatedCount == 3)
        #expect(sums.density == 0.75)
        #expect(scale == nil)
        // Clipped to 10, 1 and 5.
        #expect(close(sums.absRel, (1 + 0.8 + 0) / 3))
    }

    @Test func scalingComesAfterTheCropAndBeforeTheClip() throws {
        // Row 0 lies outside the crop; if it entered the medians, the scale would not be 2.
        let height = 10
        let width = 40
        var truth = [Float](repeating: 50, count: height * width)
        var guess = [Float](repeating: 1, count: height * width)
        let region = Crop.eigen.region(height: height, width: width)
        #expect(region.rows == 3..<9)
        #expect(region.columns == 1..<38)
        for y in region.rows {
            for x in region.columns {
                truth[y * width + x] = 8
                guess[y * width + x] = 4
            }
        }
        // Scaled to 18 and clipped to 10; clipping before scaling would give 20.
        guess[3 * width + 1] = 9
        var cap = DepthProtocol(minimumMetres: 1e-3, maximumMetres: 10, crop: .eigen, scalesByMedian: true)
        let guessed = PixelArray(height: height, width: width, channels: 1, floats: guess)
        let expected = PixelArray(height: height, width: width, channels: 1, floats: truth)
        let (sums, scale) = try cap.measure(prediction: guessed, truth: expected)
        #expect(scale == 2)
        #expect(sums.validCount == 6 * 37)
        #expect(close(sums.absRel, 0.25 / Double(6 * 37)))
        cap.scalesByMedian = false
        #expect(try cap.measure(prediction: guessed, truth: expected).scale == nil)
    }

    @Test func medianOfAnEvenNumberIsTheMeanOfTheMiddleTwo() throws {
        let scaling = DepthProtocol(maximumMetres: 80, scalesByMedian: true)
        let (_, scale) = try scaling.measure(prediction: row([1, 4, 2, 3]), truth: row([10, 20, 30, 5]))
        #expect(scale == 15 / 2.5)
    }

    @Test func predictionOfZerosCannotBeScaled() throws {
        let scaling = DepthProtocol(maximumMetres: 80, scalesByMedian: true)
        #expect(try scaling.measure(prediction: row([0, 0]), truth: row([1, 2])).sums.absRel.isNaN)
        #expect(try scaling.measure(prediction: row([1]), truth: row([.nan])).scale == nil)
    }

    @Test(arguments: [
        (Crop.none, 0..<370, 0..<1226), (.garg, 151..<366, 44..<1181), (.eigen, 122..<337, 44..<1181),
    ])
    func cropsOfKITTI(crop: Crop, rows: Range<Int>, columns: Range<Int>) {
        let region = crop.region(height: 370, width: 1226)
        #expect(region.rows == rows)
        #expect(region.columns == columns)
    }

    @Test func cropOfNYU() {
        let region = Crop.nyu.region(height: 480, width: 640)
        #expect(region.rows == 45..<471)
        #expect(region.columns == 41..<601)
        let eigen = Crop.nyuEigen.region(height: 480, width: 640)
        #expect(eigen.rows == 20..<460 && eigen.columns == 24..<616)
        for crop in Crop.allCases {
            let small = crop.region(height: 1, width: 1)
            #expect(small.rows.upperBound <= 1 && small.columns.upperBound <= 1)
        }
    }

    @Test func depthOfDisparity() {
        let kitti = StereoGeometry(focalPixels: 700, baselineMetres: 0.5)
        #expect(kitti.depthMetres(disparityPixels: 35) == 10)
        #expect(kitti.depthMetres(disparityPixels: 0) == .infinity)
        #expect(kitti.depthMetres(disparityPixels: -1) == .infinity)
        #expect(kitti.depthMetres(disparityPixels: .nan).isNaN)
        let offset = StereoGeometry(focalPixels: 1000, baselineMetres: 0.2, offsetPixels: 30)
        #expect(offset.depthMetres(disparityPixels: 20) == 4)
        #expect(offset.depth(ofDisparity: row([20, -10])).withFloats { Array($0) } == [4, 10])
    }

    @Test func spreadOfScales() {
        var scales = MedianScales()
        #expect(scales.median.isNaN)
        for scale in [1.0, 2, 3] { scales.add(scale) }
        #expect(scales.median == 2)
        #expect(close(scales.relativeDeviation, (1.0 / 6).squareRoot()))
        scales.add(4)
        #expect(scales.median == 2.5)
    }
}
