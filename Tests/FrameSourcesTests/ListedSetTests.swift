import Basics
import FrameSources
import TestSupport
import Testing

private let nan = Float.nan

@Suite struct KITTIRawTests {
    private let tree = Tree("kitti-raw")
    private let drive = "2011_09_26/2011_09_26_drive_0001_sync"

    private func makeTree() throws {
        for number in ["0000000000", "0000000005"] {
            try tree.put(noise(1, 3, 3, .uint8), "\(drive)/image_02/data/\(number).png")
            try tree.put(noise(1, 3, 3, .uint8, seed: 2), "\(drive)/image_03/data/\(number).png")
        }
        try tree.put(
            "calib_time: 09-Jan-2012 13:57:47\nP_rect_02: 700 0 600 42 0 700 170 0 0 0 1 0\n"
                + "P_rect_03: 700 0 600 -329 0 700 170 0 0 0 1 0\n", "2011_09_26/calib_cam_to_cam.txt")
    }

    @Test func everyFrameOfEveryDrive() throws {
        try makeTree()
        let items = try KITTIRaw(root: tree.root).items()
        #expect(
            items.map(\.key) == [
                "2011_09_26_drive_0001_sync/0000000000", "2011_09_26_drive_0001_sync/0000000005",
            ])
        #expect(items.allSatisfy { $0.part == nil && $0.group == drive })
        let record = try items[0].load()
        #expect(record["right"] == noise(1, 3, 3, .uint8, seed: 2))
        // 42 / 700 + 329 / 700 = 0.53 m.
        let rig = values(record, "calibration")
        #expect(rig[0] == 700 && abs(rig[1] - 0.53) < 1e-6 && rig[2] == 0)
    }

    @Test func listsOfBothPublishers() throws {
        try makeTree()
        let other = "2011_09_26/2011_09_26_drive_0002_sync"
        try tree.put(gray([[1]]), "\(other)/image_00/data/0000000069.jpg", "\(other)/image_01/data/0000000069.jpg")
        try tree.put("\(drive) 5 l\n\(drive) 0000000005 r\n", "train.txt")
        try tree.put(
            "\(other)/image_02/data/0000000069.jpg \(other)/image_03/data/0000000069.jpg\n", "test.txt")
        let items = try KITTIRaw(
            root: tree.root,
            lists: [.init(part: .train, path: tree.path("train.txt")), .init(part: .test, path: tree.path("test.txt"))]
        ).items()
        #expect(items.map(\.part) == [.train, .test] && items[0].key.hasSuffix("0001_sync/0000000005"))
        _ = try items[0].load()
        #expect(try #require(failure { _ = try items[1].load() }).1.contains("no P_rect_00: with 12 numbers"))

        try tree.put("\(drive) 5 l\n", "val.txt")
        let twice = try #require(
            failure {
                _ = try KITTIRaw(
                    root: tree.root,
                    lists: [
                        .init(part: .train, path: tree.path("train.txt")),
                        .init(part: .val, path: tree.path("val.txt")),
                    ]
                ).items()
            })
        #expect(twice.0 == .badData && twice.1.contains("is in train too"))
        for (text, problem) in [
            ("../../etc 5 l", "is no line of a split"), ("one\n", "is no line of a split"),
            ("2011_09_26/2011_09_26_drive_0009_sync 1 l", "no sub-folder 2011_09_26/2011_09_26_drive_0009_sync"),
        ] {
            try tree.put(text, "bad.txt")
            let list = PartList(part: .train, path: tree.path("bad.txt"))
            let (_, line) = try #require(failure { _ = try KITTIRaw(root: tree.root, lists: [list]).items() })
            #expect(line.contains(problem))
        }
    }

    @Test func depthOfTheBenchmark() throws {
        try makeTree()
        try tree.put(
            words([256, 0, 25600]),
            "depth/train/2011_09_26_drive_0001_sync/proj_depth/groundtruth/image_02/0000000005.png")
        let items = try KITTIRaw(root: tree.root).items()
        #expect(try items[0].load()["depth"] == nil)
        let record = try items[1].load()
        #expect(same(values(record, "depth"), [1, nan, 100]))
        let disparity = values(record, "disparity")
        #expect(abs(disparity[0] - 371) < 1e-3 && disparity[1].isNaN && abs(disparity[2] - 3.71) < 1e-5)
    }

    @Test func wrongRootsAreNamed() throws {
        let empty = try #require(failure { _ = try KITTIRaw(root: tree.root).items() })
        #expect(empty.0 == .missingInput && empty.1.contains("no sub-folder named like 2011_09_26"))
        try tree.put(gray([[1]]), "\(drive)/image_02/data/0000000000.png")
        let rig = try #require(failure { _ = try KITTIRaw(root: tree.root).items() })
        #expect(rig.0 == .missingInput && rig.1.contains("2011_09_26: no calib_cam_to_cam.txt"))
        try tree.put("", "2011_09_26/calib_cam_to_cam.txt")
        let half = try #require(failure { _ = try KITTIRaw(root: tree.root).items() })
        #expect(half.1.contains("no sub-folder image_03/data"))
        let inner = try #require(failure { _ = try KITTIRaw(root: tree.path("2011_09_26")).items() })
        #expect(inner.1.contains("give the folder above this one"))
    }
}

