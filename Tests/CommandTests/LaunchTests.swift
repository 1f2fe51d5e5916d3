import Foundation
import Glibc
import TestSupport
import Testing

extension CommandTests {
    /// `vergence launch`: runs that go on by themselves.
    @Suite(.serialized, .enabled(if: Workspace.mpirun != nil, "mpirun is not installed"))
    struct Launching {
        static let lanes = 4
        static let steps = 60
        static let options = ["--threads", "1", "--checkpoint-every", "7", "--validate-every", "4"]
        static let sessions = TemporaryFolder("launch")
        /// One mpirun that ends can pull the common session folder from under another that starts.
        static let environment = ["OMPI_MCA_orte_tmpdir_base": sessions.path]
        static let undisturbed = Result { () throws -> (workspace: Workspace, bytes: Data) in
            let workspace = try Workspace()
            let outcome = try workspace.train("undisturbed", steps: steps, lanes: lanes, options)
            try #require(outcome.exitCode == 0, "\(outcome.errors)")
            return (workspace, try #require(workspace.checkpoint("undisturbed")))
        }

        static func training(_ run: String, steps: Int = Self.steps) -> [String] {
            Workspace.training(run, steps: steps, lanes: lanes, options)
        }

        private func start(
            _ options: [String], _ command: [String], environment: [String: String] = [:]
        ) throws -> ProcessRunner.Running {
            let workspace = try Self.undisturbed.get().workspace
            return try ProcessRunner.Running(
                ProcessRunner.product("vergence"), ["launch"] + options + ["--"] + command, in: workspace.folder.path,
                environment: Self.environment.merging(environment) { $1 })
        }

        private func rowCount(_ run: String) -> Int {
            let text = (try? Self.undisturbed.get().workspace.text("\(run)/steps.csv")) ?? ""
            return max(0, text.split(separator: "\n").count - 1)
        }

        /// The ranks of a launch under way.
        private func ranks(_ running: ProcessRunner.Running) throws -> [pid_t] {
            guard let mpirun = try running.children().first else { return [] }
            let text = try? String(contentsOfFile: "/proc/\(mpirun)/task/\(mpirun)/children", encoding: .utf8)
            return (text ?? "").split(separator: " ").compactMap { pid_t($0) }
        }

        private func isAlive(_ process: pid_t) -> Bool {
            guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8) else { return false }
            return !text.contains(") Z ")
        }

        private func expectWhole(_ run: String) throws {
            let (workspace, expected) = try Self.undisturbed.get()
            #expect(workspace.checkpoint(run) == expected, "\(run) differs from the undisturbed run")
            let steps = try #require(workspace.table("\(run)/steps.csv"))
            #expect(steps.map { $0["step"] } == (1...Self.steps).map { "\($0)" })
            let other = try #require(workspace.table("undisturbed/metrics.csv"))
            #expect(workspace.table("\(run)/metrics.csv")?.map { $0["step"] } == other.map { $0["step"] })
        }

        private func events(_ run: String) throws -> [[String: Any]] {
            let text = try Self.undisturbed.get().workspace.text("\(run)/launch.jsonl") ?? ""
            return try text.split(separator: "\n").map {
                try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
            }
        }

        @Test func aKilledRankIsHealed() throws {
            let running = try start(["-n", "3"], Self.training("healed"), environment: Workspace.lingering)
            #expect(running.poll { rowCount("healed") >= 20 }, "\(running.errors)")
            let victim = try #require(try ranks(running).randomElement())
            kill(victim, SIGKILL)
            let outcome = running.wait()
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            let line =
                #/launch: rank [012] \(pid \d+\) died of signal 9; going on with 3 ranks from step \d+ in 1 s \(restart 1/#
            #expect(outcome.errors.contains(line), "\(outcome.errors)")
            #expect(
                outcome.errors.contains("(pid \(victim))") && outcome.errors.contains("launch: done, after 1 restart"))
            try expectWhole("healed")
            let events = try events("healed")
            #expect(events.map { $0["event"] as? String } == ["start", "restart", "going_again", "done"])
            #expect((events[1]["step"] as? Int).map { $0 > 0 && $0 % 7 == 0 || $0 % 20 == 0 } == true)
            #expect((events[2]["seconds_since_failure"] as? Double).map { (0.5..<15).contains($0) } == true)
        }

