import TestSupport
import Testing

extension CommandTests {
    /// A run whose numbers leave the floats stops, and says where.
    @Suite(.serialized) struct NonFinite {
        // Weights are multiplied by −10¹² in each step.
        static let options = ["--threads", "1", "--optimizer", "sgd", "--lr", "1e6", "--weight-decay", "1e6"]

        @Test func absurdRatesAreRefused() throws {
            expectOnlyRefusal(try Workspace(pairs: 10).train("nan", ["--lr", "1e30"]), 64, "--lr", "'1e30'")
        }

        @Test func runStopsWithTheRemedy() throws {
            let workspace = try Workspace()
            let outcome = try workspace.train("nan", Self.options)
            expectRefusal(outcome, 65, "step ", "gradient's norm", "lower --lr", "--check-nan")
            // What was good stays: nothing that is no number was saved.
            #expect(workspace.checkpoint("nan") == nil)
        }

        @Test func checkNaNNamesTheNode() throws {
            let workspace = try Workspace()
            let outcome = try workspace.train("nan", Self.options + ["--check-nan"])
            expectRefusal(outcome, 65, "step ", "lane ", "element ", "records [")
            #expect(
                outcome.errors.contains(#/(encoder|decoder|left|right)\S* \(\w+\) gave -?(nan|inf)/#),
                "\(outcome.errors)")
        }

        @Test func allRanksSayItOnce() throws {
            let workspace = try Workspace()
            expectRefusal(try workspace.train("threads", Self.options + ["--ranks", "2"]), 65, "gradient's norm")
        }

        @Test(.enabled(if: Workspace.mpirun != nil, "mpirun is not installed"))
        func allMPIRanksSayItOnce() throws {
            let workspace = try Workspace()
            expectRefusal(
                try workspace.mpirun(2, Workspace.training("mpi", Self.options)), 65, "gradient's norm")
        }
    }
}
