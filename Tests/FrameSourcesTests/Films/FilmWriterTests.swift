import Basics
import Foundation
import TestSupport
import Testing

@testable import FrameSources

@Suite(.serialized, .enabled(if: FilmTools.areThere, FilmTools.areMissing)) struct FilmWriterTests {
    let clips = Clips()

    /// A film of uneven frame rate: frames 0, 1, 4, 5, 8, … of 24 a second, beginning at 0.25 s.
    private func uneven(_ name: String, frames: Int = 40, sound: Bool = false) throws -> FilmInfo {
        let video =
            "testsrc2=size=64x48:rate=24,trim=end_frame=\(2 * frames),select='lt(mod(n,4),2)',setpts=PTS+0.25/TB"
        try clips.run(
            ["-filter_complex", video + "[v]"]
                + (sound ? ["-f", "lavfi", "-i", "sine=d=4", "-map", "[v]", "-map", "0:a"] : ["-map", "[v]"])
                + ["-vsync", "passthrough", "-c:v", "ffv1", "-pix_fmt", "bgr0"] + (sound ? ["-c:a", "pcm_s16le"] : []),
            to: name)
        return try clips.info(name)
    }

    private func frames(_ film: FilmInfo, from number: Int = 0) throws -> [FilmFrame] {
        let reader = try FrameReader(film, sampling: .from(number))
        var frames: [FilmFrame] = []
        while let frame = try reader.next() { frames.append(frame) }
        return frames
    }

    private func writer(_ film: FilmInfo, _ name: String, _ change: (inout FilmWriter.Options) -> Void = { _ in })
        throws
        -> FilmWriter
    {
        var options = FilmWriter.Options()
        options.segmentFrames = 7
        change(&options)
        return try FilmWriter(
            film, [.init(.view, path: clips.path(name), codec: .ffv1)], work: clips.path(name + ".unfinished"),
            settings: [:], options: options)
    }

    /// Writes frames as they are.
    private func copy(_ film: FilmInfo, _ writer: FilmWriter, limit: Int = .max) throws {
        let start = writer.finishedFrameCount
        let reader = try FrameReader(film, sampling: .from(start))
        var count = start
        while count < limit, let frame = try reader.next() {
            try writer.write([frame.picture], of: frame, timeBase: reader.timeBase) { [UInt8(count)] }
            count += 1
        }
        reader.stop()
    }

    @Test func picturesAndTimesSurvive() throws {
        for (name, sound) in [("vfr.mkv", false), ("vfr-sound.mkv", true), ("vfr.mov", false)] {
            let film = try uneven(name, sound: sound)
            let writer = try writer(film, "copy-" + name)
            try copy(film, writer)
            try writer.finish()
            let (before, after) = (try frames(film), try frames(clips.info("copy-" + name)))
            #expect(before.count == 40 && after.count == 40, "\(name): \(after.count)")
            #expect(zip(before, after).allSatisfy { $0.picture == $1.picture }, "\(name)")
            #expect(zip(before, after).allSatisfy { abs($0.seconds - $1.seconds) < 1e-5 }, "\(name)")
            #expect(
                Set(zip(before, before.dropFirst()).map { Int((($1.seconds - $0.seconds) * 24).rounded()) }) == [1, 3])
            #expect(!Files.exists(clips.path("copy-\(name).unfinished")))
        }
    }

    @Test func goesOnBehindTheLastSegment() throws {
        let film = try uneven("film.mkv")
        let whole = try writer(film, "whole.mkv")
        try copy(film, whole)
        try whole.finish()
        let reference = try Files.read(clips.path("whole.mkv"))
        for limit in [0, 6, 7, 20, 39] {
            let name = "stopped-\(limit).mkv"
            do {
                let first = try writer(film, name)
                try copy(film, first, limit: limit)
                first.stop()
            }
            #expect(!Files.exists(clips.path(name)))
            #expect(throws: Failure.self) { try writer(film, name) }
            let second = try writer(film, name) { $0.resumes = true }
            #expect(second.finishedFrameCount == limit / 7 * 7)
            #expect(try second.state() == (limit < 7 ? nil : [UInt8(limit / 7 * 7 - 1)]))
            try copy(film, second)
            try second.finish()
            let isSame = sameBytes(try Files.read(clips.path(name)), reference)
            #expect(isSame, "\(limit)")
        }
    }

    @Test func sixteenBitsSurvive() throws {
        let film = try uneven("film.mkv", frames: 3)
        let path = clips.path("depth.mkv")
        let writer = try FilmWriter(
            film, [.init(.gray16, path: path, codec: .ffv1)], work: path + ".unfinished", settings: [:],
            options: .init())
        var expected: [UInt8] = []
        for frame in try frames(film) {
            var map = PixelArray(zerosOf: 48, 64, 1, .uint16)
            map.withMutableUInt16s { values in
                for i in values.indices {
                    values[i] = UInt16(truncatingIfNeeded: i &* 2_654_435_761 >> 7 + frame.number)
                }
            }
            expected += map.bytes
            try writer.write([map], of: frame, timeBase: (1, 1000)) { nil }
        }
        try writer.finish()
        try clips.run(["-i", path, "-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray16le"], to: "depth.raw")
        let isSame = sameBytes(try Files.read(clips.path("depth.raw")), expected)
        #expect(isSame)
    }

    @Test func refusals() throws {
        let film = try uneven("film.mkv", frames: 4)
        func message(
            _ name: String, _ codec: FilmCodec = .ffv1, _ change: (inout FilmWriter.Options) -> Void = { _ in }
        )
            -> String
        {
            var options = FilmWriter.Options()
            change(&options)
            do {
                _ = try FilmWriter(
                    film, [.init(.view, path: clips.path(name), codec: codec)], work: clips.path(name + ".work"),
                    settings: ["a": "1"], options: options)
                return ""
            } catch { return "\(error)" }
        }
        #expect(message("film.mkv").contains("exists; give --overwrite"))
        #expect(message("film.avi").contains("end the name in .mkv"))
        #expect(message("film.mp4").contains("MP4 does not hold ffv1"))
        #expect(!Files.exists(clips.path("film.mp4.work")))
        let held = try writer(film, "held.mkv")
        #expect(throws: Failure.self) { try writer(film, "held.mkv") { $0.resumes = true } }
        withExtendedLifetime(held) {}
    }

    @Test func anaglyphsAreThoseOfFFmpeg() throws {
        try clips.stereo("film.mkv", frames: 2)
        try clips.run(
            ["-i", clips.path("film.mkv"), "-vf", "format=rgb24,stereo3d=sbsl:arcd,format=rgb24", "-f", "rawvideo"],
            to: "anaglyph.rgb")
        let expected = try Files.read(clips.path("anaglyph.rgb"))
        let (left, right) = (try clips.expected("l", frames: 2), try clips.expected("r", frames: 2))
        // As a plain truth value: a failed comparison would print the pictures.
        let made = (0..<2).flatMap { index -> [UInt8] in
            let views = [left[index], right[index]].map {
                PixelArray(height: 192, width: 336, channels: 3, element: .uint8, bytes: $0)
            }
            return StereoPacking.picture(.anaglyph, left: views[0], right: views[1]).bytes
        }
        try #require(made.count == expected.count)
        // Its roundings may differ.
        let largest = zip(made, expected).map { abs(Int($0) - Int($1)) }.max()
        #expect(largest ?? 255 <= 1)
    }

    @Test func packedPicturesAreTakenApartAgain() throws {
        let (left, right) = (try clips.expected("l", frames: 1)[0], try clips.expected("r", frames: 1)[0])
        let views = [left, right].map { PixelArray(height: 192, width: 336, channels: 3, element: .uint8, bytes: $0) }
        for (kind, arrangement) in [(FilmKind.sideBySide, Arrangement.sideBySide), (.topBottom, .topBottom)] {
            let packed = StereoPacking.picture(kind, left: views[0], right: views[1])
            let shape = ViewShape(
                arrangement, height: packed.height, width: packed.width, pixelAspect: 1, isHalf: false)
            let (first, second) = shape.views(of: packed)
            #expect(first == views[0] && second == views[1])
        }
        let half = StereoPacking.picture(.halfSideBySide, left: views[0], right: views[1])
        #expect((half.height, half.width) == (192, 336))
        let stacked = StereoPacking.picture(.halfTopBottom, left: views[0], right: views[1])
        #expect((stacked.height, stacked.width) == (192, 336))
        let odd = PixelArray(height: 1, width: 1, channels: 3, element: .uint8, bytes: [1, 2, 3])
        #expect(StereoPacking.even(odd).bytes == [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3])
    }

    @Test func turnedFilmsStandUpright() throws {
        try clips.run(
            ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=24,trim=end_frame=3", "-c:v", "mpeg4", "-q:v", "1"],
            to: "flat.mp4")
        for degrees in ["90", "180", "270"] {
            try clips.run(
                ["-i", clips.path("flat.mp4"), "-c", "copy", "-metadata:s:v:0", "rotate=\(degrees)"], to: "turned.mp4")
            // ffmpeg turns it by itself here.
            try clips.run(
                ["-i", clips.path("turned.mp4"), "-f", "rawvideo", "-pix_fmt", "rgb24", "-sws_flags", "bitexact"]
                    + ["-frames:v", "1"], to: "upright.rgb")
            let views = try FilmViews(
                path: clips.path("turned.mp4"), tools: try #require(FilmTools.tools), wantsPair: false,
                options: FilmOptions())
            let frame = try #require(try views.reader(from: 0).next())
            let (upright, other) = views.views(of: frame.picture)
            #expect(other == nil)
            let expected = try Files.read(clips.path("upright.rgb"))
            try #require(upright.bytes.count == expected.count)
            let difference = zip(upright.bytes, expected).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) }
            // Colours are interpolated in another way; a wrong turn differs by 50 and more.
            #expect(Double(difference) / Double(expected.count) < 10, "\(degrees): \(difference)")
        }
    }
}
