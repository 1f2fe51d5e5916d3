import Foundation
import Glibc
import TestSupport
import Testing

extension CommandTests {
    /// A run that is ended in the middle and taken up again is the run that was never ended.
    @Suite(.serialized) struct Resuming {
        static let steps = 60
        static let options = ["--threads", "1", "--checkpoint-every", "4"]
        static let undisturbed = Result { () throws -> (workspace: Workspace, bytes: Data) in
            let workspace = try Workspace()
            let outcome = try workspace.train("undisturbed", steps: steps, options)
            try #require(outcome.exitCode == 0, "\(outcome.errors)")
            return (workspace, try #require(workspace.checkpoint("undisturbed")))
        }

        private func rowCount(_ workspace: Workspace, _ run: String) -> Int {
            max(0, (workspace.text("\(run)/steps.csv")?.split(separator: "\n").count ?? 0) - 1)
        }

        /// Bytes of the undisturbed run, and every step and epoch once.
        private func expectWhole(_ run: String) throws {
            let (workspace, expected) = try Self.undisturbed.get()
            #expect(workspace.checkpoint(run) == expected, "\(run) differs from the undisturbed run")
            #expect(
                workspace.bytes("\(run)/checkpoints/best.safetensors")
                    == workspace.bytes("undisturbed/checkpoints/best.safetensors"))
            for (name, clocks) in [("steps.csv", ["seconds"]), ("metrics.csv", ["seconds"])] {
                let table = try #require(workspace.table("\(run)/\(name)"))
                let other = try #require(workspace.table("undisturbed/\(name)"))
                func exact(_ row: [String: String]) -> [String: String] {
                    row.filter { column, _ in !clocks.contains { column.hasSuffix($0) } }
                }
                #expect(table.map(exact) == other.map(exact), "\(name) of \(run)")
            }
            #expect(workspace.files(below: run).keys.allSatisfy { !$0.hasSuffix(".partial") })
        }

        /// Starts a run and kills it once it has a checkpoint and some steps more.
        private func killed(_ run: String, by signal: Int32, _ more: [String] = []) throws -> ProcessRunner.Outcome {
            let workspace = try Self.undisturbed.get().workspace
            let running = try workspace.start(
                Workspace.training(run, steps: Self.steps, Self.options + more), environment: Workspace.lingering)
            let reached = running.poll {
                workspace.exists("\(run)/checkpoints/last.safetensors") && rowCount(workspace, run) >= 14
            }
            #expect(reached, "\(running.errors)")
            running.send(signal)
            return running.wait(timeoutSeconds: 30)
        }

        @Test func killedAndResumedAlone() throws {
            let workspace = try Self.undisturbed.get().workspace
            let outcome = try killed("killed1", by: SIGKILL)
            try #require(outcome.exitCode == 128 + SIGKILL, "it had finished already: \(outcome.errors)")
            // As left by a kill in the middle of writing.
            try workspace.write("half", "killed1/checkpoints/last.safetensors.1abc.partial")
            let resumed = try workspace.vergence("train", "--run", "killed1", "--resume")
            #expect(resumed.exitCode == 0, "\(resumed.errors)")
            #expect(resumed.errors.contains("going on at step"))
            try expectWhole("killed1")
        }

        /// 44 pairs, 40 of them for training: 5 steps an epoch, so that every checkpoint falls on the end of an epoch.
        @Test func checkpointsAtEndsOfEpochsAreWritten() throws {
            let workspace = try Self.undisturbed.get().workspace
            let running = try workspace.start(
                Workspace.training(
                    "ends", steps: 4000, ["--threads", "1", "--checkpoint-every", "5", "--validate-every", "1000"]))
            #expect(running.poll { workspace.exists("ends/checkpoints/last.safetensors") }, "\(running.errors)")
            running.send(SIGKILL)
            _ = running.wait(timeoutSeconds: 10)
        }

        @Test func aRunWithoutACheckpointStartsAgain() throws {
            let workspace = try Self.undisturbed.get().workspace
            let running = try workspace.start(
                Workspace.training("early", steps: Self.steps, ["--threads", "1", "--checkpoint-every", "59"]))
            #expect(running.poll { rowCount(workspace, "early") >= 2 }, "\(running.errors)")
            running.send(SIGKILL)
            _ = running.wait(timeoutSeconds: 10)
            if workspace.exists("early/checkpoints/last.safetensors") {
                try FileManager.default.removeItem(atPath: workspace.path("early/checkpoints/last.safetensors"))
            }
            let resumed = try workspace.vergence("train", "--run", "early", "--resume")
            #expect(resumed.exitCode == 0, "\(resumed.errors)")
            #expect(workspace.checkpoint("early") == workspace.checkpoint("undisturbed"))
            #expect(rowCount(workspace, "early") == Self.steps)
        }

