import Basics
import Foundation
import FrameSources
import TestSupport
import Testing

extension CommandTests {
    /// From rendering to depth maps and back.
    @Suite(.serialized) struct Pipeline {
        static let trained = Result { () throws -> Workspace in
            let workspace = try Workspace()
            let outcome = try workspace.train("run", steps: 12, ["--threads", "1", "--samples", "2"])
            try #require(outcome.exitCode == 0, "\(outcome.errors)")
            return workspace
        }
        static let best = "run/checkpoints/best.safetensors"

        @Test func runFolderHoldsEverything() throws {
            let workspace = try Self.trained.get()
            for name in [
                "config.yaml", "metrics.csv", "steps.csv", "machine.txt", "checkpoints/last.safetensors",
                "checkpoints/best.safetensors", "samples/epoch_0001.png",
            ] {
                #expect(workspace.exists("run/\(name)"), "\(name)")
            }
            #expect(workspace.files(below: "run").keys.allSatisfy { !$0.contains(".partial") })
            let steps = try #require(workspace.table("run/steps.csv"))
            #expect(steps.map { $0["step"] } == (1...12).map { "\($0)" })
            // 40 training records are 5 steps of 8.
            #expect(steps.map { $0["epoch"] } == (0..<12).map { "\($0 / 5 + 1)" })
            for row in steps {
                for (name, value) in row { #expect(Double(value)?.isFinite == true, "\(name) is \(value)") }
            }
            let epochs = try #require(workspace.table("run/metrics.csv"))
            #expect(epochs.map { $0["step"] } == ["5", "10", "12"])
            #expect(epochs.map { $0["epoch"] } == ["1", "2", "3"])
            for row in epochs {
                for name in ["train_loss", "val_loss", "val_mae_right", "val_mae_left", "val_epe", "lr", "seconds"] {
                    #expect(row[name].flatMap(Double.init)?.isFinite == true, "\(name) is \(row[name] ?? "missing")")
                }
            }
            let mean = steps[0..<5].compactMap { $0["loss"].flatMap(Double.init) }.reduce(0, +) / 5
            let stored = try #require(epochs[0]["train_loss"].flatMap(Double.init))
            #expect(abs(mean - stored) < 1e-9)
        }

        @Test func savedConfigurationStartsTheSameRun() throws {
            let workspace = try Self.trained.get()
            let outcome = try workspace.vergence("train", "--config", "run/config.yaml", "--run", "again")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            #expect(workspace.checkpoint("again") == workspace.checkpoint("run"))
            #expect(
                workspace.text("again/config.yaml")
                    == workspace.text("run/config.yaml")?.replacingOccurrences(of: "run: run ", with: "run: again "))
        }

        @Test func strangeNamesSurviveTheConfiguration() throws {
            let workspace = try Workspace(pairs: 10)
            let name = "R & D: *all* \"it's\" #1"
            try FileManager.default.moveItem(atPath: workspace.path("data"), toPath: workspace.path(name))
            let outcome = try workspace.vergence(
                ["train", name, "--run", "run \(name)", "--lanes", "2", "--lane-batch", "1", "--steps", "2"]
                    + Workspace.model)
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            let resumed = try workspace.vergence("train", "--run", "run \(name)", "--resume", "--steps", "3")
            #expect(resumed.exitCode == 0, "\(resumed.errors)")
        }

        @Test func dryRunWritesNothing() throws {
            let workspace = try Self.trained.get()
            let before = workspace.files()
            let outcome = try workspace.train("dry", ["--dry-run"])
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            for line in ["lanes: 8 ", "records: 40 train, 4 val, 32x48", "steps: 30, 5 per epoch, 8 pairs each"] {
                #expect(outcome.output.contains(line), "\(outcome.output)")
            }
            #expect(workspace.files() == before)
        }

