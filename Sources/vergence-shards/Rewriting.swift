import ArgumentParser
import Basics
import Shards

/// New data sets from the records of others: what merge, split and reshard have in common. Records are copied as they
/// are stored, each after all its checksums were found right.
enum Rewriting {
    struct Place: Sendable {
        let data: DataSet
        let split: Split
        let index: Int
        let key: String
    }

    static func requireShardSize(_ megabytes: Int) throws {
        guard (1...65536).contains(megabytes) else {
            throw ValidationError("--shard-size \(megabytes) is not in 1…65536")
        }
    }

    /// Every record of a data set, split by split. Opens every shard, so that counts are those of the files.
    static func places(_ data: DataSet) throws -> [Place] {
        var places: [Place] = []
        for split in Split.allCases {
            // A manifest may claim any count: the array grows by what is really there.
            for index in 0..<data.count(split) {
                places.append(Place(data: data, split: split, index: index, key: try data.key(split, index)))
            }
        }
        return places
    }

    /// - Parameter level: compresses anew if it is given.
    static func item(_ place: Place, key: String, split: Split, level: Int?) -> Conversion.Item {
        Conversion.Item(key: key, split: split) { onlyChecking in
            try place.data.withRecord(place.split, place.index) { decoder in
                if let level {
                    let record = try decoder.record()
                    if onlyChecking { return nil }
                    return try RecordEncoder(level: level).encode(Record(key: key, fields: record.fields))
                }
                let whole =
                    key == place.key
                    ? try decoder.encodedRecord() : try decoder.encodedRecord(key: key, level: defaultLevel)
                return onlyChecking ? nil : whole
            }
        }
    }

    static let defaultLevel = 9

    static func write(
        _ items: [Conversion.Item], to output: OutputFolder, from inputs: [String], command: String, shardSize: Int,
        workers: Int, level: Int?, provenance: [String: String]
    ) throws {
        var settings = ["command": command]
        if let level { settings["level"] = "\(level)" }
        let outcome = try Conversion(
            records: items, output: output, workerCount: workers, shardByteCount: shardSize << 20,
            provenance: provenance, settings: settings, inputs: inputs, unit: "records"
        ).run()
        Report.written(outcome, to: output.path)
    }

    /// Name of a data set's folder without what comes before and behind it: `films` of `/data/films.data`.
    static func name(of path: String) -> String {
        let last = path.split(separator: "/").last { $0 != "." && $0 != ".." }.map(String.init) ?? "data"
        guard let dot = last.lastIndex(of: "."), dot != last.startIndex else { return last }
        return String(last[..<dot])
    }
}

struct Merge: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Makes one data set of several.",
        discussion: """
            Parts stay parts: the training records of all become the training records of the new one, in the order \
            of the arguments. Two records of one key are refused, unless --prefix puts the data set's name before \
            every key.

            Example:
              vergence-shards merge films.data cards.data --output all.data --prefix
            """)

    @Argument(help: "Folders of two or more data sets.")
    var inputs: [String]

    @Option(name: .shortAndLong, help: "Folder for the new data set: empty or not there yet.")
    var output: String

    @Flag(help: "Put the folder's name before every key: films/frame_0001.")
    var prefix = false

    @Option(help: ArgumentHelp("Size at which a shard ends, in MiB.", valueName: "MB"))
    var shardSize: Int = DataSetWriter.defaultShardByteCount >> 20

    @OptionGroup
    var reading: ReadingOptions

    func validate() throws {
        try Rewriting.requireShardSize(shardSize)
        guard inputs.count >= 2 else { throw ValidationError("give two or more data sets to merge") }
        if prefix {
            let names = inputs.map(Rewriting.name(of:))
            guard Set(names).count == names.count else {
                throw ValidationError("--prefix needs folders of different names")
            }
        }
    }

    func run() throws {
        let folder = try OutputFolder(output)
        var items: [Conversion.Item] = []
        var owners: [String: Int] = [:]
        var provenance = ["layout": "merge"]
        for (number, path) in inputs.enumerated() {
            let data = try DataSet(path: path)
            let name = Rewriting.name(of: path)
            for place in try Rewriting.places(data) {
                let key = prefix ? "\(name)/\(place.key)" : place.key
                if let other = owners.updateValue(number, forKey: key) {
                    throw Failure(
                        .usage,
                        "'\(ShardError.printable(key))' is a record of \(inputs[other]) and of \(path); "
                            + "add --prefix to tell them apart")
                }
                items.append(Rewriting.item(place, key: key, split: place.split, level: nil))
            }
            provenance["source-\(number)"] = "\(name) \(data.manifest.rootHash)"
            for (key, value) in data.manifest.provenance { provenance["source-\(number)-\(key)"] = value }
        }
        if prefix { provenance["prefix"] = "true" }
        try Rewriting.write(
            items, to: folder, from: inputs, command: "merge", shardSize: shardSize, workers: reading.workerCount,
            level: nil, provenance: provenance)
    }
}

