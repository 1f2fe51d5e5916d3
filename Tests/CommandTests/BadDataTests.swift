import Basics
import Foundation
import FrameSources
import Shards
import TestSupport
import Testing

extension CommandTests {
    /// Broken pictures, data sets and checkpoints: one line that names the file, the documented exit code, nothing
    /// half-written.
    @Suite(.serialized) struct BadData {
        static let trained = Result { () throws -> Workspace in
            let workspace = try Workspace()
            let outcome = try workspace.train("run", steps: 2)
            try #require(outcome.exitCode == 0, "\(outcome.errors)")
            return workspace
        }
        static let best = "run/checkpoints/best.safetensors"

        private func picture(_ height: Int, _ width: Int) -> PixelArray {
            PixelArray(
                height: height, width: width, channels: 3, element: .uint8,
                bytes: (0..<(height * width * 3)).map { UInt8(truncatingIfNeeded: $0 &* 7 ^ $0 >> 5) })
        }

        private func put(_ workspace: Workspace, _ name: String, _ height: Int, _ width: Int) throws {
            let path = workspace.path(name)
            try FileManager.default.createDirectory(
                atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
            try ImageFile.write(picture(height, width), to: path)
        }

        /// Both programs read the folder; both must refuse it and leave nothing.
        private func expectRefused(
            _ folder: String, layout: String, _ exitCode: Int32, _ words: [String], size: [String] = [],
            complaints: Int = 2, sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let workspace = try Self.trained.get()
            let before = workspace.files()
            let converted = try workspace.shards("convert", folder, "\(folder).data", "--layout", layout)
            #expect(
                !converted.timedOut && converted.exitCode == exitCode, "\(converted.errors)",
                sourceLocation: sourceLocation)
            // Every broken input has its line, and a last one sums up.
            #expect(converted.complaints.count == complaints, "\(converted.errors)", sourceLocation: sourceLocation)
            let predicted = try workspace.vergence(
                "predict", folder, "--layout", layout, "--checkpoint", Self.best, "--output", "\(folder).maps")
            expectRefusal(predicted, exitCode, sourceLocation: sourceLocation)
            for word in words {
                #expect(converted.errors.contains(word), "\(converted.errors)", sourceLocation: sourceLocation)
                #expect(predicted.errors.contains(word), "\(predicted.errors)", sourceLocation: sourceLocation)
            }
            let left = workspace.files().keys.filter { before[$0] == nil }
            #expect(left.isEmpty, "left behind: \(left)", sourceLocation: sourceLocation)
        }

        @Test func oddSideBySide() throws {
            let workspace = try Self.trained.get()
            try put(workspace, "odd/a.png", 32, 97)
            try expectRefused("odd", layout: "side-by-side", 65, ["odd/a.png: odd width 97"])
            try put(workspace, "odd-height/a.png", 33, 48)
            try expectRefused("odd-height", layout: "top-bottom", 65, ["odd height 33"])
        }

        @Test func truncatedPNG() throws {
            let workspace = try Self.trained.get()
            try put(workspace, "cut/a.png", 32, 96)
            let whole = try #require(workspace.bytes("cut/a.png"))
            for count in [0, 7, 20, whole.count / 2, whole.count - 13] {
                try workspace.write(whole.prefix(count), "cut/a.png")
                try expectRefused("cut", layout: "side-by-side", 65, ["cut/a.png"])
            }
            try workspace.write("no picture", "cut/a.png")
            try expectRefused("cut", layout: "side-by-side", 65, ["cut/a.png"])
        }

        @Test func unlikeViews() throws {
            let workspace = try Self.trained.get()
            try put(workspace, "unlike/left/a.png", 32, 48)
            try put(workspace, "unlike/right/a.png", 32, 64)
            try expectRefused("unlike", layout: "folders", 65, ["unlike/right/a.png", "64x32", "48x32"])
            try put(workspace, "alone/left/a.png", 32, 48)
            try put(workspace, "alone/right/b.png", 32, 48)
            try expectRefused("alone", layout: "folders", 65, ["alone/left/a.png"], complaints: 3)
        }

