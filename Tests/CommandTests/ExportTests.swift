import Foundation
import TestSupport
import Testing

extension CommandTests {
    /// Networks for other programs, and those programs.
    @Suite(.serialized) struct Export {
        static let best = Pipeline.best

        @Test func onnxSaysWhatItTakesAndGives() throws {
            let workspace = try Pipeline.trained.get()
            let outcome = try workspace.vergence("export", "--checkpoint", Self.best, "--output", "wnet.onnx")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            #expect(outcome.output.contains("wnet for pictures of 32x48, batches of any size"))
            #expect(outcome.output.contains("takes left [batch, 3, 32, 48]: RGB, 0…1"))
            #expect(outcome.output.contains("gives disparity_left [batch, 1, 32, 48]: disparity in the left view's"))
            #expect(!outcome.output.contains("prob_"))
            let file = try #require(workspace.bytes("wnet.onnx"))
            for text in ["width=4", "levels", "BatchNormalization", "statistics_step"] {
                #expect(file.range(of: Data(text.utf8)) != nil, "\(text)")
            }
            #expect(
                file.range(of: Data("optimizer".utf8)) == nil && file.range(of: Data(workspace.folder.path.utf8)) == nil
            )
            let all = try workspace.vergence(
                "export", "--checkpoint", Self.best, "--format", "onnx", "--outputs", "all", "--size", "48x64",
                "--output", "other")
            #expect(all.exitCode == 0 && all.output.contains("gives prob_left [batch, 8, 48, 64]"), "\(all)")
            // The same bytes for the same weights.
            _ = try workspace.vergence("export", "--checkpoint", Self.best, "--output", "again.onnx")
            #expect(workspace.bytes("again.onnx") == file)
        }

        @Test func refusals() throws {
            let workspace = try Pipeline.trained.get()
            let before = workspace.files()
            func refuse(_ arguments: [String], _ code: Int32, _ words: String...) throws {
                let outcome = try workspace.vergence(["export"] + arguments)
                #expect(outcome.exitCode == code, "\(outcome.errors)")
                for word in words { #expect(outcome.errors.contains(word), "\(outcome.errors)") }
            }
            let given = ["--checkpoint", Self.best]
            try refuse(given + ["--output", "wnet.pt"], 64, "wnet.pt", "--format onnx", "--format safetensors")
            try refuse(given + ["--output", "w.safetensors", "--size", "32x48"], 64, "--size", "leave it out")
            try refuse(given + ["--output", "w.safetensors", "--outputs", "all"], 64, "--outputs", "leave it out")
            try refuse(given + ["--output", "w.onnx", "--outputs", "some"], 64, "--outputs", "some")
            try refuse(given + ["--output", "w.onnx", "--size", "30x48"], 65, "multiples of 16")
            try refuse(given + ["--output", "missing/w.onnx"], 74, "missing/w.onnx", "check the path")
            try refuse(["--checkpoint", "none.safetensors", "--output", "w.onnx"], 66, "none.safetensors")
            try refuse(["--checkpoint", "run/metrics.csv", "--output", "w.onnx"], 65, "metrics.csv")
            #expect(workspace.files() == before)
            let weights = try workspace.vergence(["export"] + given + ["--output", "sizeless.safetensors"])
            #expect(weights.exitCode == 0)
            try refuse(
                ["--checkpoint", "sizeless.safetensors", "--output", "w.onnx"] + Workspace.model, 64, "--size HxW")
        }

        /// What a training run of seconds leaves, read by programs of others.
        private func read(_ part: String, _ arguments: [String]) throws {
            let workspace = try Pipeline.trained.get()
            let outcome = try ProcessRunner.run(
                try #require(Readers.python), ["-B", Readers.script, part] + arguments, in: workspace.path("."),
                timeoutSeconds: 120)
            #expect(outcome.exitCode == 0, "\(outcome.output)\(outcome.errors)")
        }

        @Test(.enabled(if: Readers.python != nil, Comment(rawValue: Readers.hint)))
        func onnxRuntimeReadsExports() throws {
            try read("onnx", [ProcessRunner.product("vergence"), Self.best, "."])
        }

        @Test(.enabled(if: Readers.python != nil, Comment(rawValue: Readers.hint)))
        func safetensorsReadsCheckpoints() throws {
            let outcome = try Pipeline.trained.get().vergence(
                "export", "--checkpoint", Self.best, "--output", "read.safetensors")
            #expect(outcome.exitCode == 0)
            try read("safetensors", [Self.best, "run/checkpoints/last.safetensors", "read.safetensors"])
        }

        @Test(.enabled(if: Readers.python != nil, Comment(rawValue: Readers.hint)))
        func tensorBoardReadsRuns() throws { try read("tensorboard", ["run"]) }

        @Test(.enabled(if: Readers.python != nil, Comment(rawValue: Readers.hint)))
        func pandasReadsTables() throws { try read("tables", ["run"]) }

        @Test(
            .enabled(
                if: Readers.python != nil && ProcessRunner.find("ffprobe") != nil,
                Comment(rawValue: Readers.hint + "; it also needs ffprobe")))
        func ffprobeReadsPictures() throws {
            let workspace = try Pipeline.trained.get()
            for eye in ["left", "right"] {
                try FileManager.default.createDirectory(
                    atPath: workspace.path("probed/\(eye)"), withIntermediateDirectories: true)
                _ = try workspace.shards("show", "data", "--record", "1", "--field", eye, "-o", "probed/\(eye)/a.png")
            }
            let outcome = try workspace.vergence(
                "predict", "probed", "--checkpoint", Self.best, "--output", "probed-maps", "--formats",
                "color,png16,views")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            try read(
                "ffprobe",
                ["disparity_left", "disparity_left_16", "disparity_right", "left_rebuilt"].map {
                    "probed-maps/a_\($0).png"
                } + ["run/samples/epoch_0001.png"])
        }

        @Test(
            .enabled(
                if: Readers.python != nil && Reports.chromium != nil,
                Comment(rawValue: Readers.hint + "; it also needs Chromium")))
        func chromiumReadsReports() throws {
            let outcome = try Pipeline.trained.get().vergence("report", "run", "--output", "read.html")
            #expect(outcome.exitCode == 0)
            try read("chromium", ["read.html", try #require(Reports.chromium)])
        }

        @Test(
            .enabled(
                if: Readers.torchPython != nil, Comment(rawValue: Readers.hint + " --torch")), .timeLimit(.minutes(3)))
        func weightsTravelToPyTorchAndBack() throws {
            let workspace = try Pipeline.trained.get()
            try FileManager.default.createDirectory(
                atPath: workspace.path("exchange"), withIntermediateDirectories: true)
            let outcome = try ProcessRunner.run(
                try #require(Readers.torchPython),
                ["-B", Readers.repository + "/Tests/Peers/exchange.py", ProcessRunner.product("vergence"), "exchange"],
                in: workspace.path("."), timeoutSeconds: 160)
            #expect(
                outcome.exitCode == 0 && outcome.output.contains("networks agree"), "\(outcome.output)\(outcome.errors)"
            )
            #expect(!outcome.output.contains("\n0 networks"))
        }
    }
}
