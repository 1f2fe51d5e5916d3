import Basics
import TestSupport
import Testing

@testable import FrameSources

private let nan = Float.nan

/// A MATLAB 5 element: tag, content, padding.
private func element(_ type: UInt32, _ body: [UInt8]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.appendLittleEndian(type)
    bytes.appendLittleEndian(UInt32(body.count))
    return bytes + body + [UInt8](repeating: 0, count: type == 15 ? 0 : (8 - body.count % 8) % 8)
}

private func words(_ values: [UInt32]) -> [UInt8] {
    var bytes: [UInt8] = []
    for value in values { bytes.appendLittleEndian(value) }
    return bytes
}

/// A column of doubles that is stored as 16-bit integers, as MATLAB shortens it.
private func column(_ name: String, _ values: [UInt16]) -> [UInt8] {
    var numbers: [UInt8] = []
    for value in values { numbers.appendLittleEndian(value) }
    return element(
        14,
        element(6, words([6, 0])) + element(5, words([UInt32(values.count), 1])) + element(1, Array(name.utf8))
            + element(4, numbers))
}

private let matHeader = Array("MATLAB 5.0 MAT-file".utf8) + [UInt8](repeating: 32, count: 105) + [0, 1, 0x49, 0x4D]

@Suite(.serialized) struct NYUDepthTests {
    private let tree = Tree("nyu")

    @Test func denseDepthsArchive() throws {
        try tree.put(noise(1, 3, 3, .uint8), "data/nyu2_train/office_0001_out/1.jpg")
        try tree.put(gray([[0, 51, 255]]), "data/nyu2_train/office_0001_out/1.png")
        try tree.put(noise(1, 3, 3, .uint8), "data/nyu2_test/00000_colors.png")
        try tree.put(FrameSourcesTests.words([0, 1500, 9999]), "data/nyu2_test/00000_depth.png")
        try tree.put(
            "data/nyu2_train/office_0001_out/1.jpg,data/nyu2_train/office_0001_out/1.png\n", "data/nyu2_train.csv")
        let half = try #require(failure { _ = try NYUDepth(root: tree.root).items() })
        #expect(half.0 == .missingInput && half.1.contains("no file nyu2_test.csv"))
        try tree.put("data/nyu2_test/00000_colors.png,data/nyu2_test/00000_depth.png\n", "data/nyu2_test.csv")
        for root in [tree.root, tree.path("data")] {
            let items = try NYUDepth(root: root).items()
            #expect(items.map(\.key) == ["nyu2_train/office_0001_out/1", "nyu2_test/00000_colors"])
            #expect(items.map(\.part) == [.train, .test])
            #expect(items.map(\.group) == ["nyu2_train/office_0001_out", nil])
            let train = try items[0].load()
            #expect(train.fields.map(\.name) == ["image", "depth"] && same(values(train, "depth"), [nan, 2, 10]))
            #expect(same(values(try items[1].load(), "depth"), [nan, 1.5, 9.999]))
        }
        try tree.put("../x.jpg,y.png\n", "data/nyu2_test.csv")
        #expect(try #require(failure { _ = try NYUDepth(root: tree.root).items() }).1.contains("is no row"))
    }

    @Test func foldersOfBTS() throws {
        for folder in ["sync/kitchen_0028b", "test/bathroom"] {
            try tree.put(noise(1, 2, 3, .uint8), "\(folder)/rgb_00045.jpg")
            try tree.put(FrameSourcesTests.words([0, 2345]), "\(folder)/sync_depth_00045.png")
        }
        let items = try NYUDepth(root: tree.root).items()
        #expect(items.map(\.key) == ["sync/kitchen_0028b/00045", "test/bathroom/00045"])
        #expect(items.map(\.part) == [nil, .test] && items[0].group == "sync/kitchen_0028b")
        #expect(same(values(try items[1].load(), "depth"), [nan, 2.345]))

        try tree.put(
            "/kitchen_0028b/rgb_00045.jpg /kitchen_0028b/sync_depth_00045.png 518.8579\n"
                + "/kitchen_0028b/rgb_00046.jpg /kitchen_0028b/sync_depth_00046.png 518.8579\n", "train.txt")
        try tree.put("bathroom/rgb_00045.jpg bathroom/sync_depth_00045.png 518.8579\n", "test.txt")
        let listed = try NYUDepth(
            root: tree.root,
            lists: [.init(part: .train, path: tree.path("train.txt")), .init(part: .test, path: tree.path("test.txt"))]
        ).items()
        #expect(listed.map(\.part) == [.train, .train, .test] && listed[2].key == "bathroom/rgb_00045")
        _ = try listed[0].load()
        _ = try listed[2].load()
        #expect(try #require(failure { _ = try listed[1].load() }).1.contains("rgb_00046.jpg: not there"))

        try tree.put(noise(1, 2, 3, .uint8), "sync/kitchen_0028b/rgb_00050.jpg")
        let lonely = try NYUDepth(root: tree.root).items()[1]
        #expect(try #require(failure { _ = try lonely.load() }).1.contains("sync_depth_00050.png: not there"))
    }

