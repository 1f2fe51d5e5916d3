import Foundation
import TestSupport
import Testing

extension CommandTests {
    /// Wrong command lines and configurations: one line with the remedy, exit code 64, nothing written.
    @Suite(.serialized) struct Usage {
        static let shared = Result { try Workspace() }

        /// Runs `vergence train data --run new …` and expects a refusal that leaves the folder as it was.
        private func expectTrainRefused(
            _ more: [String], _ exitCode: Int32, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let workspace = try Self.shared.get()
            let before = workspace.files()
            let outcome = try workspace.vergence(["train", "data", "--run", "new"] + more)
            expectOnlyRefusal(outcome, exitCode, sourceLocation: sourceLocation)
            for word in words {
                #expect(outcome.errors.contains(word), "\(outcome.errors)", sourceLocation: sourceLocation)
            }
            #expect(workspace.files() == before, sourceLocation: sourceLocation)
        }

        @Test func optionsAndValues() throws {
            try expectTrainRefused(["--lane", "3"], 64, "'--lane'", "'--lanes'", "vergence train --help")
            try expectTrainRefused(["--stepz=3"], 64, "'--stepz'", "'--steps'")
            try expectTrainRefused(["--steps"], 64, "--steps")
            try expectTrainRefused(["--set", "widht=4"], 64, "'widht'", "did you mean 'width'")
            try expectTrainRefused(["--set", "width"], 64, "name=value")
            try expectTrainRefused(["--set", "width=many"], 64, "width=many", "whole number")
            try expectTrainRefused(["--set", "levels=0"], 64, "levels=0")
            try expectTrainRefused(["--model", "vnet"], 64, "vnet", "wnet")
            try expectTrainRefused(["--lanes", "0"], 64, "--lanes", "'0'", "1…65536")
            try expectTrainRefused(["--lanes", "-1"], 64, "--lanes", "'-1'", "1…65536")
            try expectTrainRefused(["--lr", "-0.1"], 64, "--lr", "-0.1")
            try expectTrainRefused(["--size", "100x150"], 65, "multiples of 16", "--size 96x144")
            try expectTrainRefused(["--trace", "/proc/none/t.json"], 74, "/proc/none/t.json")
            try expectTrainRefused(["--lr", "fast"], 64, "'fast'")
            try expectTrainRefused(["--lr", "nan"], 64, "'nan'")
            try expectTrainRefused(["--steps", "99999999999999999999"], 64, "--steps")
            try expectTrainRefused(["--optimizer", "adm"], 64, "did you mean 'adam'")
            try expectTrainRefused(["--nesterov", "--momentum", "0"], 64, "nesterov")
            try expectTrainRefused(["--ranks", "0"], 64, "--ranks")
            try expectTrainRefused(["--config", "missing.yaml"], 66, "missing.yaml")
        }

        @Test func commands() throws {
            let workspace = try Self.shared.get()
            expectOnlyRefusal(try workspace.vergence("trian"), 64, "'trian'", "did you mean 'train'", "vergence --help")
            expectOnlyRefusal(
                try workspace.vergence("debug", "grahp"), 64, "did you mean 'graph'", "vergence debug --help")
            // With all that belongs to the command behind it.
            expectOnlyRefusal(
                try workspace.vergence("trian", "data", "--run", "new"), 64, "unknown command 'trian'",
                "did you mean 'train'")
            expectOnlyRefusal(
                try workspace.shards("covnert", "frames", "x", "--layout", "folders"), 64, "unknown command 'covnert'",
                "did you mean 'convert'")
            expectOnlyRefusal(try workspace.vergence("train"), 64, "no data")
            expectOnlyRefusal(try workspace.vergence("train", "data", "--resume"), 64, "--run")
            expectOnlyRefusal(try workspace.vergence("predict", "x.png"), 64, "--checkpoint", "vergence predict --help")
            expectOnlyRefusal(try workspace.vergence("evaluate", "data"), 64, "--checkpoint or --predictions")
            expectOnlyRefusal(try workspace.vergence("bench", "inference", "--size", "big"), 64, "--size")
            expectOnlyRefusal(try workspace.shards("synht"), 64, "synht")
            expectOnlyRefusal(try workspace.shards("synth", "x", "--piars", "3"), 64, "--piars", "--pairs")
            expectOnlyRefusal(try workspace.shards("convert", "a", "b", "--layout", "sidebyside"), 64, "side-by-side")
            expectOnlyRefusal(
                try workspace.shards("convert", "a", "b", "--layout", "sbs"), 64,
                "'sbs' is invalid for '--layout', did you mean 'side-by-side'?; choose of side-by-side, top-bottom, ")
            expectOnlyRefusal(
                try workspace.shards("convert", "film.mkv", "b", "--layout", "side-by-side"), 66, "film.mkv")
            try workspace.write("", "film.mkv")
            expectOnlyRefusal(
                try workspace.shards("convert", "film.mkv", "b", "--layout", "side-by-side"), 65, "is a film",
                "--layout movie")
            // What is misspelt comes before what is missing, and other programs' names are known.
            expectOnlyRefusal(
                try workspace.vergence("predict", "data", "--checkpont", "run"), 64, "'--checkpont'", "'--checkpoint'")
            expectOnlyRefusal(
                try workspace.vergence("train", "data", "--batch-size", "3"), 64, "'--batch-size'", "'--lane-batch'")
            expectOnlyRefusal(
                try workspace.vergence("train", "data", "--learning-rate=3"), 64, "'--learning-rate'", "'--lr'")
            expectOnlyRefusal(
                try workspace.vergence("train", "data", "--colour", "blue"), 64, "unknown option '--colour'")
            expectOnlyRefusal(
                try workspace.shards("synth", "data", "--pairs", "3", "--size", "32x48", "--seed", "1"), 64, "not empty"
            )
            #expect(!workspace.exists("x"))
        }