        /// A kill while the ranks start, before the run has its folder, or a half one.
        @Test func aRankThatDiesEarlyIsHealed() throws {
            let running = try start(["-n", "2"], Self.training("early"))
            #expect(running.poll { (try? ranks(running).count) ?? 0 == 2 }, "\(running.errors)")
            usleep(UInt32.random(in: 0..<300_000))
            kill(try #require(try ranks(running).randomElement()), SIGKILL)
            let outcome = running.wait()
            #expect(outcome.exitCode == 0 && outcome.errors.contains("(restart 1)"), "\(outcome.errors)")
            try expectWhole("early")
        }

        @Test func mistakesAreNotTriedAgain() throws {
            let workspace = try Self.undisturbed.get().workspace
            // Found before mpirun is called.
            expectOnlyRefusal(
                try workspace.vergence("launch", "-n", "2", "--", "train", "data", "--run", "bad", "--lanes", "x"), 64,
                "lanes")
            expectOnlyRefusal(
                try workspace.vergence("launch", "--", "train", "data", "--run", "bad", "--lane", "2"), 64, "--lanes")
            expectOnlyRefusal(try workspace.vergence("launch", "--rank", "2", "--", "train"), 64, "--ranks")
            expectOnlyRefusal(try workspace.vergence("launch", "-n", "2", "--", "trian"), 64, "train")
            expectOnlyRefusal(try workspace.vergence("launch", "-n", "2"), 64, "which command")
            expectOnlyRefusal(
                try workspace.vergence(["launch", "-n", "9", "--"] + Self.training("bad")), 64, "9 ranks for 4 lanes")
            expectOnlyRefusal(
                try workspace.vergence(["launch", "-f", "none", "--"] + Self.training("bad")), 66,
                "none: no such hostfile")
            expectOnlyRefusal(
                try workspace.vergence(
                    ["launch", "--"] + Self.training("bad"), environment: ["OMPI_COMM_WORLD_RANK": "0"]), 64)
            expectOnlyRefusal(
                try workspace.vergence(["launch", "--"] + Self.training("bad"), environment: ["PATH": "/nowhere"]), 66,
                "mpirun is missing")
            // Found by the ranks.
            for (code, command) in [
                (66, Self.training("bad").map { $0 == "data" ? "nothing" : $0 }),
                (64, Self.training("undisturbed")),
                (65, Self.training("bad") + ["--optimizer", "sgd", "--lr", "1e6", "--weight-decay", "1e6"]),
            ] as [(Int32, [String])] {
                let outcome = try start(["-n", "2"], command).wait()
                #expect(outcome.exitCode == code, "\(outcome.errors)")
                #expect(outcome.errors.contains("launch: the ranks ended with code \(code), which another try"))
                #expect(!outcome.errors.contains("restart"))
            }
            #expect(try events("bad").map { $0["event"] as? String } == ["start", "end"])
            #expect(!workspace.exists("undisturbed/launch.jsonl"))
        }

        @Test func interruptedLaunchSaysHowToGoOn() throws {
            let workspace = try Self.undisturbed.get().workspace
            let running = try start(["-n", "3"], Self.training("it's stopped"), environment: Workspace.lingering)
            #expect(running.poll { rowCount("it's stopped") >= 20 }, "\(running.errors)")
            running.send(SIGINT)
            let outcome = running.wait()
            #expect(outcome.exitCode == 130, "\(outcome.errors)")
            #expect(workspace.checkpoint("it's stopped") != nil)
            let lines = outcome.errors.split(separator: "\n").filter { $0.contains("go on with: ") }
            #expect(lines.count == 1, "\(outcome.errors)")
            // Behind all that mpirun has to say.
            #expect(outcome.errors.split(separator: "\n").last == lines.first, "\(outcome.errors)")
            let command = try #require(lines.first?.split(separator: "go on with: ").last)
            #expect(command.contains("launch -n 3 -- train --run 'it'\\''s stopped' --resume"), "\(command)")
            let resumed = try workspace.shell(
                "export OMPI_MCA_orte_tmpdir_base='\(Self.sessions.path)'; exec " + command)
            #expect(resumed.exitCode == 0, "\(resumed.errors)")
            try expectWhole("it's stopped")
        }

        @Test func theSecondSignalEndsAtOnce() throws {
            let running = try start(["-n", "2"], Self.training("at-once", steps: 100_000))
            #expect(running.poll { rowCount("at-once") >= 5 }, "\(running.errors)")
            let ranks = try ranks(running)
            // A rank that is stopped cannot save.
            kill(ranks[0], SIGSTOP)
            running.send(SIGTERM)
            usleep(200_000)
            #expect(running.isRunning)
            running.send(SIGTERM)
            let outcome = running.wait(timeoutSeconds: 20)
            #expect(outcome.exitCode == 130 && !outcome.timedOut, "\(outcome.errors)")
            #expect(outcome.errors.contains("go on with: ") && outcome.errors.contains("launch: ends at once"))
            #expect(ranks.count == 2 && !ranks.contains(where: isAlive))
        }

        @Test func aKilledSupervisorLeavesNothing() throws {
            let run = "orphans"
            let running = try start(["-n", "3"], Self.training(run, steps: 100_000))
            #expect(running.poll { rowCount(run) >= 5 }, "\(running.errors)")
            let processes = try running.children() + ranks(running)
            #expect(processes.count == 4 && processes.allSatisfy(isAlive))
            // One that is stopped can notice nothing by itself.
            kill(processes[2], SIGSTOP)
            running.send(SIGKILL)
            let end = Date().addingTimeInterval(10)
            while Date() < end, processes.contains(where: isAlive) { usleep(20_000) }
            #expect(!processes.contains(where: isAlive))
            // What is left would keep the wait from ending.
            for process in processes where isAlive(process) { kill(process, SIGKILL) }
            #expect(running.wait().exitCode == 128 + SIGKILL)
        }

        @Test func aKilledLauncherIsHealed() throws {
            let running = try start(["-n", "2"], Self.training("launcher"), environment: Workspace.lingering)
            #expect(running.poll { rowCount("launcher") >= 20 }, "\(running.errors)")
            let ranks = try ranks(running)
            // Without its mpirun, a rank that is stopped would stay for ever.
            kill(ranks[1], SIGSTOP)
            kill(try #require(try running.children().first), SIGKILL)
            let outcome = running.wait()
            #expect(
                outcome.exitCode == 0 && outcome.errors.contains("launch: mpirun died of signal 9; going on"),
                "\(outcome.errors)")
            #expect(outcome.errors.contains("that mpirun left"))
            #expect(!ranks.contains(where: isAlive))
            try expectWhole("launcher")
        }

        /// A stand-in for an mpirun whose ranks always die.
        private func dyingMPIRun(_ code: Int32) throws -> (path: String, calls: () -> Int) {
            let workspace = try Self.undisturbed.get().workspace
            let folder = "dying-\(code)-\(UUID().uuidString)"
            try workspace.write(
                "#!/bin/sh\necho \"$@\" >> '\(workspace.path(folder))/calls'\nexit \(code)\n", "\(folder)/mpirun")
            chmod(workspace.path("\(folder)/mpirun"), 0o755)
            let calls = { (workspace.text("\(folder)/calls") ?? "").split(separator: "\n").count }
            return (workspace.path(folder), calls)
        }

        @Test(arguments: [(137, 75), (205, 75)] as [(Int32, Int32)])
        func givesUpWithAReason(code: Int32, expected: Int32) throws {
            let (path, calls) = try dyingMPIRun(code)
            let restarts = code == 137 ? 1 : 0
            let outcome = try start(
                ["-n", "2", "--max-restarts", "\(restarts)"], Self.training("never"),
                environment: ["PATH": path + ":/usr/bin:/bin"]
            ).wait()
            #expect(calls() == restarts + 1)
            #expect(outcome.exitCode == expected, "\(outcome.errors)")
            #expect(outcome.complaints.count == 1)
            #expect(
                outcome.complaints.first?.contains("gave up after \(restarts) restart") == true, "\(outcome.errors)")
            if code == 137 {
                #expect(outcome.errors.contains("2 times in a row in the same way"))
                #expect(
                    outcome.errors.contains(
                        "launch: a rank died of signal 9; going on with 2 ranks from step 0 in 1 s (restart 1)"))
            }
        }

        /// Before the first step; later it may pass.
        @Test func fullDisksAreNotTriedAgain() throws {
            let (path, calls) = try dyingMPIRun(74)
            let outcome = try start(
                ["-n", "2"], Self.training("full"), environment: ["PATH": path + ":/usr/bin:/bin"]
            ).wait()
            #expect(outcome.exitCode == 74 && calls() == 1, "\(outcome.errors)")
            #expect(outcome.errors.contains("code 74, which another try would not change"), "\(outcome.errors)")
        }

        @Test func aSignalWhileWaitingEndsIt() throws {
            let (path, calls) = try dyingMPIRun(137)
            let running = try start(
                ["-n", "2"], Self.training("waiting"), environment: ["PATH": path + ":/usr/bin:/bin"])
            #expect(running.poll { running.errors.contains("(restart 1)") })
            running.send(SIGINT)
            let outcome = running.wait(timeoutSeconds: 5)
            #expect(outcome.exitCode == 130 && calls() == 1, "\(outcome.errors)")
            #expect(outcome.errors.contains("go on with: "))
        }

        @Test func aDamagedCheckpointIsPassedOver() throws {
            let workspace = try Self.undisturbed.get().workspace
            let running = try start(["-n", "2"], Self.training("damaged"), environment: Workspace.lingering)
            #expect(running.poll { rowCount("damaged") >= 42 }, "\(running.errors)")
            running.send(SIGINT)
            #expect(running.wait().exitCode == 130)
            var bytes = try #require(workspace.checkpoint("damaged"))
            bytes[bytes.count / 2] ^= 4
            try workspace.write(bytes, "damaged/checkpoints/last.safetensors")
            let outcome = try start(["-n", "2"], ["train", "--run", "damaged", "--resume"]).wait()
            #expect(
                outcome.exitCode == 0 && outcome.errors.contains("launch: damaged: damaged/checkpoints/last"),
                "\(outcome.errors)")
            #expect(outcome.errors.contains("taking damaged/checkpoints/step_"))
            try expectWhole("damaged")
        }

        /// The hang monitor says who is stuck; that is all the supervisor needs.
        @Test func stuckRanksAreEndedAndHealed() throws {
            let workspace = try Self.undisturbed.get().workspace
            let probe = try ProcessRunner.Running(
                ProcessRunner.product("launch-probe"),
                [ProcessRunner.product("vergence"), "stuck", "\(Self.lanes)", "3"] + Self.training("stuck"),
                in: workspace.folder.path, environment: Self.environment.merging(Workspace.lingering) { $1 })
            #expect(probe.poll { rowCount("stuck") >= 20 }, "\(probe.errors)")
            let victim = try #require(try ranks(probe).last)
            kill(victim, SIGSTOP)
            try workspace.write("rank 2 (here) has been in forward for 5 s", "stuck/stuck")
            let outcome = probe.wait()
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            #expect(outcome.errors.contains("launch: rank 2 (here) has been in forward for 5 s"))
            #expect(outcome.errors.contains("launch: ended the ranks that were stuck; going on with 3 ranks"))
            #expect(!isAlive(victim))
            try expectWhole("stuck")
        }

        @Test func scriptsAreThinWrappers() throws {
            let workspace = try Self.undisturbed.get().workspace
            let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .deletingLastPathComponent().path
            let program = ProcessRunner.product("vergence")
            func run(_ script: String, _ arguments: [String]) throws -> ProcessRunner.Outcome {
                try ProcessRunner.run(
                    "\(root)/launch/\(script)", ["--program", program] + arguments, in: workspace.folder.path)
            }
            let local = try run("local", ["--dry-run", "-t", "1"] + Self.training("dry"))
            #expect(local.exitCode == 0, "\(local.errors)")
            #expect(local.output.contains("mpirun -np 2 ") && local.output.contains("OMPI_MCA_btl=vader,self\n"))
            try workspace.write("node1 slots=2\nnode2\n", "hosts")
            let cluster = try run(
                "cluster",
                ["--dry-run", "-f", "hosts", "-i", "10.0.0.0/24", "--prefix=/opt/ompi", "--"] + Self.training("dry"))
            #expect(cluster.exitCode == 0, "\(cluster.errors)")
            #expect(cluster.output.contains("mpirun -np 3 --hostfile hosts --prefix /opt/ompi"), "\(cluster.output)")
            #expect(cluster.output.contains("OMPI_MCA_oob_tcp_if_include=10.0.0.0/24"))
            #expect(try run("cluster", Self.training("dry")).exitCode == 64)
            #expect(try run("local", []).exitCode == 64)
            // Other commands run too, once.
            let bench = try run(
                "local",
                ["bench", "allreduce", "--set", "width=4", "--set", "levels=8", "--repetitions", "1", "--json", "-"])
            #expect(bench.exitCode == 0 && bench.output.hasPrefix("{"), "\(bench.errors)")
            #expect(!workspace.exists("dry"))
        }

        /// About a minute and a half. Kills at any instant: while ranks start, before the run has a folder, in a step, while a checkpoint
        /// is written, after the last step.
        @Test(.enabled(if: LongTests.areWanted, Comment(rawValue: LongTests.hint)))
        func thirtyRandomKills() throws {
            var healed = 0
            for round in 0..<30 {
                let run = "random\(round)"
                let count = Int.random(in: 2...4)
                let running = try start(["-n", "\(count)"], Self.training(run))
                _ = running.poll { ((try? ranks(running).count) ?? 0) == count }
                // From before MPI is up until after the last step.
                usleep(UInt32.random(in: 0..<1_200_000))
                if let victim = (try? ranks(running))?.randomElement() { kill(victim, SIGKILL) }
                let outcome = running.wait()
                #expect(outcome.exitCode == 0, "round \(round): \(outcome.errors)")
                if outcome.errors.contains("(restart 1)") { healed += 1 }
                try expectWhole(run)
            }
            // Most strike in the middle of the run.
            #expect(healed >= 10)
        }
    }
}
