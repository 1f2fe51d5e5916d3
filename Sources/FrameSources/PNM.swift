import Basics

/// Portable gray maps and pixmaps in their binary form (P5, P6), 8 or 16 bits. Samples are taken as they are, whatever
/// the maximum says, because disparity maps use them as numbers.
/// **Source:** netpbm's descriptions of PGM and PPM: 16-bit samples big-endian, comments from # to the end of the line.
public enum PNM {
    /// → `[height, width, 1 or 3]` uint8 (maximum up to 255) or uint16.
    /// - Throws: `CodecError`.
    public static func decode(_ bytes: [UInt8]) throws(CodecError) -> PixelArray {
        guard bytes.count > 2, bytes[0] == 0x50, bytes[1] == 0x35 || bytes[1] == 0x36 else {
            throw CodecError("broken PNM: no P5 or P6 in front")
        }
        let channels = bytes[1] == 0x35 ? 1 : 3
        var offset = 2
        let width = try number(bytes, &offset)
        let height = try number(bytes, &offset)
        let maximum = try number(bytes, &offset)
        guard (1...65535).contains(maximum), offset < bytes.count, isSpace(bytes[offset]) else {
            throw CodecError("broken PNM: a maximum of 1…65535 and a space must follow the sides")
        }
        offset += 1
        try ImageLimits.check(height: height, width: width, channels: channels)
        let element: ElementType = maximum < 256 ? .uint8 : .uint16
        let wanted = height * width * channels * element.byteCount
        guard bytes.count - offset >= wanted else {
            throw CodecError(
                "broken PNM: \(bytes.count - offset) bytes for \(height)x\(width)x\(channels) \(element.name)")
        }
        guard bytes[(offset + wanted)...].allSatisfy(isSpace) else {
            throw CodecError("broken PNM: bytes behind the last sample; one picture a file")
        }
        var samples = Array(bytes[offset..<(offset + wanted)])
        if element == .uint16 {
            for index in stride(from: 0, to: wanted, by: 2) { samples.swapAt(index, index + 1) }
        }
        return PixelArray(height: height, width: width, channels: channels, element: element, bytes: samples)
    }

    /// `[height, width, 1 or 3]` uint8 or uint16 → file content.
    /// - Throws: `CodecError` if PNM cannot hold such an array.
    public static func encode(_ array: PixelArray) throws(CodecError) -> [UInt8] {
        guard array.element != .float32, array.channels == 1 || array.channels == 3, array.count > 0 else {
            throw CodecError(
                "PNM holds uint8 or uint16 with 1 or 3 channels, not \(array.channels) of \(array.element.name)")
        }
        let isWide = array.element == .uint16
        var samples = array.bytes
        if isWide {
            for index in stride(from: 0, to: samples.count, by: 2) { samples.swapAt(index, index + 1) }
        }
        let kind = array.channels == 1 ? "P5" : "P6"
        return Array("\(kind)\n\(array.width) \(array.height)\n\(isWide ? 65535 : 255)\n".utf8) + samples
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 32 || (9...13).contains(byte) }

    /// The next decimal number, with white space and comments in front of it.
    private static func number(_ bytes: [UInt8], _ offset: inout Int) throws(CodecError) -> Int {
        let limit = min(bytes.count, 4096)
        while offset < limit, isSpace(bytes[offset]) || bytes[offset] == 0x23 {
            if bytes[offset] == 0x23 {
                while offset < limit, bytes[offset] != 10 { offset += 1 }
            } else {
                offset += 1
            }
        }
        var value = 0
        let start = offset
        while offset < limit, (0x30...0x39).contains(bytes[offset]), offset - start < 9 {
            value = value * 10 + Int(bytes[offset] - 0x30)
            offset += 1
        }
        guard offset > start, offset < limit else { throw CodecError("broken PNM: the file ends inside the header") }
        return value
    }
}
