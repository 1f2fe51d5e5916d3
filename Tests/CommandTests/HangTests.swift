import Basics
import Foundation
import Glibc
import Heartbeats
import TestSupport
import Testing

extension CommandTests {
    /// Ranks that are stopped or stuck are named, with what they were doing, while MPI waits for them.
    @Suite(.serialized, .enabled(if: Workspace.mpirun != nil, "mpirun is not installed")) struct Hangs {
        static let workspace = Result { try Workspace(pairs: 44) }

        /// A run on three ranks with a monitor beside it. Whatever happens, nothing is left of it.
        final class Watched {
            let monitor: RunMonitor
            let running: ProcessRunner.Running
            static let ranks = 3

            init(_ run: String, detector: HangDetector, delays: String) throws {
                let workspace = try Hangs.workspace.get()
                monitor = try RunMonitor(address: "127.0.0.1", worldSize: Self.ranks, detector: detector)
                let environment = monitor.environment.merging([HeartbeatSender.delayVariable: delays]) { $1 }
                let arguments = Workspace.training(
                    run, steps: 100_000, lanes: Self.ranks,
                    ["--threads", "1", "--checkpoint-every", "1", "--validate-every", "1000"])
                running = try ProcessRunner.Running(
                    try #require(Workspace.mpirun), Workspace.launching(Self.ranks) + arguments,
                    in: workspace.folder.path, environment: environment)
            }

            deinit {
                // A stopped process takes no other signal, and the launcher would wait for it.
                for pid in pids { kill(pid, SIGKILL) }
                running.send(SIGKILL)
                _ = running.wait(timeoutSeconds: 5)
                monitor.stop()
            }

            var pids: [pid_t] {
                monitor.observations().compactMap { $0 }.filter { $0.beat.status.phase != .finished }
                    .map { pid_t($0.beat.pid) }
            }

            func status(_ rank: Int) -> HeartbeatObservation? { monitor.observations()[rank] }

            /// Stops a rank that has just begun a phase. Returns when that was.
            func stop(_ rank: Int, in phase: RankPhase) throws -> Double {
                let isThere = running.poll(timeoutSeconds: 30) {
                    guard let seen = status(rank), seen.beat.status.step > 1 else { return false }
                    return seen.beat.status.phase == phase && seen.beat.status.secondsInPhase < 0.1
                        && monotonicSeconds() - seen.arrivedAt < 0.05
                }
                try #require(isThere, "\(monitor.status())\n\(running.errors.suffix(500))")
                kill(pid_t(try #require(status(rank)).beat.pid), SIGSTOP)
                return monotonicSeconds()
            }

            func report(timeoutSeconds: Double) throws -> (HangReport, at: Double) {
                var report: HangReport?
                _ = running.poll(timeoutSeconds: timeoutSeconds) {
                    report = monitor.check()
                    return report != nil
                }
                return (try #require(report, "no report: \(monitor.status())"), monotonicSeconds())
            }
        }

        /// Stops the rank in each phase, looks at the report, lets it go on, and so on, in one run.
        private func expectNames(
            _ run: String, _ rank: Int, _ phases: [RankPhase], delays: String, detector: HangDetector
        ) throws {
            let watched = try Watched(run, detector: detector, delays: delays)
            for phase in phases {
                let stoppedAt = try watched.stop(rank, in: phase)
                let (report, reportedAt) = try watched.report(timeoutSeconds: detector.silenceSeconds + 5)
                print("SIGSTOP in \(phase), \(String(format: "%.1f", reportedAt - stoppedAt)) s later: \(report)")
                #expect(report.culprits.map(\.rank) == [rank] && report.culprits[0].kind == .silent, "\(report)")
                #expect(report.culprits[0].phase == phase, "\(report)")
                #expect(reportedAt - stoppedAt < detector.silenceSeconds + 2)
                let step = report.culprits[0].beat?.status.step ?? 0
                // The others stand at most in the exchange of the next step, once they get there.
                let end = monotonicSeconds() + 5
                while monotonicSeconds() < end, watched.monitor.check()?.waiting.count != 2 { usleep(20_000) }
                let waiting = watched.monitor.check()?.waiting ?? []
                #expect(waiting.count == 2 && waiting.allSatisfy { (step...(step + 1)).contains($0.status.step) })
                // Stopped is not dead: it goes on as if nothing had been, and so does everybody.
                kill(pid_t(try #require(watched.status(rank)).beat.pid), SIGCONT)
                let goesOn = watched.running.poll(timeoutSeconds: 20) {
                    watched.monitor.check() == nil && (watched.status(rank)?.beat.status.step ?? 0) > step + 1
                }
                #expect(goesOn, "\(watched.monitor.status())")
            }
            #expect(watched.monitor.counts.foreign == 0 && watched.running.isRunning)
        }

        private static let delays = "read:300,forward:300,backward:300,exchange:300,checkpoint:300"

        @Test func aStoppedRankIsNamed() throws {
            var detector = HangDetector()
            detector.silenceSeconds = 1
            try expectNames(
                "stopped", 2, [.backward, .exchange], delays: "backward:300,exchange:300", detector: detector)
        }

        @Test(.enabled(if: LongTests.areWanted, Comment(rawValue: LongTests.hint)), arguments: 0..<3)
        func aStoppedRankIsNamedInEveryPhase(rank: Int) throws {
            // Checkpoints are rank 0's.
            let phases: [RankPhase] = [.read, .forward, .backward, .exchange] + (rank == 0 ? [.checkpoint] : [])
            try expectNames("stopped-\(rank)", rank, phases, delays: Self.delays, detector: HangDetector())
            // Decoding runs ahead of the rest unless it is the slowest.
            try expectNames("stopped-decode-\(rank)", rank, [.decode], delays: "decode:500", detector: HangDetector())
        }

        /// Its messages go on, and so does its answer to the wish for stacks; the run does not.
        @Test func aStuckRankIsNamedAndShowsItsStack() throws {
            let detector = HangDetector(timeoutSeconds: 2)
            let watched = try Watched("stuck", detector: detector, delays: "forward:600000:1")
            let isThere = watched.running.poll { watched.status(1)?.beat.status.phase == .forward }
            try #require(isThere, "\(watched.monitor.status())\n\(watched.running.errors.suffix(500))")
            let (report, _) = try watched.report(timeoutSeconds: 8)
            print(report)
            #expect(report.culprits.map(\.rank) == [1] && report.culprits[0].kind == .stuck, "\(report)")
            #expect(report.culprits[0].phase == .forward && report.waiting.count == 2, "\(report)")
            #expect(
                report.description.hasSuffix("; 2 ranks wait for it in exchange of bucket 0 of step 1"), "\(report)")
            #expect(watched.monitor.requestStackDump(of: [1]) == 1)
            let isDumped = watched.running.poll(timeoutSeconds: 10) { watched.running.errors.contains("'heartbeat'") }
            let errors = watched.running.errors
            #expect(isDumped, "\(errors)")
            let lines = errors.split(separator: "\n").filter { $0.hasPrefix("rank 1 (") }
            #expect(lines.contains { $0.contains(": forward of step 1, lane 1, for ") }, "\(errors)")
            // The main thread sleeps, on behalf of the training session.
            #expect(lines.contains { $0.contains("clock_nanosleep") } && lines.contains { $0.contains("8Training") })
            #expect(!errors.contains("rank 0 (") && !errors.contains("rank 2 ("), "only rank 1 was asked")
        }
    }

    /// SIGUSR1 saves, SIGUSR2 tells; the run goes on, with the same bits.
    @Suite(.serialized) struct Signals {
        static let steps = 120
        static let options = ["--threads", "1", "--checkpoint-every", "100000", "--validate-every", "100000"]
        static let undisturbed = Result { () throws -> (workspace: Workspace, bytes: Data) in
            let workspace = try Workspace()
            let outcome = try workspace.train("undisturbed", steps: steps, options)
            try #require(outcome.exitCode == 0, "\(outcome.errors)")
            return (workspace, try #require(workspace.checkpoint("undisturbed")))
        }

        private func expectGoesOn(_ run: String, ranks: Int, _ running: ProcessRunner.Running) throws {
            let (workspace, expected) = try Self.undisturbed.get()
            func rows() -> Int { workspace.text("\(run)/steps.csv")?.split(separator: "\n").count ?? 0 }
            #expect(running.poll { rows() >= 20 }, "\(running.errors)")
            running.send(SIGUSR1)
            let saved = running.poll { workspace.exists("\(run)/checkpoints/last.safetensors") }
            #expect(saved && rows() < Self.steps, "\(running.errors)")
            let before = rows()
            running.send(SIGUSR2)
            let told = running.poll { running.errors.components(separatedBy: "'communication'").count > ranks }
            #expect(told, "\(running.errors)")
            #expect(running.poll { rows() > before } && running.isRunning)
            let outcome = running.wait(timeoutSeconds: 60)
            #expect(outcome.exitCode == 0 && !outcome.timedOut, "\(outcome.errors)")
            #expect(outcome.errors.contains(#/saving a checkpoint of step \d+, as SIGUSR1 asked/#))
            #expect(outcome.errors.contains(#/pid \d+: [a-z]+ (of bucket \d+ )?of step \d+/#), "\(outcome.errors)")
            #expect(workspace.checkpoint(run) == expected, "\(run) differs from the undisturbed run")
            for rank in 0..<ranks where ranks > 1 { #expect(outcome.errors.contains("rank \(rank) (")) }
        }

        @Test func alone() throws {
            let workspace = try Self.undisturbed.get().workspace
            let arguments = Workspace.training("alone", steps: Self.steps, Self.options)
            try expectGoesOn("alone", ranks: 1, try workspace.start(arguments))
        }

        @Test(.enabled(if: Workspace.mpirun != nil, "mpirun is not installed")) func underMPI() throws {
            let workspace = try Self.undisturbed.get().workspace
            // The test's own thread has them blocked, and mpirun, which is to pass them on, would inherit that.
            var (wanted, before) = (sigset_t(), sigset_t())
            sigemptyset(&wanted)
            for number in [SIGUSR1, SIGUSR2] { sigaddset(&wanted, number) }
            pthread_sigmask(SIG_UNBLOCK, &wanted, &before)
            defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
            let running = try ProcessRunner.Running(
                try #require(Workspace.mpirun),
                Workspace.launching(2) + Workspace.training("mpi", steps: Self.steps, Self.options),
                in: workspace.folder.path)
            try expectGoesOn("mpi", ranks: 2, running)
        }
    }
}
