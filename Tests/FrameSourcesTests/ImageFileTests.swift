import Basics
import FrameSources
import TestSupport
import Testing

@Suite struct JPEGTests {
    /// Smooth, so that JPEG loses little.
    private let picture: PixelArray = {
        var array = PixelArray(zerosOf: 40, 56, 3, .uint8)
        for y in 0..<40 {
            for x in 0..<56 {
                let start = (y * 56 + x) * 3
                array.bytes[start] = UInt8(x * 4)
                array.bytes[start + 1] = UInt8(y * 6)
                array.bytes[start + 2] = UInt8(255 - x - y)
            }
        }
        return array
    }()

    @Test func roundTripIsClose() throws {
        let back = try JPEG.decode(JPEG.encode(picture))
        #expect(back.height == 40 && back.width == 56 && back.channels == 3)
        let largest = zip(back.bytes, picture.bytes).map { abs(Int($0) - Int($1)) }.max() ?? 0
        #expect(largest <= 6)
        let gray = PixelArray(height: 16, width: 16, channels: 1, element: .uint8, bytes: (0..<256).map { UInt8($0) })
        let grayBack = try JPEG.decode(JPEG.encode(gray))
        #expect(grayBack.channels == 1)
        #expect((zip(grayBack.bytes, gray.bytes).map { abs(Int($0) - Int($1)) }.max() ?? 0) <= 4)
    }

    @Test func everyTruncationIsAnError() throws {
        let file = try JPEG.encode(picture)
        for count in 0..<file.count {
            #expect(throws: CodecError.self, "\(count) of \(file.count) bytes") {
                try JPEG.decode(Array(file[..<count]))
            }
        }
    }

    @Test func damageNeverCrashes() throws {
        let file = try JPEG.encode(picture)
        for offset in file.indices {
            var damaged = file
            damaged[offset] ^= 0xFF
            // JPEG has no checksum: some damage cannot be told from another picture.
            _ = try? JPEG.decode(damaged)
        }
    }

    /// A JPEG with an index of as many pictures as there are types behind its first marker.
    private func multiPicture(_ types: [UInt32], isLittleEndian: Bool) throws -> [UInt8] {
        func number(_ value: UInt32, _ count: Int) -> [UInt8] {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
            return isLittleEndian ? bytes : bytes.reversed()
        }
        var index: [UInt8] = isLittleEndian ? [0x49, 0x49, 0x2A, 0] : [0x4D, 0x4D, 0, 0x2A]
        // Two entries: 0xB001 the count, 0xB002 the list, which stands behind the 8 + 2 + 24 + 4 bytes of the directory.
        index += number(8, 4) + number(2, 2)
        index += number(0xB001, 2) + number(4, 2) + number(1, 4) + number(UInt32(types.count), 4)
        index += number(0xB002, 2) + number(7, 2) + number(UInt32(16 * types.count), 4) + number(38, 4) + number(0, 4)
        for type in types { index += number(type | 0x2000_0000, 4) + [UInt8](repeating: 0, count: 12) }
        let content = [0x4D, 0x50, 0x46, 0] + index
        let file = try JPEG.encode(PixelArray(zerosOf: 8, 8, 3, .uint8))
        return Array(file[..<2]) + [0xFF, 0xE2, 0, UInt8(content.count + 2)] + content + file[2...]
    }

    @Test(arguments: [true, false]) func `two views in one file are refused, a preview is not`(littleEndian: Bool)
        throws
    {
        let stereo = try multiPicture([0x02_0002, 0x02_0002], isLittleEndian: littleEndian)
        let error = #expect(throws: ImageError.self) { try ImageFile.decode(stereo, path: "a.mpo") }
        #expect(
            error?.description.hasPrefix("a.mpo: 2 views in one file (MPO)") == true
                && error?.description.contains("-MPImage2") == true, "\(error?.description ?? "")")
        let preview = try multiPicture([0x03_0000, 0x01_0001], isLittleEndian: littleEndian)
        #expect(try JPEG.decode(preview).height == 8)
        // Cut and damaged indices are no reason to crash, and not to refuse.
        for offset in 4..<90 {
            var damaged = stereo
            damaged[offset] = 0xFF
            _ = try? JPEG.decode(damaged)
            _ = try? JPEG.decode(Array(stereo[..<offset]))
        }
    }

    /// A header can claim any size; memory is not taken for it.
    @Test func sizesAreCheckedBeforeAllocation() throws {
        let file = try JPEG.encode(PixelArray(zerosOf: 8, 8, 3, .uint8))
        try #require(file.count < 1_200)
        let frame = try #require(file.indices.dropLast(9).first { file[$0] == 0xFF && file[$0 + 1] == 0xC0 })
        func claim(_ height: Int, _ width: Int) -> [UInt8] {
            var claimed = file
            for (offset, value) in [(5, height >> 8), (6, height & 255), (7, width >> 8), (8, width & 255)] {
                claimed[frame + offset] = UInt8(value)
            }
            return claimed
        }
        func message(_ bytes: [UInt8]) -> String {
            do throws(CodecError) {
                _ = try JPEG.decode(bytes)
                return ""
            } catch { return error.problem }
        }
        #expect(message(claim(60_000, 60_000)).contains("are more than"))
        #expect(message(claim(9_000, 9_000)).contains("cannot hold 9000x9000 pixels"))
    }

    @Test func whatJPEGCannotHoldIsRefused() {
        #expect(throws: CodecError.self) { try JPEG.encode(noise(2, 2, 3, .uint16)) }
    }
}

