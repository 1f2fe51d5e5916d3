import Basics
import CLZ4

/// Independent LZ4 frames of the one kind that shards hold: independent blocks, content size, content checksum.
///
/// **Source:** LZ4 Frame Format Description 1.6.2 (lz4 repository, doc/lz4_Frame_format.md).
enum LZ4Frame {
    struct Problem: Error, Equatable {
        /// Within the frame.
        let byteOffset: Int
        let text: String
    }

    private static let magic: UInt32 = 0x184D_2204
    /// Version 01, independent blocks, no block checksums, content size, content checksum, no dictionary.
    private static let flags: UInt8 = 0b0110_1100
    private static let headerByteCount = 15
    static let minimumByteCount = headerByteCount + 8

    /// One frame that holds `bytes`. `level`: 0…2 fast, 3…12 LZ4HC.
    static func encode(_ bytes: UnsafeRawBufferPointer, level: Int) -> [UInt8] {
        var preferences = LZ4F_preferences_t()
        preferences.frameInfo.blockSizeID = LZ4F_max4MB
        preferences.frameInfo.blockMode = LZ4F_blockIndependent
        preferences.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled
        preferences.frameInfo.contentSize = UInt64(bytes.count)
        preferences.compressionLevel = Int32(level)
        let bound = LZ4F_compressFrameBound(bytes.count, &preferences)
        return [UInt8](unsafeUninitializedCapacity: bound) { buffer, count in
            count = LZ4F_compressFrame(buffer.baseAddress, bound, bytes.baseAddress, bytes.count, &preferences)
            precondition(LZ4F_isError(count) == 0, "LZ4F_compressFrame of \(bytes.count) bytes failed")
        }
    }

    /// Bytes that `bytes` shrinks to at LZ4's fastest level: cheap, and ranks filters as LZ4HC does.
    static func fastByteCount(_ bytes: UnsafeRawBufferPointer, scratch: ScratchBuffer) -> Int {
        var total = 0
        var start = 0
        while start < bytes.count {
            // Blocks as in a frame; the count stays far inside Int32.
            let count = min(4 << 20, bytes.count - start)
            let bound = Int(LZ4_compressBound(Int32(count)))
            let target = scratch.bytes(bound)
            let packed = LZ4_compress_default(
                bytes.baseAddress?.advanced(by: start).assumingMemoryBound(to: CChar.self),
                target.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(count), Int32(bound))
            total += min(Int(packed), count)
            start += count
        }
        return total
    }

    /// Decodes `frame`, which must be exactly one frame, into exactly `target.count` bytes.
    ///
    /// Read by hand instead of by LZ4F: no context, no allocation, no tolerance for frames within frames. The content
    /// checksum is looked at on request only, for `verify`: XXH3 hashes of stored and decoded bytes stand above it.
    static func decode(
        _ frame: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer, checkContent: Bool = false
    ) throws(Problem) {
        var cursor = ByteCursor(frame)
        do {
            let found: UInt32 = try cursor.integer()
            if found != magic { throw Problem(byteOffset: 0, text: "no LZ4 frame begins here") }
            let foundFlags: UInt8 = try cursor.integer()
            if foundFlags != flags {
                throw Problem(byteOffset: 4, text: "LZ4 frame flags \(foundFlags), expected \(flags)")
            }
            let descriptor: UInt8 = try cursor.integer()
            guard descriptor & 0x8F == 0, (4...7).contains(descriptor >> 4) else {
                throw Problem(byteOffset: 5, text: "LZ4 block descriptor \(descriptor) is not valid")
            }
            let blockLimit = 1 << (8 + 2 * Int(descriptor >> 4))
            let contentSize: UInt64 = try cursor.integer()
            if contentSize != UInt64(target.count) {
                throw Problem(byteOffset: 6, text: "LZ4 content size \(contentSize), expected \(target.count)")
            }
            let headerCheck: UInt8 = try cursor.integer()
            let wanted = UInt8(truncatingIfNeeded: Hash.xxh32(UnsafeRawBufferPointer(rebasing: frame[4..<14])) >> 8)
            if headerCheck != wanted {
                throw Problem(byteOffset: 14, text: "LZ4 header checksum \(headerCheck), expected \(wanted)")
            }
            var written = 0
            while true {
                let start = cursor.byteOffset
                let word: UInt32 = try cursor.integer()
                if word == 0 { break }
                let block = try cursor.take(Int(word & 0x7FFF_FFFF))
                let room = min(blockLimit, target.count - written)
                if word >> 31 == 1 {
                    if block.count > room { throw Problem(byteOffset: start, text: "LZ4 block exceeds its record") }
                    UnsafeMutableRawBufferPointer(rebasing: target[written..<(written + block.count)])
                        .copyMemory(from: block)
                    written += block.count
                } else {
                    // Both counts fit Int32: the block lies within `blockLimit` plus LZ4's small overhead.
                    guard block.count <= blockLimit + blockLimit / 255 + 16, let base = target.baseAddress else {
                        throw Problem(byteOffset: start, text: "LZ4 block of \(block.count) bytes is too long")
                    }
                    let count = LZ4_decompress_safe(
                        block.baseAddress?.assumingMemoryBound(to: CChar.self),
                        base.advanced(by: written).assumingMemoryBound(to: CChar.self),
                        Int32(block.count), Int32(room))
                    if count < 0 { throw Problem(byteOffset: start, text: "LZ4 block does not decode") }
                    written += Int(count)
                }
            }
            if written != target.count {
                throw Problem(
                    byteOffset: cursor.byteOffset,
                    text: "LZ4 frame decodes to \(written) bytes, expected \(target.count)")
            }
            let checksum: UInt32 = try cursor.integer()
            if cursor.remaining != 0 {
                throw Problem(byteOffset: cursor.byteOffset, text: "\(cursor.remaining) bytes follow the LZ4 frame")
            }
            if checkContent, checksum != Hash.xxh32(UnsafeRawBufferPointer(target)) {
                throw Problem(byteOffset: cursor.byteOffset - 4, text: "LZ4 content checksum does not match")
            }
        } catch let problem as Problem {
            throw problem
        } catch {
            throw Problem(byteOffset: frame.count, text: "LZ4 frame is cut off")
        }
    }
}
