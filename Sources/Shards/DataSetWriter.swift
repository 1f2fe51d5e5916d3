import Basics
import Glibc

/// Writes a data set: shards of about equal size for each split, then the manifest. Until `finish` has returned there
/// is no manifest and therefore no data set; without `finish`, the shards that were written are removed again, unless
/// `suspend` leaves those that are complete. A conversion that was killed leaves shards behind; the next one into the
/// same folder goes on behind those that it is given (`FinishedShard`) and removes the others.
///
/// What is written depends on the records, their order and the settings only. Records are appended in order by one
/// thread; encode them on others with `RecordEncoder`.
public final class DataSetWriter {
    public let path: String
    public let targetShardByteCount: Int
    private let provenance: [String: String]
    private var open: [Split: ShardWriter] = [:]
    private var finished: [Split: [ShardSummary]] = [:]
    private var keys: Set<String> = []
    private var tally = FieldTally()
    private var isFinished = false

    public static let defaultShardByteCount = 64 << 20

    /// - Parameters:
    ///   - path: Folder of the data set; made if it isn't there. One that holds a manifest is refused.
    ///   - targetShardByteCount: A shard ends before the record that would take it past this size (a larger record
    ///     gets a shard of its own).
    ///   - provenance: Layout and options, for readers. Must not hold times, hosts or absolute paths.
    ///   - keeping: Shards in the folder to go on behind; of each split those from number 0 on, in order.
    /// - Throws: `ShardError` (64) if the folder holds a data set already, `FileError`.
    public init(
        path: String, targetShardByteCount: Int = DataSetWriter.defaultShardByteCount,
        provenance: [String: String] = [:], keeping: [FinishedShard] = []
    ) throws {
        precondition(targetShardByteCount > 0)
        self.path = path
        self.targetShardByteCount = targetShardByteCount
        self.provenance = provenance
        if Files.exists(path + "/" + Manifest.fileName) {
            throw ShardError(
                path: path, "holds a data set already", remedy: "choose another folder or remove this one",
                exitCode: .usage)
        }
        try Files.createFolder(path)
        for shard in keeping {
            precondition(shard.number == finished[shard.split, default: []].count, "\(shard.summary.name) out of turn")
            finished[shard.split, default: []].append(shard.summary)
            for field in shard.fields { tally.add(field) }
            for key in shard.keys where !keys.insert(key).inserted {
                throw ShardError(path: path + "/" + shard.summary.name, key: key, "another record has this key")
            }
        }
        // A conversion that was killed leaves shards without a manifest, which are of no use to anybody else: a second
        // run gives the same folder as an undisturbed first one.
        try Self.removeOthers(in: path, than: keeping.map(\.summary.name))
    }

    /// Removes files in a folder that a writer made, finished or not, other than `names`.
    public static func removeOthers(in folder: String, than names: [String]) throws {
        let kept = Set(names)
        for name in try Files.list(folder) where isShardName(name) && !kept.contains(name) {
            unlink(folder + "/" + name)
        }
    }

    /// `train-00000.shard.lz4`
    static func shardName(_ split: Split, _ number: Int) -> String {
        let digits = String(number)
        return "\(split.rawValue)-\(String(repeating: "0", count: max(0, 5 - digits.count)))\(digits)\(extensionName)"
    }

    /// The split that a shard of this name belongs to where there is no manifest to say so.
    static func split(ofShardName name: String) -> Split? {
        isShardName(name) && name.hasSuffix(extensionName)
            ? Split.allCases.first { name.hasPrefix($0.rawValue + "-") } : nil
    }

    /// Whether a writer makes files of this name, finished (`train-00000.shard.lz4`) or not (`….partial` behind it).
    static func isShardName(_ name: String) -> Bool {
        guard let split = Split.allCases.first(where: { name.hasPrefix($0.rawValue + "-") }) else { return false }
        let rest = name.dropFirst(split.rawValue.count + 1)
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        let end = rest.dropFirst(digits.count)
        guard digits.count >= 5, end.hasPrefix(extensionName) else { return false }
        return end == extensionName || end.hasSuffix(".partial")
    }

    static let extensionName = ".shard.lz4"

    deinit { abandon() }

    public var recordCount: Int { keys.count }

    /// - Throws: `ShardError` (65) for a key that occurs twice, `FileError`.
    public func append(_ record: EncodedRecord, split: Split) throws {
        precondition(!isFinished, "append to a finished data set")
        guard keys.insert(record.key).inserted else {
            throw ShardError(
                path: path, key: record.key, "two records have this key", remedy: "give every record its own name")
        }
        var writer = try self.writer(split)
        if writer.recordCount > 0,
            writer.byteCount + ShardWriter.growth(of: record) > targetShardByteCount
                || writer.recordCount == ShardLimits.recordsPerShard
        {
            try close(split)
            writer = try self.writer(split)
        }
        try writer.append(record)
        for field in record.fields { tally.add(field) }
    }

    /// Closes the shards and publishes the manifest.
    /// - Throws: `ShardError` (65) if there are no records, `FileError`.
    @discardableResult
    public func finish() throws -> Manifest {
        precondition(!isFinished, "finish of a finished data set")
        guard !keys.isEmpty else {
            throw ShardError(path: path, "no records were written", remedy: "check the input")
        }
        for split in Split.allCases where open[split] != nil { try close(split) }
        let manifest = Manifest(
            shards: Split.allCases.flatMap { finished[$0] ?? [] },
            splits: finished.mapValues { $0.map(\.name) },
            fields: tally.summaries, provenance: provenance)
        try AtomicFileWriter.write(manifest.encoded(), to: path + "/" + Manifest.fileName)
        isFinished = true
        return manifest
    }

    /// Removes the shards of an unfinished data set. Called by `deinit`.
    public func abandon() {
        guard !isFinished else { return }
        isFinished = true
        for writer in open.values { writer.abandon() }
        open = [:]
        for summary in finished.values.joined() { unlink(path + "/" + summary.name) }
    }

    /// Leaves the shards that are complete, for a later writer to go on behind; returns how many there are.
    @discardableResult
    public func suspend() -> Int {
        guard !isFinished else { return 0 }
        isFinished = true
        for writer in open.values { writer.abandon() }
        open = [:]
        return finished.values.reduce(0) { $0 + $1.count }
    }

    private func writer(_ split: Split) throws -> ShardWriter {
        if let writer = open[split] { return writer }
        let writer = try ShardWriter(path: path + "/" + Self.shardName(split, finished[split]?.count ?? 0))
        open[split] = writer
        return writer
    }

    private func close(_ split: Split) throws {
        guard let writer = open.removeValue(forKey: split) else { return }
        finished[split, default: []].append(try writer.finish())
    }
}
