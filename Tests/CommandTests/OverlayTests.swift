import Basics
import Checkpoints
import Foundation
import TestSupport
import Testing

extension CommandTests {
    /// A network that reads no stereo pair, from rendering to masks: nothing outside its file knows it.
    @Suite(.serialized) struct Overlay {
        static let trained = Result { () throws -> Workspace in
            let workspace = try Workspace(pairs: 4)
            let made = try workspace.shards(
                "synth", "overlays", "--kind", "overlay", "--pairs", "44", "--size", "24x32", "--seed", "1", "--split",
                "val=0.1", "--workers", "2")
            try #require(made.exitCode == 0, "\(made.errors)")
            let outcome = try workspace.vergence(training("run", ["--threads", "1"]))
            try #require(outcome.exitCode == 0, "\(outcome.errors)")
            return workspace
        }

        static func training(_ run: String, _ more: [String]) -> [String] {
            [
                "train", "overlays", "--run", run, "--model", "masknet3", "--lanes", "4", "--lane-batch", "2",
                "--steps",
                "10", "--samples", "2",
            ] + more
        }

        @Test func recipeHolds() throws {
            let configuration = try #require(try Self.trained.get().text("run/config.yaml"))
            for line in ["optimizer: sgd ", "lr: 0.1 ", "weight-decay: 1e-08 ", "epochs: 12 ", "lanes: 4 "] {
                #expect(configuration.contains("\n" + line), "\(line)")
            }
        }

        @Test func masksAreMeasured() throws {
            let workspace = try Self.trained.get()
            let epochs = try #require(workspace.table("run/metrics.csv"))
            for name in ["train_bce", "train_rmse", "val_loss", "val_mask_iou", "val_mask_rmse"] {
                #expect(epochs.last?[name].flatMap(Double.init)?.isFinite == true, "\(name)")
            }
            let outcome = try workspace.vergence(
                "evaluate", "overlays", "--checkpoint", "run/checkpoints/best.safetensors")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            for row in ["mask, soft intersection over union", "network", "empty", "best constant"] {
                #expect(outcome.output.contains(row), "\(outcome.output)")
            }
        }

        @Test func sameBitsOnTwoRanks() throws {
            let workspace = try Self.trained.get()
            let outcome = try workspace.vergence(Self.training("two", ["--threads", "1", "--ranks", "2"]))
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            #expect(workspace.checkpoint("two") == workspace.checkpoint("run"))
        }

        @Test func masksOfPicturesInFolders() throws {
            let workspace = try Self.trained.get()
            for (field, folder) in [("background", "in/background"), ("image", "in/image")] {
                try FileManager.default.createDirectory(
                    atPath: workspace.path(folder), withIntermediateDirectories: true)
                let shown = try workspace.shards(
                    "show", "overlays", "--record", "0", "--field", field, "--output", "\(folder)/a.png")
                try #require(shown.exitCode == 0, "\(shown.errors)")
            }
            let outcome = try workspace.vergence(
                "predict", "in", "--checkpoint", "run/checkpoints/best.safetensors", "--output", "out", "--formats",
                "color,png16,pfm,npy")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            for name in ["a_mask.png", "a_mask_16.png", "a_mask.pfm", "a_mask.npy"] {
                #expect(workspace.exists("out/\(name)"), "\(name)")
            }
            let wrong = try workspace.vergence(
                "predict", "overlays", "--checkpoint", "run/checkpoints/best.safetensors", "--output", "other")
            #expect(wrong.exitCode == 66 && wrong.errors.contains("give background/ and image/"), "\(wrong.errors)")
        }

        /// A step of given inputs and targets: losses, outputs and gradients by name.
        @Test func debugStepTakesTargets() throws {
            let workspace = try Self.trained.get()
            let shape = [2, 3, 8, 12]
            func ramp(_ count: Int, _ period: Int) -> [Float] { (0..<count).map { Float($0 % period) / Float(period) } }
            func write(_ name: String, _ fields: [(String, [Int], [Float])]) throws {
                try SafeTensorsWriter.write(
                    path: workspace.path(name),
                    tensors: fields.map { SafeTensorsWriter.Tensor($0.0, .init($0.1), $0.2) }, metadata: [:])
            }
            let inputs = [
                ("input.background", shape, ramp(576, 17)), ("input.image", shape, ramp(576, 23)),
            ]
            try write("inputs.safetensors", inputs)
            try write("batch.safetensors", inputs + [("target.mask", [2, 1, 8, 12], ramp(192, 2))])
            func step(_ batch: String, _ mode: String) throws -> ProcessRunner.Outcome {
                try workspace.vergence(
                    "debug", "step", "--model", "masknet3", "--weights", "run/checkpoints/best.safetensors", "--batch",
                    batch, "--mode", mode, "--dump", "dump.safetensors")
            }
            let train = try step("batch.safetensors", "train")
            #expect(train.exitCode == 0, "\(train.errors)")
            var names = Set(try SafeTensorsFile(path: workspace.path("dump.safetensors")).names)
            #expect(
                names.isSuperset(of: [
                    "train.loss", "train.bce", "train.rmse", "train.mask", "train.mask.logits", "grad.bg.0.weight",
                    "grad.body.6.bias", "after.bg.1.running_mean", "target.mask", "input.image",
                ]))
            // Without the target an evaluation gives outputs only, and a training step says what is missing.
            let eval = try step("inputs.safetensors", "eval")
            #expect(eval.exitCode == 0, "\(eval.errors)")
            names = Set(try SafeTensorsFile(path: workspace.path("dump.safetensors")).names)
            #expect(names.contains("eval.mask") && !names.contains("eval.loss"))
            let missing = try step("inputs.safetensors", "train")
            #expect(missing.exitCode == 65 && missing.errors.contains("has no tensor target.mask"), "\(missing.errors)")
        }

        @Test func gradientsAgreeWithFiniteDifferences() throws {
            let outcome = try Self.trained.get().vergence(
                "debug", "gradcheck", "--model", "masknet3", "--size", "16x24")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            #expect(outcome.output.contains(" 0 disagree"), "\(outcome.output)")
        }

        @Test func stereoRecordsAreRefusedInWords() throws {
            let outcome = try Self.trained.get().vergence(
                "train", "data", "--run", "no", "--model", "masknet3", "--lanes", "1", "--lane-batch", "1")
            #expect(outcome.exitCode == 65, "\(outcome.errors)")
            #expect(outcome.errors.contains("records have no field 'background', only"), "\(outcome.errors)")
        }
    }
}
