import Basics
import CLZ4

/// Numbers of the shard format, version 1. FORMAT.md beside this file is the specification.
enum ShardLayout {
    static let version: UInt16 = 1
    static let headerMagic: UInt32 = 0x184D_2A50
    static let indexMagic: UInt32 = 0x184D_2A51
    static let footerMagic: UInt32 = 0x184D_2A52
    static let fileMark: [UInt8] = Array("VRGSHARD".utf8)
    static let endMark: [UInt8] = Array("VRGSHEND".utf8)
    static let recordMark: [UInt8] = Array("VREC".utf8)

    /// Bytes of the header frame, of the footer frame, of one index entry: skippable frame headers included.
    static let headerByteCount = 32
    static let footerByteCount = 72
    static let indexEntryByteCount = 48
    static let skippableHeaderByteCount = 8
    static let recordHeaderByteCount = 16
    static let fieldHeaderByteCount = 40
    static let minimumByteCount = headerByteCount + skippableHeaderByteCount + footerByteCount
}

/// What a shard may hold at most. Readers refuse more before they allocate.
public enum ShardLimits {
    public static let recordsPerShard = 1 << 24
    public static let fieldsPerRecord = 64
    public static let keyBytes = 1024
    public static let fieldNameBytes = 64
    /// Height and width of a field, pixels.
    public static let side = 1 << 20
    public static let channels = 64
    /// Bytes of one field's array.
    public static let fieldBytes = 1 << 30
    /// Decoded bytes of a record's header: no valid one is longer.
    static let recordHeaderBytes = 1 << 13
    /// LZ4 can't expand more than this (one length byte stands for at most 255 bytes), so a field that claims more than
    /// its stored bytes justify is refused before allocation.
    static let expansion = 255
}

/// A file, record or data set that isn't what it should be.
public struct ShardError: ExitCoding, Equatable {
    public let path: String
    /// Number of the record within its shard, and its key where known.
    public let record: Int?
    public let key: String?
    /// Offset within the file.
    public let byteOffset: Int?
    /// What is wrong, with expected and found values.
    public let problem: String
    public let remedy: String
    public let exitCode: ExitCode

    public init(
        path: String, record: Int? = nil, key: String? = nil, byteOffset: Int? = nil, _ problem: String,
        remedy: String = "restore the file or convert the data again", exitCode: ExitCode = .badData
    ) {
        self.path = path
        self.record = record
        self.key = key
        self.byteOffset = byteOffset
        self.problem = problem
        self.remedy = remedy
        self.exitCode = exitCode
    }

    public var description: String {
        var place = path
        if let record { place += ": record \(record)" }
        if let key { place += " (\(Self.printable(key)))" }
        if let byteOffset { place += record == nil ? ": at byte \(byteOffset)" : " at byte \(byteOffset)" }
        return "\(place): \(problem); \(remedy)"
    }

    /// Any error as one of these, for lists of problems.
    static func wrapping(_ error: any Error, path: String) -> ShardError {
        if let error = error as? ShardError { return error }
        guard let error = error as? FileError else {
            return ShardError(path: path, "\(error)", exitCode: .inputOutput)
        }
        let problem = error.description.dropFirst(error.path.count + 2)
        return ShardError(path: error.path, String(problem), remedy: "restore the file", exitCode: error.exitCode)
    }

    /// Text of strangers for one line of output: control characters replaced, length bounded.
    public static func printable(_ text: String) -> String {
        let clean = text.unicodeScalars.prefix(100).map { $0.properties.generalCategory == .control ? "?" : String($0) }
        return clean.joined() + (text.unicodeScalars.count > 100 ? "…" : "")
    }
}

/// What decides a shard's bytes besides its records and settings.
public enum ShardTools {
    /// Version of the LZ4 library; others may compress the same bytes into other ones.
    public static let compressorVersion = String(cString: LZ4_versionString())
    public static let formatVersion = Int(ShardLayout.version)
    /// How filters are chosen and fields coded: another number where the same records become other bytes.
    public static let encoderVersion = 2
}