        @Test func configurations() throws {
            let workspace = try Self.shared.get()
            func refused(
                _ text: String, _ exitCode: Int32, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation
            ) throws {
                try workspace.write(text, "c.yaml")
                let outcome = try workspace.vergence("train", "data", "--run", "new", "--config", "c.yaml")
                expectOnlyRefusal(outcome, exitCode, "c.yaml", sourceLocation: sourceLocation)
                for word in words {
                    #expect(outcome.errors.contains(word), "\(outcome.errors)", sourceLocation: sourceLocation)
                }
                #expect(!workspace.exists("new"), sourceLocation: sourceLocation)
            }
            try refused("lanes: 2\n\nlane-bacth: 1\n", 64, "c.yaml:3", "did you mean 'lane-batch'")
            try refused("lanes: many\n", 64, "c.yaml:1", "'many'")
            try refused("lanes: [1, 2]\n", 64, "c.yaml:1")
            try refused("set: 3\n", 64, "c.yaml:1")
            try refused("set:\n  width: [1]\n", 64, "c.yaml:2")
            try refused("- lanes\n", 64)
            try refused("lanes: 2\nlanes: 4\n", 64)
            try refused("lanes: {\n", 64, "YAML")
            try refused("lanes: \"", 64, "YAML")
            try refused("lr: " + String(repeating: "[", count: 50_000), 64)
            try refused(String(repeating: "# much\n", count: 20_000), 64, "65536 bytes")
            // Aliases that grow without bound, in both styles.
            var bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n"
            for (name, next) in zip("abcdefgh", "bcdefghi") {
                bomb += "\(next): &\(next) [\(Array(repeating: "*\(name)", count: 9).joined(separator: ","))]\n"
            }
            try refused(bomb, 64)
            try refused("lanes: &n 4\nlane-batch: *n\n", 64, "c.yaml:1", "aliases")
            try refused("set: {width: &n 4,levels: *n}\n", 64, "aliases")
        }

        @Test func runFolders() throws {
            let workspace = try Self.shared.get()
            try workspace.write("a file", "file")
            let before = workspace.files()
            let options = ["--steps", "1", "--lanes", "2", "--lane-batch", "1"] + Workspace.model
            func refused(_ run: String, _ code: Int32, _ words: String...) throws {
                let outcome = try workspace.vergence(["train", "data", "--run", run] + options)
                expectOnlyRefusal(outcome, code)
                for word in words { #expect(outcome.errors.contains(word), "\(outcome.errors)") }
                #expect(workspace.files() == before)
            }
            try refused("file", 64, "is a file")
            try refused("file/run", 74, "file")
            try refused("/proc/run", 74, "/proc/run")
            try refused("data", 64, "not empty", "--resume")
            expectOnlyRefusal(
                try workspace.shards("synth", "file/x", "--pairs", "2", "--size", "32x48", "--seed", "1"), 74, "file")
        }

        @Test func shares() throws {
            try expectTrainRefused(["--lanes", "100"] + Workspace.model, 65, "300", "add records or lower --lanes")
            for ranks in [3, 8] {
                try expectTrainRefused(
                    ["--lanes", "2", "--lane-batch", "1", "--ranks", "\(ranks)"] + Workspace.model, 64,
                    "vergence: 2 lanes cannot be shared by \(ranks) ranks")
            }
        }

        @Test(.enabled(if: Workspace.mpirun != nil, "mpirun is not installed"))
        func underMPIOneRankSpeaks() throws {
            let workspace = try Self.shared.get()
            let before = workspace.files()
            let run = ["train", "data", "--run", "new"]
            let cases: [([String], Int32, String)] = [
                (run + ["--lane", "3"], 64, "'--lanes'"),
                (run + ["--lr", "fast"], 64, "'fast'"),
                (run + ["--ranks", "2"], 64, "--ranks is for one process"),
                (["train", "--run", "never", "--resume"], 66, "no run to resume"),
                (run + ["--lanes", "1", "--lane-batch", "1"] + Workspace.model, 64, "cannot be shared by 2 ranks"),
                (["train", "nowhere", "--run", "new"], 66, "nowhere: no such folder"),
            ]
            for (arguments, exitCode, words) in cases {
                let outcome = try workspace.mpirun(2, arguments)
                expectRefusal(outcome, exitCode, words)
                #expect(workspace.files() == before)
            }
            // Only rank 0 makes the folder, so only it can fail.
            let outcome = try workspace.mpirun(2, Workspace.training("/proc/run", steps: 1))
            expectRefusal(outcome, 74, "/proc/run")
            #expect(outcome.complaints.first?.hasPrefix("rank 0 (") == true, "\(outcome.errors)")
        }
    }
}
