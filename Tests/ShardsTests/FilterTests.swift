import Basics
import Testing

@testable import Shards

@Suite struct FilterTests {
    private func roundTrip(_ array: PixelArray, _ filter: FieldFilter, level: Int32) -> (
        payload: [UInt8], back: [UInt8]
    ) {
        let shape = FieldShape(
            height: array.height, width: array.width, channels: array.channels, element: array.element)
        let engine = FilterEngine(level: level)
        let scratch = ScratchBuffer()
        let payload = scratch.bytes(shape.payloadByteCount(filter))
        array.bytes.withUnsafeBytes { engine.apply(filter, shape, from: $0, to: payload) }
        var back = [UInt8](repeating: 0xA5, count: shape.byteCount)
        back.withUnsafeMutableBytes { engine.invert(filter, shape, from: UnsafeRawBufferPointer(payload), to: $0) }
        return (Array(payload), back)
    }

    @Test func `every filter gives back every size, at every level`() {
        var draws = Draws(1)
        for element in ElementType.allCases {
            for filter in FieldFilter.candidates(for: element) {
                for height in [1, 2, 15, 16, 17, 33] {
                    for width in [1, 2, 3, 8, 15, 16, 17, 31, 47, 130] {
                        // Three have a way of their own.
                        let channels = [1, 2, 3, 4, 5, 3, 3, 3][draws.integer(0...7)]
                        let array = draws.array(
                            height: height, width: width, channels: channels, element: element,
                            style: (height + width) % 3)
                        let outcomes = FilterEngine.levels.map { roundTrip(array, filter, level: $0) }
                        for outcome in outcomes {
                            #expect(outcome.back == array.bytes, "\(filter) \(height)x\(width)x\(channels) \(element)")
                            #expect(outcome.payload == outcomes[0].payload)
                        }
                    }
                }
            }
        }
    }

    @Test func `predicted bits of a known picture`() {
        // 2x2 gray: 10 12 / 11 13. Residuals by hand: 10-0, 12-10, 11-10, 13-(12+11-10 within 11…12 → 12).
        let array = PixelArray(height: 2, width: 2, channels: 1, element: .uint8, bytes: [10, 12, 11, 13])
        let bytes = roundTrip(array, .predictedBytes, level: 0).payload
        #expect(bytes == [20, 4, 2, 2])
        // Plane 7 first; pixel 0 is the lowest bit. 20 = 10100b, 4 = 100b, 2 = 10b, 2 = 10b.
        let bits = roundTrip(array, .predictedBits, level: 0).payload
        #expect(bits == [0, 0, 0, 0b0001, 0, 0b0011, 0b1100, 0])
    }

    @Test func `colour is stored as green and differences`() {
        let array = PixelArray(height: 1, width: 1, channels: 3, element: .uint8, bytes: [50, 60, 70])
        // G = 60; R - G + 128 = 118; B - G + 128 = 138 = -118 as a signed residual.
        #expect(roundTrip(array, .predictedBytes, level: 0).payload == [120, 236, 235])
    }

    @Test func `a smooth noisy picture shrinks by more than two with bits, less without`() throws {
        var draws = Draws(5)
        var array = PixelArray(zerosOf: 96, 160, 3, .uint8)
        for y in 0..<96 {
            for x in 0..<160 {
                let base = 60 + x / 2 + y / 3
                for c in 0..<3 { array.bytes[(y * 160 + x) * 3 + c] = UInt8(base + c * 9 + draws.integer(0...2)) }
            }
        }
        let encoded = try RecordEncoder().encode(Record(key: "k", fields: [.init("left", array)]))
        #expect(encoded.fields[0].filter == .predictedBits)
        #expect(Double(encoded.byteCount) / Double(encoded.bytes.count) > 2)
    }

