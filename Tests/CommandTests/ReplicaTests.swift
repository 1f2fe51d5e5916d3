import Foundation
import TestSupport
import Testing

extension CommandTests {
    /// Ranks whose state is not the others', and what a run leaves behind for finding out why.
    @Suite(.serialized) struct Replicas {
        static let whole = Result { () throws -> Workspace in
            let workspace = try Workspace()
            let outcome = try workspace.train("whole", steps: 24, ["--threads", "1", "--checkpoint-every", "5"])
            try #require(outcome.exitCode == 0, "\(outcome.errors)")
            return workspace
        }

        private func injected(_ fault: String, _ run: String, ranks: Int) throws -> ProcessRunner.Outcome {
            let workspace = try Self.whole.get()
            return try workspace.vergence(
                Workspace.training(
                    run, steps: 24, ["--threads", "1", "--checkpoint-every", "5", "--ranks", "\(ranks)"]),
                environment: ["VERGENCE_INJECT": fault])
        }

        /// A bit that flips in memory is found by the rank itself, in the same step; the run goes on from what it saved, and
        /// ends as if nothing had happened.
        @Test(arguments: [(1, 0), (3, 2)]) func flippedBitIsNamed(ranks: Int, rank: Int) throws {
            let workspace = try Self.whole.get()
            let run = "flip\(ranks)"
            let outcome = try injected("flip:\(rank):17", run, ranks: ranks)
            expectRefusal(outcome, 75, "step 17", "encoder1.conv1.pointwise.bias changed in memory", "resume")
            if ranks > 1 { #expect(outcome.errors.contains("rank \(rank)"), "\(outcome.errors)") }
            let resumed = try workspace.vergence("train", "--run", run, "--resume")
            #expect(resumed.exitCode == 0, "\(resumed.errors)")
            #expect(workspace.checkpoint(run) == workspace.checkpoint("whole"))
        }

        /// A rank that computes something else without noticing is found by the others, one step later at most.
        @Test(arguments: [3, 2]) func driftIsNamed(ranks: Int) throws {
            let outcome = try injected("drift:1:17", "drift\(ranks)", ranks: ranks)
            expectRefusal(
                outcome, 75, "step 17", "rank 1", "in encoder1.conv1.pointwise.bias",
                ranks > 2 ? "differs from" : "do not agree")
        }

        @Test func unknownFaultIsRefused() throws {
            expectRefusal(try injected("flop:1:2", "flop", ranks: 1), 64, "VERGENCE_INJECT", "flip:RANK:STEP")
        }

        @Test func everyLaneIsInTheJournal() throws {
            let workspace = try Self.whole.get()
            let outcome = try workspace.train("three", steps: 24, ["--threads", "1", "--ranks", "3"])
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            let (solo, three) = (
                try #require(workspace.table("whole/lanes.csv")), try #require(workspace.table("three/lanes.csv"))
            )
            #expect(solo.count == 24 * 8)
            func keys(_ table: [[String: String]]) -> [[String?]] {
                table.map { [$0["step"], $0["lane"], $0["hash"]] }
            }
            #expect(keys(solo) == keys(three))
            #expect(Set(three.compactMap { $0["rank"] }) == ["0", "1", "2"])
            let ranks = try #require(workspace.table("three/ranks.csv"))
            #expect(ranks.count == 24 * 3)
            for row in ranks {
                for name in [
                    "compute_seconds", "data_wait_seconds", "communication_seconds", "wait_for_slowest_seconds",
                ] {
                    #expect((row[name].flatMap(Double.init) ?? -1) >= 0, "\(name) in \(row)")
                }
                if row["rank"] == row["slowest_rank"] { #expect(Double(row["wait_for_slowest_seconds"] ?? "") == 0) }
            }
        }

        /// One file for all ranks, as Chrome wants it; nothing lasts longer than the step around it.
        @Test func traceShowsAllRanks() throws {
            let workspace = try Self.whole.get()
            let outcome = try workspace.train(
                "traced", steps: 12, lanes: 6,
                ["--threads", "1", "--ranks", "3", "--checkpoint-every", "10", "--trace", "trace.json"])
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            let object = try JSONSerialization.jsonObject(with: try #require(workspace.bytes("trace.json")))
            let events = try #require((object as? [String: Any])?["traceEvents"] as? [[String: Any]])
            func count(_ name: String, rank: Int) -> Int {
                events.count {
                    $0["name"] as? String == name && $0["pid"] as? Int == rank && $0["ph"] as? String == "X"
                }
            }
            for rank in 0..<3 {
                for name in ["wait for data", "forward", "backward"] { #expect(count(name, rank: rank) == 24) }
                for name in ["wait for exchange", "update"] { #expect(count(name, rank: rank) == 12) }
                #expect(count("exchange", rank: rank) >= 12)
                #expect(count("write checkpoint", rank: rank) == (rank == 0 ? 3 : 0))
            }
            for event in events where event["ph"] as? String == "X" {
                #expect((event["dur"] as? Double ?? -1) >= 0 && (event["ts"] as? Double ?? -1) >= 0, "\(event)")
                let step = (event["args"] as? [String: Any])?["step"] as? Int ?? 0
                #expect((1...12).contains(step))
            }
        }

        @Test func replayGivesWhatTheRankComputed() throws {
            let workspace = try Self.whole.get()
            let before = workspace.files(below: "whole")
            let outcome = try workspace.vergence(
                "debug", "replay", "--run", "whole", "--step", "23", "--rank", "0", "--threads", "2", "--dump",
                "lanes.safetensors")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            #expect(outcome.output.split(separator: "\n").count == 8)
            #expect(outcome.output.split(separator: "\n").allSatisfy { $0.contains("as the run had it") })
            #expect(outcome.errors.contains("from step 20 to 23"), "\(outcome.errors)")
            #expect(workspace.exists("lanes.safetensors"))
            #expect(workspace.files(below: "whole") == before)
            expectRefusal(
                try workspace.vergence("debug", "replay", "--run", "whole", "--step", "25"), 66, "no step 25", "1…24")
            expectRefusal(
                try workspace.vergence("debug", "replay", "--run", "whole", "--step", "3", "--rank", "4"), 64, "ranks 0"
            )
            var lanes = try #require(workspace.text("whole/lanes.csv")).split(separator: "\n").map(String.init)
            let row = try #require(lanes.firstIndex { $0.hasPrefix("3,5,") })
            lanes[row] = "3,5,0,0123456789abcdef"
            let changed = lanes.joined(separator: "\n") + "\n"
            try workspace.write(try #require(workspace.bytes("whole/config.yaml")), "changed/config.yaml")
            try workspace.write(changed, "changed/lanes.csv")
            expectRefusal(
                try workspace.vergence("debug", "replay", "--run", "changed", "--step", "3"), 65, "step 3, lane 5")
            expectRefusal(
                try workspace.vergence("debug", "compare", "whole", "changed"), 66, "changed/checkpoints")
        }

        @Test func compareFindsTheFirstDifference() throws {
            let workspace = try Self.whole.get()
            func finished(_ run: String, _ options: [String]) throws {
                let outcome = try workspace.train(run, steps: 24, ["--threads", "1"] + options)
                #expect(outcome.exitCode == 0, "\(outcome.errors)")
            }
            try finished("equal", ["--ranks", "2"])
            let equal = try workspace.vergence("debug", "compare", "whole", "equal")
            #expect(equal.exitCode == 0 && equal.output.contains("lanes of 24 steps"), "\(equal.errors)")
            try finished("rate", ["--lr", "0.002"])
            // The first step's gradients do not know the rate yet.
            expectRefusal(
                try workspace.vergence("debug", "compare", "whole", "rate"), 65, "step 2, lane 0",
                "encoder1.conv1.depthwise.weight differs first at element 0")
            expectRefusal(try workspace.vergence("debug", "compare", "whole", "whole/config.yaml"), 64, "two folders")
        }

        /// `last` is damaged: the run goes on from the checkpoint before it, and says so.
        @Test func olderCheckpointStandsIn() throws {
            let workspace = try Self.whole.get()
            #expect(
                workspace.files(below: "whole/checkpoints").keys.sorted() == [
                    "best.safetensors", "last.safetensors", "step_000000000020.safetensors",
                    "step_000000000024.safetensors",
                ])
            for (name, data) in workspace.files(below: "whole") where !name.contains("000024") && name.contains(".") {
                try workspace.write(name.hasSuffix("last.safetensors") ? data.dropLast(9) : data, "older/\(name)")
            }
            let outcome = try workspace.vergence("train", "--run", "older", "--resume")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            #expect(outcome.errors.contains("going on from older/checkpoints/step_000000000020.safetensors, step 20"))
            #expect(workspace.checkpoint("older") == workspace.checkpoint("whole"))
            let kept = try workspace.train("none", steps: 4, ["--threads", "1", "--keep-checkpoints", "0"])
            #expect(kept.exitCode == 0, "\(kept.errors)")
            #expect(
                workspace.files(below: "none/checkpoints").keys.sorted() == ["best.safetensors", "last.safetensors"])
        }
    }
}
