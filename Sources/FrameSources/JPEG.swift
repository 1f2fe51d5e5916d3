import Basics
import CTurboJPEG

/// JPEG of 8 bits, gray or colour, by TurboJPEG. Orientation and colour profiles are ignored.
public enum JPEG {
    /// → `[height, width, 1 or 3]` uint8.
    /// - Throws: `CodecError` for damage of any kind, warnings included: a truncated file has no trustworthy pixels; and
    ///   for both eyes' pictures in one file, of which only the first would be seen.
    public static func decode(_ bytes: [UInt8]) throws(CodecError) -> PixelArray {
        let views = MPO.viewCount(bytes)
        if views > 1 {
            throw CodecError(
                "\(views) views in one file (MPO), of which a JPEG decoder sees the first; write each into a file of its "
                    + "own (exiftool -b -MPImage2 gives the second) and convert them with --layout folders")
        }
        guard let handle = tjInitDecompress() else { throw CodecError("cannot start the JPEG decoder: no memory") }
        defer { tjDestroy(handle) }
        var width: Int32 = 0
        var height: Int32 = 0
        var subsampling: Int32 = 0
        var space: Int32 = 0
        let headerStatus = bytes.withUnsafeBufferPointer {
            tjDecompressHeader3(handle, $0.baseAddress, UInt($0.count), &width, &height, &subsampling, &space)
        }
        if headerStatus != 0 { throw CodecError("broken JPEG: \(reason(handle))") }
        if space == Int32(TJCS_CMYK.rawValue) || space == Int32(TJCS_YCCK.rawValue) {
            throw CodecError("a JPEG in CMYK; convert it to RGB first")
        }
        let channels = space == Int32(TJCS_GRAY.rawValue) ? 1 : 3
        try ImageLimits.check(height: Int(height), width: Int(width), channels: channels)
        // A block of 8x8 samples takes at least a bit or so in every scan, but progressive scans may skip runs of
        // blocks: 1 byte for 64 Ki samples is far below anything real and bounds what a tiny file can make us allocate.
        if Int(height) * Int(width) / (1 << 16) > bytes.count {
            throw CodecError("broken JPEG: \(bytes.count) bytes cannot hold \(height)x\(width) pixels")
        }
        var array = PixelArray(zerosOf: Int(height), Int(width), channels, .uint8)
        let format = channels == 1 ? TJPF_GRAY : TJPF_RGB
        let status = bytes.withUnsafeBufferPointer { source in
            array.bytes.withUnsafeMutableBufferPointer {
                tjDecompress2(
                    handle, source.baseAddress, UInt(source.count), $0.baseAddress, width, 0, height,
                    Int32(format.rawValue), TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS | TJFLAG_ACCURATEDCT)
            }
        }
        if status != 0 { throw CodecError("broken JPEG: \(reason(handle))") }
        return array
    }

    /// `[height, width, 1 or 3]` uint8 → file content; colour is not subsampled.
    /// - Parameter quality: 1…100.
    /// - Throws: `CodecError` if JPEG cannot hold such an array.
    public static func encode(_ array: PixelArray, quality: Int = 95) throws(CodecError) -> [UInt8] {
        precondition((1...100).contains(quality), "JPEG quality \(quality)")
        guard array.element == .uint8, array.channels == 1 || array.channels == 3,
            (1...65500).contains(array.height), (1...65500).contains(array.width)
        else {
            throw CodecError(
                "JPEG holds uint8 with 1 or 3 channels, not \(array.height)x\(array.width)x\(array.channels) "
                    + array.element.name)
        }
        guard let handle = tjInitCompress() else { throw CodecError("cannot start the JPEG encoder: no memory") }
        defer { tjDestroy(handle) }
        var encoded: UnsafeMutablePointer<UInt8>?
        var count: UInt = 0
        let gray = array.channels == 1
        let status = array.bytes.withUnsafeBufferPointer {
            tjCompress2(
                handle, $0.baseAddress, Int32(array.width), 0, Int32(array.height),
                Int32((gray ? TJPF_GRAY : TJPF_RGB).rawValue), &encoded, &count,
                Int32((gray ? TJSAMP_GRAY : TJSAMP_444).rawValue), Int32(quality), TJFLAG_ACCURATEDCT)
        }
        defer { if let encoded { tjFree(encoded) } }
        guard status == 0, let encoded else { throw CodecError("cannot encode as JPEG: \(reason(handle))") }
        return Array(UnsafeBufferPointer(start: encoded, count: Int(count)))
    }

    private static func reason(_ handle: tjhandle) -> String {
        guard let text = tjGetErrorStr2(handle) else { return "unknown damage" }
        let line = String(cString: text).map { $0.isASCII && !$0.isNewline ? $0 : " " }
        return String(line.prefix(160))
    }
}