@Suite struct ListFileTests {
    private let tree = Tree("list")

    @Test func pairsAndMapsRelativeToAFolder() throws {
        try tree.put(gray([[1, 2]]), "training/image_2/000000_10.png")
        try tree.put(gray([[3, 4]]), "training/image_3/000000_10.png")
        try tree.put(words([0, 384]), "training/disp_occ_0/000000_10.png")
        let line = "training/image_2/000000_10.png training/image_3/000000_10.png training/disp_occ_0/000000_10.png"
        try tree.put("# KITTI 2015\n\n\(line)\r\n", "filenames/train.txt")
        let path = tree.path("filenames/train.txt")
        let record = try ListFile(path: path, root: tree.root).items()[0].load()
        #expect(record.key == "training/image_2/000000_10" && record["right"]?.bytes == [3, 4])
        #expect(same(values(record, "disparity"), [nan, 1.5]))
        // Relative to the list itself, nothing is there.
        let lost = try ListFile(path: path).items()[0]
        #expect(try #require(failure { _ = try lost.load() }).1.contains("000000_10.png: not there"))
    }

    @Test func mapsByTheirKind() throws {
        try tree.put(gray([[1, 2]]), "l.png", "r.png")
        try tree.put(map([[-7.25, .infinity]]), "d.pfm")
        try tree.put(gray([[0, 30]]), "d.png")
        try tree.put("l.png r.png d.pfm\n", "a.txt")
        #expect(same(values(try ListFile(path: tree.path("a.txt")).items()[0].load(), "disparity"), [-7.25, nan]))
        try tree.put("l.png r.png d.png\n", "b.txt")
        let unknown = try ListFile(path: tree.path("b.txt")).items()[0]
        #expect(try #require(failure { _ = try unknown.load() }).1.contains("give --disparity-scale"))
        let known = try ListFile(path: tree.path("b.txt"), disparityScale: 3).items()[0].load()
        #expect(same(values(known, "disparity"), [nan, 10]))
    }

    @Test func badLinesAreNamed() throws {
        for (text, problem) in [
            ("l.png\n", "has 1 words"), ("l.png r.png\nm.png n.png d.png\n", "has 3 words"),
            ("../l.png r.png\n", "leaves the folder"), ("/l.png r.png\n", "leaves the folder"),
            ("l.png r.png\nl.jpg s.png\n", "names l twice"), ("# nothing\n", "names no pair"), ("a\0b c\n", "no text"),
        ] {
            try tree.put(text, "bad.txt")
            let (code, line) = try #require(failure { _ = try ListFile(path: tree.path("bad.txt")).items() })
            #expect(code == .badData && line.contains(problem), "\(line)")
        }
        #expect(try #require(failure { _ = try ListFile(path: tree.path("no")).items() }).0 == .missingInput)
        #expect(try #require(failure { _ = try ListFile(path: tree.root).items() }).1.contains("is a folder"))
    }
}

@Suite struct OverlayTests {
    private let tree = Tree("overlay")

