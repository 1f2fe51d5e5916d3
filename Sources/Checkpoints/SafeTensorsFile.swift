import Basics
import Glibc
import Tensors

/// A safetensors file open for reading. Opening reads and checks the header only; tensors are read when asked for.
///
/// Strict, as the reference implementation is: no gaps, overlaps or trailing bytes, no duplicate names; limits are
/// checked before memory is taken. Where the file has our checksums, every tensor is checked as it is read.
public final class SafeTensorsFile: @unchecked Sendable {
    public let path: String
    /// Tensors in file order.
    public let names: [String]
    /// The free texts of the file, without our checksums.
    public let metadata: [String: String]
    /// Whether reads are checked against checksums.
    public let hasChecksums: Bool

    private let descriptor: Int32
    private let dataOffset: Int
    private let entries: [String: SafeTensorsHeader.Entry]
    private let checksums: [String: String]

    /// - Throws: `FileError`, or `SafeTensorsError` (65).
    public init(path: String) throws {
        self.path = path
        // Not blocking: a named pipe must not hold us up before its kind is known.
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        if descriptor < 0 { throw FileError(path: path, action: "open", code: errno) }
        do {
            let header = try Self.header(descriptor, path)
            dataOffset = header.dataOffset
            let parsed = header.parsed
            names = parsed.entries.map(\.name)
            entries = Dictionary(uniqueKeysWithValues: parsed.entries.map { ($0.name, $0) })
            metadata = parsed.metadata.filter { $0.key != SafeTensors.checksumKey }
            checksums = try Self.checksums(parsed, path)
            hasChecksums = parsed.metadata[SafeTensors.checksumKey] != nil
        } catch {
            close(descriptor)
            throw error
        }
    }

    deinit { close(descriptor) }

    /// Shape of a tensor; nil if there is none of that name.
    public func shape(of name: String) -> Shape? { entries[name].map { Shape($0.dimensions) } }

    public func element(of name: String) -> TensorElement? { entries[name]?.element }

    public func contains(_ name: String) -> Bool { entries[name] != nil }

    /// All elements of a tensor as float32. F32 comes as it is, F16 and BF16 exactly, F64 rounded to nearest.
    /// - Throws: `SafeTensorsError`, `FileError`.
    public func floats(of name: String) throws -> [Float] {
        let entry = try entry(name)
        switch entry.element {
        case .float32: return try elements(entry, Float.self)
        case .float64: return try elements(entry, Double.self).map { Float($0) }
        case .float16: return try elements(entry, UInt16.self).map { Float(Float16(bitPattern: $0)) }
        case .bfloat16: return try elements(entry, UInt16.self).map { Float(bitPattern: UInt32($0) << 16) }
        default:
            throw SafeTensorsError.wrongElementType(
                path: path, tensor: name, expected: "floating-point numbers", found: entry.element.rawValue)
        }
    }

    /// Reads an F32 tensor of exactly `buffer.count` elements to where it belongs, without a copy.
    /// - Throws: `SafeTensorsError`, `FileError`.
    public func readFloats(of name: String, into buffer: UnsafeMutableBufferPointer<Float>) throws {
        let entry = try entry(name)
        guard entry.element == .float32 else {
            throw SafeTensorsError.wrongElementType(
                path: path, tensor: name, expected: "F32", found: entry.element.rawValue)
        }
        guard entry.byteRange.count == 4 * buffer.count else {
            throw SafeTensorsError.sizeMismatch(
                path: path, tensor: name, expectedByteCount: 4 * buffer.count, foundByteCount: entry.byteRange.count)
        }
        try read(entry, into: UnsafeMutableRawBufferPointer(buffer))
    }

    /// All elements of a tensor of whole numbers (I64, I32, U8).
    public func integers(of name: String) throws -> [Int64] {
        let entry = try entry(name)
        switch entry.element {
        case .int64: return try elements(entry, Int64.self)
        case .int32: return try elements(entry, Int32.self).map(Int64.init)
        case .uint8: return try elements(entry, UInt8.self).map(Int64.init)
        default:
            throw SafeTensorsError.wrongElementType(
                path: path, tensor: name, expected: "whole numbers", found: entry.element.rawValue)
        }
    }

    /// The bytes of a U8 tensor.
    public func bytes(of name: String) throws -> [UInt8] {
        let entry = try entry(name)
        guard entry.element == .uint8 else {
            throw SafeTensorsError.wrongElementType(
                path: path, tensor: name, expected: "U8", found: entry.element.rawValue)
        }
        return try elements(entry, UInt8.self)
    }

    /// Reads every tensor and compares it with its checksum, where there is one.
    public func verify() throws {
        for name in names { _ = try elements(try entry(name), UInt8.self) }
    }

    private func entry(_ name: String) throws -> SafeTensorsHeader.Entry {
        guard let entry = entries[name] else { throw SafeTensorsError.missing(path: path, tensor: name) }
        return entry
    }

