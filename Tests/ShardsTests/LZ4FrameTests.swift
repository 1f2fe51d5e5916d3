import Basics
import Testing

@testable import Shards

@Suite struct LZ4FrameTests {
    private func decode(_ frame: [UInt8], _ count: Int, checkContent: Bool = true) throws -> [UInt8] {
        var target = [UInt8](repeating: 0, count: count)
        try target.withUnsafeMutableBytes { target in
            try frame.withUnsafeBytes { frame in
                try LZ4Frame.decode(frame, into: target, checkContent: checkContent)
            }
        }
        return target
    }

    @Test(arguments: [1, 2, 100, 65_536, 65_537, (4 << 20) + 5, (8 << 20) + 1])
    func `frames of any size come back`(count: Int) throws {
        let random = CounterRandom(3, "lz4")
        // Compressible at first, noise in the middle: both kinds of block.
        let bytes = (0..<count).map { i in
            i > count / 3 ? UInt8(truncatingIfNeeded: random.bits(UInt64(i))) : UInt8(truncatingIfNeeded: i / 100)
        }
        for level in [0, 3] {
            let frame = bytes.withUnsafeBytes { LZ4Frame.encode($0, level: level) }
            #expect(try decode(frame, count) == bytes)
            #expect(throws: LZ4Frame.Problem.self) { try decode(frame, count - 1) }
            #expect(throws: LZ4Frame.Problem.self) { try decode(frame, count + 1) }
        }
    }

    @Test func `no flipped bit yields other bytes, no truncation goes unseen`() throws {
        var draws = Draws(4)
        let bytes = (0..<700).map { UInt8(truncatingIfNeeded: $0 / 9) }
        let frame = bytes.withUnsafeBytes { LZ4Frame.encode($0, level: 3) }
        for offset in frame.indices {
            var broken = frame
            broken[offset] ^= 1 << UInt8(draws.integer(0...7))
            // Within a run, a match from another distance may yield the same bytes: harmless (and the hash of the
            // stored bytes sees it).
            if let decoded = try? decode(broken, bytes.count) { #expect(decoded == bytes, "byte \(offset)") }
            #expect(throws: LZ4Frame.Problem.self) { try decode(Array(frame[..<offset]), bytes.count) }
        }
        #expect(throws: LZ4Frame.Problem.self) { try decode(frame + [0], bytes.count) }
    }

    @Test func `random bytes behind a valid header never trap`() {
        var draws = Draws(6)
        let frame = [UInt8](repeating: 7, count: 64).withUnsafeBytes { LZ4Frame.encode($0, level: 3) }
        for _ in 0..<3000 {
            var broken = frame
            for _ in 0..<draws.integer(1...6) {
                broken[draws.integer(15...(frame.count - 1))] = UInt8(truncatingIfNeeded: draws.bits())
            }
            _ = try? decode(broken, 64, checkContent: false)
        }
    }
}
