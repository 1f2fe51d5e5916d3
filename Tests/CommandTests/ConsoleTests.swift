import Foundation
import TestSupport
import Testing

/// How the programs speak: styles of logs, numbered run folders, recipes, completions.
extension CommandTests {
    @Suite struct ConsoleTests {
        private static let short =
            ["--steps", "2", "--lanes", "2", "--lane-batch", "1"] + Workspace.model + Workspace.oneThread

        @Test func jsonLogsAreAnObjectPerLine() throws {
            let workspace = try Workspace(pairs: 24)
            let outcome = try workspace.vergence(["train", "data", "--run", "r", "--log", "json"] + Self.short)
            #expect(outcome.exitCode == 0)
            let lines = try Self.objects(outcome.errors)
            #expect(lines.allSatisfy { $0["time"] is String && $0["level"] as? String == "info" })
            let progress = lines.filter { $0["event"] as? String == "progress" }
            #expect(progress.last?["position"] as? Int == 2 && progress.last?["total"] as? Int == 2)
            #expect((progress.last?["loss"] as? Double).map { $0 > 0 } == true)
            #expect(lines.contains { ($0["message"] as? String)?.contains("2 steps into r") == true })

            let again = try workspace.vergence(["train", "data", "--run", "r", "--log", "json"] + Self.short)
            #expect(again.exitCode == 64)
            let complaints = try Self.objects(again.errors)
            #expect(complaints.count == 1 && complaints[0]["level"] as? String == "error")
            #expect((complaints[0]["message"] as? String)?.contains("not empty") == true)

            let verify = try workspace.shards("verify", "data", "--log", "json")
            #expect(verify.exitCode == 0 && verify.output.contains("all checksums right"))
            #expect(try Self.objects(verify.errors).last?["task"] as? String == "verify")
            let missing = try workspace.shards("verify", "nothing", "--log", "json")
            #expect(try missing.exitCode == 66 && Self.objects(missing.errors).last?["level"] as? String == "error")
        }

        @Test func quietMeansWarningsAndErrors() throws {
            let workspace = try Workspace(pairs: 24)
            let outcome = try workspace.vergence(["train", "data", "--run", "r", "--log", "quiet"] + Self.short)
            #expect(outcome.exitCode == 0 && outcome.errors == "", "\(outcome.errors)")
            // More threads than cores is warned of.
            var loud = Self.short
            loud[loud.count - 1] = "1024"
            let warned = try workspace.vergence(["train", "data", "--run", "s", "--log", "quiet"] + loud)
            #expect(warned.exitCode == 0 && warned.errors.contains("threads"), "\(warned.errors)")
            #expect(warned.errors.split(separator: "\n").allSatisfy { $0.hasPrefix("warning: ") }, "\(warned.errors)")
            let refused = try workspace.vergence(["train", "data", "--run", "r", "--log", "quiet"] + Self.short)
            expectRefusal(refused, 64, "not empty")
            expectRefusal(try workspace.vergence("train", "data", "--log", "loud"), 64, "loud")
        }

        @Test func runsAreNumbered() throws {
            let workspace = try Workspace(pairs: 24)
            for number in 1...2 {
                let outcome = try workspace.vergence(["train", "data"] + Self.short)
                #expect(outcome.exitCode == 0 && outcome.errors.contains("runs/wnet-\(number)"), "\(outcome.errors)")
                #expect(workspace.exists("runs/wnet-\(number)/checkpoints/last.safetensors"))
            }
            // After the highest, whatever is missing below.
            try FileManager.default.removeItem(atPath: workspace.path("runs/wnet-1"))
            try workspace.write("", "runs/wnet-x/file")
            #expect(try workspace.vergence(["train", "data"] + Self.short).errors.contains("runs/wnet-3"))
            expectRefusal(try workspace.vergence("train", "data", "--resume"), 64, "--run DIR")
            #expect(try workspace.vergence(["train", "data", "--dry-run"] + Self.short).exitCode == 0)
            #expect(!workspace.exists("runs/wnet-4"))
        }

