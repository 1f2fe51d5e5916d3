import Foundation
import TestSupport
import Testing

extension CommandTests {
    /// Launches with one thing wrong: named before anything is written. FindingsTests has what cannot be brought about here.
    @Suite(.serialized, .enabled(if: Workspace.mpirun != nil, "mpirun is not installed")) struct Doctor {
        static let shared = Result { try Workspace() }
        static let arguments = ["--lanes", "4", "--lane-batch", "1"] + Workspace.model
        static let cores = ProcessInfo.processInfo.activeProcessorCount
        static let vergence = ProcessRunner.product("vergence")

        private static func training(_ data: String = "data", _ more: [String] = Workspace.oneThread) -> [String] {
            ["train", data, "--run", "new", "--steps", "1"] + arguments + more
        }

        /// One rank for each command, all in one world.
        private func launch(
            _ commands: [[String]], binding: String = "none", environment: [String: String] = [:]
        ) throws -> ProcessRunner.Outcome {
            let options = Workspace.launching(1).dropFirst(2).dropLast()
            var arguments = options.filter { $0 != "--bind-to" && $0 != "none" }
            // A failed launch is over at once; one host needs no network.
            arguments += [
                "--bind-to", binding, "--mca", "odls_base_sigkill_timeout", "0", "--mca", "btl", "vader,self",
            ]
            for (index, command) in commands.enumerated() {
                arguments += (index > 0 ? [":"] : []) + ["-np", "1"] + command
            }
            return try ProcessRunner.run(
                try #require(Workspace.mpirun), arguments, in: try Self.shared.get().folder.path,
                environment: environment)
        }

        /// Two ranks that differ; `train` is refused with this finding, and writes nothing.
        private func expectRefused(
            _ first: [String], _ second: [String], _ exitCode: Int32, _ words: String...,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let outcome = try launch([first, second])
            expectRefusal(outcome, exitCode, sourceLocation: sourceLocation)
            for word in words {
                #expect(
                    outcome.complaints.first?.contains(word) == true, "\(outcome.errors)",
                    sourceLocation: sourceLocation)
            }
            #expect(outcome.complaints.first?.hasPrefix("vergence: ") == true, sourceLocation: sourceLocation)
            #expect(try !Self.shared.get().exists("new"), sourceLocation: sourceLocation)
        }

        private var train: [String] { [Self.vergence] + Self.training() }

        @Test func aCleanLaunchIsFine() throws {
            let workspace = try Self.shared.get()
            let doctor = [Self.vergence, "doctor", "data", "--run", "new"] + Self.arguments + Workspace.oneThread
            let outcome = try launch(Self.cores > 1 ? [doctor, doctor] : [doctor])
            let ranks = Self.cores > 1 ? "2 ranks" : "1 rank"
            #expect(outcome.exitCode == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
            #expect(outcome.output == "doctor: \(ranks) on 1 host, nothing to complain about\n")
            #expect(!workspace.exists("new"))
            let trained = try launch(Self.cores > 1 ? [train, train] : [train])
            try? FileManager.default.removeItem(atPath: workspace.path("new"))
            #expect(trained.exitCode == 0)
            #expect(!trained.errors.contains("warning") && !trained.errors.contains("error"), "\(trained.errors)")
        }

        @Test func aloneItLooksAtThisMachine() throws {
            let workspace = try Self.shared.get()
            let outcome = try workspace.vergence("doctor", "data", "--json", "-")
            let json = try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
            #expect(outcome.exitCode == 0 && (json["findings"] as? [Any])?.isEmpty == true, "\(outcome.output)")
            let ranks = try #require(json["ranks"] as? [[String: Any]])
            #expect(ranks.count == 1)
            #expect((ranks[0]["program"] as? [String: Any])?["hash"] as? String != nil)
            #expect((ranks[0]["launch"] as? [String: Any])?["mpirun"] as? String != nil)
            #expect((ranks[0]["memory"] as? [String: Any])?["neededByteCount"] as? Int ?? 0 > 1 << 20)
            #expect(json["seconds"] as? Double ?? 9 < 5)
            expectRefusal(try workspace.vergence("doctor", "nowhere"), 66, "unusable-data")
            let broken = try workspace.vergence("doctor", "nowhere", "--json", "-")
            let found = try JSONSerialization.jsonObject(with: Data(broken.output.utf8)) as? [String: Any]
            let finding = (found?["findings"] as? [[String: Any]])?.first
            #expect(finding?["name"] as? String == "unusable-data" && finding?["exitCode"] as? Int == 66)
            expectOnlyRefusal(try workspace.vergence("doctor", "--lane", "3"), 64, "'--lane'")
        }

