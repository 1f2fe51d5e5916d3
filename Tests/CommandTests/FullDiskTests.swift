import Foundation
import TestSupport
import Testing

extension CommandTests {
    /// A disk that fills up ends the program with the input/output code, and costs nothing that was whole.
    @Suite(.serialized, .enabled(if: SmallDisk.isPossible, Comment(rawValue: SmallDisk.hint))) struct FullDisk {
        @Test func checkpointStaysWhole() throws {
            let workspace = try Workspace()
            let disk = try #require(SmallDisk(below: workspace.folder.path, megabytes: 2))
            // One checkpoint fits, a second beside it does not.
            let options = ["--threads", "1", "--checkpoint-every", "4", "--validate-every", "100"]
            expectRefusal(
                try workspace.train("small/run", steps: 30, options), 74, "last.safetensors", "no space",
                "free some space")
            let left = workspace.files(below: "small/run").keys
            #expect(left.allSatisfy { !$0.contains(".partial") }, "\(left)")
            #expect(workspace.exists("small/run/checkpoints/last.safetensors"))
            let reference = try workspace.train("reference", steps: 30, options)
            #expect(reference.exitCode == 0)
            // What is there is the state after the fourth step: with room, the run goes on to the same bytes.
            try FileManager.default.copyItem(atPath: disk.path + "/run", toPath: workspace.path("moved"))
            let resumed = try workspace.vergence("train", "--run", "moved", "--resume")
            #expect(resumed.exitCode == 0, "\(resumed.errors)")
            #expect(workspace.checkpoint("moved") == workspace.checkpoint("reference"))
        }

        @Test(.enabled(if: Workspace.mpirun != nil, "mpirun is not installed"))
        func aLaunchIsRefusedBeforeItWrites() throws {
            let workspace = try Workspace(pairs: 10)
            let disk = try #require(SmallDisk(below: workspace.folder.path))
            let train = [
                "train", "data", "--run", "small/run", "--lane-batch", "1", "--set", "width=16", "--threads", "1",
            ]
            let outcome = try ProcessRunner.run(
                try #require(Workspace.mpirun), Workspace.launching(2) + train, in: workspace.folder.path,
                environment: ["OMPI_MCA_odls_base_sigkill_timeout": "0"])
            expectRefusal(outcome, 74, "no-space: the disk of small/run on ", "free some space")
            #expect(workspace.files(below: "small").isEmpty)
            withExtendedLifetime(disk) {}
        }

        @Test func dataSetDoesNotAppear() throws {
            let workspace = try Workspace(pairs: 10)
            let disk = try #require(SmallDisk(below: workspace.folder.path))
            let outcome = try workspace.shards(
                "synth", "small/data", "--pairs", "40", "--size", "64x96", "--seed", "1", "--workers", "2")
            expectRefusal(outcome, 74, "small/data", "no space")
            #expect(workspace.files(below: "small").isEmpty)
            withExtendedLifetime(disk) {}
        }

        /// What is finished stays; with more room the same command makes the rest.
        @Test func conversionGoesOnWithMoreRoom() throws {
            let workspace = try Workspace(pairs: 10)
            let disk = try #require(SmallDisk(below: workspace.folder.path, megabytes: 3))
            func synth(_ output: String) throws -> ProcessRunner.Outcome {
                try workspace.shards(
                    "synth", output, "--pairs", "180", "--size", "48x64", "--seed", "1", "--workers", "2",
                    "--shard-size", "1")
            }
            expectRefusal(try synth("small/data"), 74, "small/data", "no space", "free some space")
            let left = workspace.files(below: "small/data").keys
            #expect(left.contains("train-00000.shard.lz4") && left.contains("conversion.json"), "\(left)")
            #expect(left.allSatisfy { !$0.contains(".partial") } && !left.contains("manifest.json"), "\(left)")
            let mount = try #require(ProcessRunner.find("mount"))
            let more = try ProcessRunner.run(mount, ["-o", "remount,size=20m", disk.path], in: workspace.folder.path)
            try #require(more.exitCode == 0, "\(more.errors)")
            let again = try synth("small/data")
            #expect(again.exitCode == 0 && again.errors.contains("continues behind"), "\(again.errors)")
            #expect(try synth("whole").exitCode == 0)
            #expect(workspace.files(below: "small/data") == workspace.files(below: "whole"))
        }

        @Test func exportAndMapsDoNotAppear() throws {
            let workspace = try Workspace(pairs: 10)
            let trained = try workspace.train("run", steps: 1, lanes: 2)
            #expect(trained.exitCode == 0, "\(trained.errors)")
            let disk = try #require(SmallDisk(below: workspace.folder.path))
            try Data(count: 900_000).write(to: URL(fileURLWithPath: disk.path + "/ballast"))
            expectOnlyRefusal(
                try workspace.vergence(
                    "export", "--checkpoint", "run/checkpoints/last.safetensors", "--output", "small/w.safetensors"),
                74, "small/w.safetensors", "no space")
            #expect(workspace.files(below: "small").count == 1)
        }
    }
}
