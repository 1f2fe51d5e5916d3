import Basics

/// Portable float maps: float32, 1 or 3 channels, rows bottom to top, either byte order.
///
/// Any run of white space is accepted between the numbers of the header (at most 64 characters in all), exactly one
/// character after the last. Infinite and NaN samples are kept as they are: what they mean is the data set's business.
/// **Source:** Debevec's PFM description as Middlebury and ETH3D use it.
public enum PFM {
    /// → `[height, width, 1 or 3]` float32, rows top to bottom.
    /// - Throws: `CodecError`.
    public static func decode(_ bytes: [UInt8]) throws(CodecError) -> PixelArray {
        var offset = 0
        let magic = try token(bytes, &offset)
        let channels: Int
        switch magic {
        case "Pf": channels = 1
        case "PF": channels = 3
        default: throw CodecError("broken PFM: no Pf or PF in front")
        }
        guard let width = Int(try token(bytes, &offset)), let height = Int(try token(bytes, &offset)),
            let scale = Double(try token(bytes, &offset)), scale.isFinite, scale != 0
        else { throw CodecError("broken PFM: width, height and a scale other than 0 must follow \(magic)") }
        try ImageLimits.check(height: height, width: width, channels: channels)
        let wanted = height * width * channels * 4
        // Writers put one line end after the scale, some "\r\n" or more: what is beyond the pixels tells how many.
        while bytes.count - offset > wanted, isSpace(bytes[offset]) { offset += 1 }
        guard bytes.count - offset == wanted else {
            throw CodecError("broken PFM: \(bytes.count - offset) bytes for \(height)x\(width)x\(channels) float32")
        }
        let isLittleEndian = scale < 0
        let row = width * channels
        var floats = [Float](repeating: 0, count: height * row)
        bytes.withUnsafeBytes { source in
            for y in 0..<height {
                let start = offset + (height - 1 - y) * row * 4
                for x in 0..<row {
                    let bits = source.loadUnaligned(fromByteOffset: start + x * 4, as: UInt32.self)
                    floats[y * row + x] = Float(
                        bitPattern: isLittleEndian ? UInt32(littleEndian: bits) : UInt32(bigEndian: bits))
                }
            }
        }
        return PixelArray(height: height, width: width, channels: channels, floats: floats)
    }

    /// `[height, width, 1 or 3]` float32 → file content, little-endian.
    /// - Throws: `CodecError` if PFM cannot hold such an array.
    public static func encode(_ array: PixelArray) throws(CodecError) -> [UInt8] {
        guard array.element == .float32, array.channels == 1 || array.channels == 3 else {
            throw CodecError("PFM holds float32 with 1 or 3 channels, not \(array.channels) of \(array.element.name)")
        }
        var bytes = Array("\(array.channels == 1 ? "Pf" : "PF")\n\(array.width) \(array.height)\n-1.0\n".utf8)
        let row = array.width * array.channels * 4
        for y in stride(from: array.height - 1, through: 0, by: -1) {
            bytes += array.bytes[(y * row)..<((y + 1) * row)]
        }
        return bytes
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 32 || (9...13).contains(byte) }

    /// The next word and the one white-space character after it.
    private static func token(_ bytes: [UInt8], _ offset: inout Int) throws(CodecError) -> String {
        let limit = min(bytes.count, 256)
        while offset < limit, isSpace(bytes[offset]) { offset += 1 }
        let start = offset
        while offset < limit, !isSpace(bytes[offset]), offset - start < 32 { offset += 1 }
        guard offset > start, offset < limit, isSpace(bytes[offset]) else {
            throw CodecError("broken PFM: the file ends inside the header")
        }
        defer { offset += 1 }
        return String(decoding: bytes[start..<offset], as: UTF8.self)
    }
}
