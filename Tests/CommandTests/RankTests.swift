import Foundation
import TestSupport
import Testing

extension CommandTests {
    /// The number of ranks and threads changes nothing.
    @Suite(.serialized) struct Ranks {
        static let reference = Result { () throws -> (workspace: Workspace, bytes: Data) in
            let workspace = try Workspace()
            let outcome = try workspace.train("solo")
            try #require(outcome.exitCode == 0, "\(outcome.errors)")
            return (workspace, try #require(workspace.checkpoint("solo")))
        }

        private func expectSame(_ run: String, _ outcome: ProcessRunner.Outcome) throws {
            let (workspace, expected) = try Self.reference.get()
            #expect(!outcome.timedOut && outcome.exitCode == 0, "\(outcome.errors)")
            #expect(workspace.checkpoint(run) == expected, "\(run) differs from the solo run")
            #expect(workspace.bytes("\(run)/checkpoints/best.safetensors") != nil)
        }

        @Test func twoThreads() throws {
            let workspace = try Self.reference.get().workspace
            try expectSame("threads2", workspace.train("threads2", ["--threads", "2"]))
        }

        @Test(arguments: [2, 3, 8]) func ranksInOneProcess(ranks: Int) throws {
            let workspace = try Self.reference.get().workspace
            let run = "in-process\(ranks)"
            try expectSame(run, workspace.train(run, ["--threads", "1", "--ranks", "\(ranks)"]))
        }

        /// Gradients that travel in 16 bits have bits of their own, the same everywhere.
        @Test func bfloat16Transport() throws {
            let workspace = try Self.reference.get().workspace
            let runs = try [1, 2, 3, 8].map { ranks in
                let run = "bf16-\(ranks)"
                let outcome = try workspace.train(
                    run, ["--threads", "1", "--ranks", "\(ranks)", "--transport", "bf16"])
                #expect(outcome.exitCode == 0, "\(outcome.errors)")
                return try #require(workspace.checkpoint(run))
            }
            #expect(Set(runs).count == 1)
            #expect(runs[0] != (try Self.reference.get().bytes))
        }

        @Test(.enabled(if: Workspace.mpirun != nil, "mpirun is not installed"), arguments: [1, 2, 3, 4], [1, 2])
        func mpiRanks(ranks: Int, threads: Int) throws {
            let workspace = try Self.reference.get().workspace
            let run = "mpi\(ranks)x\(threads)"
            try expectSame(
                run, workspace.mpirun(ranks, Workspace.training(run, ["--threads", "\(threads)"])))
        }
    }
}
