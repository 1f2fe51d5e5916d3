import Basics
import Foundation
import Glibc
import TestSupport
import Testing

@testable import FrameSources

@Suite(.serialized, .enabled(if: FilmTools.areThere, FilmTools.areMissing)) struct FilmsTests {
    let clips = Clips()

    /// Whether all records hold these views.
    private func expectViews(_ records: [Record], _ left: [[UInt8]], _ right: [[UInt8]], _ comment: Comment) {
        #expect(records.count == left.count, comment)
        for (index, record) in records.enumerated() where index < left.count {
            #expect(sameBytes(record[FieldName.left]?.bytes, left[index]), comment)
            #expect(sameBytes(record[FieldName.right]?.bytes, right[index]), comment)
        }
    }

    @Test func everyPackingThatKeepsAllPixels() throws {
        let left = try clips.expected("l", frames: 20)
        let right = try clips.expected("r", frames: 20)
        let made: [(String, String, String?)] = [
            ("sbs", "[l][r]hstack,setsar=1", "left_right"), ("rl", "[r][l]hstack,setsar=1", "right_left"),
            ("tab", "[l][r]vstack,setsar=1", "top_bottom"), ("bt", "[r][l]vstack,setsar=1", "bottom_top"),
            ("silent-sbs", "[l][r]hstack,setsar=1", nil), ("silent-tab", "[l][r]vstack,setsar=1", nil),
            ("alternating", "[l][r]interleave,setpts=N/48/TB", "block_lr"),
            ("rows", "[l][r]hstack,stereo3d=sbsl:irl,setsar=1", "row_interleaved_lr"),
            ("columns", "[l][r]hstack,stereo3d=sbsl:icl,setsar=1", "col_interleaved_lr"),
        ]
        for (name, graph, label) in made {
            let coding = name == "alternating" ? ["-fps_mode", "passthrough"] + Clips.lossless : Clips.lossless
            try clips.stereo(name + ".mkv", graph, label: label, coding: coding)
            let loaded = try load(clips.path(name + ".mkv"))
            expectViews(loaded.records, left, right, "\(name): \(loaded.notes)")
            #expect(loaded.notes.count == 1, "\(loaded.notes)")
        }
        // Every one of them again as a folder: in the order of names, each a group of its own.
        let items = try Films(root: clips.folder.path, options: .every()).items()
        #expect(items.count == 9 * 20)
        #expect(items.first?.key == "alternating/000000" && items.first?.group == "alternating")
        #expect(Set(items.map(\.key)).count == items.count)
        #expect(Set(items.map(\.group)).count == 9)
    }

    @Test func flagsCountMoreThanLabels() throws {
        let left = try clips.expected("l", frames: 20)
        let right = try clips.expected("r", frames: 20)
        let path = try clips.stereo("film.mkv", label: "right_left")
        // By the label the eyes are exchanged.
        expectViews(try load(path).records, right, left, "label")
        let explicit = try load(path, .every { $0.packing = .fullSideBySide })
        expectViews(explicit.records, left, right, "flag")
        #expect(explicit.notes.contains { $0.contains("warning") && $0.contains("right view first") })
        let wrong = try clips.stereo("wrong.mkv", label: "top_bottom")
        let shown = try load(wrong)
        expectViews(shown.records, left, right, "pictures")
        #expect(shown.notes.contains { $0.contains("warning") && $0.contains("its label says top-bottom") })
        let forced = try load(
            wrong,
            .every {
                $0.packing = .fullTopBottom
                $0.keepsAll = true
            })
        #expect(forced.records.first?[FieldName.left]?.height == 96)
        #expect(forced.notes.contains { $0.contains("warning") && $0.contains("look side by side") })
        let swapped = try load(
            wrong,
            .every {
                $0.packing = .fullSideBySide
                $0.swapsEyes = true
            })
        expectViews(swapped.records, right, left, "swapped")
    }

    @Test func halfViewsAreUnsqueezed() throws {
        let left = try clips.expected("l", frames: 20)
        for (name, graph, label) in [
            ("hsbs", "[l][r]hstack,scale=336:192,setsar=1", "left_right"),
            ("htab", "[l][r]vstack,scale=336:192,setsar=1", "top_bottom"),
        ] {
            let path = try clips.stereo(name + ".mkv", graph, label: label)
            let loaded = try load(path)
            #expect(loaded.records.count == 20)
            #expect(loaded.notes.first?.contains("half") == true, "\(loaded.notes)")
            // Called full, it is what was asked for, and said.
            let full = try load(
                path,
                .every {
                    $0.packing = name == "hsbs" ? .fullSideBySide : .fullTopBottom
                    $0.keepsAll = true
                })
            #expect(
                full.notes.contains {
                    $0.contains("no picture's shape, half ones would have 336x192; check --packing")
                },
                "\(full.notes)")
            for (record, pixels) in zip(loaded.records, left) {
                let view = try #require(record[FieldName.left])
                #expect(view.height == 192 && view.width == 336)
                // The same picture, less what squeezing lost.
                let difference = zip(view.bytes, pixels).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) }
                #expect(Double(difference) / Double(pixels.count) < 12)
            }
        }
    }

    @Test func framePacked() throws {
        let path = try clips.stereo(
            "hdmi.mkv",
            "[l]scale=1280:720:flags=neighbor[x];[r]scale=1280:720:flags=neighbor[y];"
                + "[x]pad=1280:750[z];[z][y]vstack,setsar=1", frames: 4)
        let loaded = try load(path)
        #expect(loaded.records.count == 4)
        #expect(loaded.notes.first?.contains("frame-packed") == true)
        let view = try #require(loaded.records[0][FieldName.right])
        #expect(view.height == 720 && view.width == 1280)
        // No line of the gap has come along.
        #expect(view.bytes[(719 * 1280 * 3)...].contains { $0 > 40 })
    }

    @Test func pixelAspects() throws {
        // A 4:3 pixel makes 252x192 into 336x192: plausible, so it counts.
        let path = try clips.stereo(
            "wide.mkv", "[l]scale=252:192[x];[r]scale=252:192[y];[x][y]hstack,setsar=4/3", label: "left_right")
        let wide = try load(path)
        #expect(wide.records.first?[FieldName.left]?.width == 336)
        #expect(wide.records.first?[FieldName.left]?.height == 192)
        // The left-over of a squeezed film does not.
        let odd = try clips.stereo("odd.mkv", "[l][r]hstack,setsar=24/35", label: "left_right")
        let left = try load(odd)
        #expect(left.records.first?[FieldName.left]?.width == 336)
        #expect(left.records.first?[FieldName.left]?.height == 192)
        #expect(left.notes.contains { $0.contains("warning") && $0.contains("pixel aspect") })
        // Taken at its word, only squeezed views have a picture's shape; called full, they get what was asked for.
        let forced = try load(odd, .every { $0.pixelAspect = 24.0 / 35 })
        #expect(forced.records.first?[FieldName.left]?.width == 461)
        let full = try load(
            odd,
            .every {
                $0.pixelAspect = 24.0 / 35
                $0.packing = .fullSideBySide
            })
        #expect(full.records.first?[FieldName.left]?.height == 280)
        let sized = try load(odd, .every { $0.size = (96, 160) })
        #expect(sized.records.first?[FieldName.right]?.width == 160)
    }

    @Test func whatHasOneEyeIsRefused() throws {
        func refused(_ path: String, _ options: FilmOptions = .every()) throws -> String {
            let (code, line) = try #require(failure { _ = try load(path, options) })
            #expect(code == .badData)
            return line
        }
        let flat = try clips.run(
            ["-filter_complex", "mandelbrot=s=320x180:r=24,trim=end_frame=30,format=gbrp"] + Clips.lossless,
            to: "flat.mkv")
        #expect(try refused(flat).contains("looks like a 2D film"))
        // A pattern whose halves look alike from afar.
        let pattern = try clips.run(
            ["-filter_complex", "testsrc2=s=320x180:r=24,trim=end_frame=30,format=gbrp"] + Clips.lossless,
            to: "pattern.mkv")
        #expect(try refused(pattern).contains("their halves differ in detail"))
        let labelled = try clips.run(
            ["-i", flat, "-c", "copy", "-metadata:s:v:0", "stereo_mode=left_right"], to: "labelled.mkv")
        #expect(try refused(labelled).contains("looks like a 2D film"))
        let mono = try clips.run(["-i", flat, "-c", "copy", "-metadata:s:v:0", "stereo_mode=mono"], to: "mono.mkv")
        #expect(try refused(mono).contains("label says 2D"))
        let checkers = try clips.stereo("check.mkv", "[l][r]hstack,stereo3d=sbsl:chl", label: "checkerboard_lr")
        #expect(try refused(checkers).contains("checkerboard"))
        let same = try clips.stereo("same.mkv", "[r]nullsink;[l]split[x][y];[x][y]hstack,setsar=1")
        #expect(try refused(same).contains("20 mono; both views are the same"))
        #expect(try load(same, .every { $0.keepsAll = true }).records.count == 20)
    }

    @Test func multiviewIsRefused() throws {
        let plain = try clips.stereo(
            "plain.m2v", frames: 5, coding: ["-c:v", "mpeg2video", "-pix_fmt", "yuv420p", "-f", "mpeg2video"])
        #expect(try load(plain, .every { $0.packing = .fullSideBySide }).records.count == 5)
        let encoders = try ProcessRunner.run(
            try #require(FilmTools.tools).ffmpeg, ["-hide_banner", "-encoders"], in: clips.folder.path)
        guard encoders.output.contains(" libx264 ") else {
            print("no H.264 encoder in this ffmpeg: multiview streams are tested by their bytes only")
            return
        }
        let made = try clips.stereo(
            "film.h264", frames: 5, coding: ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-f", "h264"])
        let bytes = try Files.read(made)
        #expect(try load(made, .every { $0.packing = .fullSideBySide }).records.count == 5)
        // Parameters of a second view behind the first unit, as in a multiview stream.
        let second = try #require(
            (4..<(bytes.count - 4)).first { bytes[$0] == 0 && bytes[$0 + 1] == 0 && bytes[$0 + 2] == 1 })
        let unit: [UInt8] = [0, 0, 0, 1, 0x6F, 0x76, 0x00, 0x1E, 0xAC, 0xD9, 0x40, 0x50, 0x80]
        let multi = try clips.write(Array(bytes[..<second]) + unit + Array(bytes[second...]), to: "multi.h264")
        let (code, line) = try #require(failure { _ = try load(multi) })
        #expect(code == .badData && line.contains("multiview"))
    }

    @Test func uselessFramesAreCounted() throws {
        // One second each: black, a title, stereo, the same picture in both eyes, a picture that stands still.
        let still = "[l][r]hstack,select=eq(n\\,0),loop=47:1:0,setpts=N/24/TB,setsar=1"
        try clips.stereo("still.mkv", still, frames: 24)
        try clips.stereo("stereo.mkv", frames: 48)
        try clips.stereo("same.mkv", "[r]nullsink;[l]split[x][y];[x][y]hstack,setsar=1", frames: 24)
        try clips.run(
            ["-filter_complex", "color=black:s=672x192:r=24:d=2,format=gbrp,setsar=1"] + Clips.lossless,
            to: "black.mkv")
        let parts = ["black", "stereo", "same", "still"].map { clips.path($0 + ".mkv") }
        try clips.run(
            parts.flatMap { ["-i", $0] } + ["-filter_complex", "concat=n=4,fps=24"] + Clips.lossless, to: "all.mkv")
        let options = FilmOptions.every {
            $0.sampling = .rate(4)
            $0.packing = .sideBySide
        }
        let loaded = try load(clips.path("all.mkv"), options)
        let note = try #require(loaded.notes.first)
        // 2 s of black are 8 samples, 1 s of mono 4, 2 s that stand still 8, of which one is new.
        #expect(note.contains("8 black") && note.contains("4 mono") && note.contains("7 near-duplicate"), "\(note)")
        #expect(loaded.records.count == 9)
        #expect(note.contains("9 of 28 frames taken"))
    }

    /// Whoever asks for which frame when: the same pixels.
    @Test func framesInAnyOrderAndFromManyThreads() throws {
        let path = try clips.stereo("film.mkv", frames: 40)
        let items = try Films(root: path, options: .every()).items()
        let straight = try items.map { try $0.load() }
        #expect(straight.count == 40)
        let again = try Films(root: path, options: .every()).items()
        for index in [5, 6, 2, 39, 0, 38] {
            let isSame = try again[index].load() == straight[index]
            #expect(isSame, "frame \(index)")
        }
        for workers in [2, 3, 7] {
            let items = try Films(root: path, options: .every()).items()
            let results = Results(count: items.count)
            DispatchQueue.concurrentPerform(iterations: workers) { worker in
                for index in stride(from: worker, to: items.count, by: workers) {
                    results.set(index, try? items[index].load())
                }
            }
            let isSame = results.values == straight.map { $0 }
            #expect(isSame, "\(workers) workers")
        }
    }

    @Test func aKilledDecoderIsStartedAgain() throws {
        let path = try clips.stereo("film.mkv", frames: 60)
        let items = try Films(root: path, options: .every()).items()
        let expected = try items.map { try $0.load() }
        let others = try Films(root: path, options: .every()).items()
        var records = [try others[0].load()]
        for process in try children() { kill(process, SIGKILL) }
        for item in others.dropFirst() { records.append(try item.load()) }
        let isSame = records == expected
        #expect(isSame)
    }

    /// Decoders that this process has started and that still run.
    private func children() throws -> [pid_t] {
        try Files.list("/proc/self/task").flatMap { thread in
            ((try? String(contentsOfFile: "/proc/self/task/\(thread)/children", encoding: .utf8)) ?? "")
                .split(separator: " ").compactMap { pid_t($0) }
        }
    }
}

private final class Results: @unchecked Sendable {
    private let lock = NSLock()
    private var records: [Record?]

    init(count: Int) { records = Array(repeating: nil, count: count) }

    func set(_ index: Int, _ record: Record?) { lock.withLock { records[index] = record } }
    var values: [Record?] { lock.withLock { records } }
}
