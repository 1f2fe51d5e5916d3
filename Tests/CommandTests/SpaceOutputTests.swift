import Basics
import Foundation
import FrameSources
import TestSupport
import Testing

extension CommandTests {
    /// Where things are in space: depth, points, sheets and error maps of pictures.
    @Suite(.serialized) struct SpaceOutput {
        /// A network, and folders of pictures.
        static let shared = Result { () throws -> Workspace in
            let workspace = try Workspace()
            try #require(try workspace.train("run", steps: 12).exitCode == 0)
            try workspace.writeFrames("frames", of: "data", count: 3)
            return workspace
        }

        /// Depth, points, sheets and error maps of pictures.
        @Test func space() throws {
            let workspace = try Self.shared.get()
            let outcome = try workspace.vergence(
                "predict", "frames", "--checkpoint", "run", "--output", "space", "--calibration", "250,0.065", "--ply",
                "--contact-sheet", "--formats", "color,pfm,png16")
            try #require(outcome.exitCode == 0, "\(outcome.errors)")
            let disparity = try ImageFile.read(workspace.path("space/00000_disparity_left.pfm"))
            let depth = try ImageFile.read(workspace.path("space/00000_depth_left.pfm"))
            let pairs = disparity.withFloats { d in depth.withFloats { z in zip(Array(d), Array(z)).map { ($0, $1) } } }
            #expect(pairs.allSatisfy { $0.0 > 0 ? abs($0.1 - 250 * 0.065 / $0.0) < 1e-4 * $0.1 : $0.1.isNaN })
            let points = pairs.count { $0.0 > 0 && $0.1 <= 100 }
            let ply = try #require(workspace.bytes("space/00000_points.ply"))
            #expect(String(decoding: ply.prefix(200), as: UTF8.self).contains("element vertex \(points)\n"))
            #expect(try ImageFile.read(workspace.path("space/contact-sheet-1.png")).height > 3 * 32)
            expectRefusal(
                try workspace.vergence("predict", "frames", "--checkpoint", "run", "--output", "x", "--ply"), 64,
                "--calibration")
            let measured = try workspace.vergence(
                "evaluate", "data", "--checkpoint", "run", "--error-maps", "errors", "--json", "evaluation.json")
            try #require(measured.exitCode == 0, "\(measured.errors)")
            let maps = workspace.files(below: "errors").keys.filter { $0.hasSuffix("_error.png") }
            #expect(maps.count == 4, "\(maps)")
        }

        /// Records that know their rig are measured in metres without being asked.
        @Test func recordsWithCalibration() throws {
            let workspace = try Self.shared.get()
            let picture = PixelArray(
                height: 48, width: 64, channels: 3, element: .uint8,
                bytes: (0..<(48 * 64 * 3)).map { UInt8($0 * 7 & 255) })
            try FileManager.default.createDirectory(
                atPath: workspace.path("rig/scene"), withIntermediateDirectories: true)
            for name in ["im0", "im1"] { try ImageFile.write(picture, to: workspace.path("rig/scene/\(name).png")) }
            try ImageFile.write(
                PixelArray(height: 48, width: 64, channels: 1, floats: [Float](repeating: 4, count: 48 * 64)),
                to: workspace.path("rig/scene/disp0.pfm"))
            try workspace.write(
                "cam0=[100 0 32; 0 100 24; 0 0 1]\ncam1=[100 0 33; 0 100 24; 0 0 1]\ndoffs=1\nbaseline=200\n",
                "rig/scene/calib.txt")
            try #require(try workspace.shards("convert", "rig", "rigged", "--layout", "middlebury").exitCode == 0)
            // f · b / (d + 1): the truth is 100 · 0.2 / 5 = 4 m; a disparity of 3 makes 5 m, a quarter too much.
            for (constant, relative, colour) in [("4", 0.0, [49, 54, 149]), ("3", 0.25, [171, 217, 233])] {
                let outcome = try workspace.vergence(
                    "evaluate", "rigged", "--predictions", "constant:" + constant, "--error-maps", "rig-errors",
                    "--json", "-")
                try #require(outcome.exitCode == 0, "\(outcome.errors)")
                let json = try #require(
                    try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
                let tables = try #require(json["tables"] as? [[String: Any]])
                let depth = try #require(tables.first { ($0["title"] as? String)?.hasPrefix("depth") == true })
                let values = (depth["rows"] as? [[String: Any]])?.first?["values"] as? [String: Any]
                #expect(abs((values?["abs_rel"] as? Double ?? -1) - relative) < 1e-6, "\(values ?? [:])")
                let files = workspace.files(below: "rig-errors").keys.filter { $0.hasSuffix(".png") }
                let map = try ImageFile.read(workspace.path("rig-errors/\(try #require(files.first))"))
                #expect(map.bytes.suffix(3).map(Int.init) == colour)
            }
        }
    }
}