        // MARK: launches

        @Test func singletons() throws {
            let workspace = try Self.shared.get()
            var slurm = ["SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "3"]
            expectOnlyRefusal(
                try workspace.vergence(Self.training(), environment: slurm), 64, "singletons: Slurm started 3 tasks",
                "--mpi=pmix")
            slurm["SLURM_PROCID"] = "2"
            let quiet = try workspace.vergence(Self.training(), environment: slurm)
            #expect(quiet.exitCode == 64 && quiet.errors.isEmpty, "\(quiet.errors)")
            // What the mpirun of MPICH sets, which Open MPI does not understand.
            expectOnlyRefusal(
                try workspace.vergence(
                    Self.training(),
                    environment: ["PMI_RANK": "0", "PMI_SIZE": "2", "PMI_FD": "9", "OMPI_MCA_btl": "self"]),
                64, "singletons: Hydra", "started 2 processes")
            #expect(!workspace.exists("new"))
        }

        @Test func processesStartedTogether() throws {
            let workspace = try Self.shared.get()
            let started = try (0..<3).map { _ in try workspace.start(Self.training("data") + ["--steps", "60"]) }
            let errors = started.map { $0.wait(timeoutSeconds: 20).errors }.joined()
            try? FileManager.default.removeItem(atPath: workspace.path("new"))
            #expect(errors.contains("vergence: singletons: "), "\(errors)")
            #expect(errors.contains("with this command line at the same time"), "\(errors)")
        }

        @Test func differentPrograms() throws {
            let workspace = try Self.shared.get()
            let copy = workspace.path("vergence-copy")
            try FileManager.default.copyItem(atPath: Self.vergence, toPath: copy)
            defer { try? FileManager.default.removeItem(atPath: copy) }
            let file = try #require(FileHandle(forWritingAtPath: copy))
            try file.seekToEnd()
            try file.write(contentsOf: Data([0]))
            try file.close()
            try expectRefused(train, [copy] + Self.training(), 64, "different-programs: rank 1 (", "copy the same")
        }

        @Test func differentVersionsOfMPI() throws {
            let workspace = try Self.shared.get()
            // mpirun gets its run-time library from elsewhere, under the name of another version.
            let mpirun = try #require(Workspace.mpirun)
            let listed = try ProcessRunner.run("/usr/bin/ldd", [mpirun], in: "/")
            let name = "libopen-rte.so.40"
            guard let line = listed.output.split(separator: "\n").first(where: { $0.contains(name) }),
                let path = line.split(separator: " ").first(where: { $0.hasPrefix("/") })
            else { return }
            let folder = workspace.path("lib")
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let real = URL(fileURLWithPath: String(path)).resolvingSymlinksInPath().path
            try FileManager.default.copyItem(atPath: real, toPath: folder + "/\(name).0.1")
            try FileManager.default.createSymbolicLink(
                atPath: folder + "/\(name)", withDestinationPath: "\(name).0.1")
            let command = ["env", "-u", "LD_LIBRARY_PATH"] + train
            let outcome = try launch([command, command], environment: ["LD_LIBRARY_PATH": folder])
            expectRefusal(outcome, 64, "different-versions-of-mpi: ", "\(name).0.1", "PATH")
            #expect(!workspace.exists("new"))
        }

        @Test func ranksThatWouldDriftApart() throws {
            let workspace = try Self.shared.get()
            try expectRefused(
                train, train + ["--lr", "0.1"], 64, "different-configurations: rank 1 (", "lr is '0.1' and '0.001'")
            // Changes no weight, but one rank would stop before the other.
            try expectRefused(
                train, [Self.vergence] + Self.training().map { $0 == "1" ? "2" : $0 }, 64, "steps is '2' and '1'")
            let other = try workspace.shards(
                "synth", "other", "--pairs", "44", "--size", "32x48", "--seed", "2", "--split", "val=0.1")
            #expect(other.exitCode == 0)
            try expectRefused(
                train, [Self.vergence] + Self.training("other"), 64, "different-data: rank 1 (", "differ in data set")
            try FileManager.default.copyItem(atPath: workspace.path("data"), toPath: workspace.path("partial"))
            let shard = try #require(
                workspace.files(below: "partial").keys.filter { $0.contains("train") }.sorted().first)
            try workspace.write(Data(count: 10), "partial/\(shard)")
            try expectRefused(
                train, [Self.vergence] + Self.training("partial"), 65, "different-data: rank 1 (", shard, "size")
            try FileManager.default.removeItem(atPath: workspace.path("partial/\(shard)"))
            try expectRefused(
                train, [Self.vergence] + Self.training("partial"), 66, "different-data: rank 1 (", shard, "missing")
            let everywhere = [Self.vergence] + Self.training("partial")
            try expectRefused(everywhere, everywhere, 66, "unusable-data: partial", shard)
        }

