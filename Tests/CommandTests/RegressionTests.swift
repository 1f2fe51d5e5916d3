import Checkpoints
import Foundation
import TestSupport
import Testing

extension CommandTests {
    /// Mistakes that were made once.
    @Suite(.serialized) struct Regressions {
        static let shared = Result { try Workspace(pairs: 300, size: "16x16") }

        /// More records in a lane than take part in the estimation of statistics.
        @Test func statisticsAreEstimatedForLargeLanes() throws {
            let workspace = try Self.shared.get()
            let outcome = try workspace.vergence(
                ["train", "data", "--run", "large", "--lanes", "1", "--lane-batch", "260", "--steps", "1"]
                    + Workspace.model + Workspace.oneThread)
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            let evaluation = try workspace.vergence(
                "evaluate", "data", "--checkpoint", "large/checkpoints/last.safetensors")
            #expect(evaluation.exitCode == 0 && !evaluation.errors.contains("warning"), "\(evaluation.errors)")
            // Untouched variances are all 1.
            let file = try SafeTensorsFile(path: workspace.path("large/checkpoints/last.safetensors"))
            #expect(try file.floats(of: "encoder1.norm1.running_var").contains { $0 != 1 })
        }

        @Test func absurdNumbersOfStepsAreRefused() throws {
            let workspace = try Self.shared.get()
            let outcome = try workspace.vergence(
                "train", "data", "--run", "absurd", "--steps", "9223372036854775807")
            expectRefusal(outcome, 64, "steps")
        }

        @Test func inputsThatWouldShareTheirMapsAreRefused() throws {
            let workspace = try Self.shared.get()
            if !workspace.exists("large/checkpoints/last.safetensors") { try statisticsAreEstimatedForLargeLanes() }
            for folder in ["a", "b"] {
                try FileManager.default.createDirectory(
                    atPath: workspace.path(folder), withIntermediateDirectories: true)
                let shown = try workspace.shards(
                    "show", "data", "--record", "0", "--field", "left", "--output", "\(folder)/x.png")
                #expect(shown.exitCode == 0, "\(shown.errors)")
            }
            let outcome = try workspace.vergence(
                "predict", "a/x.png", "b/x.png", "--checkpoint", "large/checkpoints/last.safetensors", "--output",
                "maps")
            expectRefusal(outcome, 64, "two inputs are called x")
            #expect(!workspace.exists("maps"))
        }
    }
}
