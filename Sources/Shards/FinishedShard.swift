import Basics

/// A shard that an unfinished conversion has left complete, read and verified from its first to its last byte.
public struct FinishedShard: Sendable {
    public let split: Split
    /// Counts the shards of its split.
    public let number: Int
    public let summary: ShardSummary
    /// Of its records, in order.
    public let keys: [String]
    let fields: [Manifest.FieldSummary]

    /// Names of finished shards in a folder: those of each split without gaps from number 0 on.
    public static func names(in folder: String) throws -> [(split: Split, number: Int, name: String)] {
        let present = Set(try Files.list(folder))
        var found: [(Split, Int, String)] = []
        for split in Split.allCases {
            var number = 0
            while case let name = DataSetWriter.shardName(split, number), present.contains(name) {
                found.append((split, number, name))
                number += 1
            }
        }
        return found
    }

    /// - Throws: `ShardError` (65), `FileError`: the first thing that is wrong with it.
    public init(folder: String, split: Split, number: Int) throws {
        let name = DataSetWriter.shardName(split, number)
        let shard = try ShardReader(path: folder + "/" + name)
        let decoder = RecordDecoder()
        var tally = FieldTally()
        for record in 0..<shard.recordCount {
            try decoder.load(shard, record)
            try decoder.verifyLoaded()
            for field in decoder.fields { tally.add(field) }
        }
        self.split = split
        self.number = number
        summary = ShardSummary(
            name: name, byteCount: shard.byteCount, recordCount: shard.recordCount, hash: try shard.hashOfFile(),
            indexHash: shard.indexHash)
        keys = (0..<shard.recordCount).map { shard.key($0) }
        fields = tally.summaries
    }
}
