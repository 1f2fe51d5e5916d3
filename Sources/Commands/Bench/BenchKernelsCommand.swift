import ArgumentParser
import Basics
import Kernels
import Training

struct BenchKernelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kernels", abstract: "Time of each distinct operation of a training step, alone.",
        discussion: """
            Operations that share kind, attributes and shapes are timed once, over random data, and sorted by their time \
            in a step. The share of the own limit is as in train-step.
            Example: vergence bench kernels --batch 6 --operation depthwise --level avx2
            """)

    @OptionGroup var network: BenchNetworkOptions
    @Option(help: "Pairs of the step.")
    var batch = 6
    @Option(
        help: ArgumentHelp(
            "Instruction level of our own kernels (OpenBLAS keeps its own): sse, avx2, avx512 or neon.",
            discussion: "(default: the best of this processor)"))
    var level: String?
    @Option(help: "Only operations whose name holds this, e.g. conv.")
    var operation: String?
    @OptionGroup var output: BenchOutputOptions

    func run() throws {
        let level = try chosenLevel()
        let machine = try network.machine.kernels()
        let kernels = KernelContext(pool: machine.pool, level: level, precision: machine.precision)
        for warning in Machine.warnings(threads: kernels.pool.threadCount, ranksOnHost: 1) { Console.warn(warning) }
        let size = network.size
        let entries = try KernelBenchmark.run(
            network.model.network(), batch: batch, height: size.height, width: size.width,
            repetitions: network.repetitions, operation: operation, kernels: kernels)
        // At the best level, whatever was asked for: the machine's limits do not depend on that.
        let limits = MachinePeak.measure(KernelContext(pool: kernels.pool), effort: .brief).all
        let total = entries.reduce(0) { $0 + $1.totalSeconds }
        try output.write(
            [
                "benchmark": "kernels", "batch": batch, "height": size.height, "width": size.width,
                "threads": kernels.pool.threadCount, "kernels": kernels.setName, "level": level.name,
                "peak": limits.json, "total_seconds": total, "nodes": entries.map { node($0, limits) },
            ],
            [
                "kernels \(size) batch \(batch), \(kernels.pool.threadCount) threads, kernels \(kernels.setName): "
                    + "\(entries.count) distinct operations, \(BenchText.milliseconds(total)) in all", limits.summary,
            ]
                + BenchText.table(
                    ["operation", "times", "each", "all", "GFLOP/s", "GB/s", "of its limit"],
                    entries.map {
                        [
                            "\($0.name) \(shapes($0))", "\($0.nodeCount)", BenchText.milliseconds($0.medianSeconds),
                            BenchText.milliseconds($0.totalSeconds),
                            BenchText.giga($0.work.floatOperations / $0.medianSeconds),
                            BenchText.giga($0.work.bytes / $0.medianSeconds), BenchText.percent($0.limitShare(limits)),
                        ]
                    }))
    }

    private func chosenLevel() throws -> InstructionLevel {
        guard let name = self.level else { return .best }
        let names = InstructionLevel.supported.map(\.name)
        guard let level = InstructionLevel(name: name.lowercased()) else {
            throw Failure(.usage, "--level \(name): give one of \(names.joined(separator: ", "))")
        }
        guard InstructionLevel.supported.contains(level) else {
            throw Failure(
                .usage, "--level \(name) does not run on this processor; give one of \(names.joined(separator: ", "))")
        }
        return level
    }

    private func shapes(_ entry: KernelBenchmark.Entry) -> String {
        // Gains, biases and statistics say nothing that the first two do not.
        let inputs = entry.inputs.prefix(2).map(\.description).joined(separator: ", ")
        return inputs + (entry.inputs.count > 2 ? ", …" : "") + " → " + (entry.outputs.first?.description ?? "")
    }

    private func node(_ entry: KernelBenchmark.Entry, _ limits: MachinePeak.Limits) -> [String: Any] {
        [
            "name": entry.name, "attributes": entry.attributes, "inputs": entry.inputs.map(\.dimensions),
            "outputs": entry.outputs.map(\.dimensions), "count": entry.nodeCount,
            "median_seconds": entry.medianSeconds, "minimum_seconds": entry.minimumSeconds,
            "total_seconds": entry.totalSeconds, "operations": entry.work.floatOperations, "bytes": entry.work.bytes,
            "gigaflops": entry.work.floatOperations / entry.medianSeconds / 1e9,
            "bytes_per_second": entry.work.bytes / entry.medianSeconds, "limit_share": entry.limitShare(limits),
        ]
    }
}
