import ArgumentParser
import Basics
import Collectives
import Foundation
import Kernels
import Models
import Training

struct BenchAllReduceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "allreduce", abstract: "Time of the exchange of gradients between ranks.",
        discussion: """
            Sums by the ways of training, of 16 Ki floats (64 KiB) up to all gradients, statistics and losses of the network, \
            beside MPI_Allreduce of the same bytes under mpirun. Bandwidth is bytes of the array over time. Alone, the \
            ranks are threads of this process.
            Examples:
              mpirun -np 2 --bind-to none vergence bench allreduce
              vergence bench allreduce --ranks-in-process 4 --json -
            """)

    @OptionGroup var model: ModelOptions
    @Option(help: "Exchanges of each size that are measured, after two that are not.")
    var repetitions = 15
    @Option(
        name: .customLong("ranks-in-process"),
        help: ArgumentHelp("Ranks as threads of one process, without mpirun. (default: 2)", valueName: "N"))
    var ranksInProcess: Int?
    @OptionGroup var output: BenchOutputOptions

    func run() throws {
        let launch = Launcher.current
        if launch.isUnderLauncher {
            // What is wrong with the command line is wrong on every rank.
            let network = try common { try checked() }
            let communication = try CommunicationThread(launch.makeCommunicator)
            do {
                let entries = try measure(network, communication)
                let communicator = communication.communicator
                if communicator.rank == 0 { try report(entries, ranks: communicator.worldSize, way: "mpi") }
            } catch {
                // Not by unwinding, which would wait for ranks that wait for this one.
                VergenceCommand.leave(error)
            }
            communication.shutDown()
        } else {
            let network = try checked()
            let ranks = ranksInProcess ?? 2
            let results = InProcessCommunicator.run(size: ranks) { communicator in
                let communication = try CommunicationThread { communicator }
                defer { communication.shutDown() }
                do {
                    return try measure(network, communication)
                } catch {
                    // Before the communication thread is waited for, which may be waiting for this rank.
                    communicator.poison(error)
                    throw error
                }
            }
            try report(try results[0].get(), ranks: ranks, way: "in-process")
        }
    }

    private func checked() throws -> any Network {
        if Launcher.current.isUnderLauncher, ranksInProcess != nil {
            throw Failure(.usage, "--ranks-in-process: the launcher has started ranks; leave one of the two out")
        }
        guard (1...256).contains(ranksInProcess ?? 1) else {
            throw Failure(.usage, "--ranks-in-process \(ranksInProcess ?? 0): give 1…256")
        }
        guard (1...10_000).contains(repetitions) else {
            throw Failure(.usage, "--repetitions \(repetitions): give 1…10000")
        }
        return try model.network()
    }

    private func common<Value>(_ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch {
            let code = (error as? any ExitCoding)?.exitCode ?? .internalFault
            throw CommonFailure(exitCode: code, description: "\(error)")
        }
    }

    private func measure(
        _ network: any Network, _ communication: CommunicationThread
    ) throws -> [AllReduceBenchmark.Entry] {
        // Nothing is computed: one thread that need not spin.
        let kernels = Machine.kernels(threads: 1, ranksOnHost: Int(Int32.max), precision: .float32)
        defer { kernels.pool.shutDown() }
        return try AllReduceBenchmark.run(
            network, repetitions: repetitions, communication: communication, kernels: kernels)
    }

    private func report(_ entries: [AllReduceBenchmark.Entry], ranks: Int, way: String) throws {
        let whole = entries.last
        try output.write(
            [
                "benchmark": "allreduce", "model": model.model, "ranks": ranks, "communicator": way,
                "median_seconds": whole?.medianSeconds ?? 0, "bytes": whole?.byteCount ?? 0,
                "bytes_per_second": whole?.bytesPerSecond ?? 0,
                "sizes": entries.map { entry in
                    [
                        "elements": entry.elementCount, "bytes": entry.byteCount, "median_seconds": entry.medianSeconds,
                        "minimum_seconds": entry.minimumSeconds, "bytes_per_second": entry.bytesPerSecond,
                        "mpi_allreduce_seconds": entry.plainMedianSeconds.map { $0 as Any } ?? NSNull(),
                        "mpi_allreduce_bytes_per_second": entry.plainBytesPerSecond.map { $0 as Any } ?? NSNull(),
                    ] as [String: Any]
                },
            ],
            ["allreduce, \(ranks) rank\(ranks == 1 ? "" : "s") (\(way)), the last line is all of \(model.model)"]
                + BenchText.table(
                    ["floats", "MB", "median", "GB/s", "MPI_Allreduce", "GB/s"],
                    entries.map {
                        [
                            "\($0.elementCount)", BenchText.rounded(Double($0.byteCount) / 1e6),
                            BenchText.milliseconds($0.medianSeconds), BenchText.rounded($0.bytesPerSecond / 1e9),
                            $0.plainMedianSeconds.map(BenchText.milliseconds) ?? "-",
                            $0.plainBytesPerSecond.map { BenchText.rounded($0 / 1e9) } ?? "-",
                        ]
                    }))
    }
}
