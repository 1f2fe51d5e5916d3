import Basics

/// What can be wrong with a safetensors file.
public enum SafeTensorsError: ExitCoding, Equatable {
    /// Not a plain file, or too short to hold a header.
    case noHeader(path: String, byteCount: Int)
    case headerTooLong(path: String, byteCount: UInt64, limit: Int)
    case truncated(path: String, expectedByteCount: Int, foundByteCount: Int)
    case trailingBytes(path: String, expectedByteCount: Int, foundByteCount: Int)
    /// The header is not what the format allows, at `byteOffset` of the file.
    case malformed(path: String, byteOffset: Int, expected: String)
    case duplicate(path: String, name: String, byteOffset: Int)
    case unknownElementType(path: String, tensor: String, name: String)
    case sizeMismatch(path: String, tensor: String, expectedByteCount: Int, foundByteCount: Int)
    /// A tensor that does not begin where the one before it ends.
    case misplaced(path: String, tensor: String, expectedByteOffset: Int, foundByteOffset: Int)
    case missing(path: String, tensor: String)
    case wrongElementType(path: String, tensor: String, expected: String, found: String)
    /// Content that does not fit the checksum beside it; `tensor` is nil for names, shapes and metadata.
    case damaged(path: String, tensor: String?)

    public var exitCode: ExitCode { .badData }

    public var description: String {
        let again = "copy or make the file again"
        switch self {
        case .noHeader(let path, let byteCount):
            return "\(path): no safetensors file: \(byteCount) bytes hold no header; \(again)"
        case .headerTooLong(let path, let byteCount, let limit):
            return "\(path): no safetensors file: a header of \(byteCount) bytes, at most \(limit) are allowed; "
                + "check the path"
        case .truncated(let path, let expected, let found):
            return "\(path): ends early: \(found) bytes of \(expected); \(again)"
        case .trailingBytes(let path, let expected, let found):
            return "\(path): \(found - expected) bytes follow the last tensor; \(again)"
        case .malformed(let path, let byteOffset, let expected):
            return "\(path): malformed header: expected \(expected) at byte \(byteOffset); \(again)"
        case .duplicate(let path, let name, let byteOffset):
            return "\(path): malformed header: \(quoted(name)) stands twice, again at byte \(byteOffset); \(again)"
        case .unknownElementType(let path, let tensor, let name):
            return "\(path): tensor \(quoted(tensor)) has the unknown element type \(quoted(name)); save it as F32"
        case .sizeMismatch(let path, let tensor, let expected, let found):
            return "\(path): tensor \(quoted(tensor)) occupies \(found) bytes, its shape needs \(expected); \(again)"
        case .misplaced(let path, let tensor, let expected, let found):
            return "\(path): tensor \(quoted(tensor)) starts at data byte \(found), not at \(expected) "
                + "where the one before it ends; \(again)"
        case .missing(let path, let tensor):
            return "\(path): has no tensor \(quoted(tensor)); is this a file of another model?"
        case .wrongElementType(let path, let tensor, let expected, let found):
            return "\(path): tensor \(quoted(tensor)) holds \(found), expected \(expected); convert it"
        case .damaged(let path, let tensor):
            let what = tensor.map { "tensor \(quoted($0))" } ?? "the header"
            return "\(path): \(what) does not match its checksum; \(again), or, if another tool changed it on purpose, "
                + "remove \(SafeTensors.checksumKey) from its metadata"
        }
    }

    /// A stranger's name on one line, of limited length.
    private func quoted(_ name: String) -> String {
        let line = String(
            name.unicodeScalars.prefix(200).map { $0.value < 32 || $0.value == 127 ? "?" : Character($0) })
        return name.unicodeScalars.count > 200 ? line + "…" : line
    }
}

/// What reader and writer agree on. **Source:** the format section of github.com/huggingface/safetensors.
public enum SafeTensors {
    /// Largest header, as in the reference implementation.
    public static let headerLimit = 100_000_000
    /// Key of our checksums among the metadata. Its value is a run of 16-digit hexadecimal XXH3 hashes: that of names,
    /// types, shapes and other metadata, then that of each tensor's bytes in file order. Files without it are fine.
    public static let checksumKey = "vergence.checksums"
    static let metadataKey = "__metadata__"
    static let dimensionLimit = 64

    /// Hash of everything in the header but offsets and checksums.
    static func layoutHash(
        _ tensors: [(name: String, element: TensorElement, dimensions: [Int])], metadata: [String: String]
    ) -> String {
        var text: [UInt8] = []
        for tensor in tensors {
            text += "\(tensor.name)\0\(tensor.element.rawValue)\0\(tensor.dimensions)\n".utf8
        }
        for key in metadata.keys.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) where key != checksumKey {
            text += "\(key)\0\(metadata[key] ?? "")\n".utf8
        }
        return Hash.hexadecimal(Hash.xxh64(text))
    }
}

/// Element types of the format that have whole bytes.
public enum TensorElement: String, Sendable, CaseIterable {
    case float64 = "F64"
    case float32 = "F32"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case int64 = "I64"
    case int32 = "I32"
    case int16 = "I16"
    case int8 = "I8"
    case uint64 = "U64"
    case uint32 = "U32"
    case uint16 = "U16"
    case uint8 = "U8"
    case bool = "BOOL"
    case float8e4m3 = "F8_E4M3"
    case float8e5m2 = "F8_E5M2"

    public var byteCount: Int {
        switch self {
        case .float64, .int64, .uint64: 8
        case .float32, .int32, .uint32: 4
        case .float16, .bfloat16, .int16, .uint16: 2
        case .int8, .uint8, .bool, .float8e4m3, .float8e5m2: 1
        }
    }
}
