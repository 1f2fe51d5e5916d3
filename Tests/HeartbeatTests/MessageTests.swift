import Basics
import Testing

@testable import Heartbeats

@Suite struct MessageTests {
    static let token = HeartbeatToken(hexadecimal: "000102030405060708090a0b0c0d0e0f").unsafelyUnwrapped

    static func beat(_ phase: RankPhase = .backward, number: UInt64 = 9) -> Heartbeat {
        Heartbeat(
            number: number, rank: 2, worldSize: 4, pid: 4711, host: "node7",
            status: RankStatus(
                phase: phase, step: 37, secondsInPhase: 0.25, progress: 12345, exchanges: 77, lane: 3, shard: 5,
                record: 1017, bucket: 2, isWritingCheckpoint: true))
    }

    /// Vectors of the reference code (vectors.h, `vectors_sip128`): key 00…0f, messages of the first n bytes 00, 01, ….
    @Test func sipHashOfTheReference() {
        let key: (UInt64, UInt64) = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908)
        func digits(_ count: Int) -> [UInt8] {
            let message = (0..<count).map { UInt8($0) }
            let words = message.withUnsafeBytes { SipHash.hash($0, key: key) }
            var bytes: [UInt8] = []
            bytes.appendLittleEndian(words.0)
            bytes.appendLittleEndian(words.1)
            return bytes
        }
        #expect(
            digits(0) == [
                0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93,
            ])
        #expect(
            digits(1) == [
                0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45,
            ])
    }

    @Test(arguments: RankPhase.allCases) func whatWasWrittenIsRead(phase: RankPhase) throws {
        var beat = Self.beat(phase)
        let bytes = beat.encoded(token: Self.token)
        #expect(bytes.count == Heartbeat.byteCount && bytes.count <= Heartbeat.longestMessage)
        #expect(try Heartbeat(decoding: bytes, token: Self.token) == beat)
        beat.status = RankStatus(phase: phase)
        #expect(try Heartbeat(decoding: beat.encoded(token: Self.token), token: Self.token) == beat)
    }

    /// The layout that ARCHITECTURE.md promises, byte by byte.
    @Test func layout() {
        let bytes = Self.beat().encoded(token: Self.token)
        func number(_ range: Range<Int>) -> UInt64 { bytes[range].reversed().reduce(0) { $0 << 8 | UInt64($1) } }
        #expect(Array(bytes[0..<4]) == Array("VGHB".utf8))
        #expect([4..<6, 6..<8, 8..<16, 16..<20, 20..<24, 24..<28].map(number) == [1, 160, 9, 2, 4, 4711])
        #expect(bytes[28] == RankPhase.backward.rawValue && bytes[29] == 5 && number(30..<32) == 1)
        #expect([32..<40, 40..<48, 48..<56, 56..<64].map(number) == [37, 250, 12345, 77])
        #expect([64..<68, 68..<72, 72..<76, 76..<80].map(number) == [3, 2, 5, 1017])
        #expect(Array(bytes[80..<85]) == Array("node7".utf8) && bytes[85..<144].allSatisfy { $0 == 0 })
    }

    /// A name that could write to a terminal, or a long one, arrives harmless.
    @Test func namesOfHosts() throws {
        func sent(_ host: String) throws -> String {
            let beat = Heartbeat(
                number: 1, rank: 0, worldSize: 1, pid: 1, host: host, status: RankStatus(phase: .setup))
            return try Heartbeat(decoding: beat.encoded(token: Self.token), token: Self.token).host
        }
        #expect(try sent("a\u{1b}[2Jb c") == "a?[2Jb?c")
        #expect(try sent("") == "?")
        #expect(try sent(String(repeating: "x", count: 200)) == String(repeating: "x", count: 64))
    }

    @Test func everyFlippedBitIsNoticed() {
        let bytes = Self.beat().encoded(token: Self.token)
        for bit in 0..<(8 * bytes.count) {
            var changed = bytes
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(throws: Heartbeat.Refusal.self) { try Heartbeat(decoding: changed, token: Self.token) }
        }
    }

    @Test func lengthsVersionsAndTokens() throws {
        let bytes = Self.beat().encoded(token: Self.token)
        func refusal(_ bytes: [UInt8], _ token: HeartbeatToken = Self.token) -> Heartbeat.Refusal? {
            do throws(Heartbeat.Refusal) {
                _ = try Heartbeat(decoding: bytes, token: token)
                return nil
            } catch {
                return error
            }
        }
        for count in 0..<bytes.count { #expect(refusal(Array(bytes.prefix(count))) == .size) }
        for count in [161, 512, 513, 65507] {
            #expect(refusal(bytes + [UInt8](repeating: 0, count: count - bytes.count)) == .size)
        }
        var other = bytes
        other[4] = 2
        #expect(refusal(other) == .version)
        other = bytes
        other[0] = 0
        #expect(refusal(other) == .magic)
        #expect(refusal(bytes, .random()) == .signature)
        // A request is no heartbeat, and the other way round.
        let request = HeartbeatRequest(.dumpStacks, number: 3, rank: 2).encoded(token: Self.token)
        #expect(refusal(request) == .size)
        #expect(bytes.withUnsafeBytes { HeartbeatRequest(decoding: $0, token: Self.token) } == nil)
        #expect(request.withUnsafeBytes { HeartbeatRequest(decoding: $0, token: Self.token)?.rank } == 2)
        #expect(request.withUnsafeBytes { HeartbeatRequest(decoding: $0, token: .random()) } == nil)
        for bit in 0..<(8 * request.count) {
            var changed = request
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(changed.withUnsafeBytes { HeartbeatRequest(decoding: $0, token: Self.token) } == nil)
        }
    }

    /// Whoever has the token can still not make the reader believe nonsense.
    @Test func signedValuesOutOfRange() {
        func refusal(_ change: (inout [UInt8]) -> Void) -> Bool {
            var bytes = Self.beat().encoded(token: Self.token)
            change(&bytes)
            Self.sign(&bytes)
            do throws(Heartbeat.Refusal) {
                _ = try Heartbeat(decoding: bytes, token: Self.token)
                return false
            } catch {
                return error == .value
            }
        }
        #expect(!refusal { _ in })
        #expect(refusal { $0[16] = 4 }, "rank = world")
        #expect(refusal { $0[20] = 0 }, "no world")
        #expect(refusal { $0[23] = 1 }, "a world of millions")
        #expect(refusal { $0.replaceSubrange(24..<28, with: [0, 0, 0, 0]) }, "no process")
        #expect(refusal { $0[27] = 0x80 }, "a negative process")
        #expect(refusal { $0[28] = 11 }, "no such phase")
        #expect(refusal { $0[29] = 0 }, "no host")
        #expect(refusal { $0[29] = 65 }, "a long host")
        #expect(refusal { $0[29] = 4 }, "text behind the host")
        #expect(refusal { $0[29] = 6 }, "a zero in the host")
        #expect(refusal { $0[80] = 0x1b }, "an escape in the host")
        #expect(refusal { $0[30] = 2 } && refusal { $0[31] = 1 }, "reserved flags")
        #expect(refusal { $0[39] = 1 }, "a step beyond all steps")
        #expect(refusal { $0[47] = 1 }, "an hour of centuries")
        #expect(refusal { $0[67] = 1 } && refusal { $0[71] = 1 } && refusal { $0[75] = 0x40 }, "lane, bucket, shard")
        #expect(refusal { $0.replaceSubrange(8..<16, with: [UInt8](repeating: 0, count: 8)) }, "number 0")
    }

    private static func sign(_ bytes: inout [UInt8]) {
        let signature = bytes.withUnsafeBytes { token.sign(UnsafeRawBufferPointer(rebasing: $0[..<144])) }
        bytes.withUnsafeMutableBytes {
            $0.storeBytes(of: signature.0.littleEndian, toByteOffset: 144, as: UInt64.self)
            $0.storeBytes(of: signature.1.littleEndian, toByteOffset: 152, as: UInt64.self)
        }
    }

    /// A million messages: noise of all lengths, and true ones with some bytes changed, half of them signed again. Nothing may
    /// trap; what is accepted must be within its limits, and nothing unsigned is accepted.
    @Test func aMillionForeignMessages() {
        let random = CounterRandom(11, "heartbeat fuzz", 0)
        var draw: UInt64 = 0
        func next() -> UInt64 {
            draw += 1
            return random.bits(draw)
        }
        let valid = Self.beat().encoded(token: Self.token)
        var buffer = [UInt8](repeating: 0, count: Heartbeat.longestMessage)
        var accepted = [0, 0, 0]
        for round in 0..<1_000_000 {
            let kind = round % 4
            var count = Heartbeat.byteCount
            if kind == 0 {
                count = Int(next() % UInt64(buffer.count + 1))
                for index in stride(from: 0, to: count - 7, by: 8) {
                    let word = next()
                    buffer.withUnsafeMutableBytes { $0.storeBytes(of: word, toByteOffset: index, as: UInt64.self) }
                }
            } else {
                buffer.replaceSubrange(0..<valid.count, with: valid)
                for _ in 0...(next() % 4) {
                    let word = next()
                    let place = Int(word % UInt64(kind == 1 ? 160 : 144))
                    buffer[place] =
                        [UInt8(truncatingIfNeeded: word >> 32), 0, 0xff, buffer[place] ^ 1][Int(word >> 60 & 3)]
                }
                if kind > 1 { Self.sign(&buffer) }
            }
            buffer.withUnsafeBytes { bytes in
                let message = UnsafeRawBufferPointer(rebasing: bytes[..<count])
                guard let beat = try? Heartbeat(decoding: message, token: Self.token) else { return }
                accepted[min(kind, 2)] += 1
                let isSound =
                    beat.rank < beat.worldSize && beat.worldSize <= Heartbeat.largestWorld && beat.pid > 0
                    && !beat.host.isEmpty && beat.host.utf8.count <= 64 && beat.status.secondsInPhase >= 0
                    && !beat.status.place.isEmpty
                if !isSound || (kind == 1 && Array(message) != valid) { Issue.record("accepted \(Array(message))") }
            }
        }
        #expect(accepted[0] == 0)
        #expect(accepted[2] > 1000, "the fuzz never got past the signature")
    }

    @Test func tokens() {
        let token = HeartbeatToken.random()
        #expect(token != .random() && HeartbeatToken(hexadecimal: token.hexadecimal) == token)
        #expect(token.hexadecimal.count == 32 && !"\(token)".contains(token.hexadecimal))
        for text in [
            "", "0", String(repeating: "0", count: 31), String(repeating: "g", count: 32),
            "+" + String(repeating: "0", count: 31),
        ] {
            #expect(HeartbeatToken(hexadecimal: text) == nil, "\(text)")
        }
    }
}
