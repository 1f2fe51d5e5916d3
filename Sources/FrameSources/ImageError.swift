import Basics

/// Why bytes are not a picture. Codecs don't know paths; `ImageError` adds them.
public struct CodecError: Error, Equatable {
    /// Lower case, one line, without remedy.
    public let problem: String

    public init(_ problem: String) { self.problem = problem }
}

/// A picture, map or pair that cannot be used.
public struct ImageError: ExitCoding, Equatable {
    public let path: String
    public let problem: String
    public let remedy: String
    public let exitCode: ExitCode

    public init(
        path: String, _ problem: String, remedy: String = "replace or remove the file", exitCode: ExitCode = .badData
    ) {
        self.path = path
        self.problem = problem
        self.remedy = remedy
        self.exitCode = exitCode
    }

    /// One line: file names of strangers may hold line ends and escape sequences.
    public var description: String {
        var line = ""
        for scalar in "\(path): \(problem); \(remedy)".unicodeScalars {
            line.unicodeScalars.append(scalar.properties.generalCategory == .control ? "?" : scalar)
        }
        return line
    }
}

/// Bounds of what is read from strangers, checked before memory is taken.
public enum ImageLimits {
    /// Height × width × channels of one picture or map (16,384 × 16,384 gray).
    public static let samples = 1 << 28
    /// Bytes of one file.
    public static let fileBytes = 1 << 30

    /// - Throws: `CodecError` if a side is not positive or the product too large. Never overflows.
    static func check(height: Int, width: Int, channels: Int) throws(CodecError) {
        guard height > 0, width > 0, channels > 0 else {
            throw CodecError("\(height)x\(width)x\(channels) samples: no side may be zero")
        }
        let (area, overflow) = height.multipliedReportingOverflow(by: width)
        let (samples, again) = area.multipliedReportingOverflow(by: channels)
        guard !overflow, !again, samples <= Self.samples else {
            throw CodecError("\(height)x\(width)x\(channels) samples are more than \(Self.samples)")
        }
    }
}
