import Basics
import Foundation
import FrameSources
import Shards
import TestSupport
import Testing

/// What the tutorial has people type, typed: on a folder of frames like theirs, with fewer steps of a smaller network.
extension CommandTests {
    @Suite struct TutorialTests {
        @Test(.enabled(if: Workspace.mpirun != nil, "mpirun is not installed"))
        func everyCommandOfTheTutorialWorks() throws {
            let workspace = try Workspace(pairs: 24, size: "96x160")
            try Self.makeFrames(in: workspace)
            let products = URL(fileURLWithPath: ProcessRunner.product("vergence")).deletingLastPathComponent().path
            var ran = 0
            for command in try Documents.commands(of: "docs/tutorial.md") {
                // The build, and programs that are not the project's.
                guard command.text.hasPrefix("vergence") else { continue }
                var line = command.text
                if line.contains(" train ") {
                    line += " --set width=4 --set levels=8 --threads 1"
                    if !line.contains("--dry-run") { line += " --steps 4" }
                }
                let outcome = try workspace.shell("PATH=\(products):$PATH; \(line)")
                #expect(outcome.exitCode == 0, "\(command.place): \(line): \(outcome.errors)")
                ran += 1
            }
            #expect(ran == 9)
            #expect(workspace.exists("zero.png") && workspace.exists("runs/first/report.html"))
            let maps = workspace.files(below: "maps").keys
            #expect(maps.count { $0.hasSuffix("_disparity_left.pfm") } == 24, "\(maps.sorted())")
            #expect(workspace.exists("wnet.safetensors"))
        }

        /// Pictures that hold both views side by side, of the workspace's synthetic scenes.
        private static func makeFrames(in workspace: Workspace) throws {
            let data = try DataSet(path: workspace.path("data"))
            try FileManager.default.createDirectory(atPath: workspace.path("frames"), withIntermediateDirectories: true)
            for split in [Split.train, .val] {
                for index in 0..<data.count(split) {
                    let record = try data.record(split, index)
                    let (left, right) = (try #require(record["left"]), try #require(record["right"]))
                    let row = left.width * left.channels
                    var bytes: [UInt8] = []
                    for y in 0..<left.height {
                        for view in [left, right] { bytes += view.bytes[(y * row)..<((y + 1) * row)] }
                    }
                    let frame = PixelArray(
                        height: left.height, width: 2 * left.width, channels: left.channels, element: .uint8,
                        bytes: bytes)
                    try ImageFile.write(frame, to: workspace.path("frames/\(record.key).png"))
                }
            }
        }
    }
}
