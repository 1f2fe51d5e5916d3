import Basics
import Foundation
import Shards
import TestSupport
import Testing

extension CommandTests {
    /// `convert --layout movie` from outside.
    @Suite(
        .serialized,
        .enabled(
            if: ProcessRunner.find("ffmpeg") != nil && ProcessRunner.find("ffprobe") != nil,
            "ffmpeg is not installed: apt-get install ffmpeg"))
    struct FilmCommands {
        let folder = TemporaryFolder("films")

        private func film(_ name: String, frames: Int = 30) throws {
            let graph =
                "testsrc2=size=400x192:rate=24,trim=end_frame=\(frames),split[a][b];[a]crop=336:192:16:0[l];"
                + "[b]crop=336:192:22:0[r];[l][r]hstack,setsar=1"
            let outcome = try ProcessRunner.run(
                try #require(ProcessRunner.find("ffmpeg")),
                ["-v", "error", "-nostdin", "-filter_complex", graph, "-c:v", "mpeg4", "-q:v", "2"]
                    + ["-f", "matroska", "file:" + folder.file(name)], in: folder.path)
            try #require(outcome.exitCode == 0, "\(outcome.errors)")
        }

        private func convert(_ arguments: String..., environment: [String: String] = [:]) throws
            -> ProcessRunner.Outcome
        {
            try ProcessRunner.run(
                ProcessRunner.product("vergence-shards"), ["convert"] + arguments + ["--layout", "movie"],
                in: folder.path, environment: environment)
        }

        private func content(_ name: String) throws -> [String: [UInt8]] {
            try Files.list(folder.file(name)).reduce(into: [:]) {
                $0[$1] = try Files.read(folder.file(name) + "/" + $1)
            }
        }

        @Test func bytesDoNotDependOnWorkers() throws {
            try FileManager.default.createDirectory(
                atPath: folder.file("films"), withIntermediateDirectories: true)
            for name in ["a.mkv", "b.mkv", "c.mkv"] { try film("films/" + name) }
            for workers in ["1", "2", "4"] {
                let outcome = try convert(
                    "films", "data" + workers, "--rate", "every", "--size", "48x84", "--split", "val=every:3",
                    "--workers", workers)
                #expect(outcome.exitCode == 0, "\(outcome.errors)")
            }
            #expect(try content("data1") == content("data2"))
            #expect(try content("data1") == content("data4"))
            // Whole films are split.
            let data = try DataSet(path: folder.file("data1"))
            #expect(data.count(.train) == 60 && data.count(.val) == 30)
            for index in 0..<30 { #expect(try data.key(.val, index).hasPrefix("c/")) }
        }

        @Test func strangeNamesFromTheCommandLine() throws {
            for (name, argument) in [("-x y.mkv", "./-x y.mkv"), ("100%d\nz.mkv", "100%d\nz.mkv")] {
                try film(name, frames: 5)
                let outcome = try convert(argument, "out \(name.count)", "--rate", "every")
                #expect(outcome.exitCode == 0, "\(outcome.errors)")
                #expect(outcome.output.contains("5 train"))
            }
        }

        @Test func brokenFilmsAreListedAndCounted() throws {
            try FileManager.default.createDirectory(
                atPath: folder.file("films"), withIntermediateDirectories: true)
            try film("films/good.mkv")
            for name in ["bad.mkv", "worse.mp4"] {
                try Data("no film".utf8).write(to: URL(fileURLWithPath: folder.file("films/" + name)))
            }
            let refused = try convert("films", "out", "--rate", "every")
            #expect(refused.exitCode == 65)
            #expect(refused.complaints.contains { $0.contains("bad.mkv: no film") })
            #expect(refused.complaints.contains { $0.contains("worse.mp4: no film") })
            #expect(!Files.exists(folder.file("out")))
            let allowed = try convert("films", "out", "--rate", "every", "--max-bad", "2")
            #expect(allowed.exitCode == 0, "\(allowed.errors)")
            #expect(allowed.output.contains("30 train, 2 left out"), "\(allowed.output)")
        }

        @Test func refusals() throws {
            try film("film.mkv", frames: 3)
            let empty = folder.file("empty")
            try FileManager.default.createDirectory(atPath: empty, withIntermediateDirectories: true)
            let missing = try convert("film.mkv", "out", environment: ["PATH": empty])
            #expect(missing.exitCode == 66)
            #expect(missing.errors.contains("apt-get install ffmpeg"))
            #expect(try convert("nowhere.mkv", "out").exitCode == 66)
            #expect(try convert("empty", "out").exitCode == 65)
            #expect(try convert("film.mkv", "out", "--packing", "mono").exitCode == 64)
            #expect(try convert("film.mkv", "out", "--rate", "0").exitCode == 64)
            #expect(try convert("film.mkv", "out", "--rate", "1", "--scenes").exitCode == 64)
            let other = try ProcessRunner.run(
                ProcessRunner.product("vergence-shards"),
                ["convert", "empty", "out", "--layout", "folders", "--scenes"], in: folder.path)
            #expect(other.exitCode == 64 && other.errors.contains("--scenes is for --layout movie"))
            #expect(!Files.exists(folder.file("out")))
        }
    }
}
