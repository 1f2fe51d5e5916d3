import Basics
import FrameSources
import TestSupport
import Testing

@Suite struct PNGTests {
    @Test(arguments: [ElementType.uint8, .uint16], [1, 3])
    func roundTrip(element: ElementType, channels: Int) throws {
        for (height, width) in [(1, 1), (7, 5), (33, 64)] {
            let array = noise(height, width, channels, element)
            #expect(try PNG.decode(PNG.encode(array)) == array)
        }
    }

    @Test func sixteenBitsAreBigEndianInTheFile() throws {
        let file = PNGMaker(width: 2, height: 1, bits: 16, colourType: 0, lines: [0, 0x12, 0x34, 0xAB, 0xCD]).file()
        #expect(try PNG.decode(file).withUInt16s { Array($0) } == [0x1234, 0xABCD])
    }

    @Test func colourManagementIsIgnored() throws {
        var maker = PNGMaker(width: 3, height: 1, bits: 16, colourType: 0, lines: [0, 1, 0, 2, 0, 3, 7])
        let plain = try PNG.decode(maker.file())
        for chunk in [("gAMA", bigEndian(45455)), ("gAMA", bigEndian(100_000)), ("sRGB", [0])] as [(String, [UInt8])] {
            maker.extra = [chunk]
            #expect(try PNG.decode(maker.file()) == plain, "\(chunk.0)")
        }
        maker.extra = [("tEXt", Array("Comment\0hello".utf8)), ("iCCP", [0x41, 0, 0, 1, 2, 3])]
        #expect(try PNG.decode(maker.file()) == plain)
    }

    @Test func fewBitsAreExpanded() throws {
        let one = PNGMaker(width: 9, height: 1, bits: 1, colourType: 0, lines: [0, 0b1010_0000, 0b1000_0000])
        #expect(try PNG.decode(one.file()).bytes == [255, 0, 255, 0, 0, 0, 0, 0, 255])
        let two = PNGMaker(width: 4, height: 1, bits: 2, colourType: 0, lines: [0, 0b00_01_10_11])
        #expect(try PNG.decode(two.file()).bytes == [0, 85, 170, 255])
        let four = PNGMaker(width: 3, height: 1, bits: 4, colourType: 0, lines: [0, 0x0F, 0x80])
        #expect(try PNG.decode(four.file()).bytes == [0, 255, 136])
    }

    @Test func palettesAreExpandedAndAlphaIsDropped() throws {
        var palette = PNGMaker(width: 3, height: 1, bits: 8, colourType: 3, lines: [0, 2, 0, 1])
        palette.extra = [("PLTE", [1, 2, 3, 4, 5, 6, 7, 8, 9])]
        let colours: [UInt8] = [7, 8, 9, 1, 2, 3, 4, 5, 6]
        #expect(try PNG.decode(palette.file()).bytes == colours)
        palette.extra.append(("tRNS", [0, 128]))
        #expect(try PNG.decode(palette.file()).bytes == colours)
        let grayAlpha = PNGMaker(width: 2, height: 1, bits: 8, colourType: 4, lines: [0, 10, 0, 20, 255])
        #expect(try PNG.decode(grayAlpha.file()).bytes == [10, 20])
        let alpha = PNGMaker(width: 2, height: 1, bits: 8, colourType: 6, lines: [0, 1, 2, 3, 0, 4, 5, 6, 255])
        #expect(try PNG.decode(alpha.file()).bytes == [1, 2, 3, 4, 5, 6])
    }

    @Test func interlacedFilesAreWoven() throws {
        let (height, width) = (11, 13)
        let array = noise(height, width, 1, .uint8)
        var maker = PNGMaker(width: width, height: height, bits: 8, colourType: 0, isInterlaced: true)
        // Adam7: start x, start y, step x, step y.
        for (x0, y0, dx, dy) in [
            (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
        ] {
            for y in stride(from: y0, to: height, by: dy) {
                maker.lines.append(0)
                for x in stride(from: x0, to: width, by: dx) { maker.lines.append(array.bytes[y * width + x]) }
            }
        }
        #expect(try PNG.decode(maker.file()) == array)
    }

    @Test func everyTruncationIsAnError() throws {
        let file = try PNG.encode(noise(9, 8, 3, .uint16))
        for count in 0..<file.count {
            #expect(throws: CodecError.self, "\(count) of \(file.count) bytes") {
                try PNG.decode(Array(file[..<count]))
            }
        }
    }

    @Test func everyFlippedByteIsAnError() throws {
        let file = try PNG.encode(noise(6, 5, 1, .uint8))
        for offset in file.indices {
            for flip: UInt8 in [1, 0x80, 0xFF] {
                var damaged = file
                damaged[offset] ^= flip
                #expect(throws: CodecError.self, "byte \(offset) xor \(flip)") { try PNG.decode(damaged) }
            }
        }
    }

    @Test func sizesAreCheckedBeforeAllocation() {
        for (width, height) in [(0, 1), (1 << 20, 1 << 20), (0x7FFF_FFFF, 0x7FFF_FFFF), (1 << 14, 1 << 13)] {
            let file = PNGMaker(width: width, height: height, bits: 16, colourType: 2, lines: [0]).file()
            #expect(throws: CodecError.self, "\(width)x\(height)") { try PNG.decode(file) }
        }
    }

    @Test func whatPNGCannotHoldIsRefused() {
        #expect(throws: CodecError.self) { try PNG.encode(noise(2, 2, 1, .float32)) }
        #expect(throws: CodecError.self) { try PNG.encode(noise(2, 2, 2, .uint8)) }
    }
}