    private func makeTree() throws {
        for name in ["bg001", "bg002"] { try tree.put(noise(2, 2, 3, .uint8), "bg/\(name).png") }
        for name in ["bg001_fg1", "bg002_fg1", "bg001_fg2"] {
            try tree.put(noise(2, 2, 3, .uint8, seed: 2), "bg_fg/\(name).png")
            try tree.put(gray([[0, 255], [7, 0]]), "bg_fg_mask/\(name)_mask.png")
            // Saved as colour, but gray.
            let depth = [(UInt8(0), UInt8(0), UInt8(0)), (51, 51, 51)]
            try tree.put(rgb([depth, depth]), "bg_fg_depth_map/\(name)_depth.png")
        }
        try tree.put(
            ["bg001_fg1", "bg002_fg1", "bg001_fg2"].map { "\($0.prefix(5))\t\($0)\t\($0)_mask\t\($0)_depth.png\n" }
                .joined(), "file_map.txt")
    }

    @Test func fourFields() throws {
        try makeTree()
        let items = try Overlays(root: tree.root).items()
        #expect(items.map(\.key) == ["bg001_fg1", "bg002_fg1", "bg001_fg2"] && items.allSatisfy { $0.group == nil })
        let record = try items[0].load()
        #expect(record.fields.map(\.name) == ["background", "image", "mask", "depth"])
        #expect(record["background"] == noise(2, 2, 3, .uint8) && record["mask"]?.bytes == [0, 255, 7, 0])
        #expect(values(record, "depth") == [0, 0.2, 0, 0.2])
        let grouped = try Overlays(root: tree.root, keepsBackgroundsTogether: true).items()
        #expect(grouped.map(\.group) == ["bg001", "bg002", "bg001"])
    }

    @Test func whatIsMissingOrOddIsNamed() throws {
        try makeTree()
        try tree.put(rgb([[(1, 2, 3), (1, 1, 1)], [(1, 1, 1), (1, 1, 1)]]), "bg_fg_depth_map/bg001_fg1_depth.png")
        try tree.put(gray([[1, 2, 3]]), "bg_fg_mask/bg002_fg1_mask.png")
        try tree.put(
            "bg001\tbg001_fg1\tbg001_fg1_mask\tbg001_fg1_depth\nbg002\tbg002_fg1\tbg002_fg1_mask\tbg002_fg1_depth\n"
                + "bg009\tbg001_fg2\tbg001_fg2_mask\tbg001_fg2_depth\n", "file_map.txt")
        let items = try Overlays(root: tree.root).items()
        let lines = try items.map { item in try #require(failure { _ = try item.load() }).1 }
        #expect(lines[0].contains("is in colour; a depth map is gray"))
        #expect(lines[1].contains("3x1 pixels, but the view has 2x2"))
        #expect(lines[2].contains("bg/bg009.jpeg: not there"))
        try tree.put("a\tb\tc\n", "file_map.txt")
        #expect(try #require(failure { _ = try Overlays(root: tree.root).items() }).1.contains("is not four names"))
        try tree.put("../a\tb\tc\td\n", "file_map.txt")
        #expect(try #require(failure { _ = try Overlays(root: tree.root).items() }).1.contains("is not four names"))
        let empty = try #require(failure { _ = try Overlays(root: tree.path("bg")).items() })
        #expect(empty.0 == .missingInput && empty.1.contains("no sub-folder bg;"))
    }
}

@Suite struct MovieFolderTests {
    private let tree = Tree("inria")

    private func put(_ value: UInt8, _ name: String) throws {
        try Files.createFolder(tree.path("frames/1"))
        try AtomicFileWriter.write(try JPEG.encode(gray([[value, value]]), quality: 100), to: tree.path(name))
    }

    @Test func theRightViewHasAnEndingMore() throws {
        let empty = try #require(failure { _ = try MovieFolders(root: tree.root).items() })
        #expect(empty.0 == .missingInput && empty.1.contains("no sub-folder frames"))
        for (value, name) in [(UInt8(10), "0001.jpg"), (20, "0001.jpg.right"), (30, "0002.jpg.right")] {
            try put(value, "frames/1/" + name)
        }
        let items = try MovieFolders(root: tree.root).items()
        #expect(items.map(\.key) == ["1/0001", "1/0002"] && items.map(\.group) == ["1", "1"])
        let record = try items[0].load()
        #expect(record["left"]?.bytes == [10, 10] && record["right"]?.bytes == [20, 20])
        #expect(try #require(failure { _ = try items[1].load() }).1.contains("0002.jpg: not there"))
        let swapped = try MovieFolders(root: tree.path("frames"), isSwapped: true).items()[0].load()
        #expect(swapped["left"]?.bytes == [20, 20])
    }
}
