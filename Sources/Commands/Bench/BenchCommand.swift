import ArgumentParser
import Basics
import Kernels
import Models
import Training

/// `vergence bench`: measures what this machine does.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measures this machine's limits, and how near to them steps, kernels, loader and exchange come.",
        discussion: "Example: vergence bench train-step --batch 6 --threads 2 --profile",
        subcommands: [
            BenchPeakCommand.self, BenchTrainStepCommand.self, BenchInferenceCommand.self, BenchKernelsCommand.self,
            BenchLoaderCommand.self, BenchAllReduceCommand.self, BenchScalingCommand.self,
        ])
}

/// Options that every benchmark has.
struct BenchOutputOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Write the result as JSON to this file; - for standard output.", valueName: "file|-"))
    var json: String?

    /// Writes JSON if that is wanted, else prints lines.
    func write(_ object: [String: Any], _ lines: @autoclosure () -> [String]) throws {
        if let json {
            try JSONOutput.write(object, to: json)
        } else {
            print(lines().joined(separator: "\n"))
        }
    }
}

/// Which network at which size.
struct BenchNetworkOptions: ParsableArguments {
    @OptionGroup var model: ModelOptions
    @OptionGroup var machine: MachineOptions
    @Option(help: "Height x width.")
    var size = PixelSize(height: 192, width: 336)
    @Option(help: "Runs that are measured, after two that are not.")
    var repetitions = 5
}

/// Numbers as people read them.
enum BenchText {
    static func milliseconds(_ seconds: Double) -> String { "\(rounded(seconds * 1000)) ms" }
    static func rounded(_ value: Double) -> String { "\((value * 100).rounded() / 100)" }
    static func percent(_ share: Double) -> String { "\((share * 1000).rounded() / 10) %" }
    static func giga(_ rate: Double) -> String { "\((rate / 1e8).rounded() / 10)" }

    /// Rows of cells below a header, the first column to the left, others to the right.
    static func table(_ header: [String], _ rows: [[String]]) -> [String] {
        let all = [header] + rows
        let widths = header.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            row.indices.map { column in
                let space = String(repeating: " ", count: widths[column] - row[column].count)
                return column == 0 ? row[column] + space : space + row[column]
            }.joined(separator: "  ")
        }
    }
}

extension MachinePeak.Limits {
    var json: [String: Any] {
        var object: [String: Any] = [
            "threads": threads, "gigaflops": operationRate / 1e9, "multiply_add_gigaflops": multiplyAddRate / 1e9,
            "bytes_per_second": byteRate, "read_bytes_per_second": readRate, "copy_bytes_per_second": copyRate,
            "triad_bytes_per_second": triadRate,
        ]
        if let matrixProductRate { object["matrix_product_gigaflops"] = matrixProductRate / 1e9 }
        return object
    }

    /// `limits of 2 threads: 300.1 GFLOP/s, 20.3 GB/s`.
    var summary: String {
        "limits of \(threads) thread\(threads == 1 ? "" : "s"): \(BenchText.giga(operationRate)) GFLOP/s, "
            + "\(BenchText.giga(byteRate)) GB/s"
    }
}
