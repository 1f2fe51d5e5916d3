import Basics
import CImages

/// Numeric arrays in MATLAB files of version 5 (also those saved as version 7: compressed by zlib), as numbers in column
/// order. Other kinds of arrays are passed over.
/// **Source:** "MAT-File Format" (The MathWorks), level 5.
enum MAT5 {
    /// Bytes that one compressed array may grow to: index lists are small.
    private static let limit = 1 << 24

    /// → name → values.
    /// - Throws: `FileError`; `ImageError` (65) naming the path.
    static func read(_ path: String) throws -> [String: [Double]] {
        let bytes = try Files.read(path, limit: 1 << 26)
        do {
            return try decode(bytes)
        } catch {
            throw ImageError(path: path, error.problem, remedy: "download it again")
        }
    }

    static func decode(_ bytes: [UInt8]) throws(CodecError) -> [String: [Double]] {
        guard bytes.count >= 128, bytes.starts(with: Array("MATLAB 5.0".utf8)), bytes[126] == 0x49, bytes[127] == 0x4D
        else { throw CodecError("no little-endian MATLAB file of version 5") }
        var found: [String: [Double]] = [:]
        try elements(bytes[128...]) { type, body throws(CodecError) in
            var matrix = body
            if type == 15 {
                var inflated = [UInt8](repeating: 0, count: min(limit, max(1024, body.count * 1032)))
                let count = Array(body).withUnsafeBufferPointer { source in
                    inflated.withUnsafeMutableBufferPointer {
                        cimages_inflate(source.baseAddress, source.count, $0.baseAddress, $0.count)
                    }
                }
                guard count >= 8 else { throw CodecError("broken MATLAB file: a compressed array is damaged") }
                inflated.removeLast(inflated.count - Int(count))
                guard inflated[0] == 14 else { return }
                matrix = inflated[8...]
            } else if type != 14 {
                return
            }
            if let (name, values) = try array(matrix) { found[name] = values }
        }
        return found
    }

    /// Calls `body` with type and content of every element.
    private static func elements(
        _ bytes: ArraySlice<UInt8>, _ body: (Int, ArraySlice<UInt8>) throws(CodecError) -> Void
    ) throws(CodecError) {
        var offset = bytes.startIndex
        while bytes.endIndex - offset >= 8 {
            let first = word(bytes, offset)
            if first >> 16 != 0 {
                // Up to four bytes of content share the eight of the tag.
                let count = Int(first >> 16)
                guard count <= 4 else { throw CodecError("broken MATLAB file: a short element of \(count) bytes") }
                try body(Int(first & 0xFFFF), bytes[(offset + 4)..<(offset + 4 + count)])
                offset += 8
                continue
            }
            let count = Int(word(bytes, offset + 4))
            let start = offset + 8
            guard count <= bytes.endIndex - start else {
                throw CodecError("broken MATLAB file: an element of \(count) bytes ends behind the file")
            }
            try body(Int(first), bytes[start..<(start + count)])
            // Compressed elements follow each other without padding.
            offset = start + (first == 15 ? count : (count + 7) / 8 * 8)
        }
    }

    /// Flags, sides, name, numbers. nil for what is no array of real numbers.
    private static func array(_ bytes: ArraySlice<UInt8>) throws(CodecError) -> (String, [Double])? {
        var parts: [(type: Int, body: ArraySlice<UInt8>)] = []
        try elements(bytes) { type, body throws(CodecError) in parts.append((type, body)) }
        guard parts.count >= 4, parts[0].body.count == 8, parts[2].type == 1 else { return nil }
        // Classes 6…15 are double, single and the integers.
        guard (6...15).contains(parts[0].body[parts[0].body.startIndex]) else { return nil }
        let name = String(decoding: parts[2].body, as: UTF8.self)
        let (type, body) = parts[3]
        let sizes = [1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8]
        guard let size = sizes[type] else { return nil }
        let values = stride(from: body.startIndex, to: body.endIndex - size + 1, by: size).map { offset -> Double in
            switch type {
            case 1: Double(Int8(bitPattern: body[offset]))
            case 2: Double(body[offset])
            case 3: Double(Int16(bitPattern: UInt16(body[offset]) | UInt16(body[offset + 1]) << 8))
            case 4: Double(UInt16(body[offset]) | UInt16(body[offset + 1]) << 8)
            case 5: Double(Int32(bitPattern: word(body, offset)))
            case 6: Double(word(body, offset))
            case 7: Double(Float(bitPattern: word(body, offset)))
            default: Double(bitPattern: UInt64(word(body, offset)) | UInt64(word(body, offset + 4)) << 32)
            }
        }
        return (name, values)
    }

    private static func word(_ bytes: ArraySlice<UInt8>, _ offset: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << (8 * UInt32($1)) }
    }
}
