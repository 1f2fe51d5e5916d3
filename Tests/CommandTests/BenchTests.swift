import Foundation
import TestSupport
import Testing

extension CommandTests {
    /// `vergence bench`: what programs read of it, and what it says to mistakes. Speeds are not judged.
    @Suite(.serialized) struct Bench {
        static let shared = Result { try Workspace(pairs: 12) }
        #if arch(arm64)
            static let lowestLevel = "neon"
        #else
            static let lowestLevel = "sse"
        #endif
        static let small = Workspace.model + ["--size", "32x48", "--repetitions", "2", "--threads", "2"]

        private func json(
            _ arguments: [String], environment: [String: String] = [:],
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws -> [String: Any] {
            let outcome = try Self.shared.get().vergence(
                ["bench"] + arguments + ["--json", "-"], environment: environment)
            #expect(outcome.exitCode == 0, "\(outcome.errors)", sourceLocation: sourceLocation)
            return try object(outcome.output)
        }

        private func object(_ text: String) throws -> [String: Any] {
            try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any], "\(text)")
        }

        private func number(
            _ object: [String: Any], _ name: String, sourceLocation: SourceLocation = #_sourceLocation
        ) throws -> Double {
            try #require(object[name] as? Double, "\(name) in \(object)", sourceLocation: sourceLocation)
        }

        private func list(_ object: [String: Any], _ name: String) throws -> [[String: Any]] {
            try #require(object[name] as? [[String: Any]], "\(name) in \(object)")
        }

        @Test func peak() throws {
            let result = try json(["peak", "--threads", "2"])
            let one = result["one_thread"] as? [String: Any] ?? [:]
            let all = result["all_threads"] as? [String: Any] ?? [:]
            #expect(try number(one, "threads") == 1 && number(all, "threads") == 2)
            for limits in [one, all] {
                let rates = try ["read", "copy", "triad"].map { try number(limits, "\($0)_bytes_per_second") }
                #expect(try rates.min() ?? 0 > 0 && rates.max() == number(limits, "bytes_per_second"))
                let products = try ["multiply_add", "matrix_product"].map { try number(limits, "\($0)_gigaflops") }
                #expect(try products.min() ?? 0 > 0 && products.max() == number(limits, "gigaflops"))
            }
            #expect(try number(result, "gigaflops") == number(all, "gigaflops"))
            #expect(try number(result, "bytes_per_second") == number(all, "bytes_per_second"))
        }

        @Test func stepsAndKernels() throws {
            let step = try json(["train-step", "--batch", "2"] + Self.small)
            let median = try number(step, "median_seconds")
            for name in ["minimum_seconds", "pairs_per_second", "arena_bytes", "peak_share"] {
                #expect(try number(step, name) > 0)
            }
            #expect(try number(step, "minimum_seconds") <= median)
            #expect(try number(step, "peak_resident_bytes") > number(step, "arena_bytes"))
            #expect(try number(step, "allocations_per_step") >= 0)
            let peak = step["peak"] as? [String: Any] ?? [:]
            let (flops, bandwidth) = (try number(peak, "gigaflops") * 1e9, try number(peak, "bytes_per_second"))
            let operations = try list(step, "operations")
            #expect(operations.count > 10)
            var (total, share) = (0.0, 0.0)
            var counts: [String: Double] = [:]
            for operation in operations {
                let seconds = try number(operation, "seconds")
                total += try number(operation, "operations")
                share += try number(operation, "share")
                counts[operation["name"] as? String ?? ""] = try number(operation, "count")
                let limit = try number(operation, "limit_share") * seconds * (1 + 1e-9)
                #expect(try limit >= number(operation, "operations") / flops)
                #expect(try limit >= number(operation, "bytes") / bandwidth)
                #expect(try abs(number(operation, "bytes_per_second") * seconds - number(operation, "bytes")) < 1)
            }
            #expect(abs(share - 1) < 1e-9)
            #expect(try abs(total / (number(step, "gigaflops") * 1e9 * median) - 1) < 1e-9)

            // The same nodes one by one.
            let kernels = try json(["kernels", "--batch", "2", "--level", Self.lowestLevel] + Self.small)
            #expect(kernels["level"] as? String == Self.lowestLevel)
            let nodes = try list(kernels, "nodes")
            var nodeCounts: [String: Double] = [:]
            for node in nodes {
                nodeCounts[node["name"] as? String ?? "", default: 0] += try number(node, "count")
                #expect(try number(node, "median_seconds") >= number(node, "minimum_seconds"))
                #expect(node["inputs"] is [[Int]] && node["outputs"] is [[Int]])
            }
            #expect(nodeCounts == counts)
            let times = try nodes.map { try number($0, "total_seconds") }
            #expect(times == times.sorted(by: >))
            #expect((kernels["kernels"] as? String)?.hasSuffix(kernels["level"] as? String ?? "-") == true)
        }

        @Test func precision() throws {
            let options = ["inference", "--no-limits"] + Self.small
            let plain = try json(options)["kernels"] as? String ?? ""
            let reduced = try json(options + ["--precision", "bf16"])["kernels"] as? String ?? ""
            #expect(!plain.isEmpty && !plain.contains("bf16") && reduced.hasPrefix(plain + "/bf16-"), "\(reduced)")
            let outcome = try Self.shared.get().vergence(["bench"] + options + ["--precision", "fp8"])
            #expect(outcome.exitCode == 64 && outcome.errors.contains("fp8"), "\(outcome.errors)")
        }

