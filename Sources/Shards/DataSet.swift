import Basics

/// An open data set: the manifest in memory, shards opened on first use. Any thread may use it. Several folders can be
/// one data set: the records of each split follow one another in the order of the folders.
public final class DataSet: Sendable {
    private struct Part {
        /// Positions within `manifest.shards`.
        var shards: [Int] = []
        /// Number of the split's first record in each of them, then the split's record count.
        var starts: [Int] = [0]
    }

    /// One folder of it.
    public struct Source: Sendable {
        public let path: String
        public let manifest: Manifest
    }

    /// For messages: the folder, or all of them.
    public let path: String
    /// Of all folders together. Where there are several, shards are named `NUMBER/NAME`.
    public let manifest: Manifest
    public let sources: [Source]
    /// Identifies the content. Of several folders: of their root hashes in this order.
    public let rootHash: String
    private let parts: [Split: Part]
    private let cache = ShardCache()
    private let local: LocalShards?

    /// Reads and validates the manifest. Shards are looked at when they are needed.
    /// - Throws: `ShardError` (65, 66), `FileError` (66, 74).
    public convenience init(path: String, local: LocalShards? = nil) throws {
        try self.init(paths: [path], local: local)
    }

    /// - Parameters:
    ///   - paths: at least one folder.
    ///   - local: where copies of shards are kept, if their folders are far away.
    public init(paths: [String], local: LocalShards? = nil) throws {
        precondition(!paths.isEmpty, "a data set without a folder")
        sources = try paths.map { Source(path: $0, manifest: try Manifest(folder: $0)) }
        self.local = local
        path = paths.joined(separator: ",")
        if sources.count == 1 {
            manifest = sources[0].manifest
            rootHash = manifest.rootHash
        } else {
            manifest = Manifest(joining: sources.map(\.manifest))
            rootHash = Self.hash(of: sources.map(\.manifest.rootHash))
        }
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

    /// One hash for several.
    public static func hash(of lines: [String]) -> String {
        Array(lines.joined(separator: "\n").utf8).withUnsafeBytes { Hash.xxh128($0) }
    }

    /// File of the manifest's shard `number`.
    public func shardPath(_ number: Int) -> String {
        var (number, source) = (number, 0)
        while number >= sources[source].manifest.shards.count {
            number -= sources[source].manifest.shards.count
            source += 1
        }
        return sources[source].path + "/" + sources[source].manifest.shards[number].name
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
        let (place, number) = place(split, index)
        let decoder = cache.takeDecoder()
        defer { cache.giveBack(decoder) }
        let shard = try shard(place)
        do {
            try decoder.load(shard, number)
            return try body(decoder)
        } catch let error as ShardError where error.exitCode == .badData && local?.owns(shard.path) == true {
            // A copy that has suffered since it was made; the original decides.
            local?.discard(manifest.shards[place])
            try decoder.load(cache.replace(place, by: try openShard(place)), number)
            return try body(decoder)
        }
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
        if let known = cache.shard(number) {
            guard let local, !local.owns(known.path) else { return known }
            // Read from afar so far: has a copy come?
            guard let copy = local.path(of: manifest.shards[number], at: known.path) else { return known }
            guard let reader = try? openShard(number, at: copy) else {
                local.discard(manifest.shards[number])
                return known
            }
            return cache.replace(number, by: reader)
        }
        // Opened outside the lock: another thread may do the same, then one of the two is dropped.
        return cache.keep(try openShard(number), as: number)
    }

    func openShard(_ number: Int) throws -> ShardReader {
        let path = shardPath(number)
        if let local, let copy = local.path(of: manifest.shards[number], at: path) {
            if let reader = try? openShard(number, at: copy) { return reader }
            // Evicted just now, or damaged since it was copied.
            local.discard(manifest.shards[number])
        }
        return try openShard(number, at: path)
    }

    private func openShard(_ number: Int, at path: String) throws -> ShardReader {
        let summary = manifest.shards[number]
        let shard = try ShardReader(path: path)
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

    /// Tells the system that these records of a split are needed soon: shard by shard, from front to back, neighbours in
    /// one piece. Costs nothing but time if that fails.
    /// - Returns: the pieces asked for and their bytes.
    @discardableResult
    public func prepare(_ split: Split, _ records: [Int]) throws -> (pieces: Int, byteCount: Int) {
        var (pieces, byteCount) = (0, 0)
        var piece: (shard: ShardReader, start: Int, end: Int)?
        func ask() {
            guard let piece else { return }
            piece.shard.prepare(piece.start..<piece.end)
            pieces += 1
            byteCount += piece.end - piece.start
        }
        var previous = -1
        for record in records.sorted() where record != previous {
            previous = record
            let (shard, number) = try locate(split, record)
            let bytes = shard.byteRange(number)
            if let last = piece, last.shard === shard, last.end == bytes.lowerBound {
                piece = (shard, last.start, bytes.upperBound)
            } else {
                ask()
                piece = (shard, bytes.lowerBound, bytes.upperBound)
            }
        }
        ask()
        return (pieces, byteCount)
    }
}
