import Basics
import Checkpoints
import Foundation
import TestSupport
import Testing

/// Files that somebody damaged or made to do harm: an error in words, never a trap.
@Suite struct HostileSafeTensorsTests {
    let folder = TemporaryFolder("hostile")

    static func file(_ header: String, _ data: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendLittleEndian(UInt64(header.utf8.count))
        return bytes + header.utf8 + data
    }

    func open(_ bytes: [UInt8]) throws -> SafeTensorsFile {
        // Thousands of files: written without syncing each.
        let path = folder.file("\(UUID().uuidString)")
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try SafeTensorsFile(path: path)
    }

    /// Header, bytes of data, and what the error must say.
    static let cases: [(header: String, dataByteCount: Int, says: String)] = [
        ("", 8, "expected { at byte 8"),
        ("[]", 8, "expected { at byte 8"),
        (" {}", 0, "expected { at byte 8"),
        ("{}x", 0, "only spaces"),
        ("{} \n", 0, "only spaces"),
        ("{}", 4, "4 bytes follow the last tensor"),
        (#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 4, "ends early"),
        (#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#, 8, "expected , or }"),
        (#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 12, "starts at data byte 4, not at 0"),
        (#"{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8, "occupies 8 bytes, its shape needs 12"),
        (#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8, "two data_offsets in order"),
        (#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}"#, 8, "at most 2 numbers"),
        (#"{"w":{"dtype":"F32","shape":[2]}}"#, 8, "two data_offsets"),
        (#"{"w":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}"#, 8, "shape stands twice"),
        (#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}"#, 8, "expected dtype, shape or data_offsets"),
        (#"{"w":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, 8, "a whole number"),
        (#"{"w":{"dtype":"F32","shape":[02],"data_offsets":[0,8]}}"#, 8, "a whole number"),
        (#"{"w":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}"#, 8, "expected , or ]"),
        (#"{"w":{"dtype":"Q4","shape":[2],"data_offsets":[0,8]}}"#, 8, "unknown element type Q4"),
        (#"{"w":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]}}"#, 8, "a number below 2^63"),
        (#"{"w":{"dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,8]}}"#, 8, "a shape below 2^63 bytes"),
        (
            #"{"w":{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}}"#, 8,
            "ends early"
        ),
        (
            #"{"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"w":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#,
            8, "w stands twice"
        ),
        (
            #"{"v":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},"w":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#,
            8, "starts at data byte 4, not at 6"
        ),
        (#"{"__metadata__":{"a":1}}"#, 0, "a text"),
        (#"{"__metadata__":{"a":"1","a":"2"}}"#, 0, "a stands twice"),
        (#"{"__metadata__":{"a":{"b":"c"}}}"#, 0, "a text"),
        (#"{"__metadata__":{"a":"\x"}}"#, 0, "an escape of JSON"),
        (#"{"__metadata__":{"a":"\ud800"}}"#, 0, "surrogate"),
        (#"{"__metadata__":{"a":"\udc00"}}"#, 0, "a character"),
        (#"{"__metadata__":{"a":"\u12g4"}}"#, 0, "four hexadecimal digits"),
        ("{\"__metadata__\":{\"a\":\"\u{1}\"}}", 0, "no control character"),
        (#"{"__metadata__":{"a":"b"#, 0, "the end of a text"),
        (String(repeating: #"{"a":"#, count: 100_000), 0, "expected dtype, shape or data_offsets"),
    ]

    @Test(arguments: cases.indices) func isRefused(_ index: Int) throws {
        let example = Self.cases[index]
        let bytes = Self.file(example.header, [UInt8](repeating: 0, count: example.dataByteCount))
        let error = #expect(throws: SafeTensorsError.self) { try open(bytes) }
        let text = error?.description ?? "no error"
        #expect(text.contains(example.says), "\(example.header.prefix(100)): \(text)")
        #expect(!text.contains("\n") && error?.exitCode == .badData)
    }

    @Test func lengthsThatCannotBe() throws {
        for length: UInt64 in [100_000_001, .max, 1 << 63] {
            var bytes: [UInt8] = []
            bytes.appendLittleEndian(length)
            let error = #expect(throws: SafeTensorsError.self) { try open(bytes + Array("{}".utf8)) }
            #expect(error?.description.contains("a header of \(length) bytes") == true)
        }
        var bytes: [UInt8] = []
        bytes.appendLittleEndian(UInt64(100_000_000))
        #expect(throws: SafeTensorsError.self) { try open(bytes + Array("{}".utf8)) }
        #expect(throws: SafeTensorsError.self) { try open([]) }
        #expect(throws: SafeTensorsError.self) { try open([UInt8](repeating: 0, count: 9)) }
    }

    @Test func brokenUTF8IsRefused() throws {
        var bytes = Self.file(#"{"__metadata__":{"a":"bb"}}"#, [])
        bytes[30] = 0xFF
        #expect(throws: SafeTensorsError.self) { try open(bytes) }
    }

    @Test func anyFlippedBitIsDetected() throws {
        let path = folder.file("whole.safetensors")
        try SafeTensorsWriter.write(
            path: path, tensors: [("w", [2, 3], [1, 2, 3, 4, 5, 6]), ("b", [2], [7, 8])],
            metadata: ["model": "wnet", "step": "12"])
        let whole = try Files.read(path)
        #expect(throws: Never.self) { try open(whole).verify() }
        for index in whole.indices {
            for bit in 0..<8 {
                var bytes = whole
                bytes[index] ^= 1 << UInt8(bit)
                // Either the file is refused, or it was our checksums' own key that changed, and nothing claims them.
                do {
                    let file = try open(bytes)
                    try file.verify()
                    #expect(!file.hasChecksums, "byte \(index), bit \(bit) went unnoticed")
                    #expect(file.metadata.count == 3, "byte \(index), bit \(bit) went unnoticed")
                } catch is SafeTensorsError {}
            }
        }
    }

    /// Pieces of grammar thrown into a good file at random places: an error or a file, never a trap.
    @Test func randomDamageNeverTraps() throws {
        let words = ["\"", "{", "}", "[", "]", ":", ",", "\\u", "9223372036854775807", "-1", "0", "F16", "\\ud83d"]
        let random = CounterRandom(1, "damage")
        for round in 0..<2000 {
            var bytes = SafeTensorsTests.reference
            for change in 0..<3 {
                let draw = UInt64(round * 12 + change * 4)
                let place = 8 + random.integer(draw, below: 136)
                let word = words[random.integer(draw + 1, below: words.count)].utf8
                if random.integer(draw + 2, below: 2) == 0 {
                    bytes.insert(contentsOf: word, at: place)
                } else {
                    bytes.replaceSubrange(place..<(place + word.count), with: word)
                }
            }
            // The header still reaches up to its last brace.
            let end = (bytes.lastIndex(of: UInt8(ascii: "}")) ?? 8) + 1
            bytes[0] = UInt8(truncatingIfNeeded: end - 8)
            bytes[1] = UInt8(truncatingIfNeeded: (end - 8) >> 8)
            do {
                let file = try open(bytes)
                for name in file.names { _ = try? file.floats(of: name) }
            } catch is SafeTensorsError {}
        }
    }

    @Test func noCutIsAccepted() throws {
        let path = folder.file("whole.safetensors")
        try SafeTensorsWriter.write(path: path, tensors: [("w", [3], [1, 2, 3])])
        let whole = try Files.read(path)
        for count in 0..<whole.count {
            #expect(throws: SafeTensorsError.self) { try open(Array(whole[..<count])) }
        }
        #expect(throws: SafeTensorsError.self) { try open(whole + [0]) }
    }
}
