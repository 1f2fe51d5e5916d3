import Basics
import CImages

/// PNG of 8 or 16 bits, gray or RGB. Samples are taken as they are: gamma, colour space and profile chunks are ignored,
/// alpha is dropped, palettes and 1, 2, 4 bits are expanded to 8.
public enum PNG {
    public static let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

    /// → `[height, width, 1 or 3]` uint8 or uint16.
    /// - Throws: `CodecError` for damage of any kind, and for more than `ImageLimits.samples` samples.
    public static func decode(_ bytes: [UInt8]) throws(CodecError) -> PixelArray {
        var header = cimages_png_header()
        var message = MessageBuffer()
        let headerStatus = bytes.withUnsafeBufferPointer {
            cimages_png_read_header($0.baseAddress, $0.count, &header, &message.bytes)
        }
        if headerStatus != 0 { throw CodecError("broken PNG: \(message.text)") }
        let height = Int(header.height)
        let width = Int(header.width)
        let channels = Int(header.channels)
        try ImageLimits.check(height: height, width: width, channels: channels)
        // Deflate cannot expand more than 1,032 times: a short file that promises more is refused before allocation.
        if header.raw_byte_count / 1032 > UInt64(bytes.count) {
            throw CodecError("broken PNG: \(bytes.count) bytes cannot hold \(height)x\(width) pixels")
        }
        var array = PixelArray(zerosOf: height, width, channels, header.bits == 16 ? .uint16 : .uint8)
        let status = bytes.withUnsafeBufferPointer { source in
            array.bytes.withUnsafeMutableBufferPointer {
                cimages_png_decode(source.baseAddress, source.count, $0.baseAddress, $0.count, &message.bytes)
            }
        }
        if status != 0 { throw CodecError("broken PNG: \(message.text)") }
        return array
    }

    /// `[height, width, 1 or 3]` uint8 or uint16 → file content, without any ancillary chunk.
    /// - Throws: `CodecError` if PNG cannot hold such an array.
    public static func encode(_ array: PixelArray) throws(CodecError) -> [UInt8] {
        guard array.element != .float32, array.channels == 1 || array.channels == 3, array.height > 0, array.width > 0
        else {
            throw CodecError(
                "PNG holds uint8 or uint16 with 1 or 3 channels, not \(array.height)x\(array.width)x\(array.channels) "
                    + array.element.name)
        }
        var message = MessageBuffer()
        var encoded: UnsafeMutablePointer<UInt8>?
        var count = 0
        let status = array.bytes.withUnsafeBufferPointer {
            cimages_png_encode(
                $0.baseAddress, UInt32(array.height), UInt32(array.width), Int32(array.channels),
                array.element == .uint16 ? 16 : 8, &encoded, &count, &message.bytes)
        }
        guard status == 0, let encoded else { throw CodecError("cannot encode as PNG: \(message.text)") }
        defer { cimages_free(encoded) }
        return Array(UnsafeBufferPointer(start: encoded, count: count))
    }
}

/// What the C side fills with the reason of a failure.
private struct MessageBuffer {
    var bytes = [CChar](repeating: 0, count: Int(CIMAGES_MESSAGE_SIZE))

    /// One line of printable ASCII.
    var text: String {
        let end = bytes.firstIndex(of: 0) ?? bytes.endIndex
        let characters = bytes[..<end].map { $0 >= 32 && $0 < 127 ? Character(UnicodeScalar(UInt8($0))) : "?" }
        return characters.isEmpty ? "unknown damage" : String(characters)
    }
}
