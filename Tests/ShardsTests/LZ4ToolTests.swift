import Basics
import Foundation
import TestSupport
import Testing

@testable import Shards

/// The `lz4` command, if the machine has it: the judge of whether shards are LZ4 frame files.
enum LZ4Tool {
    static let path: String? = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        .map { "\($0)/lz4" }.first { FileManager.default.isExecutableFile(atPath: $0) }

    static func run(_ arguments: [String]) throws -> Int32 {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: try #require(path))
        process.arguments = arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus
    }
}

@Suite(.enabled(if: LZ4Tool.path != nil, "needs the lz4 command"))
struct LZ4ToolTests {
    @Test func `lz4 accepts a shard and yields its records`() throws {
        let folder = TemporaryFolder("lz4")
        var draws = Draws(41)
        var records = (0..<10).map { draws.record("r\($0)") }
        // More than one block.
        records.append(
            Record(
                key: "large",
                fields: [.init("left", draws.array(height: 1200, width: 1300, channels: 3, element: .uint8, style: 2))])
        )
        let path = folder.file("a.lz4")
        try writeShard(records, to: path)
        #expect(try LZ4Tool.run(["-t", path]) == 0)
        let out = folder.file("out")
        #expect(try LZ4Tool.run(["-d", "-f", path, out]) == 0)
        let decoded = try Files.read(out)
        let shard = try ShardReader(path: path)
        #expect(decoded.count == shard.entries.reduce(0) { $0 + $1.decodedByteCount })
        // Every record begins where the sizes say, with its mark and key; unfiltered fields hold their bytes.
        var offset = 0
        for (number, entry) in shard.entries.enumerated() {
            #expect(Array(decoded[offset..<(offset + 4)]) == ShardLayout.recordMark)
            let headerByteCount = Int(decoded.littleEndian(UInt32.self, at: offset + 4))
            let decoder = RecordDecoder()
            try decoder.load(shard, number)
            var at = offset + headerByteCount
            for field in decoder.fields {
                if field.filter == .none {
                    #expect(Array(decoded[at..<(at + field.byteCount)]) == records[number][field.name]?.bytes)
                }
                at += field.payloadByteCount
            }
            #expect(at == offset + entry.decodedByteCount)
            offset += entry.decodedByteCount
        }
    }

    @Test func `lz4 notices damage in records`() throws {
        let folder = TemporaryFolder("lz4")
        var bytes = try writeShard([pair(0), pair(1)], to: folder.file("a.lz4"))
        let entry = try ShardReader(path: folder.file("a.lz4")).entries[1]
        bytes[entry.byteOffset + entry.storedByteCount - 30] ^= 4
        try vandalize(folder.file("b.lz4"), with: bytes)
        #expect(try LZ4Tool.run(["-t", folder.file("b.lz4")]) != 0)
    }
}
