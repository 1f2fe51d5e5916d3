import ArgumentParser
import Kernels

struct BenchPeakCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "peak", abstract: "What this machine can do at most: arithmetic and memory.",
        discussion: """
            Float32 multiply-adds in registers, OpenBLAS' product of 1536 x 1536 matrices on each thread, and memory read, \
            copied and added (x + a·y) in arrays beyond the caches; bytes count what is read and what is written. Each \
            the best of some passes, for one and for all threads. Takes less than five seconds.
            Example: vergence bench peak --json -
            """)

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: BenchOutputOptions

    func run() throws {
        let kernels = try machine.kernels()
        for warning in Machine.warnings(threads: kernels.pool.threadCount, ranksOnHost: 1) { Console.warn(warning) }
        let peak = MachinePeak.measure(kernels, effort: .full)
        let limits = kernels.pool.threadCount > 1 ? [peak.one, peak.all] : [peak.all]
        try output.write(
            [
                "benchmark": "peak", "threads": kernels.pool.threadCount, "kernels": kernels.setName,
                "level": peak.level.name, "array_bytes": peak.arrayByteCount,
                "gigaflops": peak.all.operationRate / 1e9, "bytes_per_second": peak.all.byteRate,
                "one_thread": peak.one.json, "all_threads": peak.all.json,
            ],
            ["peak, kernels \(kernels.setName), arrays of \(peak.arrayByteCount >> 20) MB"]
                + BenchText.table(
                    ["", "multiply-add", "matrix product", "read", "copy", "triad"],
                    limits.map {
                        [
                            "\($0.threads) thread\($0.threads == 1 ? "" : "s")",
                            "\(BenchText.giga($0.multiplyAddRate)) GFLOP/s",
                            "\(BenchText.giga($0.matrixProductRate ?? 0)) GFLOP/s",
                            "\(BenchText.giga($0.readRate)) GB/s",
                            "\(BenchText.giga($0.copyRate)) GB/s", "\(BenchText.giga($0.triadRate)) GB/s",
                        ]
                    }))
    }
}
