import Basics
import Foundation
import FrameSources
import TestSupport
import Testing

/// What README and the pages under docs/ have people type, typed: in each page's order, in a folder with small files of the
/// names that the page uses. docs/options.md is made from the programs (ReferenceTests); the other guides are about machines
/// and downloads, and their commands are checked to exist there.
extension CommandTests {
    @Suite(
        .serialized,
        .enabled(
            if: Workspace.mpirun != nil && ProcessRunner.find("ffmpeg") != nil, "mpirun or ffmpeg is not installed"))
    struct DocumentTests {
        /// What readers of the pages have already: pictures, a film, a data set, a run.
        static let given = Result { () throws -> Workspace in
            let workspace = try Workspace(pairs: 30, size: "32x64")
            try workspace.writeFrames("frames", of: "data", count: 24)
            try workspace.write("1\n00:00:00,100 --> 00:00:00,900\nHello\n", "words.srt")
            try FilmOutput.makeFilm(workspace, "film.mkv", frames: 30)
            try FilmOutput.ffmpeg(
                workspace,
                ["-f", "lavfi", "-i", "testsrc2=size=128x64:rate=25", "-frames:v", "8", "-c:v", "mpeg4", "flat.mp4"])
            let truth = PixelArray(
                height: 32, width: 64, channels: 1, element: .uint16,
                bytes: (0..<(32 * 64)).flatMap { _ in [0, 3] as [UInt8] })
            try ImageFile.write(truth, to: workspace.path("truth.png"))
            for eye in ["left", "right"] {
                let shown = try workspace.shards("show", "data", "--record", "0", "--field", eye, "-o", "\(eye).png")
                try #require(shown.exitCode == 0, "\(shown.errors)")
            }
            let made = try workspace.shards(
                "convert", "frames", "films", "--layout", "side-by-side", "--split", "val=every:7")
            try #require(made.exitCode == 0, "\(made.errors)")
            let trained = try workspace.vergence(
                [
                    "train", "films", "--run", "runs/films", "--ranks", "2", "--threads", "1", "--lanes", "2",
                    "--lane-batch", "3", "--steps", "6",
                ] + Workspace.model)
            try #require(trained.exitCode == 0, "\(trained.errors)")
            return workspace
        }

        static let programs = ["vergence", "vergence-shards", "launch/local", "mpirun", "export"]

        @Test func everyPageIsHere() throws {
            let pages = try Documents.names().filter { $0 == "README.md" || $0.hasPrefix("docs/") }
            for page in pages where try !Documents.commands(of: page).isEmpty {
                #expect(DocumentPage.all.contains { $0.name == page }, "\(page) has commands that no test runs")
            }
            #expect(DocumentPage.all.allSatisfy { pages.contains($0.name) })
            for (index, entry) in DocumentPage.leftOut.enumerated() {
                let isThere = try Documents.commands(of: entry.page).contains { $0.text == entry.command }
                #expect(isThere, "\(entry.page) no longer has '\(entry.command)'")
                #expect(
                    !DocumentPage.leftOut[..<index].contains { $0.page == entry.page && $0.command == entry.command })
            }
        }