struct SplitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "split",
        abstract: "Divides a data set into training, validation and test anew.",
        discussion: """
            All records, those of train first, then val, then test, are counted and dealt out by the rules of \
            --split, as convert does it. Makes a new data set; without a rule everything is for training.

            Example:
              vergence-shards split films.data divided.data --split val=0.1 --split test=every:10
            """)

    @Argument(help: "Folder of a data set.")
    var input: String

    @Argument(help: "Folder for the new data set: empty or not there yet.")
    var output: String

    @Option(
        help: ArgumentHelp("Records for validation or test: val=0.1, val=every:7. Repeatable.", valueName: "part=rule"),
        transform: SplitRule.init(argument:))
    var split: [SplitRule] = []

    @Option(help: ArgumentHelp("Size at which a shard ends, in MiB.", valueName: "MB"))
    var shardSize: Int = DataSetWriter.defaultShardByteCount >> 20

    @OptionGroup
    var reading: ReadingOptions

    func validate() throws {
        try Rewriting.requireShardSize(shardSize)
        guard Set(split.map(\.split)).count == split.count else {
            throw ValidationError("--split names one part twice")
        }
    }

    func run() throws {
        let folder = try OutputFolder(output)
        let data = try DataSet(path: input)
        let places = try Rewriting.places(data)
        let items = zip(places, SplitRule.assign(places.count, split)).map { place, part in
            Rewriting.item(place, key: place.key, split: part, level: nil)
        }
        var provenance = data.manifest.provenance
        provenance["source"] = data.manifest.rootHash
        provenance["split"] = split.isEmpty ? "none" : split.map(\.text).joined(separator: " ")
        try Rewriting.write(
            items, to: folder, from: [input], command: "split", shardSize: shardSize, workers: reading.workerCount,
            level: nil, provenance: provenance)
    }
}

struct Reshard: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Writes a data set anew with shards of another size, or compressed otherwise.",
        discussion: """
            Records, keys, parts and order stay. Without --level records are copied as they are stored.

            Example:
              vergence-shards reshard films.data small.data --shard-size 8
            """)

    @Argument(help: "Folder of a data set.")
    var input: String

    @Argument(help: "Folder for the new data set: empty or not there yet.")
    var output: String

    @Option(help: ArgumentHelp("Size at which a shard ends, in MiB.", valueName: "MB"))
    var shardSize: Int

    @Option(help: "Compress anew, with LZ4 level 0 (fast) … 12 (small).")
    var level: Int?

    @OptionGroup
    var reading: ReadingOptions

    func validate() throws {
        try Rewriting.requireShardSize(shardSize)
        if let level, !(0...12).contains(level) { throw ValidationError("--level \(level) is not in 0…12") }
    }

    func run() throws {
        let folder = try OutputFolder(output)
        let data = try DataSet(path: input)
        let items = try Rewriting.places(data).map {
            Rewriting.item($0, key: $0.key, split: $0.split, level: level)
        }
        // The records are the same, so they come from the same place.
        try Rewriting.write(
            items, to: folder, from: [input], command: "reshard", shardSize: shardSize, workers: reading.workerCount,
            level: level, provenance: data.manifest.provenance)
    }
}
