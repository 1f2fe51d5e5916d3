import Basics
import Foundation
import FrameSources
import Shards
import TestSupport
import Testing

extension CommandTests {
    /// Published layouts through the tool: parts, groups, calibration, and options that belong elsewhere.
    @Suite struct DataSetTests {
        private let folder = TemporaryFolder("layouts")

        private func convert(_ arguments: String...) throws -> ProcessRunner.Outcome {
            try ProcessRunner.run(
                ProcessRunner.product("vergence-shards"), ["convert"] + arguments, in: folder.path)
        }

        private func put(_ array: PixelArray, _ names: String...) throws {
            for name in names {
                try Files.createFolder(folder.file(name.split(separator: "/").dropLast().joined(separator: "/")))
                try ImageFile.write(array, to: folder.file(name))
            }
        }

        private let picture = PixelArray(zerosOf: 4, 8, 3, .uint8)
        private let truth = PixelArray(height: 4, width: 8, channels: 1, floats: [Float](repeating: 6, count: 32))

        @Test func partsOfThePublisherStayAndScenesAreNotTorn() throws {
            for scene in ["TRAIN/A/0000", "TRAIN/A/0001", "TRAIN/B/0002", "TRAIN/C/0003", "TEST/A/0000"] {
                for frame in ["0006", "0007"] {
                    for side in ["left", "right"] {
                        try put(picture, "ft/frames_finalpass/\(scene)/\(side)/\(frame).png")
                        try put(truth, "ft/disparity/\(scene)/\(side)/\(frame).pfm")
                    }
                }
            }
            let outcome = try convert(
                "ft", "ft.data", "--layout", "sceneflow", "--split", "val=every:4", "--size", "2x4", "--workers", "2")
            try #require(outcome.exitCode == 0, "\(outcome.errors)")
            let data = try DataSet(path: folder.file("ft.data"))
            #expect(data.count(.train) == 6 && data.count(.val) == 2 && data.count(.test) == 2)
            #expect(try (0..<2).map { try data.key(.val, $0) } == ["TRAIN/C/0003/0006", "TRAIN/C/0003/0007"])
            let record = try data.record(.test, 1)
            #expect(record.key == "TEST/A/0000/0007")
            // Half the width: half the disparity and half the focal length; the baseline stays.
            #expect(record["disparity"]?.withFloats { Array($0) } == [Float](repeating: 3, count: 8))
            #expect(record["calibration"]?.withFloats { Array($0) } == [525, 1, 0])
            #expect(data.manifest.provenance["pass"] == "final")
            let shown = try ProcessRunner.run(
                ProcessRunner.product("vergence-shards"), ["show", "ft.data", "--record", "0", "-o", "a.png"],
                in: folder.path)
            #expect(shown.exitCode == 0 && shown.output.contains("focal length 525.0 px, baseline 1.0 m"))
            #expect(DataSet.verify(path: folder.file("ft.data")).isEmpty)
        }

        @Test func aSplitThatTakesNothingSaysSo() throws {
            for name in ["clean_left", "clean_right", "occlusions", "outofframe"] {
                let array = name.hasPrefix("clean") ? picture : PixelArray(zerosOf: 4, 8, 1, .uint8)
                try put(array, "sintel/training/\(name)/alley_1/frame_0001.png")
            }
            try put(picture, "sintel/training/disparities/alley_1/frame_0001.png")
            let outcome = try convert(
                "sintel", "s.data", "--layout", "sintel", "--pass", "clean", "--split", "val=0.1")
            #expect(outcome.exitCode == 0)
            #expect(outcome.errors.contains("--split val=0.1 takes nothing of 1 groups"))
        }

        @Test(arguments: [
            (["--layout", "kitti", "--pass", "clean"], "--pass is for --layout sceneflow and sintel, not kitti"),
            (["--layout", "eth3d", "--colour"], "--colour is for --layout kitti, not eth3d"),
            (
                ["--layout", "folders", "--disparity-scale", "4"],
                "--disparity-scale is for --layout middlebury and list"
            ),
            (["--layout", "sintel", "--list", "val=a.txt"], "--list is for --layout kitti-raw and nyu, not sintel"),
            (["--layout", "nyu", "--swap-eyes"], "--swap-eyes makes no sense with --layout nyu"),
            (["--layout", "kitti-raw", "--list", "a.txt"], "--list"),
            (["--layout", "middleburry"], "middleburry"),
        ])
        func optionsOfOtherLayoutsAreRefused(_ arguments: [String], _ complaint: String) throws {
            let outcome = try ProcessRunner.run(
                ProcessRunner.product("vergence-shards"), ["convert", "in", "out"] + arguments, in: folder.path)
            #expect(outcome.exitCode == 64 && outcome.complaints.count == 1, "\(outcome.errors)")
            #expect(outcome.errors.contains(complaint), "\(outcome.errors)")
        }

        @Test func wrongRootsSayWhatIsMissing() throws {
            try FileManager.default.createDirectory(
                atPath: folder.file("empty"), withIntermediateDirectories: true)
            for (layout, missing) in [
                ("kitti-raw", "no sub-folder named like 2011_09_26"), ("eth3d", "no sub-folder two_view_training"),
                ("sceneflow", "no sub-folder FlyingThings3D"), ("sintel", "no sub-folder final_left"),
                ("nyu", "no data/nyu2_train.csv"), ("overlay", "no sub-folder bg;"), ("tartanair", "no sub-folder"),
                ("fallingthings", "no sub-folder"),
            ] {
                let outcome = try convert("empty", "out", "--layout", layout)
                #expect(outcome.exitCode == 66 && outcome.errors.contains(missing), "\(layout): \(outcome.errors)")
            }
        }
    }
}
