import Foundation
import TestSupport
import Testing

extension CommandTests {
    /// Training on several sets, through a cache, with every augmentation: the same bits for any ranks, also resumed.
    @Suite(.serialized) struct Mixtures {
        static let everything = [
            "--mirror", "--scale", "1.3", "--brightness", "0.2", "--contrast", "0.2", "--gamma", "0.1", "--saturation",
            "0.3", "--hue", "0.1", "--channel-gain", "0.2", "--permute-channels", "0.5", "--noise", "0.02",
            "--eye-colours", "0.5",
        ]

        private func workspace() throws -> Workspace {
            let workspace = try Workspace()
            let outcome = try workspace.shards("synth", "more", "--pairs", "9", "--size", "32x48", "--seed", "7")
            try #require(outcome.exitCode == 0, "\(outcome.errors)")
            return workspace
        }

        private func arguments(_ run: String, steps: Int, _ more: [String]) -> [String] {
            [
                "train", "--run", run, "--lanes", "4", "--lane-batch", "1", "--steps", "\(steps)", "--data", "data:0.6",
                "--data", "more:0.4", "--checkpoint-every", "7", "--shuffle-block", "4", "--shuffle-window", "3",
            ] + Workspace.model + Self.everything + more
        }

        @Test func ranksResumingAndCache() throws {
            let workspace = try workspace()
            let solo = try workspace.vergence(arguments("solo", steps: 24, ["--threads", "1"]))
            #expect(solo.exitCode == 0, "\(solo.errors)")
            let expected = try #require(workspace.checkpoint("solo"))
            for ranks in [2, 3, 4] {
                let outcome = try workspace.vergence(
                    arguments(
                        "ranks\(ranks)", steps: 24,
                        [
                            "--threads", "1", "--ranks", "\(ranks)", "--cache", "copies", "--cache-size", "0.001",
                        ]))
                #expect(outcome.exitCode == 0, "\(outcome.errors)")
                #expect(workspace.checkpoint("ranks\(ranks)") == expected, "\(ranks) ranks")
            }
            // In the middle of an epoch (53 records: 13 steps), with another cache.
            let part = try workspace.vergence(arguments("part", steps: 17, ["--threads", "1"]))
            #expect(part.exitCode == 0, "\(part.errors)")
            let rest = try workspace.vergence(
                "train", "--run", "part", "--resume", "--steps", "24", "--cache", "other")
            #expect(rest.exitCode == 0, "\(rest.errors)")
            #expect(workspace.checkpoint("part") == expected)
            #expect(workspace.files(below: "copies").keys.contains { $0.hasSuffix(".shard") })
            #expect(!workspace.files(below: "copies").keys.contains { $0.hasSuffix(".partial") })
            // Other weights are another data set, and so another run.
            let other = try workspace.vergence(
                "train", "--run", "part", "--resume", "--steps", "30", "--data", "data:0.5", "--data", "more:0.5")
            #expect(other.exitCode == 64 || other.exitCode == 65, "\(other.errors)")
            #expect(other.errors.contains("data set"), "\(other.errors)")
        }

        @Test func killedWhileCopying() throws {
            let workspace = try workspace()
            let reference = try workspace.vergence(arguments("whole", steps: 60, ["--threads", "1"]))
            #expect(reference.exitCode == 0, "\(reference.errors)")
            for attempt in 0..<4 {
                let running = try workspace.start(
                    arguments("killed\(attempt)", steps: 60, ["--threads", "1", "--cache", "copies\(attempt)"]))
                _ = running.poll(timeoutSeconds: 20) {
                    workspace.exists("copies\(attempt)/lock")
                        && (attempt % 2 == 0 || workspace.exists("killed\(attempt)/checkpoints/last.safetensors"))
                }
                running.send(SIGKILL)
                _ = running.wait(timeoutSeconds: 30)
                if !workspace.exists("killed\(attempt)/config.yaml") { continue }
                let resumed = try workspace.vergence("train", "--run", "killed\(attempt)", "--resume")
                #expect(resumed.exitCode == 0, "\(resumed.errors)")
                #expect(workspace.checkpoint("killed\(attempt)") == workspace.checkpoint("whole"))
                #expect(!workspace.files(below: "copies\(attempt)").keys.contains { $0.hasSuffix(".partial") })
            }
        }

        @Test func refusals() throws {
            let workspace = try workspace()
            for (data, parts) in [
                (["--data", "data:0.5", "--data", "more"], ["more has no weight"]),
                (["--data", "data:x", "--data", "more:1"], ["'x' is no number above 0"]),
                (["--data", "data:1", "--data", "data:1"], ["data is named twice"]),
                (["data", "--data", "more:1"], ["not both"]),
            ] {
                let outcome = try workspace.vergence(["train", "--run", "none"] + data + Workspace.model)
                #expect(outcome.exitCode == 64 && parts.allSatisfy(outcome.errors.contains), "\(outcome.errors)")
            }
            let turned = try workspace.vergence(["train", "data", "--run", "none", "--rotate", "5"] + Workspace.model)
            #expect(turned.exitCode == 64 && turned.errors.contains("turning a pair"), "\(turned.errors)")
            #expect(!workspace.exists("none"))
            // A cache that cannot be is a warning.
            try workspace.write("", "file")
            let cached = try workspace.train("cached", steps: 2, ["--threads", "1", "--cache", "file/cache"])
            #expect(cached.exitCode == 0)
            #expect(cached.errors.components(separatedBy: "warning: cache:").count == 2, "\(cached.errors)")
        }

        @Test func picturesOfAugmentations() throws {
            let workspace = try workspace()
            let shown = try workspace.shards(
                "show", "data", "--record", "3", "--augment",
                "mirror,scale=1.5,hue=0.2,noise=0.05,brightness=0.3,eye-colours=1", "--draws", "5", "-o", "five.png")
            #expect(shown.exitCode == 0, "\(shown.errors)")
            let plain = try workspace.shards("show", "data", "--record", "3", "-o", "one.png")
            #expect(plain.exitCode == 0)
            #expect((workspace.bytes("five.png")?.count ?? 0) > 3 * (workspace.bytes("one.png")?.count ?? 0))
            let same = try workspace.shards(
                "show", "data", "--record", "3", "--augment", "brightness=0", "-o", "same.png")
            #expect(same.exitCode == 0 && workspace.bytes("same.png") == workspace.bytes("one.png"))
            let wrong = try workspace.shards(
                "show", "data", "--record", "3", "--augment", "rotate=5", "-o", "wrong.png")
            #expect(wrong.exitCode == 64 && wrong.errors.contains("turning a pair"), "\(wrong.errors)")
        }
    }
}
