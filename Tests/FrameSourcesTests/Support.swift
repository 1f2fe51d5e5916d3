import Basics
import FrameSources
import TestSupport
import Testing

/// Deterministic samples that no filter predicts.
func noise(_ height: Int, _ width: Int, _ channels: Int, _ element: ElementType, seed: UInt64 = 1) -> PixelArray {
    let random = CounterRandom(seed, "noise")
    if element == .float32 {
        let floats = (0..<(height * width * channels)).map { Float(random.uniform(UInt64($0), in: -8..<8)) }
        return PixelArray(height: height, width: width, channels: channels, floats: floats)
    }
    let count = PixelArray.byteCount(height: height, width: width, channels: channels, element: element)
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: random.bits(UInt64($0))) }
    return PixelArray(height: height, width: width, channels: channels, element: element, bytes: bytes)
}

func gray(_ rows: [[UInt8]]) -> PixelArray {
    PixelArray(height: rows.count, width: rows[0].count, channels: 1, element: .uint8, bytes: rows.flatMap { $0 })
}

func map(_ rows: [[Float]]) -> PixelArray {
    PixelArray(height: rows.count, width: rows[0].count, channels: 1, floats: rows.flatMap { $0 })
}

/// `[h, w, 3]` from rows of red, green, blue.
func rgb(_ rows: [[(UInt8, UInt8, UInt8)]]) -> PixelArray {
    PixelArray(
        height: rows.count, width: rows[0].count, channels: 3, element: .uint8,
        bytes: rows.flatMap { $0.flatMap { [$0.0, $0.1, $0.2] } })
}

/// One row of 16-bit samples.
func words(_ samples: [UInt16]) -> PixelArray {
    PixelArray(
        height: 1, width: samples.count, channels: 1, element: .uint16, bytes: samples.withUnsafeBytes { Array($0) })
}

/// A miniature of a data set, in its official layout.
struct Tree {
    let folder: TemporaryFolder
    var root: String { folder.path }

    init(_ purpose: String) { folder = TemporaryFolder(purpose) }

    func path(_ name: String) -> String { folder.file(name) }

    func put(_ array: PixelArray, _ names: String...) throws {
        for name in names {
            try makeFolder(of: name)
            try ImageFile.write(array, to: path(name))
        }
    }

    func put(_ text: String, _ name: String) throws {
        try makeFolder(of: name)
        try AtomicFileWriter.write(text, to: path(name))
    }

    private func makeFolder(of name: String) throws {
        try Files.createFolder(path(name.split(separator: "/").dropLast().joined(separator: "/")))
    }
}

/// The values of a float field.
func values(_ record: Record, _ field: String) -> [Float] {
    record[field].map { $0.withFloats { Array($0) } } ?? []
}

/// Equal, NaN where NaN is wanted.
func same(_ found: [Float], _ wanted: [Float]) -> Bool {
    found.count == wanted.count && zip(found, wanted).allSatisfy { $0 == $1 || $0.isNaN && $1.isNaN }
}

/// Equal also where both are NaN.
func sameBits(_ one: PixelArray, _ other: PixelArray) -> Bool {
    one.height == other.height && one.width == other.width && one.channels == other.channels
        && one.element == other.element && one.bytes == other.bytes
}

/// Runs `body`, which must throw an error with an exit code and one line, and returns both.
func failure(_ body: () throws -> Void, sourceLocation: SourceLocation = #_sourceLocation) -> (ExitCode, String)? {
    do {
        try body()
        Issue.record("nothing was thrown", sourceLocation: sourceLocation)
    } catch let error as any ExitCoding {
        #expect(!error.description.contains("\n"), sourceLocation: sourceLocation)
        return (error.exitCode, error.description)
    } catch {
        Issue.record("an error without exit code: \(error)", sourceLocation: sourceLocation)
    }
    return nil
}

/// Writes PNG files chunk by chunk, with whatever a test wants to be odd about them.
struct PNGMaker {
    var width: Int
    var height: Int
    var bits: UInt8
    var colourType: UInt8
    var isInterlaced = false
    /// Chunks between IHDR and IDAT.
    var extra: [(String, [UInt8])] = []
    /// Scan lines with their filter bytes.
    var lines: [UInt8] = []

    func file() -> [UInt8] {
        var header = bigEndian(UInt32(width)) + bigEndian(UInt32(height))
        header += [bits, colourType, 0, 0, isInterlaced ? 1 : 0]
        var file = PNG.signature + Self.chunk("IHDR", header)
        for (name, body) in extra { file += Self.chunk(name, body) }
        return file + Self.chunk("IDAT", Self.zlib(lines)) + Self.chunk("IEND", [])
    }

    static func chunk(_ name: String, _ body: [UInt8]) -> [UInt8] {
        let covered = Array(name.utf8) + body
        return bigEndian(UInt32(body.count)) + covered + bigEndian(crc32(covered))
    }

    /// One stored block.
    static func zlib(_ bytes: [UInt8]) -> [UInt8] {
        var (a, b): (UInt32, UInt32) = (1, 0)
        for byte in bytes {
            a = (a + UInt32(byte)) % 65521
            b = (b + a) % 65521
        }
        let count = UInt16(bytes.count)
        return [0x78, 0x01, 0x01] + [UInt8(count & 0xFF), UInt8(count >> 8), UInt8(~count & 0xFF), UInt8(~count >> 8)]
            + bytes + bigEndian(b << 16 | a)
    }

    private static func crc32(_ bytes: [UInt8]) -> UInt32 {
        var crc: UInt32 = 0xFFFF_FFFF
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        return ~crc
    }
}

func bigEndian(_ value: UInt32) -> [UInt8] {
    [UInt8(value >> 24), UInt8(value >> 16 & 0xFF), UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)]
}