        @Test func dataThatMovedIsKnownByItsHash() throws {
            let workspace = try Self.undisturbed.get().workspace
            let outcome = try killed("moved", by: SIGKILL)
            try #require(outcome.exitCode == 128 + SIGKILL)
            try FileManager.default.copyItem(atPath: workspace.path("data"), toPath: workspace.path("elsewhere"))
            let resumed = try workspace.vergence("train", "elsewhere", "--run", "moved", "--resume")
            #expect(resumed.exitCode == 0, "\(resumed.errors)")
            try expectWhole("moved")
        }

        /// A run that ended within an epoch, and is given more steps, reports the whole epoch in the end.
        @Test func anExtendedRunKnowsItsEpoch() throws {
            let workspace = try Self.undisturbed.get().workspace
            let whole = try #require(workspace.table("undisturbed/metrics.csv")?.first)
            let steps = try #require(whole["step"].flatMap { Int($0) })
            try #require(steps > 1)
            let short = try workspace.train("extended", steps: steps - 1, Self.options)
            try #require(short.exitCode == 0, "\(short.errors)")
            let outcome = try workspace.vergence("train", "--run", "extended", "--resume", "--steps", "\(steps)")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            let row = try #require(workspace.table("extended/metrics.csv")?.last)
            #expect(row["step"] == "\(steps)" && row["train_loss"] == whole["train_loss"] && row["train_loss"] != nil)
        }

        @Test func aRunIsWrittenByOneProcessAtATime() throws {
            let workspace = try Self.undisturbed.get().workspace
            let running = try workspace.start(Workspace.training("busy", steps: 4000, Self.options))
            #expect(running.poll { workspace.exists("busy/checkpoints/last.safetensors") }, "\(running.errors)")
            expectRefusal(try workspace.vergence("train", "--run", "busy", "--resume"), 64, "another process")
            running.send(SIGKILL)
            _ = running.wait(timeoutSeconds: 10)
            // The lock ends with its holder.
            let resumed = try workspace.vergence("train", "--run", "busy", "--resume", "--steps", "4000", "--dry-run")
            #expect(resumed.exitCode == 0, "\(resumed.errors)")
        }

        @Test func killedAndResumedWithThreeRanks() throws {
            let workspace = try Self.undisturbed.get().workspace
            let outcome = try killed("killed3", by: SIGKILL)
            try #require(outcome.exitCode == 128 + SIGKILL)
            let resumed = try workspace.vergence("train", "data", "--run", "killed3", "--resume", "--ranks", "3")
            #expect(resumed.exitCode == 0, "\(resumed.errors)")
            try expectWhole("killed3")
        }

        @Test(.enabled(if: Workspace.mpirun != nil, "mpirun is not installed"))
        func killedAndResumedUnderMPI() throws {
            let workspace = try Self.undisturbed.get().workspace
            let outcome = try killed("killedMPI", by: SIGKILL, ["--ranks", "2"])
            try #require(outcome.exitCode == 128 + SIGKILL)
            let resumed = try workspace.mpirun(2, ["train", "--run", "killedMPI", "--resume"])
            #expect(!resumed.timedOut && resumed.exitCode == 0, "\(resumed.errors)")
            try expectWhole("killedMPI")
        }

        @Test(.enabled(if: Workspace.mpirun != nil, "mpirun is not installed"))
        func killedRankEndsTheRun() throws {
            let workspace = try Self.undisturbed.get().workspace
            let running = try ProcessRunner.Running(
                try #require(Workspace.mpirun),
                Workspace.launching(2) + Workspace.training("orphan", steps: 4000, Self.options),
                in: workspace.folder.path)
            #expect(running.poll { rowCount(workspace, "orphan") >= 8 }, "\(running.errors)")
            let process = try #require(try running.children().max())
            kill(process, SIGKILL)
            let outcome = running.wait(timeoutSeconds: 20)
            #expect(!outcome.timedOut && outcome.exitCode != 0, "\(outcome.errors)")
        }

