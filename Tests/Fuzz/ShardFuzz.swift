// Compiled together with the readers (see `run` in this folder), not by SwiftPM.

import Basics
import CLZ4

@testable import Shards

/// Feeds bytes to the readers of data sets as they are, and with hashes that are right, which gets past the first checks:
/// whoever makes a hostile file can compute hashes.
enum ShardFuzz {
    static func shard(_ bytes: [UInt8]) {
        read(bytes)
        guard bytes.count >= ShardLayout.minimumByteCount else { return }
        read(sealed(bytes))
    }

    /// The bytes are the entries and keys of an index over records that are not there.
    static func index(_ bytes: [UInt8]) {
        var shard = header() + [UInt8](repeating: 0x5A, count: 96)
        let offset = shard.count
        shard.appendLittleEndian(ShardLayout.indexMagic)
        shard.appendLittleEndian(UInt32(bytes.count))
        shard += bytes
        read(shard + footer(shard, indexOffset: offset, records: bytes.count / ShardLayout.indexEntryByteCount))
        read(shard + footer(shard, indexOffset: offset, records: Int(bytes.first ?? 0)))
    }

    /// The first two bytes are a count; so many bytes are a record's header as it stands before compression, the rest are
    /// the frames of its fields.
    static func record(_ bytes: [UInt8]) {
        guard bytes.count >= 2 else { return }
        let count = min(bytes.count - 2, Int(bytes[0]) | Int(bytes[1]) << 8)
        let head = Array(bytes[2..<(2 + count)]).withUnsafeBytes { LZ4Frame.encode($0, level: 0) }
        let fields = Array(bytes[(2 + count)...])
        var shard = header() + head + fields
        let end = shard.count
        shard.appendLittleEndian(ShardLayout.indexMagic)
        shard.appendLittleEndian(UInt32(ShardLayout.indexEntryByteCount + 1))
        shard.appendLittleEndian(UInt64(ShardLayout.headerByteCount))
        shard.appendLittleEndian(UInt64(end - ShardLayout.headerByteCount))
        var decoded = 0
        Array(bytes[2..<(2 + count)]).withUnsafeBytes {
            decoded =
                (try? RecordHeader(decoding: $0, fieldsStoredByteCount: fields.count))?
                .decodedByteCount(headerByteCount: count) ?? 0
        }
        shard.appendLittleEndian(UInt64(decoded))
        shard.appendLittleEndian(Hash.xxh64(Array(shard[ShardLayout.headerByteCount..<end])))
        shard.appendLittleEndian(UInt32(head.count))
        shard.appendLittleEndian(UInt32(0))
        shard.appendLittleEndian(UInt16(1))
        shard += [0, 0, 0, 0, 0, 0, UInt8(ascii: "k")]
        read(shard + footer(shard, indexOffset: end, records: 1))
        fields.withUnsafeBytes { frame in
            for size in [0, 1, 64, 5000] {
                var target = [UInt8](repeating: 0, count: size)
                _ = target.withUnsafeMutableBytes { try? LZ4Frame.decode(frame, into: $0, checkContent: true) }
            }
        }
    }

    /// The first three bytes are a shape, the others a payload of coded residuals: every level reads the same, or refuses.
    static func coded(_ bytes: [UInt8]) {
        guard bytes.count > 3 else { return }
        let shape = FieldShape(
            height: 1 + Int(bytes[0]) % 64, width: 1 + Int(bytes[1]), channels: 1 + Int(bytes[2]) % 4, element: .uint8)
        let verdicts = FilterEngine.levels.map { level in
            var target = [UInt8](repeating: 0, count: shape.byteCount)
            let isWhole = bytes[3...].withUnsafeBytes { payload in
                target.withUnsafeMutableBytes {
                    FilterEngine(level: level).invert(.codedResiduals, shape, from: payload, to: $0)
                }
            }
            return isWhole ? target : nil
        }
        precondition(verdicts.allSatisfy { $0 == verdicts[0] }, "levels disagree")
    }

