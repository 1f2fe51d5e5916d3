import ArgumentParser
import Basics
import Shards

struct Salvage: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Makes a new data set of every record that is still whole in a broken one.",
        discussion: """
            Records are copied as they are, each after all its checksums were found right. Without a sound index \
            (a shard cut short, lengthened, or changed there) the file is searched for records; without a sound \
            manifest the shards in the folder are taken, part by the name. The broken data set is not touched.

            Example:
              vergence-shards verify films.data
              vergence-shards salvage films.data mended.data
            """)

    @Argument(help: "Folder of the broken data set.")
    var input: String

    @Argument(help: "Folder for the new data set: empty or not there yet.")
    var output: String

    @Option(help: ArgumentHelp("Size at which a shard ends, in MiB.", valueName: "MB"))
    var shardSize: Int = DataSetWriter.defaultShardByteCount >> 20

    @OptionGroup
    var reading: ReadingOptions

    func validate() throws { try Rewriting.requireShardSize(shardSize) }

    func run() throws {
        guard Files.isFolder(input) else {
            throw Failure(.missingInput, "\(input): no such folder; give the folder of a data set")
        }
        let folder = try OutputFolder(output)
        let found = try DataSetSalvage(path: input, workers: reading.workerCount)
        if let problem = found.manifestProblem { Console.note("\(problem)") }
        var items: [Conversion.Item] = []
        var keys: Set<String> = []
        for part in found.parts {
            for problem in part.salvage.problems { Console.note("\(problem)") }
            for record in part.salvage.records {
                guard keys.insert(record.key).inserted else {
                    Console.note("\(part.path): a second record '\(record.key)' is left out")
                    continue
                }
                items.append(
                    Conversion.Item(key: record.key, split: part.split) { onlyChecking in
                        let whole = try record.read()
                        return onlyChecking ? nil : whole
                    })
            }
        }
        guard !items.isEmpty else { throw Failure(.badData, "\(input): no record of it is whole; convert it again") }
        var provenance = found.provenance
        let promised = found.promised.map { " of \($0)" } ?? ""
        provenance["salvaged"] = "\(items.count)\(promised) records"
        let outcome = try Conversion(
            records: items, output: folder, workerCount: reading.workerCount, shardByteCount: shardSize << 20,
            provenance: provenance, settings: ["command": "salvage"], inputs: [input], unit: "records"
        ).run()
        Report.written(outcome, to: folder.path)
        Console.show("\(folder.path): \(items.count)\(promised) records recovered")
    }
}
