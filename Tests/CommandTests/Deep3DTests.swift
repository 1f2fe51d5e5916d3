import Basics
import Foundation
import FrameSources
import TestSupport
import Testing

extension CommandTests {
    /// A network that makes the right view from the left one alone, from rendering to pictures that show depth.
    @Suite(.serialized) struct Deep3D {
        static let trained = Result { () throws -> Workspace in
            let workspace = try Workspace(pairs: 12, size: "40x72")
            let outcome = try workspace.vergence(training("run", ["--threads", "1"]))
            try #require(outcome.exitCode == 0, "\(outcome.errors)")
            return workspace
        }

        static func training(_ run: String, _ more: [String]) -> [String] {
            [
                "train", "data", "--run", run, "--model", "deep3d", "--set", "width=2", "--set", "fc=8", "--set",
                "input-height=32", "--set", "input-width=64", "--lanes", "2", "--lane-batch", "2", "--steps", "6",
                "--samples", "2",
            ] + more
        }

        private static let best = ["--checkpoint", "run/checkpoints/best.safetensors"]

        @Test func recipeHolds() throws {
            let configuration = try #require(try Self.trained.get().text("run/config.yaml"))
            for line in [
                "optimizer: sgd ", "lr: 0.002 ", "momentum: 0.9 ", "schedule: step ", "schedule-steps: 20000 ",
            ] {
                #expect(configuration.contains("\n" + line), "\(line)")
            }
        }

        @Test func sameBitsOnTwoRanks() throws {
            let workspace = try Self.trained.get()
            let outcome = try workspace.vergence(Self.training("two", ["--threads", "1", "--ranks", "2"]))
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            #expect(workspace.checkpoint("two") == workspace.checkpoint("run"))
        }

        /// The right view beside the trivial ones; nothing is said of a left one, which the network does not make.
        @Test func viewsAreMeasured() throws {
            let workspace = try Self.trained.get()
            let epochs = try #require(workspace.table("run/metrics.csv"))
            #expect(epochs.last?["val_loss"].flatMap(Double.init)?.isFinite == true)
            let outcome = try workspace.vergence(["evaluate", "data"] + Self.best)
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            for text in ["right view from the left one", "network", "copy", "best global shift", "mae", "ssim"] {
                #expect(outcome.output.contains(text), "\(outcome.output)")
            }
            #expect(!outcome.output.contains("left view from the right one"))
        }

        /// A single picture, larger than the network: views of its own size, and both in one picture.
        @Test func picturesThatShowDepth() throws {
            let workspace = try Self.trained.get()
            let bytes = (0..<(90 * 150 * 3)).map { UInt8(truncatingIfNeeded: $0 / 3 * 7 + $0 % 3 * 31) }
            let left = PixelArray(height: 90, width: 150, channels: 3, element: .uint8, bytes: bytes)
            try ImageFile.write(left, to: workspace.path("photo.png"))
            let outcome = try workspace.vergence(["predict", "photo.png", "--output", "out"] + Self.best)
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            // Nothing was measured: there is no right view.
            #expect(!outcome.output.contains("error"), "\(outcome.output)")
            let right = try ImageFile.read(workspace.path("out/photo_right_rebuilt.png"))
            #expect((right.height, right.width, right.channels) == (90, 150, 3) && right != left)
            let sideBySide = try ImageFile.read(workspace.path("out/photo_sbs.png"))
            let anaglyph = try ImageFile.read(workspace.path("out/photo_anaglyph.png"))
            #expect((sideBySide.height, sideBySide.width) == (90, 300))
            for y in stride(from: 0, to: 90, by: 7) {
                let row = sideBySide.bytes[(y * 900)..<((y + 1) * 900)]
                #expect(Array(row.prefix(450)) == Array(left.bytes[(y * 450)..<((y + 1) * 450)]))
                #expect(Array(row.suffix(450)) == Array(right.bytes[(y * 450)..<((y + 1) * 450)]))
            }
            for i in anaglyph.bytes.indices where anaglyph.bytes[i] != (i % 3 == 0 ? left : right).bytes[i] {
                Issue.record("anaglyph differs at \(i)")
                break
            }
            #expect(workspace.exists("out/photo_disparity_right.png"))
            let views = try workspace.vergence(
                ["predict", "photo.png", "--output", "views", "--formats", "views"] + Self.best)
            #expect(views.exitCode == 0 && !workspace.exists("views/photo_sbs.png"))
            // Half of a packed picture is the left view, the other what the network's is measured against.
            let packed = try workspace.vergence(
                ["predict", "photo.png", "--output", "packed", "--layout", "side-by-side"] + Self.best)
            #expect(packed.exitCode == 0 && packed.output.contains("error"), "\(packed.errors)")
            let half = try ImageFile.read(workspace.path("packed/photo_right_rebuilt.png"))
            #expect((half.height, half.width) == (90, 75))
        }

        @Test func gradientsAgreeWithFiniteDifferences() throws {
            let outcome = try Self.trained.get().vergence(
                "debug", "gradcheck", "--model", "deep3d", "--set", "width=16", "--set", "fc=64", "--set",
                "input-height=32", "--set", "input-width=64", "--size", "32x64")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            #expect(outcome.output.contains(" 0 disagree"), "\(outcome.output)")
        }

        /// Layers that fix the size need none said.
        @Test func summaryHasTheNetworksSize() throws {
            let outcome = try Self.trained.get().vergence(
                "debug", "graph", "--model", "deep3d", "--set", "variant=mxnet", "--summary")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            #expect(outcome.output.contains("parameters 28024785") && outcome.output.contains("[-1, 33, 160, 384]"))
        }
    }
}