        @Test func evaluationStandsBesideItsBaselines() throws {
            let workspace = try Self.trained.get()
            let outcome = try workspace.vergence("evaluate", "data", "--checkpoint", Self.best, "--json", "-")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            let json = try #require(
                try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
            #expect(json["records"] as? Int == 4)
            let tables = try #require(json["tables"] as? [[String: Any]])
            #expect(!tables.isEmpty)
            for table in tables { #expect((table["rows"] as? [Any])?.count ?? 0 > 1, "\(table)") }
            let words = try workspace.vergence("evaluate", "data", "--checkpoint", Self.best)
            #expect(words.exitCode == 0)
            for table in tables { #expect(words.output.contains(try #require(table["title"] as? String))) }
            let constant = try workspace.vergence("evaluate", "data", "--predictions", "constant:2")
            #expect(constant.exitCode == 0, "\(constant.errors)")

            func rows(_ more: String...) throws -> Set<String> {
                let run = try workspace.vergence(
                    ["evaluate", "data", "--checkpoint", Self.best, "--json", "-"] + more)
                let object = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
                let tables = try #require(object?["tables"] as? [[String: Any]])
                return Set(
                    tables.flatMap { ($0["rows"] as? [[String: Any]] ?? []).compactMap { $0["name"] as? String } })
            }
            let simple: Set<String> = ["network", "copy", "best global shift", "best constant"]
            #expect(try rows() == simple.union(["semi-global matching"]))
            #expect(try rows("--matcher-range", "-4:11") == simple.union(["semi-global matching"]))
            #expect(try rows("--baselines", "simple") == simple)
            #expect(try rows("--baselines", "none") == ["network"])
            for wrong in ["3:3", "3", "a:b", "0:9999"] {
                let refused = try workspace.vergence(
                    "evaluate", "data", "--checkpoint", Self.best, "--matcher-range", wrong)
                #expect(refused.exitCode == 64, "\(wrong): \(refused.errors)")
            }
        }

        @Test func predictionFormatsAgree() throws {
            let workspace = try Self.trained.get()
            #expect(
                try workspace.shards("show", "data", "--record", "0", "--field", "left", "-o", "left/a.png").exitCode
                    != 0)
            for eye in ["left", "right"] {
                try FileManager.default.createDirectory(
                    atPath: workspace.path("pair/\(eye)"), withIntermediateDirectories: true)
                let shown = try workspace.shards(
                    "show", "data", "--record", "0", "--field", eye, "-o", "pair/\(eye)/a.png")
                #expect(shown.exitCode == 0, "\(shown.errors)")
            }
            let outcome = try workspace.vergence(
                "predict", "pair", "--checkpoint", Self.best, "--output", "maps", "--formats",
                "color,png16,pfm,npy,views")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            for eye in ["left", "right"] {
                let base = workspace.path("maps/a_disparity_\(eye)")
                let pfm = try ImageFile.read(base + ".pfm")
                let npy = try ImageFile.read(base + ".npy")
                let png = try ImageFile.read(base + "_16.png")
                let colours = try ImageFile.read(base + ".png")
                #expect(pfm.height == 32 && pfm.width == 48 && pfm.channels == 1 && pfm.element == .float32)
                #expect(pfm.bytes == npy.bytes)
                #expect(png.element == .uint16 && png.channels == 1 && colours.channels == 3)
                let values = pfm.withFloats { Array($0) }
                let coded = png.withUInt16s { $0.map { Float($0) / 256 - 128 } }
                #expect(values.allSatisfy(\.isFinite) && Set(values).count > 10)
                let difference = zip(values, coded).map { abs($0 - $1) }.max() ?? .infinity
                #expect(difference <= 1 / 256, "16 bits differ by \(difference) px")
                #expect(workspace.exists("maps/a_\(eye)_rebuilt.png"))
            }
            // The two files themselves.
            let files = ["pair/left/a.png", "pair/right/a.png"]
            let pairs = ["--checkpoint", Self.best, "--layout", "pairs", "--formats", "pfm"]
            let two = try workspace.vergence(["predict"] + files + pairs + ["--output", "two-maps"])
            #expect(two.exitCode == 0 && two.output.hasPrefix("1 picture"), "\(two.errors)")
            #expect(workspace.bytes("two-maps/a_disparity_left.pfm") == workspace.bytes("maps/a_disparity_left.pfm"))
            let swapped = try workspace.vergence(
                ["predict", files[1], files[0], "--swap-eyes"] + pairs + ["--output", "swapped-maps"])
            #expect(swapped.exitCode == 0, "\(swapped.errors)")
            #expect(
                workspace.bytes("swapped-maps/a_disparity_left.pfm") == workspace.bytes("maps/a_disparity_left.pfm"))
            expectOnlyRefusal(
                try workspace.vergence(["predict"] + files + pairs + ["--output", "one.png"]), 64, "give a folder")
            #expect(!workspace.exists("one.png"))
            // What is said meanwhile can be left out, or read by programs.
            let quiet = try workspace.vergence(
                ["predict"] + files + pairs + ["--output", "quiet-maps", "--log", "quiet"])
            #expect(quiet.exitCode == 0 && quiet.errors.isEmpty, "\(quiet.errors)")
            let told = try workspace.vergence(
                "evaluate", "data", "--checkpoint", Self.best, "--baselines", "none", "--log", "json")
            #expect(told.exitCode == 0 && !told.errors.isEmpty)
            for line in told.errors.split(separator: "\n") {
                #expect(try JSONSerialization.jsonObject(with: Data(line.utf8)) is [String: Any], "\(line)")
            }
            for (inputs, code, words) in [
                ([files[0]], Int32(64), "no pairs"), (["pair", "data"], 64, "is a folder"),
                ([files[0], "nothing.png"], 66, "nothing.png: no such picture"),
            ] {
                expectOnlyRefusal(
                    try workspace.vergence(["predict"] + inputs + pairs + ["--output", "none"]), code, words)
            }
            // Predictions that were written are worth what the network that made them is worth.
            let own = try workspace.vergence(
                "evaluate", "data", "--checkpoint", Self.best, "--split", "train", "--record", try key(workspace),
                "--json", "own.json")
            #expect(own.exitCode == 0, "\(own.errors)")
            let name = try key(workspace)
            for eye in ["left", "right"] {
                try FileManager.default.createDirectory(
                    atPath: workspace.path("named/\(eye)"), withIntermediateDirectories: true)
                try FileManager.default.copyItem(
                    atPath: workspace.path("pair/\(eye)/a.png"), toPath: workspace.path("named/\(eye)/\(name).png"))
            }
            let named = try workspace.vergence("predict", "named", "--checkpoint", Self.best, "--output", "named-maps")
            #expect(named.exitCode == 0, "\(named.errors)")
            let written = try workspace.vergence(
                "evaluate", "data", "--predictions", "named-maps", "--split", "train", "--record", name, "--json",
                "written.json")
            #expect(written.exitCode == 0, "\(written.errors)")
            func records(_ file: String) throws -> NSArray? {
                let data = try #require(workspace.bytes(file))
                return (try JSONSerialization.jsonObject(with: data) as? [String: Any])?["per_record"] as? NSArray
            }
            #expect(try records("own.json") == records("written.json"))
            #expect(try records("own.json")?.count == 1)
        }

