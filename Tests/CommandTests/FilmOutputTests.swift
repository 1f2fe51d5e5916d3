import Basics
import Foundation
import FrameSources
import Glibc
import TestSupport
import Testing

extension CommandTests {
    /// `predict` of films, from outside.
    @Suite(
        .serialized,
        .enabled(
            if: ProcessRunner.find("ffmpeg") != nil && ProcessRunner.find("ffprobe") != nil,
            "ffmpeg is not installed: apt-get install ffmpeg"))
    struct FilmOutput {
        /// A network, a stereo film of 30 frames with sound and subtitles, and folders of pictures.
        static let shared = Result { () throws -> Workspace in
            let workspace = try Workspace()
            try #require(try workspace.train("run", steps: 12).exitCode == 0)
            try workspace.write("1\n00:00:00,100 --> 00:00:00,900\nHello\n", "words.srt")
            try makeFilm(workspace, "film.mkv", frames: 30)
            try FileManager.default.createDirectory(
                atPath: workspace.path("frames"), withIntermediateDirectories: true)
            try ffmpeg(workspace, ["-i", "film.mkv", "-vsync", "passthrough", "-frames:v", "3", "frames/f%02d.png"])
            return workspace
        }

        @discardableResult
        static func ffmpeg(_ workspace: Workspace, _ arguments: [String], program: String = "ffmpeg") throws -> String {
            let outcome = try ProcessRunner.run(
                try #require(ProcessRunner.find(program)),
                ["-v", "error"] + (program == "ffmpeg" ? ["-nostdin", "-y"] : []) + arguments,
                in: workspace.folder.path)
            try #require(outcome.exitCode == 0, "\(outcome.errors)")
            return outcome.output
        }

        /// Side by side, lossless, every third frame two slots long, beginning a tenth of a second after the sound.
        static func makeFilm(_ workspace: Workspace, _ name: String, frames: Int, size: String = "96x64") throws {
            let graph =
                "testsrc2=size=400x64:rate=25,trim=end_frame=\(2 * frames),select='not(eq(mod(n,4),3))',split[a][b];"
                + "[a]crop=96:64:16+n:0[l];[b]crop=96:64:20+n:0[r];[l][r]hstack,scale=\(2 * 96):64,setsar=1,"
                + "setpts=PTS+0.1/TB,trim=end_frame=\(frames)[v]"
            try ffmpeg(
                workspace,
                [
                    "-filter_complex", graph, "-f", "lavfi", "-i", "sine=duration=\(Double(frames) / 20 + 1)", "-i",
                    "words.srt",
                ]
                    + [
                        "-map", "[v]", "-map", "0:a", "-map", "1:s", "-vsync", "passthrough", "-c:v", "ffv1",
                        "-pix_fmt", "bgr0",
                    ]
                    + ["-c:a", "aac", "-c:s", "srt", "-metadata:s:v:0", "stereo_mode=left_right", name])
        }

        private func predict(_ more: String..., input: String = "film.mkv") throws -> ProcessRunner.Outcome {
            try Self.shared.get().vergence(["predict", input, "--checkpoint", "run", "--threads", "1"] + more)
        }

        private func probe(_ name: String, _ entries: String, _ more: [String] = []) throws -> [String] {
            try Self.ffmpeg(
                Self.shared.get(), more + ["-show_entries", entries, "-of", "csv=p=0", name], program: "ffprobe"
            ).split(separator: "\n").map { String($0.last == "," ? $0.dropLast() : $0) }
        }

        /// Times of the pictures, milliseconds after the first sound, and how many can be decoded.
        private func times(_ name: String) throws -> [Int] {
            let sound =
                try probe(name, "packet=pts_time", ["-select_streams", "a:0", "-read_intervals", "%+#1"])
                .first.flatMap { Double($0) } ?? 0
            return try probe(name, "frame=pts_time", ["-select_streams", "v:0"]).compactMap {
                Double($0.prefix { $0 != "," }).map { Int((($0 - sound) * 1000).rounded()) }
            }
        }

        /// Hash of the coded sound.
        private func sound(_ name: String) throws -> String {
            try Self.ffmpeg(Self.shared.get(), ["-i", name, "-map", "0:a", "-c", "copy", "-f", "streamhash", "-"])
        }