        @Test(.timeLimit(.minutes(5)), arguments: DocumentPage.all)
        func everyCommandOfAPageWorks(page: DocumentPage) throws {
            let given = try Self.given.get()
            let folder = try Self.folder(of: page)
            let environment = [
                "PATH": ProcessRunner.products + ":" + (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"),
                "GIVEN": given.folder.path,
            ]
            func run(_ script: String) throws -> ProcessRunner.Outcome {
                try ProcessRunner.run("/bin/bash", ["-c", script], in: folder, environment: environment)
            }
            func prepare(_ script: String) throws {
                let outcome = try run("set -e; " + script)
                try #require(outcome.exitCode == 0, "\(page.name), in front: \(script): \(outcome.errors)")
            }
            try prepare(page.before.isEmpty ? "true" : page.before)
            var (commands, programs, withoutReader) = (0, 0, 0)
            var used: Set<String> = []
            var exports = ""
            for command in try Documents.commands(of: page.name) {
                if DocumentPage.leftOut.contains(where: { $0.page == page.name && $0.command == command.text }) {
                    continue
                }
                let text = page.shortened(command.text, used: &used)
                if command.isProgram {
                    guard let python = text.contains("torch") ? Readers.torchPython : Readers.python else {
                        withoutReader += 1
                        continue
                    }
                    let outcome = try ProcessRunner.run(python, ["-B", "-c", text], in: folder, timeoutSeconds: 120)
                    #expect(outcome.exitCode == 0, "\(command.place): \(outcome.errors)")
                    programs += 1
                    continue
                }
                // Nothing else is started: a script may download, build or measure for an hour.
                let program = text.split(separator: " ").first.map(String.init) ?? ""
                guard Self.programs.contains(program) else {
                    Issue.record(
                        "\(command.place): '\(program)' is neither run nor in DocumentPage.leftOut, with a reason")
                    continue
                }
                for hook in page.hooks where text.hasPrefix(hook.command) {
                    used.insert(hook.command)
                    try prepare(hook.script)
                }
                let other = page.alternatives.first { text.contains($0.command) }
                if let other {
                    used.insert(other.command)
                    try prepare("mv \(other.path) \(other.path).first")
                }
                if text.hasPrefix("export ") { exports += text + "; " }
                let outcome = try run(exports + text)
                #expect(outcome.exitCode == 0, "\(command.place): \(text): \(outcome.errors)\(outcome.output)")
                commands += 1
                if let other { try prepare("rm -rf \(other.path); mv \(other.path).first \(other.path)") }
            }
            for path in page.leaves {
                #expect(FileManager.default.fileExists(atPath: folder + "/" + path), "\(page.name): \(path)")
            }
            let texts = page.smaller.map(\.0) + page.more.map(\.command) + page.hooks.map(\.command)
            for text in texts + page.alternatives.map(\.command) {
                #expect(used.contains(text), "\(page.name) no longer has '\(text)'")
            }
            let leftOut = DocumentPage.leftOut.filter { $0.page == page.name }
            print("\(page.name): \(commands) commands and \(programs) programs run, \(leftOut.count) left out")
            for entry in leftOut { print("  left out: \(entry.command) (\(entry.reason))") }
            if withoutReader > 0 { print("  skipped: \(withoutReader) programs; \(Readers.hint)") }
        }

        /// A folder like a clone of the repository, with what was built, for one page.
        private static func folder(of page: DocumentPage) throws -> String {
            let path = try given.get().path("pages/" + page.name.replacing("/", with: "-"))
            let manager = FileManager.default
            try manager.createDirectory(atPath: path + "/.build", withIntermediateDirectories: true)
            for name in ["launch", "cluster", "datasets", "Tests"] {
                try manager.createSymbolicLink(
                    atPath: path + "/" + name, withDestinationPath: Documents.root + "/" + name)
            }
            try manager.createSymbolicLink(
                atPath: path + "/.build/release", withDestinationPath: ProcessRunner.products)
            try batch().write(to: URL(fileURLWithPath: path + "/b.safetensors"))
            return path
        }

        /// A batch of `debug step`: two pairs of 32x48.
        private static func batch() throws -> Data {
            let count = 2 * 3 * 32 * 48 * 4
            let header =
                #"{"input.left":{"dtype":"F32","shape":[2,3,32,48],"data_offsets":[0,\#(count)]},"#
                + #""input.right":{"dtype":"F32","shape":[2,3,32,48],"data_offsets":[\#(count),\#(2 * count)]}}"#
            var data = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) }
            data += Data(header.utf8)
            for index in 0..<(count / 2) {
                withUnsafeBytes(of: Float(index * 37 % 256) / 255) { data += Data($0) }
            }
            return data
        }
    }
}

extension DocumentPage {
    /// A command with other sizes and steps.
    func shortened(_ text: String, used: inout Set<String>) -> String {
        var text = text
        for (long, short) in smaller where text.contains(long) {
            used.insert(long)
            text = text.replacing(long, with: short)
        }
        for (command, options) in more where text.contains(command) {
            used.insert(command)
            text += " " + options
        }
        return text
    }
}
