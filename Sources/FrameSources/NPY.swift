import Basics

/// NumPy's array files (versions 1 and 2): two or three dimensions `[height, width]` or `[height, width, channels]`, C
/// order, little-endian. uint8, uint16 and float32 stay; float64 becomes float32.
/// **Source:** numpy.lib.format, "Format Version 1.0, 2.0".
public enum NPY {
    public static let signature: [UInt8] = [0x93] + Array("NUMPY".utf8)
    private static let headerLimit = 4096

    /// → `[height, width, channels]`.
    /// - Throws: `CodecError` for damage and for anything that is not such an array.
    public static func decode(_ bytes: [UInt8]) throws(CodecError) -> PixelArray {
        guard bytes.starts(with: signature), bytes.count >= 10 else {
            throw CodecError("broken NPY: the file ends inside the header")
        }
        let start = bytes[6] == 1 ? 10 : 12
        guard bytes[6] == 1 || bytes[6] == 2, bytes[7] == 0, bytes.count >= start else {
            throw CodecError("an NPY of version \(bytes[6]).\(bytes[7]); write it with version 1.0 or 2.0")
        }
        var headerCount = Int(bytes[8]) | Int(bytes[9]) << 8
        if start == 12 { headerCount |= Int(bytes[10]) << 16 | Int(bytes[11]) << 24 }
        guard headerCount <= headerLimit, bytes.count - start >= headerCount else {
            throw CodecError("broken NPY: a header of \(headerCount) bytes in a file of \(bytes.count)")
        }
        let header = try NPYHeader(String(decoding: bytes[start..<(start + headerCount)], as: UTF8.self))
        guard !header.isFortranOrder else { throw CodecError("an NPY in Fortran order; save it in C order") }
        guard header.shape.count == 2 || header.shape.count == 3 else {
            throw CodecError("an NPY of \(header.shape.count) dimensions; 2 or 3 are wanted")
        }
        let (height, width) = (header.shape[0], header.shape[1])
        let channels = header.shape.count == 3 ? header.shape[2] : 1
        try ImageLimits.check(height: height, width: width, channels: channels)
        let stored: Int
        let element: ElementType
        switch header.type {
        case "|u1", "<u1", "u1": (stored, element) = (1, .uint8)
        case "<u2": (stored, element) = (2, .uint16)
        case "<f4": (stored, element) = (4, .float32)
        case "<f8": (stored, element) = (8, .float32)
        default:
            // A stranger's text may have line ends, and any length.
            let type = header.type.unicodeScalars.prefix(20)
                .map { $0.properties.generalCategory == .control ? "?" : String($0) }.joined()
            throw CodecError("an NPY of type '\(type)'; save it as uint8, uint16, float32 or float64")
        }
        let count = height * width * channels
        let offset = start + headerCount
        guard bytes.count - offset == count * stored else {
            throw CodecError(
                "broken NPY: \(bytes.count - offset) bytes for \(height)x\(width)x\(channels) \(header.type)")
        }
        if stored == element.byteCount {
            return PixelArray(
                height: height, width: width, channels: channels, element: element, bytes: Array(bytes[offset...]))
        }
        let floats = bytes.withUnsafeBytes { source in
            (0..<count).map {
                Float(
                    Double(
                        bitPattern: UInt64(
                            littleEndian: source.loadUnaligned(fromByteOffset: offset + $0 * 8, as: UInt64.self))))
            }
        }
        return PixelArray(height: height, width: width, channels: channels, floats: floats)
    }

    /// Any array → file content of version 1.0; one channel gives two dimensions.
    public static func encode(_ array: PixelArray) -> [UInt8] {
        let type =
            switch array.element {
            case .uint8: "|u1"
            case .uint16: "<u2"
            case .float32: "<f4"
            }
        let shape = "\(array.height), \(array.width)" + (array.channels == 1 ? "" : ", \(array.channels)")
        var header = "{'descr': '\(type)', 'fortran_order': False, 'shape': (\(shape)), }"
        // Padded so that the data start at a multiple of 64, as the format asks.
        header += String(repeating: " ", count: (64 - (10 + header.utf8.count + 1) % 64) % 64) + "\n"
        var bytes = signature + [1, 0]
        bytes.appendLittleEndian(UInt16(header.utf8.count))
        return bytes + Array(header.utf8) + array.bytes
    }
}

/// The Python literal in an NPY header: exactly the keys `descr`, `fortran_order` and `shape`.
private struct NPYHeader {
    var type = ""
    var isFortranOrder = false
    var shape: [Int] = []

    init(_ text: String) throws(CodecError) {
        var rest = Substring(text)
        var seen: Set<String> = []
        guard Self.take("{", &rest) else { throw Self.broken }
        while !Self.take("}", &rest) {
            guard let key = Self.string(&rest), Self.take(":", &rest), seen.insert(key).inserted else {
                throw Self.broken
            }
            switch key {
            case "descr":
                guard let value = Self.string(&rest) else { throw CodecError("an NPY of records; save a plain array") }
                type = value
            case "fortran_order":
                if Self.take("True", &rest) {
                    isFortranOrder = true
                } else if !Self.take("False", &rest) {
                    throw Self.broken
                }
            case "shape":
                guard Self.take("(", &rest) else { throw Self.broken }
                while !Self.take(")", &rest) {
                    guard let side = Self.integer(&rest), shape.count < 8 else { throw Self.broken }
                    shape.append(side)
                    if !Self.take(",", &rest) {
                        guard Self.take(")", &rest) else { throw Self.broken }
                        break
                    }
                }
            default: throw Self.broken
            }
            if !Self.take(",", &rest) {
                guard Self.take("}", &rest) else { throw Self.broken }
                break
            }
        }
        guard seen.count == 3, rest.allSatisfy(\.isWhitespace) else { throw Self.broken }
    }

    private static let broken = CodecError("broken NPY: the header is not NumPy's")

    private static func take(_ word: String, _ rest: inout Substring) -> Bool {
        rest = rest.drop(while: \.isWhitespace)
        guard rest.hasPrefix(word) else { return false }
        rest = rest.dropFirst(word.count)
        return true
    }

    private static func string(_ rest: inout Substring) -> String? {
        guard take("'", &rest), let end = rest.firstIndex(of: "'") else { return nil }
        defer { rest = rest[end...].dropFirst() }
        return String(rest[..<end])
    }

    private static func integer(_ rest: inout Substring) -> Int? {
        rest = rest.drop(while: \.isWhitespace)
        let digits = rest.prefix { ("0"..."9").contains($0) }
        rest = rest.dropFirst(digits.count)
        return Int(digits)
    }
}
