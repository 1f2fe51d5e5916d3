import Basics
import Glibc

/// Reads the parts of a shard file around its records; trusts nothing in it.
struct ShardFile {
    let path: String
    let descriptor: Int32
    let byteCount: Int

    struct Footer {
        let indexByteOffset: Int
        let indexByteCount: Int
        let recordCount: Int
        let indexHash: UInt64
        let headerHash: UInt64
    }

    func read(_ target: UnsafeMutableRawBufferPointer, at byteOffset: Int) throws {
        var done = 0
        while done < target.count {
            let got = pread(
                descriptor, target.baseAddress.map { $0 + done }, target.count - done, off_t(byteOffset + done))
            if got < 0 && errno == EINTR { continue }
            if got < 0 { throw FileError(path: path, action: "read", code: errno) }
            if got == 0 { throw ShardError(path: path, byteOffset: byteOffset + done, "the file ends too early") }
            done += got
        }
    }

    func read(_ count: Int, at byteOffset: Int) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            try read(UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: count), at: byteOffset)
            initialized = count
        }
    }

    func footer() throws -> Footer {
        guard byteCount >= ShardLayout.minimumByteCount else {
            throw ShardError(
                path: path, "\(byteCount) bytes are no shard, the smallest has \(ShardLayout.minimumByteCount)")
        }
        let start = byteCount - ShardLayout.footerByteCount
        let bytes = try read(ShardLayout.footerByteCount, at: start)
        return try bytes.withUnsafeBytes { bytes in
            var cursor = ByteCursor(bytes)
            let magic: UInt32 = try cursor.integer()
            let size: UInt32 = try cursor.integer()
            guard magic == ShardLayout.footerMagic,
                Int(size) == ShardLayout.footerByteCount - ShardLayout.skippableHeaderByteCount
            else {
                throw ShardError(path: path, byteOffset: start, "no shard footer at the end of the file")
            }
            let indexOffset: UInt64 = try cursor.integer()
            let indexBytes: UInt64 = try cursor.integer()
            let records: UInt64 = try cursor.integer()
            let total: UInt64 = try cursor.integer()
            let indexHash: UInt64 = try cursor.integer()
            let headerHash: UInt64 = try cursor.integer()
            guard try cursor.take(8).elementsEqual(ShardLayout.endMark) else {
                throw ShardError(path: path, byteOffset: start + 56, "the footer's end mark is missing")
            }
            let hash: UInt64 = try cursor.integer()
            let found = Hash.xxh64(UnsafeRawBufferPointer(rebasing: bytes[..<64]))
            guard hash == found else {
                throw ShardError(
                    path: path, byteOffset: start,
                    "the footer hashes to \(Hash.hexadecimal(found)), it says \(Hash.hexadecimal(hash))")
            }
            // Exact tiling: header, records, index, footer, nothing between and nothing behind.
            guard total == UInt64(byteCount) else {
                throw ShardError(
                    path: path, byteOffset: start, "the footer says \(total) bytes, the file has \(byteCount)")
            }
            guard records <= UInt64(ShardLimits.recordsPerShard) else {
                throw ShardError(
                    path: path, byteOffset: start,
                    "the footer says \(records) records, the limit is \(ShardLimits.recordsPerShard)")
            }
            guard indexOffset >= UInt64(ShardLayout.headerByteCount), indexOffset <= UInt64(start),
                indexBytes == UInt64(start) - indexOffset,
                indexBytes >= UInt64(ShardLayout.skippableHeaderByteCount) + records
                    * UInt64(ShardLayout.indexEntryByteCount),
                indexBytes <= UInt64(UInt32.max)
            else {
                throw ShardError(
                    path: path, byteOffset: start,
                    "the footer says \(indexBytes) bytes of index at \(indexOffset), which does not fit the file")
            }
            return Footer(
                indexByteOffset: Int(indexOffset), indexByteCount: Int(indexBytes), recordCount: Int(records),
                indexHash: indexHash, headerHash: headerHash)
        }
    }

    func checkHeader(_ footer: Footer) throws {
        let bytes = try read(ShardLayout.headerByteCount, at: 0)
        try bytes.withUnsafeBytes { bytes in
            var cursor = ByteCursor(bytes)
            let magic: UInt32 = try cursor.integer()
            let size: UInt32 = try cursor.integer()
            guard magic == ShardLayout.headerMagic,
                Int(size) == ShardLayout.headerByteCount - ShardLayout.skippableHeaderByteCount,
                try cursor.take(8).elementsEqual(ShardLayout.fileMark)
            else {
                throw ShardError(path: path, byteOffset: 0, "no shard header at the start of the file")
            }
            let version: UInt16 = try cursor.integer()
            guard version == ShardLayout.version else {
                throw ShardError(
                    path: path, byteOffset: 16, "shard version \(version), this program reads \(ShardLayout.version)",
                    remedy: "use a newer program or convert the data again")
            }
            guard try cursor.take(cursor.remaining).allSatisfy({ $0 == 0 }) else {
                throw ShardError(path: path, byteOffset: 18, "reserved bits of the header are not zero")
            }
            let found = Hash.xxh64(bytes)
            guard found == footer.headerHash else {
                throw ShardError(path: path, byteOffset: 0, "the header does not match the footer's hash of it")
            }
        }
    }

    func index(_ footer: Footer) throws -> ([ShardReader.Entry], [UInt8]) {
        let base = footer.indexByteOffset
        let bytes = try read(footer.indexByteCount, at: base)
        let found = Hash.xxh64(bytes)
        guard found == footer.indexHash else {
            throw ShardError(
                path: path, byteOffset: base,
                "the index hashes to \(Hash.hexadecimal(found)), the footer says \(Hash.hexadecimal(footer.indexHash))")
        }
        return try bytes.withUnsafeBytes { bytes in
            var cursor = ByteCursor(bytes)
            let magic: UInt32 = try cursor.integer()
            let size: UInt32 = try cursor.integer()
            guard magic == ShardLayout.indexMagic,
                Int(size) == bytes.count - ShardLayout.skippableHeaderByteCount
            else {
                throw ShardError(path: path, byteOffset: base, "no index where the footer says")
            }
            let keyStart =
                ShardLayout.skippableHeaderByteCount + footer.recordCount * ShardLayout.indexEntryByteCount
            let keyBytes = Array(bytes[keyStart...])
            var entries: [ShardReader.Entry] = []
            entries.reserveCapacity(footer.recordCount)
            var next = UInt64(ShardLayout.headerByteCount)
            var nextKey = 0
            for number in 0..<footer.recordCount {
                let at = base + cursor.byteOffset
                func refuse(_ problem: String) -> ShardError {
                    ShardError(path: path, record: number, byteOffset: at, "index: \(problem)")
                }
                let offset: UInt64 = try cursor.integer()
                let stored: UInt64 = try cursor.integer()
                let decoded: UInt64 = try cursor.integer()
                let hash: UInt64 = try cursor.integer()
                let headerStored: UInt32 = try cursor.integer()
                let keyOffset: UInt32 = try cursor.integer()
                let keyCount: UInt16 = try cursor.integer()
                guard try cursor.take(6).allSatisfy({ $0 == 0 }) else { throw refuse("reserved bits are not zero") }
                guard offset == next else { throw refuse("offset \(offset), expected \(next)") }
                guard stored <= UInt64(base) - offset, UInt64(headerStored) <= stored,
                    Int(headerStored) >= LZ4Frame.minimumByteCount
                else { throw refuse("\(stored) stored bytes (header \(headerStored)) do not fit") }
                guard decoded <= stored * UInt64(ShardLimits.expansion) else {
                    throw refuse("\(decoded) decoded bytes from \(stored) stored ones, more than LZ4 can hold")
                }
                guard Int(keyOffset) == nextKey, Int(keyCount) <= keyBytes.count - nextKey,
                    (1...ShardLimits.keyBytes).contains(Int(keyCount))
                else { throw refuse("its key does not lie where it should") }
                entries.append(
                    ShardReader.Entry(
                        byteOffset: Int(offset), storedByteCount: Int(stored), decodedByteCount: Int(decoded),
                        hash: hash, headerStoredByteCount: Int(headerStored), keyByteOffset: nextKey,
                        keyByteCount: Int(keyCount)))
                next += stored
                nextKey += Int(keyCount)
            }
            guard next == UInt64(base), nextKey == keyBytes.count else {
                throw ShardError(
                    path: path, byteOffset: base, "the index covers the records up to \(next), expected \(base)")
            }
            return (entries, keyBytes)
        }
    }
}
