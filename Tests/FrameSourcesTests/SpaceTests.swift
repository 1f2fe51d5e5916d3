import Basics
import Foundation
import TestSupport
import Testing

@testable import FrameSources

@Suite struct SpaceTests {
    let folder = TemporaryFolder("space")

    private func file(_ text: String) throws -> String {
        let path = folder.file("calib.txt")
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return path
    }

    @Test func calibrationsOfAllKinds() throws {
        let given = try RigCalibration(argument: "721.5,0.54")
        #expect(given.calibration == Calibration(focalLengthPixels: 721.5, baselineMetres: 0.54, offsetPixels: 0))
        #expect(try RigCalibration(argument: "100,0.1,-3").calibration.offsetPixels == -3)
        let middlebury = try RigCalibration(
            argument: file(
                "cam0=[994.978 0 311.193; 0 994.978 254.877; 0 0 1]\ncam1=[994.978 0 342.279; 0 994.978 254.877; 0 0 1]\n"
                    + "doffs=31.086\nbaseline=193.001\nwidth=741\nheight=497\n"))
        #expect(middlebury.calibration.focalLengthPixels == 994.978)
        #expect(abs(middlebury.calibration.baselineMetres - 0.193001) < 1e-7)
        #expect(middlebury.principalPoint == SIMD2(311.193, 254.877) && middlebury.width == 741)
        // At half the width everything halves but the baseline.
        let half = middlebury.fitted(width: 370).calibration
        #expect(abs(half.focalLengthPixels - 994.978 * 370 / 741) < 1e-3 && half.baselineMetres > 0.19)
        let kitti = try RigCalibration(
            argument: file(
                "P0: 700 0 600 0 0 700 180 0 0 0 1 0\nP1: 700 0 600 -378 0 700 180 0 0 0 1 0\n"
                    + "P2: 720 0 610 36 0 720 170 0 0 0 1 0\nP3: 720 0 610 -360 0 720 170 0 0 0 1 0\n"))
        #expect(abs(kitti.calibration.baselineMetres - 0.55) < 1e-6 && kitti.principalPoint == SIMD2(610, 170))
        let matrix = try RigCalibration(argument: file("500 0 320 0 500 240 0 0 1\n0.12\n"))
        #expect(matrix.calibration.focalLengthPixels == 500 && matrix.principalPoint == SIMD2(320, 240))
        for text in ["a,b", "0,1", "1,-1", "1,2,3,4", "nan,1"] {
            #expect(throws: Failure.self, "\(text)") { try RigCalibration(argument: text) }
        }
        #expect(throws: FileError.self) { try RigCalibration(argument: folder.file("none.txt")) }
        #expect(throws: ImageError.self) { try RigCalibration(argument: file("hello\n")) }
    }

    @Test func pointsComeBack() throws {
        let depth = PixelArray(height: 2, width: 3, channels: 1, floats: [1, 2, .nan, .infinity, 50, -1])
        let picture = PixelArray(height: 2, width: 3, channels: 3, element: .uint8, bytes: (0..<18).map { UInt8($0) })
        let path = folder.file("points.ply")
        let count = try PointCloud.write(
            depth: depth, picture: picture, focalLengthPixels: 10, farthest: 40, to: path)
        #expect(count == 2)
        let bytes = try Files.read(path)
        let end = Array("end_header\n".utf8)
        let start = try #require((0...(bytes.count - end.count)).first { Array(bytes[$0..<($0 + end.count)]) == end })
        let header = String(decoding: bytes[..<start], as: UTF8.self)
        #expect(header.hasPrefix("ply\nformat binary_little_endian 1.0\n") && header.contains("element vertex 2\n"))
        let body = Array(bytes[(start + end.count)...])
        try #require(body.count == 30)
        func float(_ at: Int) -> Float {
            Float(bitPattern: (0..<4).reduce(UInt32(0)) { $0 | UInt32(body[at + $1]) << (8 * $1) })
        }
        // The middle is at column 1, row 0.5.
        #expect([float(0), float(4), float(8)] == [-0.1, -0.05, 1] && Array(body[12..<15]) == [0, 1, 2])
        #expect([float(15), float(19), float(23)] == [0, -0.1, 2] && Array(body[27..<30]) == [3, 4, 5])
    }

    @Test func errorColoursFollowTheDevelopmentKit() throws {
        // Truth 100: 5 % are 5 pixels, so 3 pixels are the threshold; truth 10: half a pixel is.
        let truth = PixelArray(height: 1, width: 6, channels: 1, floats: [100, 100, 10, 10, .nan, 10])
        let found = PixelArray(height: 1, width: 6, channels: 1, floats: [102.9, 103.1, 10.49, 10.51, 1, .nan])
        let picture = ErrorColours.disparity(found, truth: truth)
        func pixel(_ x: Int) -> [UInt8] { Array(picture.bytes[(x * 3)..<(x * 3 + 3)]) }
        // The smaller of both counts: 2.9 / 5 is between a half and one.
        #expect(pixel(0) == [224, 243, 248] && pixel(1) == [224, 243, 248])
        #expect(pixel(2) == [116, 173, 209] && pixel(3) == [116, 173, 209])
        #expect(pixel(4) == [0, 0, 0] && pixel(5) == [128, 128, 128])
        let wrong = ErrorColours.disparity(
            PixelArray(height: 1, width: 1, channels: 1, floats: [300]),
            truth: PixelArray(height: 1, width: 1, channels: 1, floats: [100]))
        #expect(wrong.bytes == [165, 0, 38])
    }
}
