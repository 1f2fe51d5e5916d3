import Foundation
import FoundationXML
import TestSupport
import Testing

extension CommandTests {
    /// `vergence scale` from outside. Speeds are not judged.
    @Suite(.serialized) struct Scale {
        static let shared = Result { () -> Workspace in
            let workspace = try Workspace(pairs: 12)
            try workspace.train("run", steps: 8, lanes: 4, ["--ranks", "2", "--threads", "1"])
            return workspace
        }

        private static func exchanges(_ ranks: Int, _ perByte: Double) throws -> Data {
            let sizes = [1 << 16, 1 << 20, 1 << 22].map { bytes -> [String: Any] in
                let volume = 2 * Double(bytes) * Double(ranks - 1) / Double(ranks)
                return [
                    "bytes": bytes, "median_seconds": 2 * 3e-4 + 2 * Double(ranks - 1) * 2e-5 + perByte * volume,
                ]
            }
            return try JSONSerialization.data(
                withJSONObject: ["benchmark": "allreduce", "ranks": ranks, "sizes": sizes])
        }

        private func object(_ text: String) throws -> [String: Any] {
            try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any], "\(text)")
        }

        private func list(_ object: [String: Any], _ name: String) throws -> [[String: Any]] {
            try #require(object[name] as? [[String: Any]], "\(name) in \(object)")
        }

        @Test func fromARunWithMeasuredExchanges() throws {
            let workspace = try Self.shared.get()
            for ranks in [2, 4, 8] {
                try Self.exchanges(ranks, 9e-9).write(to: URL(fileURLWithPath: workspace.path("\(ranks).json")))
            }
            let outcome = try workspace.vergence(
                "scale", "--from", "run", "--allreduce", "2.json", "--allreduce", "4.json", "--check", "8.json",
                "--check", "run", "--ranks", "1,2,1024", "--lanes", "6", "--lanes-per-rank", "3", "--picture",
                "scale.svg", "--json", "-")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            let result = try object(outcome.output)
            let network = try #require(try list(result, "networks").first)
            for (name, expected) in [("phase_seconds", 3e-4), ("message_seconds", 2e-5), ("byte_seconds", 9e-9)] {
                let found = try #require(network[name] as? Double)
                #expect(abs(found / expected - 1) < 1e-6, "\(name) \(found)")
            }
            let (weak, strong) = (try list(network, "weak"), try list(network, "strong"))
            #expect(weak.compactMap { $0["lanes"] as? Int } == [3, 6, 3072])
            // 6 lanes are too few for 1024 ranks.
            #expect(strong.compactMap { $0["lanes_per_rank"] as? Int } == [6, 3])
            #expect(abs((weak[0]["efficiency"] as? Double ?? 0) - 1) < 1e-12)
            let steps = weak.compactMap { $0["step_seconds"] as? Double }
            #expect(steps.count == 3 && steps == steps.sorted())
            let rows = try list(result, "comparison")
            // Three sizes of three files; step and exposed exchange of the run, twice.
            #expect(rows.count == 13 && rows.filter { $0["is_fit"] as? Bool == true }.count == 6)
            for row in rows where (row["quantity"] as? String ?? "").hasPrefix("exchange") {
                #expect(abs(try #require(row["error"] as? Double)) < 1e-6)
            }
            let step = try #require(rows.first { $0["quantity"] as? String == "step" })
            #expect(step["ranks"] as? Int == 2)
            // The table's own times: median of steps 3 … 8.
            let lines = try #require(workspace.text("run/steps.csv")).split(separator: "\n")
                .map { $0.split(separator: ",") }
            let place = try #require(lines[0].firstIndex(of: "seconds"))
            let times = lines.dropFirst(3).compactMap { Double($0[place]) }.sorted()
            let median = (times[2] + times[3]) / 2
            #expect(abs(try #require(step["measured_seconds"] as? Double) - median) < 1e-12)

            let parser = XMLParser(data: try #require(workspace.bytes("scale.svg")))
            #expect(parser.parse())
            let picture = try #require(workspace.text("scale.svg"))
            #expect(picture.contains("<polyline") && picture.contains("1024") && picture.contains("wnet, 32x48"))
        }

        @Test func fromGivenNumbers() throws {
            let arguments =
                ["scale", "--size", "32x48", "--lane-batch", "1", "--step-seconds", "2", "--latency", "0.1ms"]
                + Workspace.model + Workspace.oneThread
            let outcome = try Self.shared.get().vergence(
                arguments + ["--bandwidth", "unlimited,1mbit", "--json", "-", "--ranks", "1,64"])
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            let result = try object(outcome.output)
            #expect(result["lane_seconds"] as? Double == 2)
            let networks = try list(result, "networks")
            let steps = try networks.map { try list($0, "weak").compactMap { $0["step_seconds"] as? Double } }
            #expect(steps.count == 2 && steps[0][0] == steps[1][0] && steps[0][1] < steps[1][1])
            let table = try Self.shared.get().vergence(arguments)
            #expect(table.exitCode == 0 && table.output.contains("10gbit, 0.1ms") && table.output.contains("1024"))
        }

        @Test func mistakes() throws {
            let workspace = try Self.shared.get()
            try Self.exchanges(2, 1e-9).write(to: URL(fileURLWithPath: workspace.path("only-two.json")))
            try Data("[]".utf8).write(to: URL(fileURLWithPath: workspace.path("other.json")))
            func refused(_ arguments: [String], _ exitCode: Int32, _ word: String) throws {
                let outcome = try workspace.vergence(["scale"] + arguments)
                expectOnlyRefusal(outcome, exitCode, word)
            }
            try refused(["--from", "nowhere"], 66, "nowhere")
            try refused(["--from", "run", "--size", "32x48"], 64, "--from")
            try refused(["--allreduce", "only-two.json"], 64, "two numbers of ranks")
            try refused(["--allreduce", "only-two.json", "--latency", "1ms"], 64, "--latency")
            try refused(["--allreduce", "other.json"], 65, "other.json")
            try refused(["--check", "absent.json"], 66, "absent.json")
            try refused(["--bandwidth", "fast"], 64, "fast")
            try refused(["--step-seconds", "0"], 64, "--step-seconds")
            try refused(["--picture", "-"], 64, "--picture")
        }
    }
}