    static func manifest(_ bytes: [UInt8]) {
        _ = try? Manifest(decoding: bytes, path: "m")
        let root = bytes.withUnsafeBytes { Hash.xxh128($0) }
        let sealed = bytes + Array("  \"root_xxh3_128\": \"\(root)\"\n}\n".utf8)
        guard let manifest = try? Manifest(decoding: sealed, path: "m") else { return }
        // What was accepted can be written, and is the same again.
        let again = try? Manifest(decoding: Array(manifest.encoded().utf8), path: "m")
        precondition(again == manifest, "a manifest that does not come back")
        for shard in manifest.shards { precondition(!shard.name.contains("/") && !shard.name.hasPrefix(".")) }
    }

    static func salvage(_ bytes: [UInt8]) {
        let salvage = ShardSalvage(path: FuzzFile.path(holding: bytes))
        for record in salvage.records {
            guard let whole = try? record.read() else { preconditionFailure("a record that was there is not") }
            precondition(whole.key == record.key && whole.bytes.count <= bytes.count)
        }
    }

    private static func read(_ bytes: [UInt8]) {
        let path = FuzzFile.path(holding: bytes)
        let problems = ShardReader.verify(path: path)
        for problem in problems { precondition(!problem.description.contains("\n")) }
        let salvage = ShardSalvage(path: path)
        precondition(!problems.isEmpty || salvage.problems.isEmpty)
        for record in salvage.records { _ = try? record.read() }
    }

    private static func header() -> [UInt8] {
        var header: [UInt8] = []
        header.appendLittleEndian(ShardLayout.headerMagic)
        header.appendLittleEndian(UInt32(ShardLayout.headerByteCount - ShardLayout.skippableHeaderByteCount))
        header += ShardLayout.fileMark
        header.appendLittleEndian(ShardLayout.version)
        return header + [UInt8](repeating: 0, count: ShardLayout.headerByteCount - header.count)
    }

    private static func footer(_ shard: [UInt8], indexOffset: Int, records: Int) -> [UInt8] {
        var footer: [UInt8] = []
        footer.appendLittleEndian(ShardLayout.footerMagic)
        footer.appendLittleEndian(UInt32(ShardLayout.footerByteCount - ShardLayout.skippableHeaderByteCount))
        footer.appendLittleEndian(UInt64(indexOffset))
        footer.appendLittleEndian(UInt64(shard.count - indexOffset))
        footer.appendLittleEndian(UInt64(records))
        footer.appendLittleEndian(UInt64(shard.count + ShardLayout.footerByteCount))
        footer.appendLittleEndian(Hash.xxh64(Array(shard[indexOffset...])))
        footer.appendLittleEndian(Hash.xxh64(Array(shard[..<ShardLayout.headerByteCount])))
        footer += ShardLayout.endMark
        footer.appendLittleEndian(Hash.xxh64(footer))
        return footer
    }

    /// Makes every hash of a shard right that can be without changing what is hashed.
    private static func sealed(_ bytes: [UInt8]) -> [UInt8] {
        var shard = bytes
        let start = shard.count - ShardLayout.footerByteCount
        func integer(_ place: Int) -> UInt64 {
            shard.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: place, as: UInt64.self)) }
        }
        let index = Int(clamping: integer(start + 8))
        let records = Int(clamping: integer(start + 24))
        guard (ShardLayout.headerByteCount...start).contains(index) else { return bytes }
        for record in 0..<min(records, 64) {
            let entry = index + ShardLayout.skippableHeaderByteCount + record * ShardLayout.indexEntryByteCount
            guard entry + ShardLayout.indexEntryByteCount <= start else { break }
            let (offset, count) = (Int(clamping: integer(entry)), Int(clamping: integer(entry + 8)))
            guard offset >= 0, count > 0, offset < index, count <= index - offset else { continue }
            if count > 15 {
                let check = shard[(offset + 4)..<(offset + 14)].withUnsafeBytes { Hash.xxh32($0) }
                shard[offset + 14] = UInt8(truncatingIfNeeded: check >> 8)
            }
            let hash = Hash.xxh64(Array(shard[offset..<(offset + count)]))
            withUnsafeBytes(of: hash.littleEndian) { shard.replaceSubrange((entry + 24)..<(entry + 32), with: $0) }
        }
        shard.removeLast(ShardLayout.footerByteCount)
        return shard + footer(shard, indexOffset: index, records: records)
    }
}