@Suite struct PFMTests {
    @Test func roundTripKeepsEveryBit() throws {
        for channels in [1, 3] {
            var array = noise(5, 7, channels, .float32)
            array.withMutableFloats {
                $0[0] = .nan
                $0[1] = .infinity
                $0[2] = -0.0
            }
            #expect(try sameBits(PFM.decode(PFM.encode(array)), array))
        }
    }

    @Test func rowsGoFromBottomToTop() throws {
        let array = map([[1, 2], [3, 4]])
        let file = try PFM.encode(array)
        #expect(Array(file.prefix(12)) == Array("Pf\n2 2\n-1.0\n".utf8))
        // 3.0 = 0x40400000, little-endian, comes first.
        #expect(Array(file[12..<16]) == [0, 0, 0x40, 0x40])
    }

    @Test(arguments: ["Pf\n2 1\n1.0\n", "Pf 2\t1 1\n", "Pf\r\n2  1\r\n1\r\n", "Pf\n\n2\n1\n\n1.000000\n"])
    func bigEndianAndAnyWhiteSpace(header: String) throws {
        let file = Array(header.utf8) + [0x3F, 0x80, 0, 0, 0xC0, 0, 0, 0]
        #expect(try PFM.decode(file) == map([[1, -2]]))
    }

    @Test(arguments: [
        "", "Pf", "P6\n1 1\n-1\n", "Pf\n1 1\n0\n", "Pf\n0 1\n-1\n", "Pf\n-1 1\n-1\n", "Pf\n1 1\nnan\n", "Pf\nx 1\n-1\n",
        "Pf\n99999999 99999999\n-1\n", "Pf\n9223372036854775807 2\n-1\n", "Pf\n1 1\n-1\n\0\0\0",
        "Pf\n1 1\n-1\n\0\0\0\0\0",
    ])
    func brokenFilesAreErrors(text: String) {
        #expect(throws: CodecError.self) { try PFM.decode(Array(text.utf8)) }
    }
}

@Suite struct NPYTests {
    private func file(_ header: String, _ data: [UInt8], version: UInt8 = 1) -> [UInt8] {
        var bytes = NPY.signature + [version, 0]
        if version == 1 {
            bytes.appendLittleEndian(UInt16(header.utf8.count))
        } else {
            bytes.appendLittleEndian(UInt32(header.utf8.count))
        }
        return bytes + Array(header.utf8) + data
    }

    @Test(arguments: ElementType.allCases, [1, 3])
    func roundTrip(element: ElementType, channels: Int) throws {
        let array = noise(4, 6, channels, element)
        let encoded = NPY.encode(array)
        #expect(try NPY.decode(encoded) == array)
        let headerCount = 10 + Int(encoded[8]) + Int(encoded[9]) << 8
        #expect(headerCount % 64 == 0)
    }

