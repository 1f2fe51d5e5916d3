import Basics
import Foundation
import TestSupport
import Testing

@testable import Shards

@Suite struct DataSetTests {
    private func write(
        _ path: String, train: Int = 20, val: Int = 5, target: Int = 2000,
        provenance: [String: String] = ["layout": "synth"]
    ) throws -> Manifest {
        let writer = try DataSetWriter(path: path, targetShardByteCount: target, provenance: provenance)
        let encoder = RecordEncoder(level: 3)
        for number in 0..<(train + val) {
            try writer.append(
                try encoder.encode(pair(number)), split: number % 5 == 4 && number / 5 < val ? .val : .train)
        }
        return try writer.finish()
    }

    private func numbers(_ split: Split) -> [Int] { (0..<25).filter { ($0 % 5 == 4) == (split == .val) } }

    @Test func `a data set comes back split by split, over several shards`() throws {
        let folder = TemporaryFolder("set")
        let manifest = try write(folder.path)
        let data = try DataSet(path: folder.path)
        #expect(data.manifest == manifest)
        #expect(data.count(.train) == 20 && data.count(.val) == 5 && data.count(.test) == 0)
        #expect(manifest.splits[.train]?.count ?? 0 > 2)
        for split in [Split.train, .val] {
            for (index, number) in numbers(split).enumerated() {
                #expect(try data.record(split, index) == pair(number))
                #expect(try data.key(split, index) == "pair \(number)")
            }
        }
        #expect(data.verify().isEmpty)
        for shard in manifest.shards { #expect(shard.byteCount <= 2000) }
        let left = try #require(manifest.fields.first { $0.name == "left" })
        #expect(left.recordCount == 25 && left.heights == 8...8 && left.widths == 12...12 && left.channels == [3])
        #expect(left.byteCount == 25 * 8 * 12 * 3 && left.elements == [.uint8])
    }

    @Test func `a record larger than a shard gets one of its own`() throws {
        let folder = TemporaryFolder("set")
        let manifest = try write(folder.path, train: 3, val: 0, target: 1)
        #expect(manifest.shards.map(\.recordCount) == [1, 1, 1])
        #expect(manifest.shards.map(\.name) == (0..<3).map { "train-0000\($0).shard.lz4" })
    }

    @Test func `the same records give the same bytes, whoever encodes them`() throws {
        let (a, b) = (TemporaryFolder("set"), TemporaryFolder("set"))
        _ = try write(a.path)
        // Encoded out of order, appended in order.
        let encoder = RecordEncoder(level: 3)
        var encoded: [Int: EncodedRecord] = [:]
        for number in (0..<25).reversed() { encoded[number] = try encoder.encode(pair(number)) }
        let writer = try DataSetWriter(path: b.path, targetShardByteCount: 2000, provenance: ["layout": "synth"])
        for number in 0..<25 {
            try writer.append(try #require(encoded[number]), split: number % 5 == 4 ? .val : .train)
        }
        try writer.finish()
        let names = try Files.list(a.path)
        #expect(try Files.list(b.path) == names && names.contains("manifest.json"))
        for name in names { #expect(try Files.read(a.file(name)) == Files.read(b.file(name))) }
    }

    @Test func `nothing stays behind an unfinished writer`() throws {
        let folder = TemporaryFolder("set")
        do {
            let writer = try DataSetWriter(path: folder.path, targetShardByteCount: 1500)
            for number in 0..<6 { try writer.append(try RecordEncoder(level: 0).encode(pair(number)), split: .train) }
            #expect(try Files.list(folder.path).contains { $0.hasSuffix(".shard.lz4") })
            #expect(throws: ShardError.self) {
                try writer.append(try RecordEncoder(level: 0).encode(pair(2)), split: .val)
            }
        }
        #expect(try Files.list(folder.path).isEmpty)
        let error = #expect(throws: ShardError.self) { try DataSet(path: folder.path) }
        #expect(error?.exitCode == .missingInput)
        #expect(throws: ShardError.self) { try DataSetWriter(path: folder.path).finish() }
    }

    @Test func `what a killed conversion left is cleared away, other files stay`() throws {
        let folder = TemporaryFolder("set")
        let old = ["train-00007.shard.lz4", "val-00000.shard.lz4", "train-00000.shard.lz4.3k5.partial"]
        let others = ["notes.txt", "train-1.shard.lz4", "train-00000.shard.lz4x", "trainer-00000.shard.lz4"]
        for name in old + others { try vandalize(folder.file(name), with: [1]) }
        let manifest = try write(folder.path)
        #expect(try Set(Files.list(folder.path)) == Set(others + ["manifest.json"] + manifest.shards.map(\.name)))
    }

    @Test func `a folder that holds a data set is not written over`() throws {
        let folder = TemporaryFolder("set")
        _ = try write(folder.path)
        let error = #expect(throws: ShardError.self) { try DataSetWriter(path: folder.path) }
        #expect(error?.exitCode == .usage)
        #expect(DataSet.verify(path: folder.path).isEmpty)
    }

    @Test func `every flipped byte of the manifest is detected`() throws {
        let folder = TemporaryFolder("set")
        _ = try write(folder.path, train: 5, val: 1, provenance: ["a": "quote \" slash \\ line \n end", "ü": "é"])
        let path = folder.file("manifest.json")
        let bytes = try Files.read(path)
        #expect(try DataSet(path: folder.path).manifest.provenance["a"] == "quote \" slash \\ line \n end")
        var draws = Draws(31)
        for position in bytes.indices {
            var broken = bytes
            broken[position] ^= UInt8(draws.integer(1...255))
            #expect(throws: ShardError.self, "byte \(position)") {
                try Manifest(decoding: broken, path: path)
            }
        }
        for count in bytes.indices {
            #expect(throws: ShardError.self) { try Manifest(decoding: Array(bytes[..<count]), path: path) }
        }
        #expect(throws: ShardError.self) { try Manifest(decoding: bytes + [10], path: path) }
    }

    @Test func `flipped bytes of shards are found by verify, and other records stay readable`() throws {
        let folder = TemporaryFolder("set")
        let manifest = try write(folder.path)
        let names = try #require(manifest.splits[.train])
        let path = folder.file(names[1])
        let bytes = try Files.read(path)
        let first = manifest.shards[0].recordCount
        var draws = Draws(32)
        for _ in 0..<60 {
            var broken = bytes
            broken[draws.integer(0...(bytes.count - 1))] ^= UInt8(draws.integer(1...255))
            try vandalize(path, with: broken)
            let data = try DataSet(path: folder.path)
            let problems = data.verify()
            #expect(!problems.isEmpty && problems.allSatisfy { $0.path == path })
            #expect(try data.record(.train, 0) == pair(0))
            #expect(try data.record(.train, 19) == pair(23))
            #expect(first <= 19)
        }
    }

    @Test func `another shard in a shard's place is refused`() throws {
        let (a, b) = (TemporaryFolder("set"), TemporaryFolder("set"))
        let manifest = try write(a.path)
        _ = try write(b.path, train: 19, val: 5)
        let names = try #require(manifest.splits[.train])
        try vandalize(a.file(names[0]), with: try Files.read(a.file(names[1])))
        let error = #expect(throws: ShardError.self) { try DataSet(path: a.path).record(.train, 0) }
        #expect(error?.problem.contains("the manifest says") == true)
    }

    /// A manifest of one shard with `name` in its lists, root hash right.
    private func manifest(
        name: String = "train-00000.shard.lz4", records: Int = 1, splitRecords: Int = 1, bytes: String = "1000",
        split: String = "train", version: Int = 1, extra: String = ""
    ) -> [UInt8] {
        let hash = String(repeating: "0", count: 32)
        let body = """
            {
              "format": "vergence data set", "version": \(version), "provenance": {}, "fields": [],\(extra)
              "splits": {"\(split)": {"records": \(splitRecords), "shards": ["\(name)"]}},
              "shards": [{"name": "\(name)", "bytes": \(bytes), "records": \(records), "xxh3_128": "\(hash)", \
            "index_xxh3_64": "\(hash.prefix(16))"}],

            """
        let root = Array(body.utf8).withUnsafeBytes { Hash.xxh128($0) }
        return Array("\(body)  \"root_xxh3_128\": \"\(root)\"\n}\n".utf8)
    }

    @Test func `hostile manifests with right hashes are refused`() throws {
        func refusal(_ bytes: [UInt8]) -> String? {
            do {
                _ = try Manifest(decoding: bytes, path: "m")
                return nil
            } catch {
                #expect((error as? ShardError)?.exitCode == .badData)
                return "\(error)"
            }
        }
        #expect(refusal(manifest()) == nil)
        for name in [
            "../x", "..", ".", "/etc/passwd", "a/b", "", ".hidden", "-rf", "a b", "a\\\\b", "a\\u0000b", "ä",
            String(repeating: "a", count: 201), "a\\nb",
        ] { #expect(refusal(manifest(name: name))?.contains("is not a plain file name") == true, "\(name)") }
        #expect(refusal(manifest(records: 0, splitRecords: 0)) != nil)
        #expect(refusal(manifest(records: -1, splitRecords: -1)) != nil)
        #expect(refusal(manifest(records: Int.max, splitRecords: Int.max)) != nil)
        #expect(refusal(manifest(splitRecords: 2))?.contains("says 2 records") == true)
        #expect(refusal(manifest(bytes: "9223372036854775807")) != nil)
        #expect(refusal(manifest(bytes: "1e300")) != nil)
        #expect(refusal(manifest(bytes: "-5")) != nil)
        #expect(refusal(manifest(bytes: "\"x\""))?.contains("wrong type") == true)
        #expect(refusal(manifest(split: "dev"))?.contains("unknown split 'dev'") == true)
        #expect(refusal(manifest(version: 2))?.contains("version 2") == true)
        let deep = String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)
        #expect(refusal(manifest(extra: "\"x\": \(deep),"))?.contains("not JSON") == true)
        for bytes in [[], [0], Array("{}".utf8), [UInt8](repeating: 0x7B, count: 5000)] {
            #expect(refusal(bytes) != nil)
        }
    }

    @Test func `a missing shard is named`() throws {
        let folder = TemporaryFolder("set")
        let manifest = try write(folder.path)
        let path = folder.file(manifest.shards[0].name)
        _ = path.withCString { remove($0) }
        let data = try DataSet(path: folder.path)
        let error = #expect(throws: FileError.self) { try data.record(.train, 0) }
        #expect(error?.path == path && error?.exitCode == .missingInput)
        #expect(data.verify().map(\.path) == [path])
        let nowhere = #expect(throws: ShardError.self) { try DataSet(path: folder.file("nowhere")) }
        #expect(nowhere?.problem == "no such folder" && nowhere?.exitCode == .missingInput)
    }
}
