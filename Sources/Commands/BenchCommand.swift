import ArgumentParser
import Basics
import Kernels
import Models
import Tensors
import Training

/// `vergence bench`: measures what this machine does.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures training steps and inference on this machine.",
        subcommands: [BenchTrainStepCommand.self, BenchInferenceCommand.self])
}

struct BenchOptions: ParsableArguments {
    @OptionGroup var model: ModelOptions
    @OptionGroup var machine: MachineOptions
    @Option(help: "Height x width.")
    var size = PixelSize(height: 192, width: 336)
    @Option(help: "Runs that are measured, after two that are not.")
    var repetitions = 5
    @Flag(help: "Also print the time of each kind of operation.")
    var profile = false
    @Option(help: "Write the result as JSON to this file; - for standard output.")
    var json: String?

    func report(_ what: String, batch: Int, _ measurement: Benchmark.Result, kernels: KernelContext) throws {
        if let json {
            try JSONOutput.write(
                [
                    "benchmark": what, "batch": batch, "height": size.height, "width": size.width,
                    "threads": kernels.pool.threadCount, "kernels": kernels.setName,
                    "median_seconds": measurement.medianSeconds, "minimum_seconds": measurement.minimumSeconds,
                    "pairs_per_second": Double(batch) / measurement.medianSeconds,
                    "gigaflops": measurement.floatOperations / measurement.medianSeconds / 1e9,
                    "arena_bytes": measurement.arenaByteCount,
                    "operations": measurement.operations.map {
                        ["name": $0.name, "seconds": $0.seconds, "share": $0.share] as [String: Any]
                    },
                ], to: json)
            return
        }
        print(
            "\(what) \(size) batch \(batch), \(kernels.pool.threadCount) threads, kernels \(kernels.setName): "
                + "median \(seconds(measurement.medianSeconds)), minimum \(seconds(measurement.minimumSeconds)), "
                + "\(rounded(Double(batch) / measurement.medianSeconds)) pairs/s, "
                + "\(rounded(measurement.floatOperations / measurement.medianSeconds / 1e9)) GFLOP/s, "
                + "\(measurement.arenaByteCount >> 20) MB of activations")
        if profile {
            for operation in measurement.operations {
                print("  \(operation.name): \(seconds(operation.seconds)), \(rounded(operation.share * 100)) %")
            }
        }
    }

    private func seconds(_ value: Double) -> String { "\(rounded(value * 1000)) ms" }
    private func rounded(_ value: Double) -> String { "\((value * 100).rounded() / 100)" }
}

struct BenchTrainStepCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train-step", abstract: "Time of one training step: forward, backward and update.",
        discussion: "Example: vergence bench train-step --batch 6 --threads 2 --json -")

    @OptionGroup var options: BenchOptions
    @Option(help: "Pairs of the step.")
    var batch = 6

    func run() throws {
        let kernels = try options.machine.kernels()
        for warning in Machine.warnings(threads: kernels.pool.threadCount, ranksOnHost: 1) { Console.warn(warning) }
        try options.report(
            "train-step", batch: batch,
            Benchmark.trainStep(
                options.model.network(), batch: batch, height: options.size.height, width: options.size.width,
                repetitions: options.repetitions, profile: options.profile, kernels: kernels), kernels: kernels)
    }
}

struct BenchInferenceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inference", abstract: "Time of one prediction.",
        discussion: "Example: vergence bench inference --threads 2")

    @OptionGroup var options: BenchOptions
    @Option(help: "Pairs at once.")
    var batch = 1

    func run() throws {
        let kernels = try options.machine.kernels()
        for warning in Machine.warnings(threads: kernels.pool.threadCount, ranksOnHost: 1) { Console.warn(warning) }
        try options.report(
            "inference", batch: batch,
            Benchmark.inference(
                options.model.network(), batch: batch, height: options.size.height, width: options.size.width,
                repetitions: options.repetitions, profile: options.profile, kernels: kernels), kernels: kernels)
    }
}
