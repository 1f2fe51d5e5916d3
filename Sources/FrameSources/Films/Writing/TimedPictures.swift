/// Raw pictures, each with its own time, as a stream that ffmpeg reads from a pipe: Matroska with one picture a cluster.
/// (Bare raw video has no times, and a film's frames need not be evenly spaced.)
///
/// **Source:** RFC 8794 (EBML), RFC 9559 (Matroska): element numbers, `V_UNCOMPRESSED`.
enum TimedPictures {
    enum Samples: Sendable {
        case rgb24, gray8, gray16

        /// `UncompressedFourCC`.
        var code: [UInt8] {
            switch self {
            case .rgb24: [0x52, 0x47, 0x42, 24]
            case .gray8: Array("Y800".utf8)
            case .gray16: [0x59, 0x31, 0, 16]
            }
        }
    }

    private static func element(_ name: [UInt8], _ content: [UInt8]) -> [UInt8] {
        name + size(content.count) + content
    }

    /// A length in eight bytes.
    private static func size(_ count: Int) -> [UInt8] { [1] + bigEndian(UInt64(count)).dropFirst() }

    private static func bigEndian(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

    private static func number(_ name: [UInt8], _ value: Int) -> [UInt8] {
        element(name, bigEndian(UInt64(max(0, value))))
    }

    /// What comes before all pictures. Times are in microseconds.
    static func header(height: Int, width: Int, _ samples: Samples, frameSeconds: Double) -> [UInt8] {
        let file = element(
            [0x1A, 0x45, 0xDF, 0xA3],
            number([0x42, 0x86], 1) + number([0x42, 0xF7], 1) + number([0x42, 0xF2], 4) + number([0x42, 0xF3], 8)
                + element([0x42, 0x82], Array("matroska".utf8)) + number([0x42, 0x87], 4) + number([0x42, 0x85], 2))
        // The segment's length is unknown.
        let segment: [UInt8] = [0x18, 0x53, 0x80, 0x67, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]
        let info = element([0x15, 0x49, 0xA9, 0x66], number([0x2A, 0xD7, 0xB1], 1000))
        let video = element(
            [0xE0], number([0xB0], width) + number([0xBA], height) + element([0x2E, 0xB5, 0x24], samples.code))
        let track =
            number([0xD7], 1) + number([0x73, 0xC5], 1) + number([0x83], 1)
            + element([0x86], Array("V_UNCOMPRESSED".utf8))
            + number([0x23, 0xE3, 0x83], Int((frameSeconds * 1e9).rounded())) + video
        return file + segment + info + element([0x16, 0x54, 0xAE, 0x6B], element([0xAE], track))
    }

    /// What comes before the `byteCount` bytes of a picture.
    static func frame(microseconds: Int, byteCount: Int) -> [UInt8] {
        // Track 1, no time after the cluster's, a key frame.
        let block: [UInt8] = [0xA3] + size(byteCount + 4) + [0x81, 0, 0, 0x80]
        let time = number([0xE7], microseconds)
        return [0x1F, 0x43, 0xB6, 0x75] + size(time.count + block.count + byteCount) + time + block
    }
}
