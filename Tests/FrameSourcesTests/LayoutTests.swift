import Basics
import FrameSources
import TestSupport
import Testing

private func write(_ array: PixelArray, _ path: String) throws {
    try Files.createFolder(
        path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/"))
    try ImageFile.write(array, to: path)
}

@Suite struct PackedFramesTests {
    private let folder = TemporaryFolder("packed")
    private let picture = gray([[1, 2, 3, 4], [5, 6, 7, 8]])

    @Test func halvesAreViews() throws {
        try write(picture, folder.file("b.png"))
        try write(picture, folder.file("a/c.png"))
        try AtomicFileWriter.write("notes", to: folder.file("notes.txt"))
        let items = try PackedFrames(root: folder.path, packing: .sideBySide).items()
        #expect(items.map(\.key) == ["a/c", "b"])
        let record = try items[0].load()
        #expect(record.fields.map(\.name) == ["left", "right"])
        #expect(record["left"] == gray([[1, 2], [5, 6]]) && record["right"] == gray([[3, 4], [7, 8]]))
        let swapped = try PackedFrames(root: folder.path, packing: .sideBySide, isSwapped: true).items()[0].load()
        #expect(swapped["left"] == record["right"] && swapped["right"] == record["left"])
        let stacked = try PackedFrames(root: folder.path, packing: .topBottom).items()[0].load()
        #expect(stacked["left"] == gray([[1, 2, 3, 4]]) && stacked["right"] == gray([[5, 6, 7, 8]]))
    }

    @Test func colourAndDepthOfPixelsStay() throws {
        let deep = noise(2, 6, 3, .uint16)
        try write(deep, folder.file("a.png"))
        let record = try PackedFrames(root: folder.path, packing: .sideBySide).items()[0].load()
        let left = try #require(record["left"])
        #expect(left.element == .uint16 && left.channels == 3 && left.width == 3)
        #expect(left.bytes[..<18] == deep.bytes[..<18] && left.bytes[18...] == deep.bytes[36..<54])
    }

    @Test func oddSidesAreErrors() throws {
        try write(gray([[1, 2, 3]]), folder.file("a.png"))
        let wide = try PackedFrames(root: folder.path, packing: .sideBySide).items()
        let (code, line) = try #require(failure { _ = try wide[0].load() })
        #expect(code == .badData && line.contains("a.png: odd width 3"))
        let high = try PackedFrames(root: folder.path, packing: .topBottom).items()
        #expect(try #require(failure { _ = try high[0].load() }).1.contains("odd height 1"))
    }

    @Test func missingAndEmptyFolders() throws {
        let missing = try #require(
            failure { _ = try PackedFrames(root: folder.file("no"), packing: .sideBySide).items() })
        #expect(missing.0 == .missingInput && missing.1.contains("no such folder"))
        let empty = try #require(failure { _ = try PackedFrames(root: folder.path, packing: .sideBySide).items() })
        #expect(empty.0 == .badData && empty.1.contains("no pictures"))
    }

    @Test func brokenAndAmbiguousFilesAreErrorsOfTheirItems() throws {
        try write(picture, folder.file("a.png"))
        let whole = try PNG.encode(picture)
        try AtomicFileWriter.write(Array(whole.prefix(whole.count - 9)), to: folder.file("b.png"))
        try write(picture, folder.file("c.png"))
        try write(picture, folder.file("c.jpg"))
        let items = try PackedFrames(root: folder.path, packing: .sideBySide).items()
        #expect(items.map(\.key) == ["a", "b", "c"])
        _ = try items[0].load()
        #expect(
            try #require(failure { _ = try items[1].load() }).1.contains("b.png: broken PNG: the file ends too early"))
        #expect(try #require(failure { _ = try items[2].load() }).1.contains("same name"))
    }
}

@Suite struct FolderPairsTests {
    private let folder = TemporaryFolder("pairs")