        @Test func foldersWithoutPictures() throws {
            let workspace = try Self.trained.get()
            try FileManager.default.createDirectory(atPath: workspace.path("empty"), withIntermediateDirectories: true)
            try expectRefused("empty", layout: "side-by-side", 65, ["empty: no pictures"], complaints: 1)
            try expectRefused("nowhere", layout: "side-by-side", 66, ["nowhere: no such"], complaints: 1)
        }

        @Test func dataSetsThatAreNone() throws {
            let workspace = try Self.trained.get()
            try workspace.write("hello", "plain/readme.txt")
            for command in [["train", "plain", "--run", "new"], ["evaluate", "plain", "--checkpoint", Self.best]] {
                expectOnlyRefusal(try workspace.vergence(command), 66, "plain", "no manifest.json")
            }
            for text in ["", "{}", "[1]", "{\"version\": 99}", String(repeating: "[", count: 100_000)] {
                try workspace.write(text, "plain/manifest.json")
                expectOnlyRefusal(try workspace.vergence("train", "plain", "--run", "new"), 65, "plain/manifest.json")
            }
            #expect(!workspace.exists("new"))
        }

        @Test(arguments: ["24x48", "32x40"]) func sizesThatDoNotHalveFourTimes(size: String) throws {
            let workspace = try Workspace(pairs: 10, size: size)
            let outcome = try workspace.train("new", lanes: 2)
            expectOnlyRefusal(outcome, 65, "multiples of 16")
            #expect(!workspace.exists("new"))
        }

        /// The place of a record's bytes in a shard, found by looking for where training complains.
        private func flip(_ workspace: Workspace) throws -> String {
            let shard = try #require(workspace.files(below: "data").keys.filter { $0.contains("train") }.sorted().first)
            var bytes = try #require(workspace.bytes("data/\(shard)"))
            bytes[bytes.count / 2] ^= 0x10
            try workspace.write(bytes, "data/\(shard)")
            return shard
        }

        @Test func flippedByteStopsTraining() throws {
            let workspace = try Workspace()
            let shard = try flip(workspace)
            let outcome = try workspace.train("new")
            expectRefusal(outcome, 65, shard, "record ")
            let ranks = try workspace.train("new3", ["--threads", "1", "--ranks", "3"])
            expectRefusal(ranks, 65, shard, "record ", "rank ")
            for run in ["new", "new3"] {
                #expect(workspace.files(below: run).keys.allSatisfy { !$0.contains(".partial") })
            }
        }

        @Test(.enabled(if: Workspace.mpirun != nil, "mpirun is not installed"), arguments: [2, 4])
        func flippedByteStopsAllRanks(ranks: Int) throws {
            let workspace = try Workspace()
            let shard = try flip(workspace)
            let outcome = try workspace.mpirun(ranks, Workspace.training("new", Workspace.oneThread))
            expectRefusal(outcome, 65, shard, "record ")
            #expect(outcome.complaints.first?.hasPrefix("rank ") == true, "\(outcome.errors)")
        }

