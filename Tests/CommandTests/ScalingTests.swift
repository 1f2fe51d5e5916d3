import Foundation
import FoundationXML
import TestSupport
import Testing

extension CommandTests {
    /// Pictures of rooflines and the model of a step's cost. Speeds are not judged.
    @Suite(.serialized) struct Scaling {
        static let shared = Result { try Workspace(pairs: 12) }

        /// Elements and text of an XML file.
        private final class Reader: NSObject, XMLParserDelegate {
            var counts: [String: Int] = [:]
            var lines: [String] = []
            private var text = ""

            func parser(
                _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
                attributes: [String: String]
            ) {
                counts[name, default: 0] += 1
                text = ""
            }

            func parser(_ parser: XMLParser, foundCharacters characters: String) { text += characters }

            func parser(
                _ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?
            ) {
                if name == "text" { lines.append(text) }
            }
        }

        @Test(arguments: ["train-step", "inference"]) func rooflineIsXML(command: String) throws {
            let workspace = try Self.shared.get()
            let path = workspace.path("\(command).svg")
            let outcome = try workspace.vergence(
                ["bench", command, "--batch", "2", "--roofline", path, "--json", "-"] + Bench.small)
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            let result = try #require(
                try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
            let data = try Data(contentsOf: URL(fileURLWithPath: path))
            #expect(data.count < 60_000)
            let (parser, reader) = (XMLParser(data: data), Reader())
            parser.delegate = reader
            #expect(parser.parse(), "\(parser.parserError.map { "\($0)" } ?? "")")
            // Each dot has a title; the legend's two have none.
            let dots = reader.counts["title", default: 0]
            #expect(dots > 3 && reader.counts["circle"] == dots + 2)
            let text = reader.lines.joined(separator: "\n")
            for word in [
                "\(command), 32x48, batch 2", "2 cores", "operations per byte", "GFLOP/s", "GB/s", "Winograd",
            ] {
                #expect(text.contains(word), "\(word) in \(text)")
            }
            // What takes much of the time has a name. Little does where few operations are left out.
            let operations = try #require(result["operations"] as? [[String: Any]])
            for operation in operations {
                guard let share = operation["share"] as? Double, let name = operation["name"] as? String,
                    let count = operation["operations"] as? Double, let bytes = operation["bytes"] as? Double
                else { continue }
                let isNamed = reader.lines.contains { $0.hasPrefix("\(name) ") && $0.hasSuffix(" %") }
                #expect(isNamed == (share > 0.015 && count / bytes >= 0.03), "\(name) \(share)")
            }
        }

        @Test func limitsCanBeLeftOut() throws {
            let outcome = try Self.shared.get().vergence(
                ["bench", "train-step", "--no-limits", "--profile"] + Bench.small)
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            #expect(!outcome.output.contains("limits of") && !outcome.output.contains("of the peak"))
        }

        @Test func scalingExplainsItsPoints() throws {
            let outcome = try Self.shared.get().vergence([
                "bench", "scaling", "--quick", "--threads", "2", "--set", "levels=8", "--set", "width=8", "--json", "-",
            ])
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            let result = try #require(
                try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
            let points = try #require(result["points"] as? [[String: Any]])
            let terms = try #require(result["terms"] as? [[String: Any]])
            let coefficients = try terms.map { try #require($0["seconds_per_unit"] as? Double) }
            #expect(coefficients.count <= 5 && coefficients.allSatisfy { $0 >= 0 } && coefficients.contains { $0 > 0 })
            #expect(points.count == 7)
            #expect(points.map { $0["channels"] as? Int }.filter { $0 == 8 }.count == 5)
            var largest = 0.0
            for point in points {
                func number(_ name: String) throws -> Double { try #require(point[name] as? Double, "\(name)") }
                let counts = try ["multiply_adds", "node_bytes", "nodes", "optimizer_bytes"].map(number)
                let modelled = zip(coefficients, counts).reduce(0) { $0 + $1.0 * $1.1 }
                let measured = try number("measured_seconds")
                #expect(try abs(modelled / number("modelled_seconds") - 1) < 1e-9)
                #expect(try abs(modelled / measured - 1 - number("error")) < 1e-9)
                // Planned bytes are a part of what the process held.
                #expect(try number("measured_bytes") > number("arena_bytes") + number("state_bytes"))
                #expect(try number("modelled_bytes") > number("arena_bytes") + number("state_bytes"))
                largest = max(largest, abs(modelled / measured - 1))
            }
            #expect(try abs(#require(result["largest_error"] as? Double) - largest) < 1e-9)
            // Twice the batch is twice the work, but as many nodes.
            let one = try #require(points.first { $0["batch"] as? Int == 1 })
            let four = try #require(points.first { $0["batch"] as? Int == 4 })
            let ratio = try #require(four["multiply_adds"] as? Double) / #require(one["multiply_adds"] as? Double)
            #expect(abs(ratio - 4) < 0.2 && one["nodes"] as? Int == four["nodes"] as? Int)
        }

        @Test func mistakes() throws {
            let workspace = try Self.shared.get()
            let before = workspace.files().count
            func refused(_ arguments: [String], _ exitCode: Int32, _ word: String) throws {
                let outcome = try workspace.vergence(["bench"] + arguments)
                expectOnlyRefusal(outcome, exitCode, word)
                #expect(outcome.output.isEmpty)
            }
            let small = Bench.small
            try refused(["train-step", "--batch", "1", "--roofline", "missing/a.svg"] + small, 74, "missing/a.svg")
            try refused(["inference", "--roofline", "-"] + small, 64, "--roofline")
            try refused(["inference", "--no-limits", "--roofline", "a.svg"] + small, 64, "--no-limits")
            try refused(["scaling", "--threads", "5000"], 64, "--threads")
            try refused(["scaling", "--model", "vnet"], 64, "vnet")
            try refused(["scaling", "--set", "width=none"], 64, "width")
            #expect(workspace.files().count == before)
        }

        @Test func dryRunListsAllMemory() throws {
            let outcome = try Self.shared.get().vergence(
                ["train", "data", "--run", "dry", "--lane-batch", "2", "--lanes", "4", "--dry-run"] + Workspace.model)
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            for part in [
                "memory per rank: about", "activations ", "optimizer ", "partial sums", "batches loaded ahead ",
                "evaluation ", "checkpoint being written ", "program ",
            ] {
                #expect(outcome.output.contains(part), "\(outcome.output)")
            }
        }
    }
}