    @Test func float64BecomesFloat32() throws {
        var data: [UInt8] = []
        for value in [1.5, -2.25, Double.nan] { data.appendLittleEndian(value.bitPattern) }
        for version: UInt8 in [1, 2] {
            let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 3), }\n"
            let floats = try NPY.decode(file(header, data, version: version)).withFloats { Array($0) }
            #expect(floats[0] == 1.5 && floats[1] == -2.25 && floats[2].isNaN)
        }
    }

    @Test(arguments: [
        "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }",
        "{'descr': '>f4', 'fortran_order': False, 'shape': (1, 1), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1, 1), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }", "{'descr': '<f4', 'shape': (1, 1), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1), }", "", "{", "{'descr': '<f4'",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 9999999999), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 1), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), } x",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 1), }",
    ])
    func brokenHeadersAreErrors(header: String) {
        #expect(throws: CodecError.self) { try NPY.decode(file(header, [0, 0, 0, 0])) }
    }

    /// Found by fuzzing: the line of the error was as many lines as the file liked.
    @Test func aTypeOfManyLinesIsOneLine() {
        let type = "<f" + String(repeating: "\n\u{1B}[2J", count: 100)
        let header = "{'descr': '\(type)', 'fortran_order': False, 'shape': (1, 1), }"
        let error = #expect(throws: CodecError.self) { try NPY.decode(file(header, [0, 0, 0, 0])) }
        let problem = error?.problem ?? "\n"
        #expect(problem.utf8.count < 120 && problem.unicodeScalars.allSatisfy { $0.value >= 32 }, "\(problem)")
    }

    @Test func everyTruncationIsAnError() {
        let encoded = NPY.encode(noise(2, 2, 1, .float32))
        for count in encoded.indices {
            #expect(throws: CodecError.self) { try NPY.decode(Array(encoded[..<count])) }
        }
        #expect(throws: CodecError.self) { try NPY.decode(encoded + [0]) }
    }
}

@Suite struct ImageFileTests {
    private let folder = TemporaryFolder("images")

    @Test func contentDecidesWhenReading() throws {
        let array = noise(3, 4, 3, .uint8)
        try AtomicFileWriter.write(try PNG.encode(array), to: folder.file("lies.jpg"))
        #expect(try ImageFile.read(folder.file("lies.jpg")) == array)
    }

    @Test func extensionDecidesWhenWriting() throws {
        let floats = noise(3, 4, 1, .float32)
        for name in ["a.pfm", "a.npy", "a.PFM"] {
            try ImageFile.write(floats, to: folder.file(name))
            #expect(try ImageFile.read(folder.file(name)) == floats)
        }
        let colours = noise(3, 4, 3, .uint16)
        try ImageFile.write(colours, to: folder.file("b.png"))
        #expect(try ImageFile.read(folder.file("b.png")) == colours)
    }

    @Test func errorsNameThePath() throws {
        let broken = folder.file("broken.png")
        try AtomicFileWriter.write([1, 2, 3], to: broken)
        let (code, line) = try #require(failure { _ = try ImageFile.read(broken) })
        #expect(code == .badData && line.hasPrefix(broken + ": broken PNG"))
        try AtomicFileWriter.write([UInt8](), to: broken)
        #expect(
            try #require(failure { _ = try ImageFile.read(broken) }).1
                == "\(broken): the file is empty; replace or remove the file")
        #expect(try #require(failure { _ = try ImageFile.read(folder.file("absent.png")) }).0 == .missingInput)
        let unknown = try #require(failure { try ImageFile.write(noise(1, 1, 1, .uint8), to: folder.file("x.tiff")) })
        #expect(unknown.0 == .usage && unknown.1.contains(".png"))
        #expect(
            try #require(failure { try ImageFile.write(noise(1, 1, 1, .float32), to: folder.file("x.png")) }).0
                == .usage)
        #expect(!Files.exists(folder.file("x.png")))
    }

    @Test func pathsOfStrangersStayOnOneLine() {
        let error = ImageError(path: "a\nb\u{1B}[2J.png", "the file is empty")
        #expect(error.description == "a?b?[2J.png: the file is empty; replace or remove the file")
    }
}
