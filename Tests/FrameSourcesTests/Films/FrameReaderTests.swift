import Basics
import Foundation
import Glibc
import TestSupport
import Testing

@testable import FrameSources

@Suite(.serialized, .enabled(if: FilmTools.areThere, FilmTools.areMissing)) struct FrameReaderTests {
    let clips = Clips()

    private func count(_ reader: FrameReader) throws -> [FilmFrame] {
        var frames: [FilmFrame] = []
        while let frame = try reader.next() { frames.append(frame) }
        return frames
    }

    @Test func everyFrameWithItsPixels() throws {
        try clips.run(
            ["-filter_complex", Clips.views(30) + "[r]nullsink;[l]null"] + Clips.lossless, to: "one.mkv")
        let expected = try clips.expected("l", frames: 30)
        let frames = try count(FrameReader(clips.info("one.mkv")))
        #expect(frames.map(\.number) == Array(0..<30))
        for (frame, pixels) in zip(frames, expected) {
            #expect(sameBytes(frame.picture.bytes, pixels), "frame \(frame.number)")
        }
        for frame in frames { #expect(abs(frame.seconds - Double(frame.number) / 24) < 0.001) }
    }

    /// Uneven times: frame n at n · (n + 1) / 48 seconds. What a rate takes follows from the times alone.
    @Test(arguments: [0.5, 1, 2, 5, 24, 1000]) func unevenFrameRates(_ rate: Double) throws {
        try clips.run(
            ["-filter_complex", Clips.views(42) + "[r]nullsink;[l]setpts=N*(N+1)/2", "-fps_mode", "passthrough"]
                + Clips.lossless, to: "uneven.mkv")
        // Matroska rounds to milliseconds.
        let times = (0..<42).map { (number: Int) -> Double in
            let exact = Double(number * (number + 1)) / 48
            return (exact * 1000).rounded() / 1000
        }
        var expected: [Double] = []
        for time in times {
            // A frame at most two milliseconds early for its slot is in it.
            let tolerance = min(0.002, 0.25 / rate)
            func slot(_ time: Double) -> Double { ((time + tolerance) * rate).rounded(.down) }
            if expected.isEmpty || slot(time) > slot(expected[expected.count - 1]) { expected.append(time) }
        }
        let frames = try count(FrameReader(clips.info("uneven.mkv"), sampling: .rate(rate)))
        let found = frames.map { Int(($0.seconds * 1000).rounded()) }
        let wanted = expected.map { Int(($0 * 1000).rounded()) }
        #expect(found == wanted)
        if rate == 1000 { #expect(frames.count == 42) }
    }

    /// Frames nearer to each other than the nominal rate has them are no damage.
    @Test func closeFramesAreWhole() throws {
        try clips.run(
            [
                "-filter_complex",
                Clips.views(42)
                    + "[r]nullsink;[l]settb=1/1000,setpts='(N/24+0.015*sin(N*2.1)+if(gt(N,20),0.03,0))/TB'",
                "-fps_mode", "passthrough", "-enc_time_base", "1/1000",
            ] + Clips.lossless, to: "close.mkv")
        let reader = try FrameReader(clips.info("close.mkv"))
        let frames = try count(reader)
        #expect(frames.count == 42 && reader.errorCount == 0, "\(reader.firstError)")
        let times = frames.map(\.seconds)
        #expect(zip(times, times.dropFirst()).allSatisfy { $0 < $1 })
    }

    @Test func scenesBeginWithCuts() throws {
        try clips.run(
            [
                "-filter_complex",
                "color=red:s=64x48:r=24:d=1[a];testsrc=s=64x48:r=24:d=1[b];mandelbrot=s=64x48:r=24,trim=end_frame=24[c];"
                    + "[a][b][c]concat=n=3,format=gbrp",
            ] + Clips.lossless, to: "scenes.mkv")
        let frames = try count(FrameReader(clips.info("scenes.mkv"), sampling: .scenes))
        #expect(frames.map { ($0.seconds * 24).rounded() } == [0, 24, 48])
    }

    @Test func strangeNames() throws {
        let made = try clips.stereo("plain.mkv", frames: 5)
        for name in [
            "-i.mkv", "two words.mkv", "line\nend.mkv", "100%03d.mkv", "http:x.mkv", "a'b\"c;$(x)|.mkv", "Ünï.mkv",
        ] {
            let path = clips.path(name)
            try FileManager.default.copyItem(atPath: made, toPath: path)
            let info = try FilmInfo(path: path, tools: try #require(FilmTools.tools))
            #expect(try count(FrameReader(info)).count == 5, "\(name)")
        }
        // Relative, so that nothing is in front of the dash.
        let before = FileManager.default.currentDirectoryPath
        #expect(FileManager.default.changeCurrentDirectoryPath(clips.folder.path))
        defer { _ = FileManager.default.changeCurrentDirectoryPath(before) }
        let info = try FilmInfo(path: "-i.mkv", tools: try #require(FilmTools.tools))
        #expect(try count(FrameReader(info)).count == 5)
    }

    @Test func whatIsNoFilm() throws {
        let tools = try #require(FilmTools.tools)
        func refused(_ path: String) throws -> (ExitCode, String) {
            try #require(failure { _ = try FilmInfo(path: path, tools: tools) })
        }
        #expect(try refused(clips.path("none.mkv")).0 == .missingInput)
        #expect(try refused(clips.write([], to: "empty.mkv")).1.contains("empty"))
        #expect(try refused(clips.write(Array("hello".utf8), to: "text.mkv")).0 == .badData)
        #expect(try refused(clips.folder.path).1.contains("no regular file"))
        mkfifo(clips.path("pipe.mkv"), 0o600)
        #expect(try refused(clips.path("pipe.mkv")).1.contains("no regular file"))
        let made = try clips.stereo("film.mp4", coding: ["-c:v", "mpeg4"])
        let cut = try clips.write(Array(try Files.read(made).prefix(3000)), to: "cut.mp4")
        #expect(try refused(cut).0 == .badData)
        let sound = try clips.run(["-f", "lavfi", "-i", "sine=d=0.2"], to: "sound.wav")
        #expect(try refused(sound).1.contains("no video"))
        // A list of other files might name any.
        let list = try clips.write(
            Array("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n\(made)\n#EXT-X-ENDLIST\n".utf8), to: "list.mkv")
        #expect(try refused(list).0 == .badData)
        let concat = try clips.write(Array("ffconcat version 1.0\nfile film.mp4\n".utf8), to: "concat.mkv")
        #expect(try refused(concat).0 == .badData)
    }

    @Test func damageIsCounted() throws {
        let made = try clips.stereo(
            "film.mkv", frames: 60, coding: ["-c:v", "mpeg4", "-q:v", "3", "-g", "12"])
        let whole = try count(FrameReader(clips.info("film.mkv"))).count
        #expect(whole == 60)
        var bytes = try Files.read(made)
        let cut = try clips.write(Array(bytes.prefix(bytes.count / 2)), to: "cut.mkv")
        for place in stride(from: bytes.count / 3, to: bytes.count * 2 / 3, by: 997) { bytes[place] ^= 0xFF }
        let flipped = try clips.write(bytes, to: "flipped.mkv")
        for path in [cut, flipped] {
            let reader = try FrameReader(FilmInfo(path: path, tools: try #require(FilmTools.tools)))
            let frames = try count(reader)
            #expect(frames.count > 10 && frames.count <= 60)
            #expect(reader.errorCount > 0 && !reader.firstError.isEmpty)
        }
        let (code, line) = try #require(failure { _ = try load(cut) })
        #expect(code == .badData && line.contains("damaged") && line.contains("--keep-damaged"))
        let kept = try load(
            cut,
            .every {
                $0.keepsDamaged = true
                $0.packing = .fullSideBySide
            })
        #expect(kept.records.count > 10 && kept.notes.contains { $0.contains("warning") && $0.contains("damaged") })
    }

    @Test func killedInTheMiddle() throws {
        try clips.stereo("film.mkv", frames: 60)
        let reader = try FrameReader(clips.info("film.mkv"))
        _ = try reader.next()
        kill(reader.processIdentifier, SIGKILL)
        let (code, line) = try #require(failure { while try reader.next() != nil {} })
        #expect(code == .inputOutput && line.contains("signal 9"))
        #expect(try reader.next() == nil)
    }

    @Test func stoppedForEver() throws {
        try clips.stereo("film.mkv", frames: 60)
        let reader = try FrameReader(clips.info("film.mkv"), silenceSeconds: 1)
        _ = try reader.next()
        kill(reader.processIdentifier, SIGSTOP)
        let start = monotonicSeconds()
        let (code, line) = try #require(failure { while try reader.next() != nil {} })
        #expect(code == .inputOutput && line.contains("no sign of life"))
        #expect(monotonicSeconds() - start < 10)
        // It is gone, not only given up.
        #expect(kill(reader.processIdentifier, 0) != 0)
    }

    @Test func programsThatHangOrCrash() throws {
        let film = try clips.stereo("film.mkv", frames: 3)
        func program(_ name: String, _ body: String) throws -> String {
            let path = try clips.write(Array("#!/bin/sh\n\(body)\n".utf8), to: name)
            chmod(path, 0o755)
            return path
        }
        let real = try #require(FilmTools.tools)
        let sleeper = try program("hung", "exec sleep 1000")
        let hung = FFmpeg(ffmpeg: sleeper, ffprobe: sleeper)
        let start = monotonicSeconds()
        #expect(failure { _ = try FilmInfo(path: film, tools: hung, silenceSeconds: 0.5) }?.0 == .inputOutput)
        let info = try FilmInfo(path: film, tools: FFmpeg(ffmpeg: hung.ffmpeg, ffprobe: real.ffprobe))
        #expect(failure { _ = try FrameReader(info, silenceSeconds: 0.5).next() }?.0 == .inputOutput)
        #expect(monotonicSeconds() - start < 10)
        for (body, exitCode) in [
            ("kill -SEGV $$", ExitCode.inputOutput), ("echo '[error] out of order' >&2; exit 1", .badData),
            ("head -c 1000 /dev/zero; exit 1", .badData),
        ] {
            let info = try FilmInfo(
                path: film, tools: FFmpeg(ffmpeg: try program("odd", body), ffprobe: real.ffprobe))
            let (code, line) = try #require(failure { while try FrameReader(info, silenceSeconds: 2).next() != nil {} })
            #expect(code == exitCode, "\(line)")
        }
        let (code, line) = try #require(
            failure { _ = try FilmInfo(path: film, tools: FFmpeg(ffmpeg: "/nonexistent", ffprobe: "/nonexistent")) })
        #expect(code == .missingInput && line.contains("/nonexistent"))
    }

    @Test func readersLeaveNothingBehind() throws {
        try clips.stereo("film.mkv", frames: 60)
        let info = try clips.info("film.mkv")
        func openFiles() throws -> Int { try Files.list("/proc/self/fd").count }
        let before = try openFiles()
        var processes: [pid_t] = []
        for _ in 0..<10 {
            let reader = try FrameReader(info)
            _ = try reader.next()
            processes.append(reader.processIdentifier)
        }
        #expect(try openFiles() == before)
        for process in processes { #expect(kill(process, 0) != 0) }
    }
}
