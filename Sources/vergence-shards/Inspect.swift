import ArgumentParser
import Basics
import FrameSources
import Glibc
import Shards
import Streaming
import Telemetry

/// Lines about data sets.
enum Report {
    static func written(_ outcome: Conversion.Outcome, to path: String) {
        let manifest = outcome.manifest
        let parts = Split.allCases.filter { manifest.recordCount($0) > 0 }
            .map { "\(manifest.recordCount($0)) \($0.rawValue)" }.joined(separator: ", ")
        let bytes = manifest.shards.reduce(0) { $0 + $1.byteCount }
        let raw = manifest.fields.reduce(0) { $0 + $1.byteCount }
        let left = outcome.badCount > 0 ? ", \(outcome.badCount) left out" : ""
        Console.show(
            "\(path): \(parts)\(left); \(manifest.shards.count) \(manifest.shards.count == 1 ? "shard" : "shards"), "
                + "\(megabytes(bytes)) (\(ratio(raw, bytes)) times smaller than the pixels), "
                + "\(ProgressFormat.rate(outcome.seconds)) s")
    }

    static func megabytes(_ bytes: Int) -> String { "\((Double(bytes) / 1e4).rounded() / 100) MB" }

    static func ratio(_ raw: Int, _ stored: Int) -> String {
        "\((Double(raw) / Double(max(stored, 1)) * 100).rounded() / 100)"
    }

    static func bounds(_ range: ClosedRange<Int>) -> String {
        range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)…\(range.upperBound)"
    }
}

struct Info: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Says what a data set or a shard holds.",
        discussion: """
            Reads the manifest or the shard's index, not the records: use verify to check those.

            Example:
              vergence-shards info scenes.data
            """)

    @Argument(help: "Folder of a data set, or a .shard.lz4 file.")
    var path: String

    func run() throws {
        if Files.isFolder(path) { try showDataSet() } else { try showShard() }
    }

    private func showDataSet() throws {
        let manifest = try DataSet(path: path).manifest
        let bytes = manifest.shards.reduce(0) { $0 + $1.byteCount }
        let raw = manifest.fields.reduce(0) { $0 + $1.byteCount }
        Console.show(path)
        for split in Split.allCases where manifest.recordCount(split) > 0 {
            let shards = manifest.splits[split]?.count ?? 0
            Console.show(
                "  \(split.rawValue): \(manifest.recordCount(split)) records in "
                    + (shards == 1 ? "1 shard" : "\(shards) shards")
            )
        }
        Console.show("  root: \(manifest.rootHash)")
        Console.show("  \(Report.megabytes(bytes)), \(Report.ratio(raw, bytes)) times smaller than the pixels")
        for field in manifest.fields {
            let channels = field.channels.map(String.init).joined(separator: "|")
            let elements = field.elements.map(\.name).joined(separator: "|")
            Console.show(
                "  field \(field.name): \(field.recordCount) × [\(Report.bounds(field.heights)), "
                    + "\(Report.bounds(field.widths)), \(channels)] \(elements), "
                    + "\(Report.ratio(field.byteCount, field.storedByteCount)) times smaller")
        }
        for (name, value) in manifest.provenance.sorted(by: { $0.key < $1.key }) { Console.show("  \(name): \(value)") }
    }

    private func showShard() throws {
        let shard = try ShardReader(path: path)
        Console.show("\(path): \(shard.recordCount) records, \(Report.megabytes(shard.byteCount))")
        for number in 0..<shard.recordCount { Console.show("  \(number): \(shard.key(number))") }
    }
}

struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Writes a record as a picture: views and maps side by side.",
        discussion: """
            Float maps are colour-mapped (blue = small = far, red = large = near, black = unknown), all disparities of \
            a record over one range.

            Examples:
              vergence-shards show scenes.data --record 3 -o three.png
              vergence-shards show kitti.data --record 000000_10 --field disparity -o d.pfm
              vergence-shards show kitti.data --record 3 --augment mirror,scale=1.5,hue=0.1 --draws 6 -o six.png

            --augment shows what training draws for the record in so many epochs, one below the other:
            \(AugmentationOptions.fields.map { "  \($0.name): \($0.help)" }.joined(separator: "\n"))
            """)

    @Argument(help: "Folder of a data set, or a .shard.lz4 file.")
    var path: String

    @Option(help: ArgumentHelp("Number of the record within its part, or its key.", valueName: "i|key"))
    var record: String

    @Option(help: "train, val or test. (default: the first part that has the key; train for a number)")
    var split: Split?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Disparities from blue to red, e.g. -6...6. (default: those of the record)", valueName: "low...high"),
        transform: DisparityRange.init(argument:))
    var disparities: DisparityRange?

    @Option(
        help: ArgumentHelp("Write this field alone, its values unchanged (maps as .pfm or .npy).", valueName: "name"))
    var field: String?

    @Option(help: ArgumentHelp("Augment as training does.", valueName: "name=value,…"))
    var augment: String?

    @Option(help: "With --augment: epochs to show.")
    var draws = 1

    @Option(help: "With --augment: seed of the run.")
    var seed: UInt64 = 1

    @Option(
        help: ArgumentHelp("With --augment: size that is cut out. (default: the whole record)", valueName: "HxW"),
        transform: PixelSize.parse)
    var size: PixelSize?

    @Option(name: .shortAndLong, help: ArgumentHelp("File to write: .png, .jpg, .pfm or .npy.", valueName: "file"))
    var output: String

    func run() throws {
        if let augment {
            try showAugmented(try AugmentationOptions(text: augment, place: "--augment"))
            return
        }
        let found = try find()
        do {
            try write(found)
        } catch {
            throw OutputFolder.unwritable(error)
        }
        let fields = found.fields.map { field in
            guard field.name == FieldName.calibration, let rig = Calibration(field.array) else {
                return "\(field.name) \(field.array.height)x\(field.array.width)"
            }
            return "focal length \(rig.focalLengthPixels) px, baseline \(rig.baselineMetres) m, offset "
                + "\(rig.offsetPixels) px"
        }.joined(separator: ", ")
        Console.show("\(output): \(found.key): \(fields)")
    }

    private func showAugmented(_ options: AugmentationOptions) throws {
        guard (1...64).contains(draws) else { throw Failure(.usage, "--draws \(draws): give 1…64") }
        guard Files.isFolder(path) else {
            throw Failure(.usage, "\(path): draws depend on a record's number in its data set; give the folder")
        }
        guard field == nil || draws == 1 else {
            throw Failure(.usage, "--field writes one array; leave --draws out, or --field")
        }
        let dataSet = try DataSet(path: path)
        let (part, index) = try place(in: dataSet)
        let records = try (0..<draws).map {
            try AugmentedRecord.make(
                dataSet, part, index, options, seed: seed, epoch: $0, size: size.map { ($0.height, $0.width) })
        }
        do {
            if field != nil {
                try write(records[0])
            } else {
                try ImageFile.write(ContactSheet.column(records.map(sheet)), to: output)
            }
        } catch {
            throw OutputFolder.unwritable(error)
        }
        Console.show("\(output): \(records[0].key): \(draws == 1 ? "1 draw" : "\(draws) draws") of seed \(seed)")
    }

    private func write(_ found: Record) throws {
        if let field {
            guard let array = found[field] else {
                let names = found.fields.map(\.name).joined(separator: ", ")
                throw Failure(.usage, "record \(found.key) has no field \(field); choose one of \(names)")
            }
            try ImageFile.write(array, to: output)
        } else {
            try ImageFile.write(sheet(found), to: output)
        }
    }

    private func find() throws -> Record {
        guard Files.isFolder(path) else {
            let shard = try ShardReader(path: path)
            if let number = (0..<shard.recordCount).first(where: { shard.key($0) == record }) {
                return try shard.record(number)
            }
            guard let number = Int(record), (0..<shard.recordCount).contains(number) else {
                throw missing("\(shard.recordCount) records")
            }
            return try shard.record(number)
        }
        let dataSet = try DataSet(path: path)
        let (part, index) = try place(in: dataSet)
        return try dataSet.record(part, index)
    }

    private func place(in dataSet: DataSet) throws -> (split: Split, index: Int) {
        let splits = split.map { [$0] } ?? Split.allCases
        for split in splits {
            for index in 0..<dataSet.count(split) where try dataSet.key(split, index) == record {
                return (split, index)
            }
        }
        // A number without --split counts within the first part that has records.
        let part = split ?? Split.allCases.first { dataSet.count($0) > 0 } ?? .train
        guard let index = Int(record), (0..<dataSet.count(part)).contains(index) else {
            throw missing("\(dataSet.count(part)) records in \(part.rawValue)")
        }
        return (part, index)
    }

    private func missing(_ have: String) -> Failure {
        Failure(.usage, "\(path): no record \(record) among \(have); vergence-shards info lists what is there")
    }

    private func sheet(_ record: Record) -> PixelArray {
        let maps = record.fields.filter { $0.name.hasPrefix(FieldName.disparity) && $0.array.element == .float32 }
        var range = disparities.map { Float($0.range.lowerBound)...Float($0.range.upperBound) }
        if range == nil {
            for map in maps {
                guard let own = Colormap.range(of: map.array) else { continue }
                range =
                    range.map {
                        min($0.lowerBound, own.lowerBound)...max($0.upperBound, own.upperBound)
                    } ?? own
            }
        }
        return ContactSheet.row(
            record.fields.filter { $0.name != FieldName.calibration }.map { field in
                let array = field.array
                guard maps.contains(where: { $0.name == field.name }), array.channels == 1, let range else {
                    return array
                }
                return Colormap.colours(of: array, in: range)
            })
    }
}

extension Split: ExpressibleByArgument {}
