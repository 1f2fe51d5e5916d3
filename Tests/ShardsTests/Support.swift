import Basics
import Foundation
import TestSupport

@testable import Shards

/// Random inputs that are the same in every run.
struct Draws {
    private let random: CounterRandom
    private var index: UInt64 = 0

    init(_ seed: UInt64) { random = CounterRandom(seed, "shard tests") }

    mutating func bits() -> UInt64 {
        index += 1
        return random.bits(index)
    }

    mutating func integer(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(bits() % UInt64(range.count))
    }

    /// A picture-like array, noise, or one value throughout.
    mutating func array(
        height: Int, width: Int, channels: Int, element: ElementType, style: Int
    ) -> PixelArray {
        var array = PixelArray(zerosOf: height, width, channels, element)
        let count = array.count
        switch style {
        case 0:
            for index in array.bytes.indices { array.bytes[index] = UInt8(truncatingIfNeeded: bits()) }
        case 1:
            let value = UInt8(truncatingIfNeeded: bits())
            array.bytes = [UInt8](repeating: value, count: array.bytes.count)
        default:
            // Smooth, with a little noise and, in floats, every kind of special value.
            switch element {
            case .uint8:
                for i in 0..<count {
                    array.bytes[i] = UInt8(truncatingIfNeeded: i / 3 + i / (3 * width) + integer(0...3))
                }
            case .uint16:
                array.withMutableUInt16s { values in
                    for i in 0..<count { values[i] = UInt16(truncatingIfNeeded: i * 37 + i / width * 11) }
                }
            case .float32:
                let special: [UInt32] = [
                    0x7FC0_0001, 0xFFC1_2345, 0x7F80_0001, 0x7F80_0000, 0xFF80_0000, 0x8000_0000, 0, 1, 0x8000_0001,
                    0x7FFF_FFFF, 0xFFFF_FFFF,
                ]
                array.bytes.withUnsafeMutableBytes { bytes in
                    let values = bytes.bindMemory(to: UInt32.self)
                    for i in 0..<count {
                        let smooth = Float(i % width) * 0.125 - Float(i / width) * 0.5
                        values[i] = integer(0...9) == 0 ? special[integer(0...10)] : smooth.bitPattern
                    }
                }
            }
        }
        return array
    }

    mutating func array(maximumSide: Int = 40) -> PixelArray {
        let sides = [1, 2, 7, 8, 15, 16, 17, 31, 33, maximumSide]
        return array(
            height: sides[integer(0...9)], width: sides[integer(0...9)],
            channels: [1, 1, 3, 3, 2, 4, 5][integer(0...6)],
            element: ElementType.allCases[integer(0...2)], style: integer(0...2))
    }

    mutating func record(_ key: String) -> Record {
        let names = ["left", "right", "disparity", "mask"]
        return Record(
            key: key, fields: (0..<integer(1...4)).map { Record.Field(names[$0], array()) })
    }
}

/// A stereo pair of uint8 colour pictures whose values name the record.
func pair(_ number: Int, height: Int = 8, width: Int = 12) -> Record {
    func picture(_ offset: Int) -> PixelArray {
        PixelArray(
            height: height, width: width, channels: 3, element: .uint8,
            bytes: (0..<(height * width * 3)).map { UInt8(truncatingIfNeeded: $0 * 5 + number * 7 + offset) })
    }
    return Record(key: "pair \(number)", fields: [.init("left", picture(0)), .init("right", picture(100))])
}

/// Writes `records` into one shard and returns its bytes.
@discardableResult
func writeShard(_ records: [Record], to path: String, level: Int = 3) throws -> [UInt8] {
    let writer = try ShardWriter(path: path)
    for record in records { try writer.append(try RecordEncoder(level: level).encode(record)) }
    _ = try writer.finish()
    return try Files.read(path)
}

/// Writes without the care of `AtomicFileWriter`: what vandals do.
func vandalize(_ path: String, with bytes: [UInt8]) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: path))
}

/// Makes the hashes of a changed index and footer right again, so that checks behind the hashes are reached.
func resealed(_ shard: [UInt8], indexOffset: Int) -> [UInt8] {
    var shard = shard
    let footer = shard.count - ShardLayout.footerByteCount
    func put(_ value: UInt64, _ offset: Int) {
        withUnsafeBytes(of: value.littleEndian) { shard.replaceSubrange(offset..<(offset + 8), with: $0) }
    }
    put(Hash.xxh64(Array(shard[indexOffset..<footer])), footer + 40)
    put(Hash.xxh64(Array(shard[..<ShardLayout.headerByteCount])), footer + 48)
    put(Hash.xxh64(Array(shard[footer..<(footer + 64)])), footer + 64)
    return shard
}

extension Array where Element == UInt8 {
    func littleEndian<T: FixedWidthInteger>(_ type: T.Type, at offset: Int) -> T {
        withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: T.self)) }
    }

    mutating func put<T: FixedWidthInteger>(_ value: T, at offset: Int) {
        Swift.withUnsafeBytes(of: value.littleEndian) {
            replaceSubrange(offset..<(offset + MemoryLayout<T>.size), with: $0)
        }
    }
}

/// Changes a file's length in place, under whoever has it open.
struct FileHandleForTests {
    private let handle: FileHandle
    init?(_ path: String) {
        guard let handle = FileHandle(forWritingAtPath: path) else { return nil }
        self.handle = handle
    }
    func truncate(to byteCount: UInt64) { try? handle.truncate(atOffset: byteCount) }
}

let stereoFields = [StreamedField.picture("left"), .picture("right")]
let disparityField = StreamedField("disparity", kind: .map, isOptional: true)
