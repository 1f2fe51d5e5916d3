import ArgumentParser
import Basics
import Foundation
import Kernels
import Models
import Training

/// What `train-step` and `inference` share.
struct BenchStepOptions: ParsableArguments {
    @OptionGroup var network: BenchNetworkOptions
    @Flag(help: "Also print a line for each kind of operation (in JSON they always are).")
    var profile = false
    @Flag(help: "Also print a line for each operation of each layer.")
    var layers = false
    @Option(
        help: ArgumentHelp(
            "Draw operations and limits into this SVG file: operations per byte against operations per second.",
            valueName: "file.svg"))
    var roofline: String?
    @Flag(name: .customLong("limits"), inversion: .prefixedNo, help: "Measure the machine's limits as well, a second.")
    var wantsLimits = true
    @OptionGroup var output: BenchOutputOptions

    static let discussion = """
        The machine's limits are measured afterwards. An operation's share of its own limit is the least time that they \
        allow for its operations and bytes (inputs and outputs, each once) over its time. Convolutions count operations \
        directly: those that Winograd's algorithm computes with fewer can exceed 100 %, and so can what finds its inputs \
        in a cache. --roofline draws the same figures, a dot for each kind of operation, below the limits as a roof.
        """

    /// - Throws: `Failure` (usage) for options that do not go together.
    func check() throws {
        guard let roofline else { return }
        guard wantsLimits else {
            throw Failure(.usage, "--roofline draws the machine's limits; leave --no-limits out")
        }
        guard !roofline.isEmpty, roofline != "-" else {
            throw Failure(.usage, "--roofline '\(roofline)': give the name of a file, e.g. roofline.svg")
        }
    }

    func run(
        _ what: String, batch: Int,
        _ measure: (any Network, PixelSize, Int, KernelContext) throws -> Benchmark.Result
    ) throws {
        try check()
        let kernels = try network.machine.kernels()
        for warning in Machine.warnings(threads: kernels.pool.threadCount, ranksOnHost: 1) { Console.warn(warning) }
        let size = network.size
        let result = try measure(network.model.network(), size, network.repetitions, kernels)
        // Afterwards: its arrays would count as memory of the step.
        let limits = wantsLimits ? MachinePeak.measure(kernels, effort: .brief).all : nil
        if let roofline, let limits {
            let picture = RooflinePicture(
                title: "\(network.model.model) \(what), \(size), batch \(batch)", operations: result.operations,
                limits: limits, machine: machine(kernels))
            try AtomicFileWriter.write(picture.svg(), to: roofline)
        }
        let rate = result.floatOperations / result.medianSeconds
        try output.write(
            [
                "benchmark": what, "batch": batch, "height": size.height, "width": size.width,
                "threads": kernels.pool.threadCount, "kernels": kernels.setName,
                "median_seconds": result.medianSeconds, "minimum_seconds": result.minimumSeconds,
                "pairs_per_second": Double(batch) / result.medianSeconds,
                "gigaflops": rate / 1e9, "peak_share": limits.map { rate / $0.operationRate as Any } ?? NSNull(),
                "peak": limits.map { $0.json as Any } ?? NSNull(),
                "arena_bytes": result.arenaByteCount,
                "peak_resident_bytes": result.peakResidentByteCount.map { $0 as Any } ?? NSNull(),
                "allocations_per_step": result.allocationsPerStep.map { $0 as Any } ?? NSNull(),
                "operations": result.operations.map { operation($0, limits) },
            ],
            lines(what, batch: batch, result, limits, kernels))
    }

    /// `2 cores, avx512 kernels`: the kind of machine, not which one.
    private func machine(_ kernels: KernelContext) -> String {
        let threads = kernels.pool.threadCount
        return "\(threads) core\(threads == 1 ? "" : "s"), \(kernels.level.name) kernels"
    }

    private func operation(_ timing: OperationTiming, _ limits: MachinePeak.Limits?) -> [String: Any] {
        [
            "name": timing.name, "seconds": timing.seconds, "share": timing.share, "count": timing.nodeCount,
            "operations": timing.floatOperations, "executed_multiply_adds": timing.executedMultiplyAdds,
            "bytes": timing.bytes,
            "gigaflops": timing.floatOperationRate / 1e9, "bytes_per_second": timing.byteRate,
            "limit_share": limits.map { timing.limitShare($0) as Any } ?? NSNull(),
        ]
    }

    private func lines(
        _ what: String, batch: Int, _ result: Benchmark.Result, _ limits: MachinePeak.Limits?, _ kernels: KernelContext
    ) -> [String] {
        let rate = result.floatOperations / result.medianSeconds
        let resident = result.peakResidentByteCount.map { ", \($0 >> 20) MB resident at most" } ?? ""
        let allocations = result.allocationsPerStep.map { "\(BenchText.rounded($0)) allocations per step" }
        let head =
            "\(what) \(network.size) batch \(batch), \(kernels.pool.threadCount) threads, kernels \(kernels.setName): "
            + "median \(BenchText.milliseconds(result.medianSeconds)), "
            + "minimum \(BenchText.milliseconds(result.minimumSeconds)), "
            + "\(BenchText.rounded(Double(batch) / result.medianSeconds)) pairs/s, "
            + "\(BenchText.rounded(rate / 1e9)) GFLOP/s"
            + (limits.map { " (\(BenchText.percent(rate / $0.operationRate)) of the peak), " } ?? ", ")
            + "\(result.arenaByteCount >> 20) MB of activations\(resident), "
            + (allocations ?? "allocations not counted")
        guard profile || layers else { return [head] }
        return [head] + (limits.map { [$0.summary] } ?? []) + (profile ? table(result.operations, limits) : [])
            + (layers ? table(result.layers, limits) : [])
    }

    private func table(_ timings: [OperationTiming], _ limits: MachinePeak.Limits?) -> [String] {
        BenchText.table(
            ["operation", "count", "time", "share", "GFLOP", "MB", "GFLOP/s", "GB/s", "of its limit"],
            timings.map { timing in
                [
                    timing.name, "\(timing.nodeCount)", BenchText.milliseconds(timing.seconds),
                    BenchText.percent(timing.share), BenchText.rounded(timing.floatOperations / 1e9),
                    "\(Int(timing.bytes / 1e6))", BenchText.giga(timing.floatOperationRate),
                    BenchText.giga(timing.byteRate),
                    limits.map { BenchText.percent(timing.limitShare($0)) } ?? "-",
                ]
            })
    }
}

struct BenchTrainStepCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train-step", abstract: "Time of one training step: forward, backward and update.",
        discussion: BenchStepOptions.discussion
            + "\nExample: vergence bench train-step --batch 6 --threads 2 --json -")

    @OptionGroup var options: BenchStepOptions
    @Option(help: "Pairs of the step.")
    var batch = 6

    func run() throws {
        try options.run("train-step", batch: batch) { network, size, repetitions, kernels in
            try Benchmark.trainStep(
                network, batch: batch, height: size.height, width: size.width, repetitions: repetitions,
                kernels: kernels)
        }
    }
}

struct BenchInferenceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inference", abstract: "Time of one prediction.",
        discussion: BenchStepOptions.discussion + "\nExample: vergence bench inference --threads 2")

    @OptionGroup var options: BenchStepOptions
    @Option(help: "Pairs at once.")
    var batch = 1

    func run() throws {
        try options.run("inference", batch: batch) { network, size, repetitions, kernels in
            try Benchmark.inference(
                network, batch: batch, height: size.height, width: size.width, repetitions: repetitions,
                kernels: kernels)
        }
    }
}