        @Test(.enabled(if: Workspace.mpirun != nil, "mpirun is not installed"), arguments: [0, 1])
        func interruptedRankStopsAll(rank: Int) throws {
            let workspace = try Self.undisturbed.get().workspace
            let run = "interrupted\(rank)"
            let running = try ProcessRunner.Running(
                try #require(Workspace.mpirun),
                Workspace.launching(2) + Workspace.training(run, steps: Self.steps, Self.options),
                in: workspace.folder.path, environment: Workspace.lingering)
            #expect(running.poll { rowCount(workspace, run) >= 6 }, "\(running.errors)")
            kill(try #require(try running.children().sorted().dropFirst(rank).first), SIGINT)
            expectRefusal(running.wait(timeoutSeconds: 30), 130, "mpirun -np 2", "--resume")
            let resumed = try workspace.vergence("train", "--run", run, "--resume")
            #expect(resumed.exitCode == 0, "\(resumed.errors)")
            try expectWhole(run)
        }

        @Test func interruptedRunSaysHowToGoOn() throws {
            let workspace = try Self.undisturbed.get().workspace
            let outcome = try killed("it's stopped", by: SIGINT)
            expectRefusal(outcome, 130, "--resume")
            let line = try #require(outcome.complaints.first)
            let command = try #require(line.components(separatedBy: "go on with: ").last)
            #expect(workspace.checkpoint("it's stopped") != nil)
            let resumed = try workspace.shell(command)
            #expect(resumed.exitCode == 0, "\(command): \(resumed.errors)")
            try expectWhole("it's stopped")
        }

        @Test func interruptedRanksStopTogether() throws {
            let workspace = try Self.undisturbed.get().workspace
            let outcome = try killed("stopped3", by: SIGTERM, ["--ranks", "3"])
            expectRefusal(outcome, 130, "--resume --ranks 3")
            let resumed = try workspace.vergence("train", "--run", "stopped3", "--resume")
            #expect(resumed.exitCode == 0, "\(resumed.errors)")
            try expectWhole("stopped3")
        }

        @Test func moreStepsStayAgreed() throws {
            let workspace = try Self.undisturbed.get().workspace
            #expect(try workspace.train("longer", steps: 10, Self.options).exitCode == 0)
            let stopped = try workspace.vergence("train", "--run", "longer", "--resume", "--steps", "\(Self.steps)")
            #expect(stopped.exitCode == 0, "\(stopped.errors)")
            #expect(workspace.text("longer/config.yaml")?.contains("\nsteps: \(Self.steps) ") == true)
            #expect(workspace.checkpoint("longer")?.count == (try Self.undisturbed.get().bytes.count))
            let again = try workspace.vergence("train", "--run", "longer", "--resume")
            #expect(again.exitCode == 0)
            #expect(again.errors.contains("has its \(Self.steps) steps already"), "\(again.errors)")
        }

        @Test func damagedStateIsRefused() throws {
            let workspace = try Self.undisturbed.get().workspace
            #expect(try workspace.train("damaged", steps: 8, Self.options).exitCode == 0)
            expectOnlyRefusal(
                try workspace.vergence("train", "--run", "damaged", "--resume", "--lanes", "4"), 64, "lanes 8 → 4")
            expectOnlyRefusal(
                try workspace.vergence("train", "--run", "damaged", "--resume", "--set", "width=8"), 64, "set")
            expectOnlyRefusal(
                try workspace.vergence("train", "--run", "never", "--resume"), 66, "never/config.yaml")
            let whole = try #require(workspace.checkpoint("damaged"))
            for (count, why) in [(whole.count / 2, "half"), (100, "header"), (0, "empty")] {
                // Every one of them: an older one would stand in.
                for name in workspace.files(below: "damaged/checkpoints").keys {
                    try workspace.write(whole.prefix(count), "damaged/checkpoints/\(name)")
                }
                let before = workspace.files(below: "damaged")
                expectOnlyRefusal(
                    try workspace.vergence("train", "--run", "damaged", "--resume"), 65, "last.safetensors")
                #expect(workspace.files(below: "damaged") == before, "\(why)")
            }
            // A checkpoint of a run with another width.
            let other = try workspace.vergence(
                "train", "data", "--run", "wide", "--lanes", "8", "--lane-batch", "1", "--steps", "2", "--set",
                "width=6",
                "--set", "levels=8", "--threads", "1")
            #expect(other.exitCode == 0, "\(other.errors)")
            try workspace.write(try #require(workspace.checkpoint("wide")), "damaged/checkpoints/last.safetensors")
            expectOnlyRefusal(try workspace.vergence("train", "--run", "damaged", "--resume"), 64, "width=6", "width=4")
            try workspace.write("lanes: 8\nlanse: 4\n", "damaged/config.yaml")
            expectOnlyRefusal(
                try workspace.vergence("train", "--run", "damaged", "--resume"), 64, "config.yaml:2",
                "did you mean 'lanes'")
            try workspace.write(Data([0, 255, 1, 254]), "damaged/config.yaml")
            expectOnlyRefusal(try workspace.vergence("train", "--run", "damaged", "--resume"), 64, "config.yaml")
        }
    }
}