    @Test func `masks and constants choose what suits them`() throws {
        let mask = PixelArray(zerosOf: 64, 64, 1, .uint8)
        let encoded = try RecordEncoder().encode(Record(key: "k", fields: [.init("mask", mask)]))
        #expect(encoded.bytes.count < 400)
    }

    @Test func `pictures become floats, the same at every level`() {
        for channels in [1, 3] {
            for pixelCount in [1, 7, 8, 9, 31, 256, 1000] {
                var draws = Draws(8)
                let eight = (0..<(pixelCount * channels)).map { UInt8(truncatingIfNeeded: $0) }
                let sixteen = eight.map { _ in UInt16(truncatingIfNeeded: draws.bits()) }
                let repeats = 3 / channels
                let wantedEight = eight.flatMap { [Float](repeating: Float(Double($0) / 255), count: repeats) }
                let wantedSixteen = sixteen.flatMap { [Float](repeating: Float(Double($0) / 65535), count: repeats) }
                for level in FilterEngine.levels {
                    var out = [Float](repeating: -1, count: pixelCount * 3)
                    out.withUnsafeMutableBufferPointer { out in
                        eight.withUnsafeBytes {
                            PictureFloats.expand($0, .uint8, channels: channels, into: out, level: level)
                        }
                    }
                    #expect(out == wantedEight)
                    out.withUnsafeMutableBufferPointer { out in
                        sixteen.withUnsafeBytes {
                            PictureFloats.expand($0, .uint16, channels: channels, into: out, level: level)
                        }
                    }
                    #expect(out == wantedSixteen)
                }
            }
        }
    }

    @Test func `every value becomes its quotient, correctly rounded, at every level`() {
        let eight = (0...255).map { UInt8($0) } + [UInt8](repeating: 9, count: 2)
        let sixteen = (0...65535).map { UInt16($0) } + [UInt16](repeating: 9, count: 2)
        for level in FilterEngine.levels {
            var out = [Float](repeating: -1, count: eight.count)
            out.withUnsafeMutableBufferPointer { out in
                eight.withUnsafeBytes { PictureFloats.expand($0, .uint8, channels: 3, into: out, level: level) }
            }
            // Rounding to double first changes nothing: a quotient of such numbers is never near a tie.
            #expect(out == eight.map { Float(Double($0) / 255) })
            out = [Float](repeating: -1, count: sixteen.count)
            out.withUnsafeMutableBufferPointer { out in
                sixteen.withUnsafeBytes { PictureFloats.expand($0, .uint16, channels: 3, into: out, level: level) }
            }
            #expect(out == sixteen.map { Float(Double($0) / 65535) })
        }
    }

    @Test func `mirrored pictures are turned row by row, at every level`() {
        var draws = Draws(10)
        for width in [1, 2, 4, 5, 6, 7, 10, 11, 16, 33, 336] {
            for channels in [1, 3] {
                let height = 3
                let bytes = (0..<(height * width * channels)).map { _ in UInt8(truncatingIfNeeded: draws.bits()) }
                var wanted: [Float] = []
                for y in 0..<height {
                    for x in (0..<width).reversed() {
                        for c in 0..<3 {
                            let value = bytes[(y * width + x) * channels + (channels == 3 ? c : 0)]
                            wanted.append(Float(Double(value) / 255))
                        }
                    }
                }
                for level in FilterEngine.levels {
                    var out = [Float](repeating: -1, count: wanted.count)
                    out.withUnsafeMutableBufferPointer { out in
                        bytes.withUnsafeBytes {
                            PictureFloats.expandMirrored(
                                $0, .uint8, width: width, channels: channels, into: out, level: level)
                        }
                    }
                    #expect(out == wanted, "width \(width), \(channels) channels, level \(level)")
                }
            }
        }
    }

    @Test func `equal inputs give equal bytes`() throws {
        var draws = Draws(9)
        let record = draws.record("same")
        #expect(try RecordEncoder().encode(record) == RecordEncoder().encode(record))
    }
}