    @Test func namesPairUp() throws {
        let (one, two) = (noise(2, 4, 3, .uint8, seed: 1), noise(2, 4, 3, .uint8, seed: 2))
        try write(one, folder.file("left/x/1.png"))
        try write(two, folder.file("right/x/1.png"))
        try write(map([[1, .infinity, -3, 4], [5, 6, 7, 8]]), folder.file("disparity/x/1.pfm"))
        let record = try #require(try FolderPairs(root: folder.path).items().first).load()
        #expect(record.key == "x/1" && record["left"] == one && record["right"] == two)
        let disparity = try #require(record["disparity"]).withFloats { Array($0) }
        #expect(disparity[0] == 1 && disparity[1].isNaN && disparity[2] == -3)
        let swapped = try FolderPairs(root: folder.path, isSwapped: true).items()[0].load()
        #expect(swapped["left"] == two && swapped["disparity"] == nil)
    }

    @Test func whatDoesNotFitIsNamed() throws {
        try write(gray([[1, 2]]), folder.file("left/a.png"))
        let missing = try #require(failure { _ = try FolderPairs(root: folder.path).items() })
        #expect(missing.0 == .missingInput && missing.1.contains("no sub-folder right"))
        try write(gray([[1, 2], [3, 4]]), folder.file("right/a.png"))
        try write(gray([[1]]), folder.file("right/b.png"))
        try write(gray([[1]]), folder.file("left/c.png"))
        try write(noise(1, 1, 3, .uint8), folder.file("right/c.png"))
        let items = try FolderPairs(root: folder.path).items()
        #expect(items.map(\.key) == ["a", "b", "c"])
        let lines = try items.map { item in try #require(failure { _ = try item.load() }) }
        #expect(lines.allSatisfy { $0.0 == .badData })
        #expect(lines[0].1.contains("right/a.png: 2x2 pixels, but the left view has 2x1"))
        #expect(lines[1].1.contains("right/b.png: nothing of this name in left/"))
        #expect(lines[2].1.contains("3 channels of uint8, but the left view has 1"))
    }
}

@Suite struct KITTITests {
    private let folder = TemporaryFolder("kitti")

    private func truth(_ samples: [UInt16]) -> PixelArray {
        PixelArray(
            height: 1, width: samples.count, channels: 1, element: .uint16, bytes: samples.withUnsafeBytes { Array($0) }
        )
    }

    private func makeTree(
        _ base: String, views: (String, String) = ("image_0", "image_1"), truth name: String = "disp_noc"
    ) throws {
        for key in ["000000_10", "000000_11", "000001_10"] {
            try write(gray([[1, 2, 3]]), "\(base)/\(views.0)/\(key).png")
            try write(gray([[4, 5, 6]]), "\(base)/\(views.1)/\(key).png")
            if key.hasSuffix("_10") { try write(truth([0, 256, 0x1234]), "\(base)/\(name)/\(key).png") }
        }
    }

    @Test func disparityIsTheSampleOver256() throws {
        try makeTree(folder.file("training"))
        for root in [folder.path, folder.file("training")] {
            let items = try KITTI(root: root).items()
            #expect(items.map(\.key) == ["000000_10", "000001_10"])
            let record = try items[0].load()
            #expect(record["left"] == gray([[1, 2, 3]]) && record["right"] == gray([[4, 5, 6]]))
            let disparity = try #require(record["disparity"]).withFloats { Array($0) }
            #expect(disparity[0].isNaN && disparity[1] == 1 && disparity[2] == Float(0x1234) / 256)
        }
    }

    @Test func groundTruthAndColourCanBeChosen() throws {
        try makeTree(folder.path)
        try makeTree(folder.path, views: ("colored_0", "colored_1"), truth: "disp_occ")
        try write(truth([512, 512, 512]), folder.file("disp_occ/000000_10.png"))
        try write(gray([[9, 9, 9]]), folder.file("colored_0/000000_10.png"))
        let first = try KITTI(root: folder.path).items()[0].load()
        #expect(first["disparity"]?.withFloats { $0[1] } == 1 && first["left"]?.bytes == [1, 2, 3])
        let other = try KITTI(root: folder.path, groundTruth: .all, prefersColour: true).items()[0].load()
        #expect(other["disparity"]?.withFloats { $0[1] } == 2 && other["left"]?.bytes == [9, 9, 9])
    }