        #if arch(x86_64)
            @Test func differentKernels() throws {
                try expectRefused(
                    ["env", "OPENBLAS_CORETYPE=Nehalem"] + train, ["env", "OPENBLAS_CORETYPE=Prescott"] + train, 64,
                    "different-kernels: rank 1 (", "Nehalem/", "Prescott/", "OPENBLAS_CORETYPE")
            }
        #endif

        @Test func aRunFolderOfItsOwn() throws {
            let workspace = try Self.shared.get()
            let trained = try workspace.train("resumed", steps: 1, lanes: 4)
            #expect(trained.exitCode == 0)
            // A host with a folder of the same name, but without the checkpoint.
            try FileManager.default.createDirectory(
                atPath: workspace.path("elsewhere/resumed"), withIntermediateDirectories: true)
            try FileManager.default.copyItem(
                atPath: workspace.path("resumed/config.yaml"), toPath: workspace.path("elsewhere/resumed/config.yaml"))
            let resume = [
                Self.vergence, "train", workspace.path("data"), "--run", "resumed", "--resume", "--steps", "2",
            ]
            try expectRefused(
                resume, ["env", "-C", workspace.path("elsewhere")] + resume, 66, "run-folder-not-shared: rank 1 (",
                "none and one of")
        }

        // MARK: cores and memory

        @Test(.enabled(if: cores > 1 && ProcessRunner.find("taskset") != nil, "needs two cores and taskset"))
        func coresInCommon() throws {
            try expectRefused(
                ["taskset", "-c", "0"] + train, ["taskset", "-c", "0"] + train, 64, "overlapping-cores: ranks 0, 1 (",
                "2 threads on the same 1 core (0)", "--bind-to none")
        }

        @Test(.enabled(if: cores > 1, "needs two cores")) func whatIsOnlySlowIsAWarning() throws {
            let workspace = try Self.shared.get()
            defer { try? FileManager.default.removeItem(atPath: workspace.path("new")) }
            let bound = try launch([[Self.vergence] + Self.training("data", ["--threads", "2"])], binding: "core")
            #expect(bound.exitCode == 0)
            #expect(bound.errors.contains("warning: bound-to-too-few-cores: rank 0 ("), "\(bound.errors)")
            let threads = "\(Self.cores)"
            let command = [Self.vergence, "doctor", "--threads", threads]
            let crowd = try launch([command, command])
            #expect(crowd.exitCode == 0)
            #expect(crowd.output.contains("warning: too-many-threads: 2 ranks on "), "\(crowd.output)")
            #expect(crowd.output.hasSuffix("doctor: 2 ranks on 1 host, 1 warning\n"), "\(crowd.output)")
        }

        @Test func moreThanTheMachineHas() throws {
            let workspace = try Self.shared.get()
            let outcome = try workspace.vergence("doctor", "data", "--lanes", "1", "--lane-batch", "60000")
            expectRefusal(outcome, 65, "not-enough-memory, unusable-data")
            #expect(outcome.output.contains("error: not-enough-memory: 1 rank on "), "\(outcome.output)")
            #expect(outcome.output.contains("error: unusable-data: "), "\(outcome.output)")
            expectRefusal(
                try launch([train + ["--lanes", "1"], train + ["--lanes", "1"]]), 64,
                "fewer-lanes-than-ranks: 1 lanes cannot be shared by 2 ranks", "at most 1 rank")
        }
    }
}
