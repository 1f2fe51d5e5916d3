import ArgumentParser
import Basics
import Foundation
import Kernels
import Models
import Training

struct BenchScalingCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scaling", abstract: "How time and memory of a training step grow with batch, size and width.",
        discussion: """
            Steps are measured along three curves around batch 2 at 96x160: batches 1 to 12, sizes up to 384x672, and \
            the network's width from 16 to 64. Each point is a process of its own, which gives the memory that it needs, \
            and is measured in up to three rounds, of which the fastest step counts: other programs can only slow it down. \
            Then a sum of four terms is fitted to the times, with coefficients that are not negative: multiply-adds as \
            they are executed (with Winograd's algorithm, 36 for a 4x4 tile), bytes of the graph's nodes, nodes, and \
            bytes of the optimizer. Terms, and the memory to compare with, come from the graph alone. Takes two or three \
            minutes and 1.5 GB.
            Example: vergence bench scaling --threads 2 --json scaling.json
            """)

    @OptionGroup var model: ModelOptions
    @OptionGroup var machine: MachineOptions
    @Flag(help: "Fewer and smaller points, one round: a rough answer in half a minute.")
    var quick = false
    @OptionGroup var output: BenchOutputOptions

    /// No round is begun that would end later than this, but one is always done.
    private static let secondsForRounds = 150.0
    private static let goodError = 0.15

    /// A point, what its graph says and what was measured.
    private struct Entry {
        let point: ScalingPoint
        let work: StepWork
        var seconds = Double.infinity
        var residentByteCount: Int?
    }

    func run() throws {
        guard !Launcher.current.isUnderLauncher else {
            throw Failure(.usage, "bench scaling measures one process after the other; start it without a launcher")
        }
        // Before anything else: what a process holds that has not begun.
        let programByteCount = ProcessUsage.peakResidentByteCount() ?? 0
        let kernels = try machine.kernels()
        defer { kernels.pool.shutDown() }
        for warning in Machine.warnings(threads: kernels.pool.threadCount, ranksOnHost: 1) { Console.warn(warning) }
        var entries = try planned(kernels)
        let rounds = try measure(&entries, threads: kernels.pool.threadCount)
        let cost = try StepCost(fitting: entries.map { ($0.work, $0.seconds) })
        try report(
            entries.map { Row($0, cost, programByteCount: programByteCount) }, cost, rounds: rounds, kernels)
    }

    // MARK: Measuring

    private func planned(_ kernels: KernelContext) throws -> [Entry] {
        let network = try model.network()
        let setting = type(of: network).settings.first { $0.name == "width" }
        let given = try model.settings.map(ModelOptions.pair).last { $0.name == "width" }?.value
        let channels = (given ?? setting?.standard).flatMap { Int($0) } ?? 0
        let states = try RunConfiguration().makeOptimizer(state: ModelState.empty(for: network)).stateArenas.count
        return try ScalingPoint.curves(hasWidth: setting != nil, channels: channels, quick: quick).map { point in
            let settings = try model.settings.map(ModelOptions.pair).filter {
                $0.name != "width" || point.channels == nil
            }
            let network = try NetworkRegistry.make(
                model.model, settings: settings + (point.channels.map { [("width", "\($0)")] } ?? []))
            return Entry(
                point: point,
                work: try StepWork(
                    network, batch: point.batch, height: point.height, width: point.width, optimizerStates: states,
                    kernels: kernels))
        }
    }

    /// - Returns: how many rounds were made.
    private func measure(_ entries: inout [Entry], threads: Int) throws -> Int {
        let executable = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let start = monotonicSeconds()
        for round in 1...(quick ? 1 : 3) {
            for index in entries.indices {
                let step = try step(entries[index].point, threads: threads, executable: executable)
                entries[index].seconds = min(entries[index].seconds, step.seconds)
                // The least here too: what other runs held more was the allocator's luck.
                entries[index].residentByteCount = [entries[index].residentByteCount, step.residentByteCount]
                    .compactMap { $0 }.min()
            }
            let spent = monotonicSeconds() - start
            if spent + spent / Double(round) > Self.secondsForRounds { return round }
        }
        return quick ? 1 : 3
    }

    /// Runs `bench train-step` of this very program.
    private func step(
        _ point: ScalingPoint, threads: Int, executable: String
    ) throws -> (seconds: Double, residentByteCount: Int?) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: executable)
        let settings =
            model.settings.filter { point.channels == nil || !$0.hasPrefix("width=") }
            + (point.channels.map { ["width=\($0)"] } ?? [])
        process.arguments =
            [
                "bench", "train-step", "--model", model.model, "--batch", "\(point.batch)", "--size",
                "\(point.height)x\(point.width)", "--threads", "\(threads)", "--precision",
                machine.precision.rawValue, "--repetitions", "3", "--no-limits", "--json", "-",
            ] + settings.flatMap { ["--set", $0] }
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        // Errors are a line: they fit into a pipe while the output is read.
        let data = output.fileHandleForReading.readDataToEndOfFile()
        let complaint = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationReason == .exit, process.terminationStatus == 0,
            let object = try JSONSerialization.jsonObject(with: data) as? [String: Any],
            let seconds = (object["minimum_seconds"] as? NSNumber)?.doubleValue
        else {
            let last = String(decoding: complaint, as: UTF8.self).split(separator: "\n").last.map(String.init)
            let code = process.terminationReason == .exit ? ExitCode(rawValue: process.terminationStatus) : nil
            throw Failure(
                code.flatMap { $0 == .done ? nil : $0 } ?? .internalFault,
                "the step of batch \(point.batch) at \(point.height)x\(point.width) did not run "
                    + "(status \(process.terminationStatus)): \(last ?? "it said nothing; is memory short?")")
        }
        return (seconds, (object["peak_resident_bytes"] as? NSNumber)?.intValue)
    }

    // MARK: Reporting

    /// A point beside what the model says of it.
    private struct Row {
        let entry: Entry
        let modelledSeconds: Double
        let modelledByteCount: Int
        /// Modelled over measured, less one.
        var error: Double { modelledSeconds / entry.seconds - 1 }
        var memoryError: Double? { entry.residentByteCount.map { Double(modelledByteCount) / Double($0) - 1 } }
        var isGood: Bool { max(abs(error), abs(memoryError ?? 0)) <= goodError }

        init(_ entry: Entry, _ cost: StepCost, programByteCount: Int) {
            self.entry = entry
            modelledSeconds = cost.seconds(entry.work)
            modelledByteCount = programByteCount + entry.work.arenaByteCount + entry.work.stateByteCount
        }

        var json: [String: Any] {
            let (point, work) = (entry.point, entry.work)
            return [
                "batch": point.batch, "height": point.height, "width": point.width,
                "channels": point.channels.map { $0 as Any } ?? NSNull(), "measured_seconds": entry.seconds,
                "modelled_seconds": modelledSeconds, "error": error,
                "measured_bytes": entry.residentByteCount.map { $0 as Any } ?? NSNull(),
                "modelled_bytes": modelledByteCount, "memory_error": memoryError.map { $0 as Any } ?? NSNull(),
                "is_within_15_percent": isGood, "multiply_adds": work.multiplyAdds, "node_bytes": work.bytes,
                "nodes": work.nodeCount, "optimizer_bytes": work.optimizerBytes, "arena_bytes": work.arenaByteCount,
                "state_bytes": work.stateByteCount,
            ]
        }

        var cells: [String] {
            let point = entry.point
            return [
                "batch \(point.batch), \(point.height)x\(point.width)"
                    + (point.channels.map { ", width \($0)" } ?? ""),
                BenchText.milliseconds(entry.seconds), BenchText.milliseconds(modelledSeconds), signed(error),
                entry.residentByteCount.map { "\($0 >> 20) MB" } ?? "-", "\(modelledByteCount >> 20) MB",
                memoryError.map(signed) ?? "-",
            ]
        }

        private func signed(_ share: Double) -> String { (share >= 0 ? "+" : "") + BenchText.percent(share) }
    }

    private func report(_ rows: [Row], _ cost: StepCost, rounds: Int, _ kernels: KernelContext) throws {
        let largest = rows.map { abs($0.error) }.max() ?? 0
        let largestMemory = rows.compactMap { $0.memoryError.map(abs) }.max()
        let good = rows.filter(\.isGood).count
        let terms = zip(StepCost.terms, cost.coefficients)
        try output.write(
            [
                "benchmark": "scaling", "model": model.model, "threads": kernels.pool.threadCount,
                "kernels": kernels.setName, "quick": quick, "rounds": rounds, "points": rows.map(\.json),
                "terms": terms.map {
                    ["name": $0.name, "unit": $0.unit, "seconds_per_unit": $1] as [String: Any]
                },
                "largest_error": largest, "largest_memory_error": largestMemory.map { $0 as Any } ?? NSNull(),
                "points_within_15_percent": good,
            ],
            [
                "scaling \(model.model), \(kernels.pool.threadCount) threads, kernels \(kernels.setName): "
                    + "\(rows.count) points, the fastest step of \(rounds) round\(rounds == 1 ? "" : "s")",
                "step = " + terms.map { Self.words($0, $1) }.joined(separator: " + "),
            ]
                + BenchText.table(
                    ["", "measured", "modelled", "error", "resident", "planned", "error"], rows.map(\.cells)) + [
                    "largest error \(BenchText.percent(largest)) of time"
                        + (largestMemory.map { ", \(BenchText.percent($0)) of memory" } ?? "")
                        + "; \(good) of \(rows.count) points are within 15 %"
                ])
    }

    /// `products at 100.2 GFLOP/s`.
    private static func words(_ term: StepCost.Term, _ coefficient: Double) -> String {
        guard coefficient > 0 else { return "\(term.name) (no time of their own)" }
        switch term.unit {
        case "multiply-add": return "\(term.name) at \(BenchText.giga(2 / coefficient)) GFLOP/s"
        case "byte": return "\(term.name) at \(BenchText.giga(1 / coefficient)) GB/s"
        default: return "\(term.name) at \(BenchText.rounded(coefficient * 1e6)) µs each"
        }
    }
}
