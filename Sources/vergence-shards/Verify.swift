import ArgumentParser
import Basics
import Foundation
import Shards
import Telemetry

/// Threads of the commands that read a whole data set.
struct ReadingOptions: ParsableArguments {
    @Option(help: "Threads. The output does not depend on it. (default: all cores)")
    var workers: Int?

    @OptionGroup
    var logging: LogOptions

    func validate() throws {
        if let workers, !(1...1024).contains(workers) { throw ValidationError("--workers \(workers) is not in 1…1024") }
    }

    var workerCount: Int { workers ?? max(1, min(1024, ProcessInfo.processInfo.activeProcessorCount)) }
}

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Reads everything in a data set or a shard and recomputes every checksum.",
        discussion: """
            Names every broken record, shard, index and manifest. Exit code 65 if there is one. What is still whole \
            can be had with salvage.

            Example:
              vergence-shards verify scenes.data
            """)

    @Argument(help: "Folder of a data set, or a .shard.lz4 file.")
    var path: String

    @OptionGroup
    var reading: ReadingOptions

    func run() throws {
        let start = monotonicSeconds()
        let problems: [ShardError]
        var lines: [String] = []
        if Files.isFolder(path) {
            let dataSet = try? DataSet(path: path)
            let shards = dataSet?.manifest.shards ?? []
            let progress = ProgressReporter(task: "verify", unit: "shards", items: "shards", total: shards.count)
            problems = DataSet.verify(path: path, workers: reading.workerCount) { progress.update(position: $0) }
            progress.finish()
            let records = shards.reduce(0) { $0 + $1.recordCount }
            let bytes = shards.reduce(0) { $0 + $1.byteCount }
            let seconds = monotonicSeconds() - start
            lines = [
                "\(records) records in \(shards.count) \(shards.count == 1 ? "shard" : "shards"), all checksums right; "
                    + "\(Report.megabytes(bytes)) in \(ProgressFormat.rate(seconds)) s",
                "root \(dataSet?.manifest.rootHash ?? "")",
            ]
        } else {
            let shard = try ShardReader(path: path)
            problems = shard.verify()
            lines = ["\(shard.recordCount) records, all checksums right"]
        }
        guard problems.isEmpty else {
            let exitCode = problems.contains { $0.exitCode == .badData } ? .badData : problems[0].exitCode
            throw BadInputs(lines: problems.map(\.description), exitCode: exitCode)
        }
        for line in lines { Console.show("\(path): \(line)") }
    }
}
