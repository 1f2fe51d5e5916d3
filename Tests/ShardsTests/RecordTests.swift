import Basics
import TestSupport
import Testing

@testable import Shards

@Suite struct RecordTests {
    @Test func `records of all types, sizes and values come back`() throws {
        var draws = Draws(11)
        let folder = TemporaryFolder("records")
        let records = (0..<150).map { draws.record("record \($0) ü") }
        try writeShard(records, to: folder.file("a"))
        let shard = try ShardReader(path: folder.file("a"))
        #expect(shard.recordCount == records.count)
        #expect(shard.verify().isEmpty)
        // Random access, not in order.
        for number in (0..<records.count).reversed() {
            #expect(try shard.record(number) == records[number])
            #expect(shard.key(number) == records[number].key)
        }
    }

    @Test func `fields can be read alone`() throws {
        var draws = Draws(12)
        let folder = TemporaryFolder("records")
        let record = Record(
            key: "k", fields: [.init("left", draws.array()), .init("depth", draws.array()), .init("x", draws.array())])
        try writeShard([record], to: folder.file("a"))
        let shard = try ShardReader(path: folder.file("a"))
        let decoder = RecordDecoder()
        try decoder.load(shard, 0)
        let index = try #require(decoder.index(ofField: "depth"))
        #expect(decoder.index(ofField: "y") == nil)
        #expect(Array(try decoder.fieldBytes(index)) == record["depth"]?.bytes)
        #expect(decoder.fields.map(\.name) == ["left", "depth", "x"])
        #expect(decoder.fields[1].height == record["depth"]?.height)
    }

    @Test func `unfit records are refused`() {
        let pixel = PixelArray(zerosOf: 1, 1, 1, .uint8)
        let encoder = RecordEncoder(level: 3)
        func refusal(_ record: Record) -> String? {
            do {
                _ = try encoder.encode(record)
                return nil
            } catch {
                #expect((error as? ShardError)?.exitCode == .badData)
                return "\(error)"
            }
        }
        #expect(refusal(Record(key: "a", fields: [.init("left", pixel)])) == nil)
        #expect(refusal(Record(key: "", fields: [.init("left", pixel)])) != nil)
        #expect(refusal(Record(key: "a\nb", fields: [.init("left", pixel)])) != nil)
        #expect(refusal(Record(key: String(repeating: "k", count: 1025), fields: [.init("left", pixel)])) != nil)
        #expect(refusal(Record(key: "a", fields: [])) != nil)
        #expect(refusal(Record(key: "a", fields: [.init("", pixel)])) != nil)
        let twice = refusal(Record(key: "a", fields: [.init("left", pixel), .init("left", pixel)]))
        #expect(twice == "a: field 'left' occurs twice; mend this record's source")
        let empty = PixelArray(zerosOf: 0, 4, 3, .uint8)
        #expect(refusal(Record(key: "a", fields: [.init("left", empty)]))?.contains("0x4x3") == true)
        let deep = PixelArray(zerosOf: 1, 1, 65, .uint8)
        #expect(refusal(Record(key: "a", fields: [.init("left", deep)]))?.contains("1x1x65") == true)
    }

    private func parse(_ bytes: [UInt8], _ stored: Int) -> RecordHeader.Problem? {
        bytes.withUnsafeBytes { bytes -> RecordHeader.Problem? in
            do throws(RecordHeader.Problem) {
                _ = try RecordHeader(decoding: bytes, fieldsStoredByteCount: stored)
                return nil
            } catch {
                return error
            }
        }
    }

    private let field = RecordHeader.Field(
        name: "left", shape: FieldShape(height: 4, width: 4, channels: 1, element: .uint8), filter: .none,
        storedByteCount: 50, payloadByteCount: 16, hash: 1)

    @Test func `hostile record headers are refused before anything is allocated`() {
        let good = RecordHeader(key: "k", fields: [field]).encoded()
        #expect(parse(good, 50) == nil)
        func broken(_ change: (inout [UInt8]) -> Void) -> String? {
            var bytes = good
            change(&bytes)
            return parse(bytes, 50)?.text
        }
        // A field's header begins at 16: height, width, channels, element, filter, name length, 0, stored, payload.
        #expect(broken { $0.put(UInt32.max, at: 16) }?.contains("beyond the limits") == true)
        #expect(broken { $0.put(UInt32(0), at: 20) }?.contains("beyond the limits") == true)
        #expect(
            broken {
                // A million times a thousand pixels: within the limits of sides, not justified by 50 stored bytes.
                $0.put(UInt32(1 << 20), at: 16)
                $0.put(UInt32(1000), at: 20)
                $0.put(UInt64(1000 << 20), at: 40)
            }?.contains("more than LZ4 can hold") == true)
        #expect(broken { $0.put(UInt64(17), at: 40) }?.contains("payload bytes") == true)
        #expect(broken { $0[26] = 9 }?.contains("element type 9") == true)
        #expect(broken { $0[27] = 3 }?.contains("filter 3 for uint8") == true)
        #expect(broken { $0[30] = 1 }?.contains("reserved") == true)
        #expect(broken { $0[12] = 1 }?.contains("reserved") == true)
        #expect(broken { $0.put(UInt64.max, at: 32) }?.contains("claims") == true)
        #expect(broken { $0.put(UInt64(49), at: 32) }?.contains("belong to no field") == true)
        #expect(broken { $0.put(UInt16(65), at: 8) } != nil)
        #expect(broken { $0.put(UInt16(0), at: 8) } != nil)
        #expect(broken { $0.put(UInt16(60000), at: 10) } != nil)
        #expect(broken { $0[56] = 0xFF }?.contains("key") == true)
        #expect(broken { $0[good.count - 1] = 1 }?.contains("padding") == true)
    }

    @Test func `random changes of a record header never trap`() {
        var draws = Draws(13)
        let good = RecordHeader(key: "key", fields: [field, field, field]).encoded()
        for _ in 0..<20_000 {
            var bytes = good
            for _ in 0..<draws.integer(1...4) {
                bytes[draws.integer(0...(bytes.count - 1))] = UInt8(truncatingIfNeeded: draws.bits())
            }
            _ = parse(Array(bytes.prefix(draws.integer(1...bytes.count))), 150)
        }
    }
}