    @Test func the2015LayoutAndTestingHalves() throws {
        try makeTree(folder.file("training"), views: ("image_2", "image_3"), truth: "disp_occ_0")
        #expect(try KITTI(root: folder.path).items().count == 2)
        for name in ["image_0", "image_1"] { try write(gray([[1]]), folder.file("testing/\(name)/000000_11.png")) }
        let items = try KITTI(root: folder.file("testing")).items()
        #expect(items.map(\.key) == ["000000_11"])
        #expect(try items[0].load()["disparity"] == nil)
    }

    @Test func wrongRootsAndMissingFilesAreNamed() throws {
        let empty = try #require(failure { _ = try KITTI(root: folder.path).items() })
        #expect(empty.0 == .missingInput && empty.1.contains("no sub-folder image_0"))
        #expect(try #require(failure { _ = try KITTI(root: folder.file("no")).items() }).0 == .missingInput)
        try write(gray([[1, 2, 3]]), folder.file("training/image_0/000000_10.png"))
        let half = try #require(failure { _ = try KITTI(root: folder.path).items() })
        #expect(half.0 == .missingInput && half.1.contains("training: no sub-folder image_1"))
        try write(gray([[1, 2]]), folder.file("training/image_1/000000_10.png"))
        try write(truth([1, 2, 3]), folder.file("training/disp_noc/000000_10.png"))
        try write(truth([1, 2, 3]), folder.file("training/disp_noc/000007_10.png"))
        let items = try KITTI(root: folder.path).items()
        #expect(try #require(failure { _ = try items[0].load() }).1.contains("image_1/000000_10.png: 2x1 pixels"))
        #expect(try #require(failure { _ = try items[1].load() }).1.contains("image_0/000007_10.png: not there"))
    }

    @Test func groundTruthOfAnotherSizeIsAnError() throws {
        try makeTree(folder.path)
        try write(truth([1, 2]), folder.file("disp_noc/000001_10.png"))
        let items = try KITTI(root: folder.path).items()
        let (code, line) = try #require(failure { _ = try items[1].load() })
        #expect(code == .badData && line.contains("disp_noc/000001_10.png: 2x1 pixels, but the view has 3x1"))
    }
}

@Suite struct MiddleburyTests {
    private let folder = TemporaryFolder("middlebury")

    @Test func setsAreRecognisedByTheirFiles() throws {
        let view = noise(2, 3, 3, .uint8)
        for (scene, left, right) in [("cones", "im2", "im6"), ("Cloth", "view1", "view5"), ("Bike", "im0", "im1")] {
            try write(view, folder.file("\(scene)/\(left).png"))
            try write(view, folder.file("\(scene)/\(right).png"))
        }
        try write(gray([[0, 4, 8], [12, 16, 20]]), folder.file("cones/disp2.png"))
        try write(gray([[0, 3, 6], [9, 12, 15]]), folder.file("Cloth/disp5.png"))
        try write(map([[.infinity, 1, 2], [3, 4, 5]]), folder.file("Bike/disp0.pfm"))
        let items = try Middlebury(root: folder.path).items()
        #expect(items.map(\.key) == ["Bike", "Cloth", "cones"])
        for (item, field) in zip(items, ["disparity", "disparity_right", "disparity"]) {
            let record = try item.load()
            #expect(record.fields.map(\.name) == ["left", "right", field])
            let values = try #require(record[field]).withFloats { Array($0) }
            #expect(values[0].isNaN && Array(values[1...]) == [1, 2, 3, 4, 5])
        }
        let scaled = try Middlebury(root: folder.file("cones"), disparityScale: 8).items()[0].load()
        #expect(scaled["disparity"]?.withFloats { $0[5] } == 2.5)
    }

    @Test func wrongRootsAreNamed() throws {
        let nothing = try #require(failure { _ = try Middlebury(root: folder.path).items() })
        #expect(nothing.0 == .missingInput && nothing.1.contains("no scene"))
        try write(gray([[1]]), folder.file("cones/im2.png"))
        let items = try Middlebury(root: folder.path).items()
        #expect(try #require(failure { _ = try items[0].load() }).1.contains("im6.png: not there"))
    }
}