    /// The tensor's memory as elements of a type (little-endian, as every machine that this runs on).
    private func elements<Element: BitwiseCopyable>(
        _ entry: SafeTensorsHeader.Entry, _: Element.Type
    ) throws -> [Element] {
        let count = entry.byteRange.count / MemoryLayout<Element>.size
        return try [Element](unsafeUninitializedCapacity: count) { buffer, initializedCount in
            let bytes = UnsafeMutableRawBufferPointer(buffer)
            try read(entry, into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<entry.byteRange.count]))
            initializedCount = count
        }
    }

    private func read(_ entry: SafeTensorsHeader.Entry, into bytes: UnsafeMutableRawBufferPointer) throws {
        try Self.read(descriptor, path, at: dataOffset + entry.byteRange.lowerBound, bytes)
        guard let expected = checksums[entry.name] else { return }
        if Hash.hexadecimal(Hash.xxh64(UnsafeRawBufferPointer(bytes))) != expected {
            throw SafeTensorsError.damaged(path: path, tensor: entry.name)
        }
    }
}

// MARK: Opening

extension SafeTensorsFile {
    /// Reads the header and compares it with the size of the file.
    private static func header(
        _ descriptor: Int32, _ path: String
    ) throws -> (parsed: SafeTensorsHeader, dataOffset: Int) {
        var status = stat()
        if fstat(descriptor, &status) != 0 { throw FileError(path: path, action: "read", code: errno) }
        if status.st_mode & S_IFMT == S_IFDIR { throw FileError(path: path, action: "read", code: EISDIR) }
        let fileByteCount = Int(status.st_size)
        guard status.st_mode & S_IFMT == S_IFREG, fileByteCount >= 10 else {
            throw SafeTensorsError.noHeader(path: path, byteCount: fileByteCount)
        }
        var length: UInt64 = 0
        try withUnsafeMutableBytes(of: &length) { try read(descriptor, path, at: 0, $0) }
        length = UInt64(littleEndian: length)
        guard length <= UInt64(SafeTensors.headerLimit) else {
            throw SafeTensorsError.headerTooLong(path: path, byteCount: length, limit: SafeTensors.headerLimit)
        }
        let dataOffset = 8 + Int(length)
        guard dataOffset <= fileByteCount else {
            throw SafeTensorsError.truncated(
                path: path, expectedByteCount: dataOffset, foundByteCount: fileByteCount)
        }
        var json = [UInt8](repeating: 0, count: Int(length))
        try json.withUnsafeMutableBytes { try read(descriptor, path, at: 8, $0) }
        let parsed = try SafeTensorsHeader(json: json, path: path)
        var end = 0
        for entry in parsed.entries {
            guard entry.byteRange.lowerBound == end else {
                throw SafeTensorsError.misplaced(
                    path: path, tensor: entry.name, expectedByteOffset: end,
                    foundByteOffset: entry.byteRange.lowerBound)
            }
            end = entry.byteRange.upperBound
        }
        let dataByteCount = fileByteCount - dataOffset
        if end > dataByteCount {
            let (expected, overflow) = end.addingReportingOverflow(dataOffset)
            throw SafeTensorsError.truncated(
                path: path, expectedByteCount: overflow ? .max : expected, foundByteCount: fileByteCount)
        }
        if end < dataByteCount {
            throw SafeTensorsError.trailingBytes(
                path: path, expectedByteCount: end + dataOffset, foundByteCount: fileByteCount)
        }
        return (parsed, dataOffset)
    }

    /// Checks the header's own checksum; returns those of the tensors.
    private static func checksums(_ header: SafeTensorsHeader, _ path: String) throws -> [String: String] {
        guard let text = header.metadata[SafeTensors.checksumKey] else { return [:] }
        let digits = Array(text.utf8)
        let layout = SafeTensors.layoutHash(
            header.entries.map { ($0.name, $0.element, $0.dimensions) }, metadata: header.metadata)
        guard digits.count == 16 * (header.entries.count + 1), text.hasPrefix(layout) else {
            throw SafeTensorsError.damaged(path: path, tensor: nil)
        }
        var result: [String: String] = [:]
        for (index, entry) in header.entries.enumerated() {
            let start = 16 * (index + 1)
            result[entry.name] = String(decoding: digits[start..<(start + 16)], as: UTF8.self)
        }
        return result
    }

    private static func read(
        _ descriptor: Int32, _ path: String, at offset: Int, _ bytes: UnsafeMutableRawBufferPointer
    ) throws {
        var done = 0
        while done < bytes.count {
            let got = pread(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done, offset + done)
            if got < 0 {
                if errno == EINTR { continue }
                throw FileError(path: path, action: "read", code: errno)
            }
            // The file shrank under our hands.
            if got == 0 {
                throw SafeTensorsError.truncated(
                    path: path, expectedByteCount: offset + bytes.count, foundByteCount: offset + done)
            }
            done += got
        }
    }
}