    @Test func foldersOfMMSegmentation() throws {
        try tree.put(noise(1, 2, 3, .uint8), "images/train/bookstore_0001d_00001.jpg")
        let half = try #require(failure { _ = try NYUDepth(root: tree.root).items() })
        #expect(half.0 == .missingInput && half.1.contains("no sub-folder annotations"))
        try tree.put(FrameSourcesTests.words([1000, 0, 3]), "annotations/train/bookstore_0001d_00001.png")
        let item = try NYUDepth(root: tree.root).items()[0]
        #expect(item.key == "train/bookstore_0001d_00001" && item.part == .train)
        #expect(try #require(failure { _ = try item.load() }).1.contains("3x1 pixels, but the view has 2x1"))
        try tree.put(FrameSourcesTests.words([1000, 0]), "annotations/train/bookstore_0001d_00001.png")
        #expect(same(values(try item.load(), "depth"), [1, nan]))
    }

    @Test func wrongRootsAreNamed() throws {
        let (code, line) = try #require(failure { _ = try NYUDepth(root: tree.root).items() })
        #expect(code == .missingInput && line.contains("no nyu_depth_v2_labeled.mat, no data/nyu2_train.csv"))
    }

    @Test(.enabled(if: HDF5Writer.isThere, "libhdf5 is not installed"))
    func labelledSet() throws {
        // Three pictures of 2x3 pixels: [3, 3, width 3, height 2] and [3, 3, 2].
        let images = (0..<54).map { UInt8($0) }
        var depths = (0..<18).map { Float($0) / 4 }
        depths[7] = .infinity
        let path = tree.path("nyu_depth_v2_labeled.mat")
        try #require(HDF5Writer()).write(
            [
                .init(name: "images", sides: [3, 3, 3, 2], type: "H5T_NATIVE_UCHAR_g", bytes: images),
                .init(
                    name: "depths", sides: [3, 3, 2], type: "H5T_NATIVE_FLOAT_g",
                    bytes: depths.withUnsafeBytes { Array($0) }),
            ], to: path)
        for root in [tree.root, path] {
            let items = try NYUDepth(root: root).items()
            #expect(items.map(\.key) == ["0001", "0002", "0003"] && items.allSatisfy { $0.part == nil })
            let record = try items[1].load()
            let image = try #require(record["image"])
            #expect(image.height == 2 && image.width == 3 && image.channels == 3)
            // Entry 1 begins at 18; channel c, column x, row y is 18 + 6 c + 2 x + y.
            #expect(Array(image.bytes[0..<6]) == [18, 24, 30, 20, 26, 32])
            #expect(Array(image.bytes[9..<12]) == [19, 25, 31])
            // Entry 1 of depths begins at 6: row 0 is 6, 8, 10 quarters, row 1 is 7 (infinite), 9, 11.
            #expect(same(values(record, "depth"), [1.5, 2, 2.5, nan, 2.25, 2.75]))
            #expect(values(try items[0].load(), "depth")[0].isNaN)
        }

        // The authors' split, one array compressed, one not.
        let compressed = element(15, PNGMaker.zlib(column("trainNdxs", [3])))
        try AtomicFileWriter.write(matHeader + compressed + column("testNdxs", [1, 2]), to: tree.path("splits.mat"))
        #expect(try NYUDepth(root: tree.root).items().map(\.part) == [.test, .test, .train])
        try AtomicFileWriter.write(
            matHeader + column("trainNdxs", [4]) + column("testNdxs", [1]), to: tree.path("splits.mat"))
        #expect(try #require(failure { _ = try NYUDepth(root: tree.root).items() }).1.contains("trainNdxs holds 4.0"))

