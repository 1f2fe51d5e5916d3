import Basics
import Glibc
import Tensors

/// A safetensors file: named tensors that other tools read and write too. Opening checks the whole structure; tensors are
/// read when they are asked for.
///
/// **Source:** the format of huggingface/safetensors: length of the header (u64, little-endian), JSON header, data
/// without gaps or overlaps.
public final class SafeTensorsFile {
    public static let headerLimit = 100_000_000

    public let path: String
    public let metadata: [String: String]
    /// In order of their place in the file.
    public let names: [String]
    private let entries: [String: SafeTensorsHeader.Entry]
    private let dataOffset: Int
    private let descriptor: Int32

    /// Bytes of one element by type name.
    private static let byteCounts = [
        "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4,
        "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
    ]

    /// - Throws: `FileError` if the file cannot be read, `SafeTensorsError` if it is not well-formed.
    public init(path: String) throws {
        self.path = path
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        if descriptor < 0 { throw FileError(path: path, action: "open", code: errno) }
        do {
            var status = stat()
            if fstat(descriptor, &status) != 0 { throw FileError(path: path, action: "read", code: errno) }
            if status.st_mode & S_IFMT == S_IFDIR { throw FileError(path: path, action: "read", code: EISDIR) }
            let size = Int(status.st_size)
            guard size >= 8 else { throw SafeTensorsError(path: path, "\(size) bytes are too short for safetensors") }
            var length: UInt64 = 0
            try withUnsafeMutableBytes(of: &length) { try Self.read(descriptor, path, into: $0, at: 0) }
            length = UInt64(littleEndian: length)
            guard length >= 2, length <= UInt64(min(size - 8, Self.headerLimit)) else {
                throw SafeTensorsError(
                    path: path, "a header of \(length) bytes in a file of \(size); is this a safetensors file?")
            }
            let headerCount = Int(length)
            let header = try withUnsafeTemporaryAllocation(byteCount: headerCount, alignment: 8) { buffer in
                try Self.read(descriptor, path, into: buffer, at: 8)
                guard buffer[0] == 0x7B else {
                    throw SafeTensorsError(path: path, "the header does not start with '{'; is this a safetensors file?")
                }
                do throws(SafeTensorsHeader.Malformed) {
                    return try SafeTensorsHeader(UnsafeRawBufferPointer(buffer))
                } catch {
                    throw SafeTensorsError(path: path, "header byte \(error.byteOffset): expected \(error.expected)")
                }
            }
            let dataCount = size - 8 - headerCount
            let sorted = header.entries.sorted { ($0.begin, $0.end, $0.name) < ($1.begin, $1.end, $1.name) }
            var position = 0
            for entry in sorted {
                guard let elementBytes = Self.byteCounts[entry.type] else {
                    throw SafeTensorsError(path: path, "\(entry.name): unknown element type \(entry.type)")
                }
                var bytes = elementBytes
                for dimension in entry.dimensions {
                    let (product, overflow) = bytes.multipliedReportingOverflow(by: dimension)
                    guard !overflow else { throw SafeTensorsError(path: path, "\(entry.name): impossible shape") }
                    bytes = product
                }
                guard entry.begin == position, entry.end - entry.begin == bytes, entry.end <= dataCount else {
                    throw SafeTensorsError(
                        path: path,
                        "\(entry.name): bytes \(entry.begin)..<\(entry.end) do not hold \(bytes) bytes from \(position) on")
                }
                position = entry.end
            }
            guard position == dataCount else {
                throw SafeTensorsError(
                    path: path, "\(dataCount) bytes of data, the tensors cover \(position); the file is cut or extended")
            }
            metadata = header.metadata
            names = sorted.map(\.name)
            entries = Dictionary(uniqueKeysWithValues: sorted.map { ($0.name, $0) })
            dataOffset = 8 + headerCount
            self.descriptor = descriptor
        } catch {
            close(descriptor)
            throw error
        }
    }

    deinit { close(descriptor) }

    private static func read(
        _ descriptor: Int32, _ path: String, into buffer: UnsafeMutableRawBufferPointer, at byteOffset: Int
    ) throws {
        var done = 0
        while done < buffer.count {
            let got = pread(descriptor, buffer.baseAddress! + done, buffer.count - done, off_t(byteOffset + done))
            if got < 0 && errno == EINTR { continue }
            if got < 0 { throw FileError(path: path, action: "read", code: errno) }
            if got == 0 { throw SafeTensorsError(path: path, "ends before byte \(byteOffset + buffer.count)") }
            done += got
        }
    }

    /// Nil if there is no such tensor.
    public func shape(of name: String) -> Shape? { entries[name].map { Shape($0.dimensions) } }

    /// Element type as the file names it, e.g. `F32`.
    public func type(of name: String) -> String? { entries[name]?.type }

    /// Elements of a tensor as float32. F16 and BF16 are widened, F64 rounded.
    /// - Throws: `SafeTensorsError` if there is no such tensor or it holds integers.
    public func floats(of name: String) throws -> [Float] {
        guard let entry = entries[name] else {
            throw SafeTensorsError(path: path, "has no tensor \(name)\(suggestion(for: name, among: names))")
        }
        let bytes = try self.bytes(of: entry)
        return try bytes.withUnsafeBytes { raw in
            switch entry.type {
            case "F32": Array(raw.bindMemory(to: Float.self))
            case "F64": raw.bindMemory(to: Double.self).map(Float.init)
            case "BF16": raw.bindMemory(to: UInt16.self).map { Float(bitPattern: UInt32($0) << 16) }
            case "F16": raw.bindMemory(to: UInt16.self).map(Self.half)
            default: throw SafeTensorsError(path: path, "\(name) holds \(entry.type), expected floating-point numbers")
            }
        }
    }

    private func bytes(of entry: SafeTensorsHeader.Entry) throws -> [UInt8] {
        let count = entry.end - entry.begin
        var bytes = [UInt8](repeating: 0, count: count)
        try bytes.withUnsafeMutableBytes { try Self.read(descriptor, path, into: $0, at: dataOffset + entry.begin) }
        return bytes
    }

    /// IEEE half precision, by hand: Swift has no Float16 on every platform.
    private static func half(_ bits: UInt16) -> Float {
        let sign = UInt32(bits & 0x8000) << 16
        let exponent = UInt32(bits >> 10) & 0x1F
        let fraction = UInt32(bits & 0x3FF)
        switch exponent {
        case 0: return (sign == 0 ? 1 : -1) * Float(fraction) * 0x1p-24
        case 31: return Float(bitPattern: sign | 0x7F80_0000 | fraction << 13)
        default: return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
        }
    }
}
