import Basics

/// Geometry of a rectified pair, as metric depth needs it: Z = focal · baseline / (disparity + offset).
/// **Source:** Middlebury's description of `calib.txt`; KITTI's development kits (P_rect).
public struct Calibration: Sendable, Equatable {
    /// In pixels of the width at which the views are stored. Positive.
    public let focalLengthPixels: Float
    /// In metres; in the scene's unit for rendered scenes without a scale; NaN = unknown.
    public let baselineMetres: Float
    /// x of the right principal point minus x of the left one (`doffs`), pixels.
    public let offsetPixels: Float

    public init(focalLengthPixels: Float, baselineMetres: Float, offsetPixels: Float) {
        self.focalLengthPixels = focalLengthPixels
        self.baselineMetres = baselineMetres
        self.offsetPixels = offsetPixels
    }

    /// From a record's field `calibration`; nil if the array has another shape or type.
    public init?(_ array: PixelArray) {
        guard array.element == .float32, array.height == 1, array.width == 1, array.channels == 3 else { return nil }
        self = array.withFloats {
            Calibration(focalLengthPixels: $0[0], baselineMetres: $0[1], offsetPixels: $0[2])
        }
    }

    /// The same rig's pictures at `factor` times the width.
    public func scaled(by factor: Float) -> Calibration {
        Calibration(
            focalLengthPixels: focalLengthPixels * factor, baselineMetres: baselineMetres,
            offsetPixels: offsetPixels * factor)
    }

    public var field: Record.Field {
        Record.Field(
            FieldName.calibration,
            PixelArray(
                height: 1, width: 1, channels: 3, floats: [focalLengthPixels, baselineMetres, offsetPixels]))
    }

    /// Middlebury's and ETH3D's `calib.txt`: `cam0=[f 0 cx; 0 f cy; 0 0 1]`, `doffs=` pixels, `baseline=` millimetres.
    /// `doffs` follows from the principal points where it is not there.
    /// - Throws: `ImageError` (65).
    static func middlebury(_ path: String) throws -> Calibration {
        var values: [Substring: Substring] = [:]
        for line in try TextFile.lines(path) {
            let parts = line.split(separator: "=", maxSplits: 1)
            if parts.count == 2 { values[TextFile.trimmed(parts[0])] = TextFile.trimmed(parts[1]) }
        }
        func matrix(_ name: Substring) -> [Float]? {
            guard let text = values[name] else { return nil }
            let numbers = text.split { " [];,\t".contains($0) }.map { Float($0) }
            let known = numbers.compactMap { $0 }
            return known.count == numbers.count && known.count == 9 ? known : nil
        }
        func number(_ name: Substring) -> Float? { values[name].flatMap { Float($0) } }
        guard let left = matrix("cam0"), left[0] > 0, left[0].isFinite else {
            throw ImageError(path: path, "no cam0=[f 0 cx; 0 f cy; 0 0 1] with f > 0", remedy: "unpack it again")
        }
        guard let baseline = number("baseline"), baseline > 0, baseline.isFinite else {
            throw ImageError(path: path, "no positive baseline=", remedy: "unpack it again")
        }
        let offset = number("doffs") ?? matrix("cam1").map { $0[2] - left[2] } ?? 0
        return Calibration(focalLengthPixels: left[0], baselineMetres: baseline / 1000, offsetPixels: offset)
    }

    /// KITTI's files: lines `NAME: 12 numbers`, a 3x4 projection each.
    /// - Throws: `ImageError` (65).
    static func kitti(_ path: String, left leftName: String, right rightName: String) throws -> Calibration {
        var found: [Substring: [Float]] = [:]
        for line in try TextFile.lines(path) {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, parts[0] == leftName || parts[0] == rightName else { continue }
            let numbers = parts[1].split(whereSeparator: \.isWhitespace).compactMap { Float($0) }
            if numbers.count == 12, numbers[0] > 0, numbers.allSatisfy(\.isFinite) { found[parts[0]] = numbers }
        }
        guard let left = found[leftName[...]], let right = found[rightName[...]] else {
            throw ImageError(
                path: path, "no \(found[leftName[...]] == nil ? leftName : rightName): with 12 numbers",
                remedy: "unpack the calibration again")
        }
        // P[0, 3] is −focal · x of the camera, in metres from the reference camera.
        return Calibration(
            focalLengthPixels: left[0], baselineMetres: left[3] / left[0] - right[3] / right[0],
            offsetPixels: right[2] - left[2])
    }
}

/// Small text files of strangers: lists and calibrations.
enum TextFile {
    /// Lines without their ends, empty ones and those that begin with # left out.
    /// - Throws: `FileError`; `ImageError` (65) if it is no text.
    static func lines(_ path: String) throws -> [Substring] {
        let bytes = try Files.read(path, limit: 1 << 28)
        guard !bytes.contains(0) else { throw ImageError(path: path, "is no text file", remedy: "give a list") }
        return String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).map(trimmed)
            .filter { !$0.isEmpty && !$0.hasPrefix("#") }
    }

    static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop(while: \.isWhitespace)
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return text
    }

    /// Whether a path out of a list stays below its root.
    static func isInside(_ path: some StringProtocol) -> Bool {
        !path.hasPrefix("/") && !path.split(separator: "/").contains("..")
    }
}