        @Test func inferenceInWords() throws {
            let outcome = try Self.shared.get().vergence(["bench", "inference", "--profile"] + Self.small)
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            let words = [
                "inference 32x48", "of the peak", "per step", "limits of 2 threads", "Conv2D 3x3", "of its limit",
            ]
            for word in words {
                #expect(outcome.output.contains(word), "\(outcome.output)")
            }
        }

        @Test(arguments: [[], ["data"]]) func loader(data: [String]) throws {
            let workspace = try Self.shared.get()
            try FileManager.default.createDirectory(
                atPath: workspace.path("temporary"), withIntermediateDirectories: true)
            let result = try json(
                ["loader"] + data + [
                    "--size", "32x48", "--pairs", "12", "--batch", "4", "--repetitions", "1", "--brightness", "0.1",
                ], environment: ["TMPDIR": workspace.path("temporary")])
            #expect(workspace.files(below: "temporary").isEmpty)
            let rate = try number(result, "records_per_second")
            #expect(try rate > 0 && rate == number(result, "records_per_second_per_core"))
            #expect(try number(result, "decoded_bytes_per_record") == 2 * 32 * 48 * 3)
            #expect(try abs(number(result, "decoded_bytes_per_second") / (rate * 2 * 32 * 48 * 3) - 1) < 1e-9)
            #expect(try abs(number(result, "float_bytes_per_second") / (rate * 8 * 32 * 48 * 3) - 1) < 1e-9)
            #expect(try number(result, "compression_ratio") > 1)
            #expect(
                try list(result, "stages").map { $0["name"] as? String }
                    == ["read", "hash", "lz4", "unfilter", "floats"])
            for stage in try list(result, "stages") { #expect(try number(stage, "seconds_per_record") > 0) }
        }

        @Test func allReduceInOneProcess() throws {
            let result = try json(["allreduce", "--ranks-in-process", "3", "--repetitions", "2", "--set", "width=16"])
            #expect(try number(result, "ranks") == 3)
            let sizes = try list(result, "sizes")
            #expect(try sizes.prefix(2).map { try number($0, "elements") } == [16384, 65536])
            for size in sizes {
                let (bytes, median) = (try number(size, "bytes"), try number(size, "median_seconds"))
                #expect(try bytes == 4 * number(size, "elements") && median > 0)
                #expect(try abs(number(size, "bytes_per_second") * median / bytes - 1) < 1e-9)
                #expect(size["mpi_allreduce_seconds"] is NSNull)
            }
            let whole = try #require(sizes.last)
            #expect(try number(result, "median_seconds") == number(whole, "median_seconds"))
            #expect(try sizes.allSatisfy { try number($0, "elements") <= number(whole, "elements") })
        }

        @Test(.enabled(if: Workspace.mpirun != nil, "mpirun is not installed"))
        func allReduceOverMPI() throws {
            let workspace = try Self.shared.get()
            let bench = ["bench", "allreduce", "--repetitions", "2"] + Workspace.model
            // One rank prints: else this would be no JSON.
            let outcome = try workspace.mpirun(2, bench + ["--json", "-"])
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            let result = try object(outcome.output)
            #expect(try number(result, "ranks") == 2)
            for size in try list(result, "sizes") { #expect(try number(size, "mpi_allreduce_seconds") > 0) }
            expectRefusal(try workspace.mpirun(2, bench + ["--ranks-in-process", "2"]), 64, "--ranks-in-process")
        }

        @Test func mistakes() throws {
            let workspace = try Self.shared.get()
            func refused(
                _ arguments: [String], _ exitCode: Int32, _ words: String...,
                sourceLocation: SourceLocation = #_sourceLocation
            ) throws {
                let outcome = try workspace.vergence(
                    ["bench"] + arguments, environment: ["TMPDIR": workspace.folder.path])
                expectOnlyRefusal(outcome, exitCode, sourceLocation: sourceLocation)
                for word in words {
                    #expect(outcome.errors.contains(word), "\(outcome.errors)", sourceLocation: sourceLocation)
                }
                #expect(outcome.output.isEmpty, sourceLocation: sourceLocation)
            }
            let before = workspace.files().count
            try refused(["peek"], 64, "did you mean 'peak'")
            try refused(["peak", "--threads", "5000"], 64, "--threads")
            try refused(["train-step", "--repetitions", "0"], 64, "repetitions")
            try refused(["inference", "--batch", "0"], 64, "batch 0")
            try refused(["train-step", "--size", "30x48"], 65, "multiples")
            try refused(["kernels", "--level", "mmx"], 64, "--level mmx", "sse")
            try refused(["kernels", "--operation", "teleport"], 64, "teleport", "Conv2D")
            try refused(["loader", "missing"], 66, "missing")
            try refused(["loader", "data", "--batch", "13"], 65, "11 training records", "--batch")
            try refused(["loader", "--batch", "49"], 64, "--pairs")
            try refused(["loader", "--size", "8x8"], 64, "8x8")
            try refused(["loader", "--threads", "0"], 64, "threads")
            try refused(["loader", "--gamma", "2"], 64, "--gamma")
            try refused(["allreduce", "--ranks-in-process", "0"], 64, "--ranks-in-process")
            try refused(["allreduce", "--repetitions", "0"], 64, "--repetitions")
            try refused(["allreduce", "--model", "vnet"], 64, "vnet")
            #expect(workspace.files().count == before)
        }
    }
}
