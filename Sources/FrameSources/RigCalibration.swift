import Basics

/// A rig's geometry as users give it: three numbers, or a file of one of the known kinds.
public struct RigCalibration: Sendable, Equatable {
    public let calibration: Calibration
    /// Of the left camera, pixels; nil: the middle of the picture.
    public let principalPoint: SIMD2<Float>?
    /// Width of the pictures that it is for, where the file says; nil: that of the pictures at hand.
    public let width: Int?

    public init(_ calibration: Calibration, principalPoint: SIMD2<Float>? = nil, width: Int? = nil) {
        self.calibration = calibration
        self.principalPoint = principalPoint
        self.width = width
    }

    /// - Parameter text: `FOCAL,BASELINE[,OFFSET]` in pixels, metres and pixels; or the path of a file: `calib.txt` of
    ///   Middlebury or ETH3D, a calibration of KITTI, the nine numbers of a camera matrix and the baseline, or the numbers
    ///   themselves.
    /// - Throws: `Failure` (64) for numbers that are none, `FileError` (66, 74), `ImageError` (65).
    public init(argument text: String) throws {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        let numbers = parts.map { Float(TextFile.trimmed($0)) }
        if parts.count > 1, !Files.exists(text) {
            let known = numbers.compactMap { $0 }
            guard known.count == numbers.count, let rig = Self.rig(known), known.count < 4 else {
                throw Failure(
                    .usage,
                    "--calibration \(text): write FOCAL,BASELINE[,OFFSET] in pixels, metres and pixels, both above 0, "
                        + "e.g. 721.5,0.54, or give a file")
            }
            self = rig
            return
        }
        self = try Self.read(text)
    }

    /// At another width of the same pictures.
    public func fitted(width newWidth: Int) -> RigCalibration {
        guard let width, width != newWidth else { return self }
        let factor = Float(newWidth) / Float(width)
        return RigCalibration(
            calibration.scaled(by: factor), principalPoint: principalPoint.map { $0 * factor }, width: newWidth)
    }

    /// Two or three numbers, or a camera matrix and a baseline.
    private static func rig(_ numbers: [Float]) -> RigCalibration? {
        guard numbers.allSatisfy(\.isFinite) else { return nil }
        switch numbers.count {
        case 2, 3:
            guard numbers[0] > 0, numbers[1] > 0 else { return nil }
            return RigCalibration(
                Calibration(
                    focalLengthPixels: numbers[0], baselineMetres: numbers[1],
                    offsetPixels: numbers.count == 3 ? numbers[2] : 0))
        case 10:
            guard numbers[0] > 0, numbers[9] > 0 else { return nil }
            return RigCalibration(
                Calibration(focalLengthPixels: numbers[0], baselineMetres: numbers[9], offsetPixels: 0),
                principalPoint: SIMD2(numbers[2], numbers[5]))
        default: return nil
        }
    }

    private static func read(_ path: String) throws -> RigCalibration {
        let lines = try TextFile.lines(path)
        func value(_ name: String, _ separator: Character) -> [Float]? {
            for line in lines {
                let parts = line.split(separator: separator, maxSplits: 1)
                guard parts.count == 2, TextFile.trimmed(parts[0]) == name[...] else { continue }
                return parts[1].split { " [];,\t".contains($0) }.compactMap { Float($0) }
            }
            return nil
        }
        if let camera = value("cam0", "=") {
            let calibration = try Calibration.middlebury(path)
            return RigCalibration(
                calibration, principalPoint: camera.count == 9 ? SIMD2(camera[2], camera[5]) : nil,
                width: value("width", "=")?.first.flatMap { $0 >= 1 && $0 < 1e6 ? Int($0) : nil })
        }
        // Colour before gray, as sets give their colour pictures first.
        for (left, right) in [("P_rect_02", "P_rect_03"), ("P_rect_00", "P_rect_01"), ("P2", "P3"), ("P0", "P1")] {
            guard let projection = value(left, ":"), value(right, ":") != nil else { continue }
            let calibration = try Calibration.kitti(path, left: left, right: right)
            return RigCalibration(
                calibration, principalPoint: projection.count == 12 ? SIMD2(projection[2], projection[6]) : nil)
        }
        let words = lines.flatMap { $0.split { " ,;\t".contains($0) } }
        let numbers = words.prefix(16).compactMap { Float($0) }
        guard numbers.count == words.count, let rig = rig(numbers) else {
            throw ImageError(
                path: path, "no calibration that is known",
                remedy: "give Middlebury's calib.txt, KITTI's, or focal length, baseline and offset as numbers")
        }
        return rig
    }
}