        private func key(_ workspace: Workspace) throws -> String {
            let shown = try workspace.shards("show", "data", "--split", "train", "--record", "0", "-o", "0.png")
            return try #require(shown.output.split(separator: ":").dropFirst().first).trimmingCharacters(
                in: .whitespaces)
        }

        @Test func exportLoadsAgain() throws {
            let workspace = try Self.trained.get()
            let outcome = try workspace.vergence(
                "export", "--checkpoint", Self.best, "--format", "safetensors", "--output", "w.safetensors")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            let before = try workspace.vergence("evaluate", "data", "--checkpoint", Self.best)
            let after = try workspace.vergence(
                ["evaluate", "data", "--checkpoint", "w.safetensors", "--size", "32x48"] + Workspace.model)
            #expect(after.exitCode == 0, "\(after.errors)")
            #expect(after.output == before.output)
        }

        @Test func fullSizeHasThePublishedParameters() throws {
            let outcome = try Self.trained.get().vergence("debug", "graph", "--summary")
            #expect(outcome.exitCode == 0)
            #expect(outcome.output.split(separator: "\n").last?.hasSuffix(" 5344054") == true)
        }

        @Test func gradientsAgreeWithFiniteDifferences() throws {
            let outcome = try Self.trained.get().vergence(
                ["debug", "gradcheck", "--size", "32x48"] + Workspace.model + ["--set", "dropout=0"])
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            #expect(outcome.output.contains(" 0 disagree"))
            // Most gradients must stand out of the rounding, or nothing was checked.
            let agreeing = outcome.output.split(separator: "\n").last?.split(separator: " ").first.flatMap { Int($0) }
            #expect((agreeing ?? 0) > 80, "\(outcome.output)")
        }

        @Test(arguments: ["", "train", "predict", "evaluate", "export", "bench", "debug", "debug graph"])
        func helpIsThere(command: String) throws {
            let words = command.split(separator: " ").map(String.init)
            let outcome = try Self.trained.get().vergence(words + ["--help"])
            #expect(outcome.exitCode == 0 && outcome.errors.isEmpty)
            #expect(outcome.output.contains("USAGE: vergence \(command)"))
        }
    }
}
