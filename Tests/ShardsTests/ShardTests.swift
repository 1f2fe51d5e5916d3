import Basics
import Foundation
import TestSupport
import Testing

@testable import Shards

@Suite struct ShardTests {
    private func records(_ count: Int, seed: UInt64 = 21) -> [Record] {
        var draws = Draws(seed)
        return (0..<count).map { draws.record("r\($0)") }
    }

    @Test func `a shard appears only when it is finished`() throws {
        let folder = TemporaryFolder("shard")
        do {
            let writer = try ShardWriter(path: folder.file("a"))
            try writer.append(try RecordEncoder(level: 3).encode(pair(1)))
            #expect(!Files.exists(folder.file("a")))
        }
        #expect(try Files.list(folder.path).isEmpty)
        let writer = try ShardWriter(path: folder.file("a"))
        let encoded = try RecordEncoder(level: 3).encode(pair(1))
        try writer.append(encoded)
        let expected = writer.byteCount
        let summary = try writer.finish()
        #expect(try Files.list(folder.path) == ["a"])
        let bytes = try Files.read(folder.file("a"))
        #expect(bytes.count == expected && summary.byteCount == expected && summary.recordCount == 1)
        #expect(summary.hash == bytes.withUnsafeBytes { Hash.xxh128($0) })
        #expect(try ShardReader(path: folder.file("a")).hashOfFile() == summary.hash)
    }

    @Test func `1000 flipped bytes are all detected`() throws {
        let folder = TemporaryFolder("flips")
        let bytes = try writeShard(records(12), to: folder.file("a"))
        #expect(ShardReader.verify(path: folder.file("a")).isEmpty)
        var draws = Draws(22)
        // All of header and footer and the beginning of the index, then anywhere.
        let footer = bytes.count - ShardLayout.footerByteCount
        let index = bytes.littleEndian(Int.self, at: footer + 8)
        var positions = Array(0..<80) + Array(index..<(index + 64)) + Array(footer..<bytes.count)
        while positions.count < 1000 { positions.append(draws.integer(0...(bytes.count - 1))) }
        for position in positions {
            var broken = bytes
            broken[position] ^= UInt8(draws.integer(1...255))
            try vandalize(folder.file("b"), with: broken)
            #expect(!ShardReader.verify(path: folder.file("b")).isEmpty, "byte \(position)")
        }
    }