        /// Whoever comes upon the damage takes the same record instead: the same bytes on any number of ranks.
        @Test func aDamagedRecordIsReplaced() throws {
            let workspace = try Workspace()
            let shard = try flip(workspace)
            let options = ["--threads", "1", "--mirror", "--max-bad-records", "1", "--validate-every", "2"]
            let one = try workspace.train("one", options)
            #expect(one.exitCode == 0, "\(one.errors)")
            #expect(one.errors.contains("bad record 1 of at most 1"), "\(one.errors)")
            #expect(one.errors.contains(shard) && one.errors.contains("stands in for it"), "\(one.errors)")
            #expect(one.errors.contains("1 damaged training records were replaced"), "\(one.errors)")
            // 30 steps of 8 are six epochs of 40: its turn came six times.
            let rows = try #require(workspace.text("one/bad_records.csv")).split(separator: "\n").dropFirst()
            #expect(rows.count == 6 && rows.allSatisfy { $0.contains(shard) }, "\(rows)")
            let columns = rows.map { $0.split(separator: ",").map(String.init) }
            #expect(columns.map { $0[1] } == (1...6).map(String.init))
            #expect(Set(columns.map { $0[3] }).count == 1 && Set(columns.map { $0[4] }).count > 2)
            let checkpoint = try #require(workspace.checkpoint("one"))
            let four = try workspace.train("four", options + ["--ranks", "4"])
            #expect(four.exitCode == 0 && four.errors.contains("stands in for it"), "\(four.errors)")
            #expect(workspace.checkpoint("four") == checkpoint)
            #expect(workspace.text("four/bad_records.csv")?.split(separator: "\n").count == 7)
            if Workspace.mpirun != nil {
                let ranks = try workspace.mpirun(4, Workspace.training("ranks", options))
                #expect(ranks.exitCode == 0, "\(ranks.errors)")
                #expect(workspace.checkpoint("ranks") == checkpoint)
            }
            // Cut in the middle and continued on three.
            #expect(try workspace.train("cut", steps: 17, options).exitCode == 0)
            let resumed = try workspace.vergence(
                "train", "data", "--run", "cut", "--resume", "--steps", "30", "--ranks", "3")
            #expect(resumed.exitCode == 0, "\(resumed.errors)")
            #expect(workspace.checkpoint("cut") == checkpoint)
            #expect(workspace.text("cut/bad_records.csv")?.split(separator: "\n").count == 7)
        }

        @Test func tooManyDamagedRecords() throws {
            let workspace = try Workspace()
            let shard = try flip(workspace)
            var bytes = try #require(workspace.bytes("data/\(shard)"))
            bytes[bytes.count / 5] ^= 1
            try workspace.write(bytes, "data/\(shard)")
            for ranks in ["1", "3"] {
                let outcome = try workspace.train(
                    "new\(ranks)", ["--threads", "1", "--max-bad-records", "1", "--ranks", ranks])
                expectRefusal(outcome, 65, "2 damaged training records, 1 allowed", shard, "--max-bad-records")
            }
            #expect(try workspace.train("two", ["--threads", "1", "--max-bad-records", "2"]).exitCode == 0)
        }

        @Test func checkpointsOfOthers() throws {
            let workspace = try Self.trained.get()
            let whole = try #require(workspace.bytes(Self.best))
            let cases: [(Data, String)] = [
                (Data(), "empty"), (whole.prefix(4), "short"), (whole.prefix(whole.count / 2), "half"),
                (Data(repeating: 0xFF, count: 64), "ones"), (Data("no checkpoint at all".utf8), "text"),
            ]
            for (data, name) in cases {
                try workspace.write(data, "\(name).safetensors")
                let file = "\(name).safetensors"
                expectOnlyRefusal(
                    try workspace.vergence("evaluate", "data", "--checkpoint", file), 65, file)
                expectOnlyRefusal(
                    try workspace.vergence("export", "--checkpoint", file, "--output", "out.safetensors"), 65, file)
            }
            expectOnlyRefusal(try workspace.vergence("evaluate", "data", "--checkpoint", "none"), 66, "none")
            expectOnlyRefusal(
                try workspace.vergence("evaluate", "data", "--checkpoint", Self.best, "--set", "width=8"), 64,
                "width=8", "width=4")
            // Weights that do not say what they are, read as another width.
            let exported = try workspace.vergence("export", "--checkpoint", Self.best, "--output", "w.safetensors")
            #expect(exported.exitCode == 0)
            let other = try workspace.vergence(
                "evaluate", "data", "--checkpoint", "w.safetensors", "--set", "width=8", "--set", "levels=8",
                "--size", "32x48")
            expectOnlyRefusal(other, 65, "w.safetensors")
            #expect(!workspace.exists("out.safetensors"))
            expectOnlyRefusal(
                try workspace.vergence("export", "--checkpoint", Self.best, "--output", "nowhere/w.safetensors"), 74,
                "nowhere/w.safetensors")
        }
    }
}
