import Basics
import Foundation
import TestSupport
import Testing

@testable import FrameSources

enum FilmTools {
    static let tools = try? FFmpeg.find()
    static var areThere: Bool { tools != nil }
    static let areMissing: Comment = "ffmpeg is not installed: apt-get install ffmpeg"

    /// Real films and test cards, which are in nobody's repository.
    static let realData: String? = ProcessInfo.processInfo.environment["VERGENCE_TEST_DATA"]
        .flatMap { Files.isFolder($0 + "/movies") ? $0 : nil }
    static let realDataIsMissing: Comment = "VERGENCE_TEST_DATA names no folder with movies/ and cards/"
}

/// Clips made for a test, lossless, of two crops of a moving test picture: the right view sees everything 6 pixels
/// further left.
final class Clips {
    let folder = TemporaryFolder("films")

    static let lossless = ["-c:v", "ffv1", "-pix_fmt", "gbrp"]
    /// The two views, as streams [l] and [r] of a filter graph.
    static func views(_ frames: Int, size: String = "400x192") -> String {
        "testsrc2=size=\(size):rate=24,trim=end_frame=\(frames),format=gbrp,split[a][b];"
            + "[a]crop=336:192:16:0[l];[b]crop=336:192:22:0[r];"
    }

    func path(_ name: String) -> String { folder.file(name) }

    /// Runs ffmpeg; `name` is the file to be made.
    @discardableResult
    func run(_ arguments: [String], to name: String) throws -> String {
        let tools = try #require(FilmTools.tools)
        let outcome = try ProcessRunner.run(
            tools.ffmpeg, ["-v", "error", "-nostdin", "-y"] + arguments + ["file:" + path(name)], in: folder.path)
        try #require(outcome.exitCode == 0, "\(outcome.errors)")
        return path(name)
    }

    /// A clip of `frames` pairs, put together by the last part of a filter graph.
    @discardableResult
    func stereo(
        _ name: String, _ last: String = "[l][r]hstack,setsar=1", frames: Int = 20, label: String? = nil,
        coding: [String] = lossless
    ) throws -> String {
        try run(
            ["-filter_complex", Self.views(frames) + last] + coding
                + (label.map { ["-metadata:s:v:0", "stereo_mode=\($0)"] } ?? []), to: name)
    }

    /// Frames of one view of the test picture, by ffmpeg alone.
    func expected(_ view: String, frames: Int) throws -> [[UInt8]] {
        let other = view == "l" ? "r" : "l"
        let name = "expected-\(view).rgb"
        try run(
            ["-filter_complex", Self.views(frames) + "[\(other)]nullsink;[\(view)]null[v]", "-map", "[v]"]
                + ["-f", "rawvideo", "-pix_fmt", "rgb24"], to: name)
        let bytes = try Files.read(path(name))
        let size = 336 * 192 * 3
        try #require(bytes.count == frames * size)
        return (0..<frames).map { Array(bytes[($0 * size)..<(($0 + 1) * size)]) }
    }

    func info(_ name: String) throws -> FilmInfo {
        try FilmInfo(path: path(name), tools: try #require(FilmTools.tools))
    }

    func write(_ bytes: [UInt8], to name: String) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: path(name)))
        return path(name)
    }
}

/// As a plain truth value: a failed comparison of pictures would print them.
func sameBytes(_ one: [UInt8]?, _ other: [UInt8]) -> Bool { one == other }

extension FilmOptions {
    static func every(_ change: (inout FilmOptions) -> Void = { _ in }) -> FilmOptions {
        var options = FilmOptions()
        options.sampling = .every
        change(&options)
        return options
    }
}

/// Loads everything; notes included.
func load(_ root: String, _ options: FilmOptions = .every()) throws -> (records: [Record], notes: [String]) {
    var notes: [String] = []
    let items = try Films(root: root, options: options).items { notes.append($0) }
    return (try items.map { try $0.load() }, notes)
}