    @Test func `a flipped byte in a record is detected by reading it, and harms no other record`() throws {
        let folder = TemporaryFolder("flips")
        let all = records(8)
        let bytes = try writeShard(all, to: folder.file("a"))
        let whole = try ShardReader(path: folder.file("a"))
        var draws = Draws(23)
        for number in 0..<8 {
            let entry = whole.entries[number]
            for _ in 0..<20 {
                var broken = bytes
                let offset = entry.byteOffset + draws.integer(0...(entry.storedByteCount - 1))
                broken[offset] ^= UInt8(draws.integer(1...255))
                try vandalize(folder.file("b"), with: broken)
                let shard = try ShardReader(path: folder.file("b"))
                let error = #expect(throws: ShardError.self) { try shard.record(number) }
                #expect(error?.record == number && error?.key == "r\(number)" && error?.exitCode == .badData)
                for other in 0..<8 where other != number { #expect(try shard.record(other) == all[other]) }
            }
        }
    }

    @Test func `errors are one line with path, record, offset, expected and found`() throws {
        let folder = TemporaryFolder("flips")
        var bytes = try writeShard([pair(0), pair(1)], to: folder.file("a"))
        let offset = try ShardReader(path: folder.file("a")).entries[1].byteOffset
        bytes[offset + 40] ^= 1
        try vandalize(folder.file("a"), with: bytes)
        let shard = try ShardReader(path: folder.file("a"))
        let error = try #require(throws: ShardError.self) { try shard.record(1) }
        let text = error.description
        #expect(text.hasPrefix("\(folder.file("a")): record 1 (pair 1) at byte \(offset): stored bytes hash to "))
        #expect(text.hasSuffix("; restore the file or convert the data again"))
        #expect(text.contains("the index says") && !text.contains("\n"))
    }

    @Test func `truncated and lengthened shards are refused`() throws {
        let folder = TemporaryFolder("cut")
        let bytes = try writeShard(records(3), to: folder.file("a"))
        for count in Array(0..<200) + [bytes.count / 2, bytes.count - 73, bytes.count - 72, bytes.count - 1] {
            try vandalize(folder.file("b"), with: Array(bytes.prefix(count)))
            #expect(throws: ShardError.self, "\(count) bytes") { try ShardReader(path: folder.file("b")) }
        }
        for extra in [[0], [UInt8](repeating: 0, count: 100), Array(bytes.suffix(72)), bytes] {
            try vandalize(folder.file("b"), with: bytes + extra)
            #expect(throws: ShardError.self) { try ShardReader(path: folder.file("b")) }
        }
        try vandalize(folder.file("b"), with: Array(bytes.dropFirst(1)))
        #expect(throws: ShardError.self) { try ShardReader(path: folder.file("b")) }
    }

    @Test func `a file that shrinks while it is open is an error, not a signal`() throws {
        let folder = TemporaryFolder("cut")
        let bytes = try writeShard([pair(0), pair(1)], to: folder.file("a"))
        let shard = try ShardReader(path: folder.file("a"))
        let handle = try #require(FileHandleForTests(folder.file("a")))
        handle.truncate(to: 100)
        let error = #expect(throws: ShardError.self) { try shard.record(1) }
        #expect(error?.problem == "the file ends too early" && bytes.count > 100)
    }

    @Test func `missing files and folders in place of files`() throws {
        let folder = TemporaryFolder("missing")
        let error = #expect(throws: FileError.self) { try ShardReader(path: folder.file("none")) }
        #expect(error?.exitCode == .missingInput)
        let other = #expect(throws: ShardError.self) { try ShardReader(path: folder.path) }
        #expect(other?.problem == "is not a regular file")
        // Opening a pipe that nobody writes to must not wait.
        #expect(folder.file("pipe").withCString { mkfifo($0, 0o600) } == 0)
        #expect(throws: ShardError.self) { try ShardReader(path: folder.file("pipe")) }
        #expect(ShardReader.verify(path: folder.file("none")).first?.exitCode == .missingInput)
    }

    @Test func `a later version is named`() throws {
        let folder = TemporaryFolder("version")
        var bytes = try writeShard([pair(0)], to: folder.file("a"))
        let index = bytes.littleEndian(Int.self, at: bytes.count - ShardLayout.footerByteCount + 8)
        bytes[16] = 2
        try vandalize(folder.file("a"), with: resealed(bytes, indexOffset: index))
        let error = #expect(throws: ShardError.self) { try ShardReader(path: folder.file("a")) }
        #expect(error?.problem == "shard version 2, this program reads 1")
        bytes[16] = 1
        bytes[20] = 1
        try vandalize(folder.file("a"), with: resealed(bytes, indexOffset: index))
        let reserved = #expect(throws: ShardError.self) { try ShardReader(path: folder.file("a")) }
        #expect(reserved?.problem.contains("reserved") == true)
    }

    @Test func `hostile indexes with right hashes are refused`() throws {
        let folder = TemporaryFolder("hostile")
        let bytes = try writeShard([pair(0), pair(1)], to: folder.file("a"))
        let footer = bytes.count - ShardLayout.footerByteCount
        let index = bytes.littleEndian(Int.self, at: footer + 8)
        let entry = index + 8
        let changes: [(String, (inout [UInt8]) -> Void)] = [
            ("offset", { $0.put(UInt64.max, at: entry) }),
            ("offset into the next", { $0.put(UInt64(40), at: entry) }),
            ("stored", { $0.put(UInt64.max, at: entry + 8) }),
            ("stored zero", { $0.put(UInt64(0), at: entry + 8) }),
            ("decoded", { $0.put(UInt64(1) << 60, at: entry + 16) }),
            ("header stored", { $0.put(UInt32.max, at: entry + 32) }),
            ("header stored small", { $0.put(UInt32(3), at: entry + 32) }),
            ("key offset", { $0.put(UInt32(1), at: entry + 36) }),
            ("key length", { $0.put(UInt16.max, at: entry + 40) }),
            ("key length zero", { $0.put(UInt16(0), at: entry + 40) }),
            ("reserved", { $0[entry + 47] = 1 }),
            ("record count", { $0.put(UInt64(1) << 63, at: footer + 24) }),
            ("record count one more", { $0.put(UInt64(3), at: footer + 24) }),
            ("record count one less", { $0.put(UInt64(1), at: footer + 24) }),
            ("index offset", { $0.put(UInt64.max - 3, at: footer + 8) }),
            ("index bytes", { $0.put(UInt64.max - 3, at: footer + 16) }),
        ]
        for (name, change) in changes {
            var broken = bytes
            change(&broken)
            try vandalize(folder.file("b"), with: resealed(broken, indexOffset: index))
            #expect(throws: ShardError.self, "\(name)") { try ShardReader(path: folder.file("b")) }
        }
        // Whatever stands there: no trap, and what opens can be verified.
        var draws = Draws(24)
        for _ in 0..<500 {
            var broken = bytes
            broken[draws.integer(index...(bytes.count - 9))] = UInt8(truncatingIfNeeded: draws.bits())
            broken[draws.integer(index...(index + 60))] = UInt8(truncatingIfNeeded: draws.bits())
            try vandalize(folder.file("b"), with: resealed(broken, indexOffset: index))
            _ = ShardReader.verify(path: folder.file("b"))
        }
    }

    @Test func `hostile records with right hashes are refused`() throws {
        let folder = TemporaryFolder("hostile")
        let encoded = try RecordEncoder(level: 3).encode(pair(0))
        // Another header in front of the same fields.
        func shard(_ header: [UInt8]) throws -> ShardReader {
            let frame = header.withUnsafeBytes { LZ4Frame.encode($0, level: 3) }
            let bytes = frame + encoded.bytes[encoded.headerStoredByteCount...]
            let writer = try ShardWriter(path: folder.file("h"))
            try writer.append(
                EncodedRecord(
                    key: encoded.key, fields: encoded.fields, bytes: bytes, headerStoredByteCount: frame.count,
                    decodedByteCount: encoded.decodedByteCount, hash: Hash.xxh64(bytes)))
            _ = try writer.finish()
            return try ShardReader(path: folder.file("h"))
        }
        let frame = Array(encoded.bytes[..<encoded.headerStoredByteCount])
        var header = [UInt8](repeating: 0, count: frame.littleEndian(Int.self, at: 6))
        try frame.withUnsafeBytes { frame in
            try header.withUnsafeMutableBytes { try LZ4Frame.decode(frame, into: $0) }
        }
        #expect(try shard(header).record(0) == pair(0))
        var huge = header
        huge.put(UInt32(1 << 20), at: 16)
        huge.put(UInt32(1 << 8), at: 20)
        #expect(throws: ShardError.self) { try shard(huge).record(0) }
        var otherKey = header
        otherKey[16 + 80] ^= 1
        #expect(throws: ShardError.self) { try shard(otherKey).record(0) }
        var otherHash = header
        otherHash[16 + 32] ^= 1
        let error = #expect(throws: ShardError.self) { try shard(otherHash).record(0) }
        #expect(error?.problem.contains("field 'left' decodes to hash") == true)
        #expect(throws: ShardError.self) { try shard([UInt8](repeating: 0, count: 1 << 20)).record(0) }
    }
}