        @Test func everyKindOfFilm() throws {
            let workspace = try Self.shared.get()
            let kinds: [(String, String, String?, (Int, Int))] = [
                ("depth", "film_depth", nil, (96, 64)), ("gray", "film_depth_gray", nil, (96, 64)),
                ("gray16", "film_depth_16", nil, (96, 64)), ("view", "film_right_rebuilt", nil, (96, 64)),
                ("sbs", "film_LRF_Full_SBS", "left_right", (192, 64)), ("half-sbs", "film_LR", "left_right", (96, 64)),
                ("tab", "film_TBF_fulltb", "top_bottom", (96, 128)), ("half-tab", "film_TB", "top_bottom", (96, 64)),
                ("anaglyph", "film_redcyan", nil, (96, 64)),
            ]
            let outcome = try predict(
                "--output", "all", "--film", kinds.map(\.0).joined(separator: ","), "--segment-frames", "8")
            try #require(outcome.exitCode == 0, "\(outcome.errors)")
            #expect(workspace.files(below: "all").count == kinds.count)
            let (expected, sound) = (try times("film.mkv"), try sound("film.mkv"))
            #expect(expected.count == 30 && Set(zip(expected, expected.dropFirst()).map { $1 - $0 }) == [40, 80])
            for (kind, name, mode, size) in kinds {
                let file = "all/\(name).mkv"
                #expect(try times(file) == expected, "\(kind)")
                #expect(try self.sound(file) == sound, "\(kind)")
                #expect(try probe(file, "stream=codec_name", ["-select_streams", "s"]) == ["subrip"], "\(kind)")
                #expect(
                    try probe(file, "stream=width,height", ["-select_streams", "v"]).first == "\(size.0),\(size.1)",
                    "\(kind)")
                // ffmpeg's muxer leaves out StereoMode of anaglyphs, which every player shows as they are.
                #expect(
                    try probe(file, "stream_tags=stereo_mode", ["-select_streams", "v"]).first == mode, "\(kind)")
            }
            // Players that do not read the tag see it in the pictures.
            for (name, words) in [("film_LRF_Full_SBS", "side by side"), ("film_TB", "top and bottom")] {
                let side = try probe(
                    "all/\(name).mkv", "frame=side_data_list", ["-select_streams", "v", "-show_frames"])
                #expect(side.joined().contains(words) || side.joined().contains("Stereo 3D"), "\(side.first ?? "")")
            }
            // What was written is read again for what it is: as a stereo film of 30 pairs.
            let again = try workspace.shards(
                "convert", "all/film_LR.mkv", "again", "--layout", "movie", "--rate", "every", "--keep-all")
            #expect(again.exitCode == 0 && again.output.contains("30 train"), "\(again.errors)\(again.output)")
            #expect((again.errors + again.output).contains("side by side (from its label)"), "\(again.errors)")
        }

        /// The film's numbers are those of its frames as pictures.
        @Test func sixteenBitsAreThoseOfPictures() throws {
            let workspace = try Self.shared.get()
            #expect(try predict("--output", "bits", "--film", "gray16", "--smooth", "0").exitCode == 0)
            let pictures = try workspace.vergence(
                "predict", "frames", "--layout", "side-by-side", "--checkpoint", "run", "--output", "pictures",
                "--formats", "png16", "--threads", "1")
            try #require(pictures.exitCode == 0, "\(pictures.errors)")
            try Self.ffmpeg(
                workspace, ["-i", "bits/film_depth_16.mkv", "-vsync", "passthrough", "-frames:v", "3", "bits/%d.png"])
            for number in 1...3 {
                let film = try ImageFile.read(workspace.path("bits/\(number).png"))
                let picture = try ImageFile.read(workspace.path("pictures/f0\(number)_disparity_left_16.png"))
                #expect(film == picture && film.element == .uint16, "\(number)")
            }
        }

        /// A 2D film, by a network that makes the right view of the left one.
        @Test(arguments: ["network", "warped"])
        func flatFilmsBecome3D(views: String) throws {
            let workspace = try Self.shared.get()
            if !workspace.exists("deep") {
                #expect(
                    try workspace.shards("synth", "wide", "--pairs", "8", "--size", "32x64", "--seed", "2").exitCode
                        == 0)
                let trained = try workspace.vergence(
                    "train", "wide", "--run", "deep", "--model", "deep3d", "--set", "width=4", "--set", "fc=16",
                    "--set",
                    "input-height=32", "--set", "input-width=64", "--lanes", "1", "--lane-batch", "2", "--steps", "3",
                    "--threads", "1")
                try #require(trained.exitCode == 0, "\(trained.errors)")
                try Self.ffmpeg(
                    workspace,
                    [
                        "-f", "lavfi", "-i", "testsrc2=size=130x66:rate=24", "-f", "lavfi", "-i", "sine=d=1",
                        "-frames:v", "12",
                    ]
                        + ["-c:v", "ffv1", "-pix_fmt", "bgr0", "-c:a", "aac", "2d.mkv"])
            }
            let outcome = try workspace.vergence(
                "predict", "2d.mkv", "--checkpoint", "deep", "--output", "3d-" + views, "--codec", "ffv1", "--threads",
                "1",
                "--views", views)
            try #require(outcome.exitCode == 0, "\(outcome.errors)")
            let file = "3d-\(views)/2d_LRF_Full_SBS.mkv"
            #expect(try times(file) == times("2d.mkv"))
            #expect(try sound(file) == sound("2d.mkv"))
            #expect(try probe(file, "stream_tags=stereo_mode", ["-select_streams", "v"]).first == "left_right")
            for (name, graph, output) in [
                (file, "crop=130:66:0:0", "left.rgb"), (file, "crop=130:66:130:0", "right.rgb"),
                ("2d.mkv", "null", "own.rgb"),
            ] {
                try Self.ffmpeg(
                    workspace,
                    ["-i", name, "-vf", graph, "-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", output])
            }
            let (left, right, own) = (
                workspace.bytes("left.rgb"), workspace.bytes("right.rgb"), workspace.bytes("own.rgb")
            )
            #expect(left == own && own?.count == 12 * 130 * 66 * 3)
            // Hardly trained, but a picture of the same thing.
            let pairs = zip(try #require(right), try #require(own))
            let difference = pairs.reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) }
            #expect(right != own && Double(difference) / Double(own?.count ?? 1) < 70)
        }

        @Test func otherContainers() throws {
            let expected = try times("film.mkv")
            for (file, subtitles) in [("one.mp4", "mov_text"), ("one.mov", "mov_text")] {
                let outcome = try predict("--output", file, "--film", "sbs")
                try #require(outcome.exitCode == 0, "\(outcome.errors)")
                #expect(try times(file) == expected, "\(file)")
                #expect(try sound(file) == sound("film.mkv"))
                #expect(try probe(file, "stream=codec_name", ["-select_streams", "s"]) == [subtitles])
            }
            // And from there.
            let outcome = try predict("--output", "two.mkv", input: "one.mp4")
            try #require(outcome.exitCode == 0, "\(outcome.errors)")
            #expect(try times("two.mkv") == expected)
            #expect(try probe("two.mkv", "stream=codec_name", ["-select_streams", "s"]) == ["subrip"])
        }

        /// Kills at any moment cost a segment at most, and show nowhere.
        private func killAndResume(_ film: String, _ name: String, kills: Int, _ more: [String]) throws {
            let workspace = try Self.shared.get()
            let command =
                [
                    "predict", film, "--checkpoint", "run", "--threads", "1", "--segment-frames", "16", "--film",
                    "depth,sbs",
                ]
                + more
            let clock = Date()
            let reference = try workspace.vergence(command + ["--output", name + "-whole"])
            try #require(reference.exitCode == 0, "\(reference.errors)")
            let seconds = Date().timeIntervalSince(clock)
            var generator = SystemRandomNumberGenerator()
            var killed = 0
            for kill in 0..<kills {
                let running = try workspace.start(command + ["--output", name, "--resume"])
                if kill == 0 {
                    // One surely comes while it writes.
                    #expect(running.poll { !workspace.files(below: name).isEmpty })
                } else {
                    let moment = Double.random(in: 0...(seconds * 0.6), using: &generator)
                    _ = running.poll(timeoutSeconds: moment) { false }
                }
                if running.isRunning { killed += 1 }
                running.send(SIGKILL)
                _ = running.wait()
            }
            #expect(killed > 0)
            let last = try workspace.vergence(command + ["--output", name, "--resume"])
            #expect(last.exitCode == 0, "\(last.errors)")
            let (made, whole) = (workspace.files(below: name), workspace.files(below: name + "-whole"))
            #expect(made.keys.sorted() == whole.keys.sorted())
            for (file, bytes) in whole { #expect(made[file] == bytes, "\(file)") }
            print("film output: \(killed) of \(kills) runs killed, the same bytes")
        }

        @Test func killedRunsGoOn() throws {
            let workspace = try Self.shared.get()
            try Self.makeFilm(workspace, "longer.mkv", frames: 100)
            try killAndResume("longer.mkv", "killed", kills: 4, [])
        }

        @Test(.enabled(if: LongTests.areWanted, Comment(rawValue: LongTests.hint)))
        func thirtyKills() throws {
            let workspace = try Self.shared.get()
            try Self.makeFilm(workspace, "long.mkv", frames: 400)
            try killAndResume("long.mkv", "long-killed", kills: 30, ["--smooth", "0.9"])
        }

        /// 2,000 frames take the memory of 200.
        @Test(.enabled(if: LongTests.areWanted, Comment(rawValue: LongTests.hint)))
        func memoryDoesNotGrowWithLength() throws {
            let workspace = try Self.shared.get()
            var peaks: [Int] = []
            for frames in [200, 2000] {
                try Self.makeFilm(workspace, "memory\(frames).mkv", frames: frames)
                let running = try workspace.start([
                    "predict", "memory\(frames).mkv", "--checkpoint", "run", "--threads", "1", "--output", "memory",
                    "--film", "depth,sbs",
                ])
                var peak = 0
                _ = running.poll(timeoutSeconds: 600) {
                    let status =
                        (try? String(contentsOfFile: "/proc/\(running.processIdentifier)/status", encoding: .utf8))
                        ?? ""
                    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
                    peak = max(peak, line.flatMap { Int($0.filter(\.isNumber)) } ?? 0)
                    return false
                }
                #expect(running.wait().exitCode == 0)
                #expect(try times("memory/memory\(frames)_depth.mkv").count == frames)
                #expect(try times("memory/memory\(frames)_depth.mkv") == times("memory\(frames).mkv"))
                peaks.append(peak)
            }
            print("film output: peak of 200 frames \(peaks[0]) kB, of 2,000 frames \(peaks[1]) kB")
            #expect(peaks[1] < peaks[0] + 8_000 && peaks[0] > 10_000, "\(peaks)")
        }

        /// Every program that sees a stranger's film opens files and pipes only, has no terminal, and takes names as names.
        @Test func everyCallIsHeldShort() throws {
            let workspace = try Self.shared.get()
            for name in ["ffmpeg", "ffprobe"] {
                let real = try #require(ProcessRunner.find(name))
                let script = "#!/bin/sh\necho \"\(name) $*\" >> \"$CALLS\"\nexec \(real) \"$@\"\n"
                try workspace.write(script, "short/\(name)")
                chmod(workspace.path("short/\(name)"), 0o755)
            }
            try workspace.write(try #require(workspace.bytes("film.mkv")), "-vn,film.mkv")
            let environment = ["PATH": workspace.path("short") + ":/usr/bin:/bin", "CALLS": workspace.path("calls")]
            let predicted = try workspace.vergence(
                [
                    "predict", "./-vn,film.mkv", "--checkpoint", "run", "--output", "short-out", "--film", "depth,sbs",
                    "--threads", "1",
                ], environment: environment)
            #expect(predicted.exitCode == 0, "\(predicted.errors)")
            let converted = try ProcessRunner.run(
                ProcessRunner.product("vergence-shards"),
                ["convert", "./-vn,film.mkv", "short-data", "--layout", "movie"], in: workspace.folder.path,
                environment: environment)
            #expect(converted.exitCode == 0, "\(converted.errors)")
            let calls = try #require(workspace.text("calls")).split(separator: "\n").map { $0.split(separator: " ") }
            #expect(calls.count > 6 && calls.contains { $0[0] == "ffprobe" }, "\(calls.count) calls")
            for call in calls {
                let inputs = zip(call, call.dropFirst()).filter { $0.0 == "-i" }.map(\.1)
                #expect(!inputs.isEmpty && inputs.allSatisfy { $0.hasPrefix("file:") || $0 == "pipe:0" }, "\(call)")
                let lists = zip(call, call.dropFirst()).filter { $0.0 == "-protocol_whitelist" }.map(\.1)
                #expect(lists.count == inputs.count && lists.allSatisfy { $0 == "file,pipe" }, "\(call)")
                #expect(call[0] == "ffprobe" || call.contains("-nostdin"), "\(call)")
                // A name never begins a word: at most our list of segments, which lies beside the film that is made, has it.
                #expect(call.allSatisfy { !$0.contains("-vn,") || $0.hasPrefix("file:short-out/") }, "\(call)")
            }
        }

        @Test func refusals() throws {
            let workspace = try Self.shared.get()
            try workspace.write("no film", "broken.mkv")
            try Self.ffmpeg(
                workspace, ["-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac", "sound.mkv"])
            try Self.ffmpeg(
                workspace,
                ["-f", "lavfi", "-i", "mandelbrot=size=96x64:rate=25", "-frames:v", "40", "-c:v", "mpeg4", "flat.mkv"])
            expectRefusal(try predict("--output", "no", input: "broken.mkv"), 65, "broken.mkv", "no film")
            expectRefusal(try predict("--output", "no", input: "sound.mkv"), 65, "no video in it")
            expectRefusal(try predict("--output", "no", input: "flat.mkv"), 65, "2D film", "deep3d")
            expectRefusal(try predict("--output", "no", input: "none.mkv"), 66, "no such film")
            expectRefusal(try predict("--output", "no", "--film", "dpeth"), 64, "did you mean 'depth'")
            expectRefusal(try predict("--output", "no", "--smooth", "2"), 64, "0…0.95")
            expectRefusal(try predict("--output", "no.mkv", "--film", "depth,sbs"), 64, "give a folder")
            expectRefusal(try predict("--output", "no.avi"), 64, "end the name in .mkv")
            expectRefusal(try predict("--output", "no", "--ply", "--calibration", "1,1"), 64, "for pictures")
            expectRefusal(
                try predict("--output", "no", "--film", "depth", input: "frames"), 64, "none of the inputs is a film")
            expectRefusal(
                try workspace.vergence("predict", "film.mkv", "--checkpoint", "data", "--output", "no"), 66,
                "give a run")
            let bare = try workspace.vergence(
                ["predict", "film.mkv", "--checkpoint", "run", "--output", "no"],
                environment: ["PATH": workspace.path("data")])
            expectRefusal(bare, 66, "apt-get install ffmpeg")
            #expect(!workspace.exists("no"))
            // Sound that MP4 does not hold is found out before the work.
            try Self.ffmpeg(
                workspace,
                ["-i", "film.mkv", "-map", "0:v", "-map", "0:a", "-c:v", "copy", "-c:a", "wavpack", "odd.mkv"])
            expectRefusal(try predict("--output", "odd.mp4", input: "odd.mkv"), 64, "do not fit into mp4", "--no-audio")
            #expect(try predict("--output", "odd.mp4", "--no-audio", input: "odd.mkv").exitCode == 0)
            // What is there stays.
            #expect(try predict("--output", "twice").exitCode == 0)
            let before = workspace.files(below: "twice")
            expectRefusal(try predict("--output", "twice"), 64, "exists; give --overwrite")
            let resumed = try predict("--output", "twice", "--resume")
            #expect(resumed.exitCode == 0 && resumed.output.contains("already there"))
            #expect(workspace.files(below: "twice") == before)
            #expect(try predict("--output", "twice", "--overwrite", "--smooth", "0").exitCode == 0)
            #expect(workspace.files(below: "twice") != before)
        }

        @Test(.enabled(if: SmallDisk.isPossible, Comment(rawValue: SmallDisk.hint)))
        func aFullDiskIsNamedAndTheFilmGoesOn() throws {
            let workspace = try Self.shared.get()
            try Self.makeFilm(workspace, "noisy.mkv", frames: 200)
            let disk = try #require(SmallDisk(below: workspace.folder.path, megabytes: 1))
            let options = ["--film", "gray16,sbs", "--segment-frames", "20", "--codec", "ffv1"]
            let command = ["predict", "noisy.mkv", "--checkpoint", "run", "--threads", "1"] + options
            let full = try workspace.vergence(command + ["--output", "small/out"])
            expectRefusal(full, 74, "no space left", "free some space")
            try FileManager.default.copyItem(atPath: disk.path + "/out", toPath: workspace.path("moved"))
            #expect(try workspace.vergence(command + ["--output", "whole"]).exitCode == 0)
            let resumed = try workspace.vergence(command + ["--output", "moved", "--resume"])
            #expect(resumed.exitCode == 0, "\(resumed.errors)")
            #expect(workspace.files(below: "moved") == workspace.files(below: "whole"))
        }
    }
}
