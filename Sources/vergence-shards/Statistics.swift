import ArgumentParser
import Basics
import Foundation
import Shards
import Telemetry

struct Statistics: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats",
        abstract: "Measures a data set: channel means, disparities and depths, sizes.",
        discussion: """
            Pictures: mean and standard deviation of every channel, in 0…1. Maps: range, mean, deviation, percentiles \
            (right to 0.05 %), a histogram, and the share of pixels that are unknown. Reads and verifies every record.

            Examples:
              vergence-shards stats scenes.data
              vergence-shards stats scenes.data --split val --json
            """)

    @Argument(help: "Folder of a data set.")
    var path: String

    @Option(help: "Only train, val or test. (default: all records)")
    var split: Split?

    @Flag(help: "Write JSON, all figures at full precision.")
    var json = false

    @OptionGroup
    var reading: ReadingOptions

    func run() throws {
        let data = try DataSet(path: path)
        let progress = ProgressReporter(
            task: "stats", unit: "shards", items: "shards", total: data.manifest.shards.count)
        let result = DataSetStatistics.measure(
            data, split: split, workers: reading.workerCount, progress: { progress.update(position: $0) })
        progress.finish()
        guard result.problems.isEmpty else {
            throw BadInputs(lines: result.problems.map(\.description), exitCode: result.problems[0].exitCode)
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            let report = Report(root: data.manifest.rootHash, records: result.recordCount, fields: result.fields)
            Console.write(String(decoding: try encoder.encode(report), as: UTF8.self) + "\n", to: 1)
            return
        }
        Console.show("\(path): \(result.recordCount) records")
        for field in result.fields { show(field) }
    }

    private struct Report: Encodable {
        let root: String
        let records: Int
        let fields: [FieldStatistics]
    }

    private func show(_ field: FieldStatistics) {
        let sizes = field.sizes.map { "\($0.height)x\($0.width) × \($0.records)" }
        let shown = sizes.prefix(8).joined(separator: ", ") + (sizes.count > 8 ? ", … (\(sizes.count) sizes)" : "")
        Console.show("  \(field.name) (\(field.element), \(field.channels.count) channels): \(shown)")
        for (number, channel) in field.channels.enumerated() {
            guard let mean = channel.mean, let deviation = channel.deviation else {
                Console.show("    channel \(number): nothing but unknown values")
                continue
            }
            var line = "    channel \(number): mean \(text(mean)), deviation \(text(deviation))"
            if let low = channel.minimum, let high = channel.maximum { line += ", \(text(low))…\(text(high))" }
            if channel.unknownShare > 0 { line += ", \(text(channel.unknownShare * 100)) % unknown" }
            Console.show(line)
        }
        guard let percentiles = field.percentiles, let histogram = field.histogram else { return }
        Console.show(
            "    percentiles " + percentiles.map { "\(text($0.percent)): \(text($0.value))" }.joined(separator: "  "))
        let most = histogram.map(\.count).max() ?? 1
        for bin in histogram {
            let bar = String(repeating: "#", count: (bin.count * 40 + most - 1) / max(most, 1))
            Console.show("    \(column(bin.from))…\(column(bin.to)) \(bar) \(bin.count)")
        }
    }

    private func text(_ value: Double) -> String {
        String(format: "%.4g", value)
    }

    private func column(_ value: Double) -> String {
        let plain = String(format: "%.4g", value)
        return String(repeating: " ", count: max(0, 9 - plain.count)) + plain
    }
}
