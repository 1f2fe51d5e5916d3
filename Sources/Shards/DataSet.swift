import Basics

/// An open data set: the manifest in memory, shards opened on first use. Any thread may use it.
public final class DataSet: Sendable {
    private struct Part {
        /// Positions within `manifest.shards`.
        var shards: [Int] = []
        /// Number of the split's first record in each of them, then the split's record count.
        var starts: [Int] = [0]
    }

    public let path: String
    public let manifest: Manifest
    private let parts: [Split: Part]
    private let cache = ShardCache()

    /// Reads and validates the manifest. Shards are looked at when they are needed.
    /// - Throws: `ShardError` (65, 66), `FileError` (66, 74).
    public init(path: String) throws {
        self.path = path
        manifest = try Manifest(folder: path)
        var numbers: [String: Int] = [:]
        for (number, shard) in manifest.shards.enumerated() { numbers[shard.name] = number }
        var parts: [Split: Part] = [:]
        var start = 0
        for split in Split.allCases {
            var part = Part()
            start = 0
            for name in manifest.splits[split] ?? [] {
                guard let number = numbers[name] else { continue }
                start += manifest.shards[number].recordCount
                part.shards.append(number)
                part.starts.append(start)
            }
            parts[split] = part
        }
        self.parts = parts
    }

    /// Number of records of a split; 0 if it has none.
    public func count(_ split: Split) -> Int { parts[split]?.starts.last ?? 0 }

    /// Key of a record. Opens its shard.
    public func key(_ split: Split, _ index: Int) throws -> String {
        let (shard, number) = try locate(split, index)
        return shard.key(number)
    }

    /// Record `index` of a split, verified.
    /// - Throws: `ShardError` (65), `FileError` (66, 74).
    public func record(_ split: Split, _ index: Int) throws -> Record {
        try withRecord(split, index) { try $0.record() }
    }

    /// Calls `body` with a decoder that has loaded record `index` of a split, so that the caller can decode the fields
    /// it wants into memory it has. The decoder must not leave `body`.
    public func withRecord<R>(_ split: Split, _ index: Int, _ body: (RecordDecoder) throws -> R) throws -> R {
        let (shard, number) = try locate(split, index)
        let decoder = cache.takeDecoder()
        defer { cache.giveBack(decoder) }
        try decoder.load(shard, number)
        return try body(decoder)
    }

    /// Shard file and number within it of record `index` of a split, opened.
    public func locate(_ split: Split, _ index: Int) throws -> (shard: ShardReader, number: Int) {
        let (shard, number) = place(split, index)
        return (try self.shard(shard), number)
    }

    /// Position within the manifest's shards, and number within the shard, of record `index` of a split.
    public func place(_ split: Split, _ index: Int) -> (shard: Int, number: Int) {
        guard let part = parts[split], index >= 0, index < part.starts.last ?? 0 else {
            preconditionFailure("record \(index) of split \(split.rawValue), which has \(count(split))")
        }
        // The last shard that starts at or before `index`.
        var low = 0
        var high = part.shards.count - 1
        while low < high {
            let middle = (low + high + 1) / 2
            if part.starts[middle] <= index { low = middle } else { high = middle - 1 }
        }
        return (part.shards[low], index - part.starts[low])
    }

    private func shard(_ number: Int) throws -> ShardReader {
        if let known = cache.shard(number) { return known }
        // Opened outside the lock: another thread may do the same, then one of the two is dropped.
        return cache.keep(try openShard(number), as: number)
    }

    func openShard(_ number: Int) throws -> ShardReader {
        let summary = manifest.shards[number]
        let shard = try ShardReader(path: path + "/" + summary.name)
        guard shard.byteCount == summary.byteCount, shard.recordCount == summary.recordCount,
            shard.indexHash == summary.indexHash
        else {
            throw ShardError(
                path: shard.path,
                "\(shard.recordCount) records in \(shard.byteCount) bytes with index \(shard.indexHash), "
                    + "the manifest says \(summary.recordCount) in \(summary.byteCount) with \(summary.indexHash)")
        }
        return shard
    }
}