        @Test(.enabled(if: Workspace.mpirun != nil, "mpirun is not installed"))
        func ranksAgreeOnTheNumber() throws {
            let workspace = try Workspace(pairs: 24)
            let bare = try workspace.mpirun(2, ["train", "data"] + Self.short)
            #expect(bare.exitCode == 0 && workspace.exists("runs/wnet-1/config.yaml"), "\(bare.errors)")
            let launched = try workspace.vergence(["launch", "-n", "2", "--", "train", "data"] + Self.short)
            #expect(launched.exitCode == 0 && workspace.exists("runs/wnet-2/launch.jsonl"), "\(launched.errors)")
            #expect(!workspace.exists("runs/wnet-3"))
        }

        /// What a recipe says is what training without one does.
        @Test func recipesAreWhatTrainingDoes() throws {
            let workspace = try Workspace(pairs: 24)
            let list = try workspace.vergence("recipe")
            let names = list.output.split(separator: "\n").compactMap {
                $0.split(separator: " ").first.map(String.init)
            }
            #expect(list.exitCode == 0 && names.contains("wnet") && names.contains("masknet3"))
            for name in names {
                let recipe = try workspace.vergence("recipe", name)
                #expect(recipe.exitCode == 0 && recipe.output.contains("model: \(name)"), "\(recipe.errors)")
                #expect(!recipe.output.contains("\nrun:") && !recipe.output.contains("\ndata:"))
                try workspace.write(recipe.output, "\(name).yaml")
            }
            let small = Self.short.filter { $0 != "--set" && !$0.contains("=") }
            let plain = try workspace.vergence(["train", "data", "--run", "a"] + Self.short)
            let given = ["train", "data", "--run", "b", "--config", "small.yaml"] + small
            let recipe = try workspace.vergence("recipe", "wnet", "--set", "width=4", "--set", "levels=8")
            try workspace.write(recipe.output, "small.yaml")
            let configured = try workspace.vergence(given)
            #expect(plain.exitCode == 0 && configured.exitCode == 0, "\(configured.errors)")
            #expect(workspace.checkpoint("a") != nil && workspace.checkpoint("a") == workspace.checkpoint("b"))
            expectRefusal(try workspace.vergence("recipe", "wnt"), 64, "did you mean 'wnet'")
            expectRefusal(try workspace.vergence("recipe", "wnet", "--set", "witdh=4"), 64, "did you mean 'width'")
        }

        /// The shells' scripts are accepted by those that are here, and bash really completes.
        @Test(arguments: ["vergence", "vergence-shards"])
        func completions(program: String) throws {
            let workspace = try Workspace(pairs: 24)
            for shell in ["bash", "zsh", "fish"] {
                let script = try ProcessRunner.run(
                    ProcessRunner.product(program), ["--generate-completion-script", shell], in: workspace.folder.path)
                #expect(script.exitCode == 0 && script.output.contains(program), "\(shell)")
                try workspace.write(script.output, "complete.\(shell)")
                guard let interpreter = ProcessRunner.find(shell) else { continue }
                let check = try ProcessRunner.run(interpreter, ["-n", "complete.\(shell)"], in: workspace.folder.path)
                #expect(check.exitCode == 0, "\(shell): \(check.errors)")
            }
            let (line, wanted) = program == "vergence" ? ("trai", "train") : ("ver", "verify")
            let probe = """
                source complete.bash
                COMP_WORDS=(\(program) \(line)) COMP_CWORD=1 COMP_LINE='\(program) \(line)' COMP_POINT=${#COMP_LINE}
                function=$(complete -p \(program) | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
                $function \(program) \(line) \(program)
                echo "${COMPREPLY[@]}"
                """
            let bash = try #require(ProcessRunner.find("bash"))
            let outcome = try ProcessRunner.run(bash, ["-c", probe], in: workspace.folder.path)
            #expect(outcome.output.split(whereSeparator: \.isWhitespace).contains(Substring(wanted)), "\(outcome)")
        }

        private static func objects(_ text: String) throws -> [[String: Any]] {
            try text.split(separator: "\n").map { line in
                try #require(
                    try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], "\(line)")
            }
        }
    }
}