        // Cut, and no HDF5 at all.
        let whole = try Files.read(path)
        for (bytes, problem) in [
            (Array(whole.prefix(900)), "not an HDF5 file, or a broken one"),
            (Array("nothing".utf8), "not an HDF5 file, or a broken one"),
        ] {
            try AtomicFileWriter.write(bytes, to: path)
            let (code, line) = try #require(failure { _ = try NYUDepth(root: path).items() })
            #expect(code == .badData && line.contains(problem))
        }
        try #require(HDF5Writer()).write(
            [.init(name: "images", sides: [1, 2], type: "H5T_NATIVE_UCHAR_g", bytes: [1, 2])], to: path)
        #expect(try #require(failure { _ = try NYUDepth(root: path).items() }).1.contains("no array 'depths'"))
    }

    @Test func flippedHDF5NeverCrashes() throws {
        guard let writer = HDF5Writer() else { return }
        let path = tree.path("flipped.mat")
        try writer.write(
            [
                .init(name: "images", sides: [1, 3, 2, 2], type: "H5T_NATIVE_UCHAR_g", bytes: Array(0..<12)),
                .init(name: "depths", sides: [1, 2, 2], type: "H5T_NATIVE_FLOAT_g", bytes: Array(0..<16)),
            ], to: path)
        let whole = try Files.read(path)
        let random = CounterRandom(3, "hdf5")
        for trial in 0..<300 {
            var bytes = whole
            let place = Int(random.bits(UInt64(2 * trial)) % UInt64(bytes.count))
            bytes[place] ^= UInt8(1 << (random.bits(UInt64(2 * trial + 1)) % 8))
            try AtomicFileWriter.write(bytes, to: path)
            // Damage must be noticed or harmless, in any case without a crash; HDF5 has no checksum of everything.
            for item in (try? NYUDepth(root: path).items()) ?? [] { _ = try? item.load() }
        }
    }

    @Test func hostileSplitFiles() throws {
        let whole = matHeader + column("trainNdxs", [3, 500])
        #expect(try MAT5.decode(whole) == ["trainNdxs": [3, 500]])
        for count in 0..<whole.count { _ = try? MAT5.decode(Array(whole.prefix(count))) }
        let random = CounterRandom(4, "mat5")
        for trial in 0..<2000 {
            var bytes = whole
            bytes[128 + Int(random.bits(UInt64(2 * trial)) % UInt64(bytes.count - 128))] =
                UInt8(truncatingIfNeeded: random.bits(UInt64(2 * trial + 1)))
            _ = try? MAT5.decode(bytes)
        }
        #expect(throws: CodecError.self) { try MAT5.decode(matHeader + element(15, [1, 2, 3, 4])) }
        #expect(throws: CodecError.self) { try MAT5.decode(Array("MATLAB 7.3".utf8)) }
        #expect(throws: CodecError.self) { try MAT5.decode(matHeader + [14, 0, 0, 0, 255, 255, 255, 127]) }
    }
}

@Suite struct PNMTests {
    @Test func roundTripsAndHeaders() throws {
        for array in [noise(3, 5, 1, .uint8), noise(3, 5, 3, .uint8), noise(2, 3, 1, .uint16), noise(2, 3, 3, .uint16)]
        {
            #expect(try ImageFile.decode(PNM.encode(array), path: "a") == array)
        }
        let commented = Array("P5 # Tsukuba\n#x\n3\t1 255\n".utf8) + [0, 16, 240]
        #expect(try PNM.decode(commented) == gray([[0, 16, 240]]))
        // Samples are numbers: a maximum of 100 scales nothing. 16 bits are big-endian.
        #expect(try PNM.decode(Array("P5 2 1 100\n".utf8) + [50, 100]).bytes == [50, 100])
        #expect(try PNM.decode(Array("P5 1 1 65535\n".utf8) + [1, 2]).withUInt16s { $0[0] } == 258)
    }

    @Test func brokenOnes() {
        for (text, tail) in [
            ("P5", 0), ("P5 3 1 255\n", 2), ("P5 3 1 255\n", 4), ("P5 0 1 255\n", 0), ("P5 3 1 0\n", 3),
            ("P5 3 1 70000\n", 6), ("P6 99999999 99999999 255\n", 3), ("P5 3 1 25", 0), ("P4 3 1\n", 1),
        ] {
            #expect(throws: CodecError.self, "\(text)") {
                try PNM.decode(Array(text.utf8) + [UInt8](repeating: 7, count: tail))
            }
        }
    }
}
