import Basics
import Foundation
import TestSupport
import Testing

@testable import Telemetry

private func bytes(hexadecimal text: String) -> [UInt8] {
    stride(from: 0, to: text.count, by: 2).map { offset in
        let start = text.index(text.startIndex, offsetBy: offset)
        return UInt8(text[start..<text.index(start, offsetBy: 2)], radix: 16)!
    }
}

@Suite struct TelemetryEventFileTests {
    let folder = TemporaryFolder("events")

    /// RFC 3720, appendix B.4, and the check value of the Rocksoft catalogue.
    @Test func checksums() {
        #expect(CRC32C.checksum(Array("123456789".utf8)) == 0xE306_9283)
        #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(CRC32C.masked(Array("123456789".utf8)) == 0xC78A_B0E5)
        #expect(CRC32C.masked([UInt8]()) == 0xA282_EAD8)
    }

    /// The bytes that TensorFlow's own writer makes of these two events.
    @Test func bytesOfScalars() throws {
        var time = 0.0
        let file = try EventFile(folder: folder.path, host: "node/1 ü") {
            time += 1
            return time
        }
        // The name took one tick.
        #expect(file.path == folder.file("events.out.tfevents.0000000001.node_1__.\(getpid()).0"))
        time = 1
        try file.add(scalars: [("train/loss", 0.5)], step: 7)
        let first = bytes(
            hexadecimal: "1800000000000000a37f4b22090000000000000040" + "1a0d627261696e2e4576656e743a32")
        let second = bytes(
            hexadecimal:
                "200000000000000029eda95009000000000000004010072a130a110a0a747261696e2f6c6f7373150000003f9e1bfae5")
        let content = try Files.read(file.path)
        #expect(Array(content.prefix(first.count)) == first)
        #expect(Array(content.suffix(second.count)) == second)
        #expect(content.count == first.count + 4 + second.count)
    }

    @Test func firstEvent() {
        var event = ProtobufWriter()
        event.put(1, 1.0)
        event.put(3, "brain.Event:2")
        #expect(
            EventFile.record(event.bytes)
                == bytes(
                    hexadecimal:
                        "1800000000000000a37f4b2209000000000000f03f1a0d627261696e2e4576656e743a3286bf577a"))
    }

    @Test func namesNeverCollide() throws {
        let files = try (0..<3).map { _ in try EventFile(folder: folder.path, host: "h", clock: { 5 }) }
        #expect(files.map { $0.path.last } == ["0", "1", "2"])
    }

    @Test func varints() {
        var writer = ProtobufWriter()
        writer.put(1, 150)
        writer.put(16, -1)
        writer.put(2) { $0.put(1, "testing") }
        #expect(
            writer.bytes == [0x08, 0x96, 0x01, 0x80, 0x01] + [UInt8](repeating: 0xFF, count: 9)
                + [0x01, 0x12, 0x09, 0x0A, 0x07] + Array("testing".utf8))
    }

    @Test func folderThatIsNotThere() {
        #expect(throws: FileError.self) { try EventFile(folder: folder.file("missing"), host: "h") }
    }
}
