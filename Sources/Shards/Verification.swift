import Basics
import Threads

extension DataSet {
    /// A shard, or some records of one.
    struct Piece: Sendable {
        /// Position within the manifest's shards.
        let number: Int
        let shard: Result<ShardReader, ShardError>
        let records: Range<Int>
        let isFirst: Bool
    }

    /// The data set in pieces of some dozen megabytes' worth of work, shard after shard. Shards are opened when their
    /// turn comes, so that a manifest's claims cost nothing before they are held against the files.
    func pieces(recordCount: Int = 64, progress: @escaping (Int) -> Void) -> () -> Piece? {
        var number = -1
        var shard: Result<ShardReader, ShardError> = .failure(ShardError(path: path, "no shard yet"))
        var next = 0
        var end = 0
        return { [self] in
            let isFirst = next >= end
            if isFirst {
                if number >= 0 && number < manifest.shards.count { progress(number + 1) }
                number += 1
                guard number < manifest.shards.count else { return nil }
                let path = path + "/" + manifest.shards[number].name
                do {
                    let opened = try openShard(number)
                    shard = .success(opened)
                    (next, end) = (0, opened.recordCount)
                } catch {
                    shard = .failure(ShardError.wrapping(error, path: path))
                    (next, end) = (0, 0)
                }
            }
            let records = next..<min(end, next + recordCount)
            next = records.upperBound
            return Piece(number: number, shard: shard, records: records, isFirst: isFirst)
        }
    }

    /// Reads everything: opens every shard, decodes every record, recomputes every checksum, and compares what the
    /// manifest says with what is there. The result does not depend on the number of workers.
    /// - Parameter progress: Called with the number of shards begun, by one thread at a time.
    /// - Returns: One line per problem; empty if the data set is whole.
    public func verify(workers: Int = 1, progress: @escaping (Int) -> Void = { _ in }) -> [ShardError] {
        struct Outcome: Sendable {
            var problems: [ShardError] = []
            var keys: [(shard: Int, record: Int, key: String)] = []
            var fields: [Manifest.FieldSummary] = []
            var isUnread = false
        }
        let outcomes = Parallel.map(
            workers: workers, name: "verify", next: pieces(progress: progress)
        ) { [self] (piece: Piece) -> Outcome? in
            var outcome = Outcome()
            let summary = manifest.shards[piece.number]
            let shardPath = path + "/" + summary.name
            do {
                let shard = try piece.shard.get()
                if piece.isFirst {
                    let hash = try shard.hashOfFile()
                    if hash != summary.hash {
                        outcome.problems.append(
                            ShardError(
                                path: shardPath, "the file hashes to \(hash), the manifest says \(summary.hash)"))
                    }
                }
                var tally = FieldTally()
                let decoder = RecordDecoder()
                for number in piece.records {
                    outcome.keys.append((piece.number, number, shard.key(number)))
                    do {
                        try decoder.load(shard, number)
                        for field in decoder.fields { tally.add(field) }
                        try decoder.verifyLoaded()
                    } catch {
                        outcome.isUnread = true
                        outcome.problems.append(ShardError.wrapping(error, path: shardPath))
                    }
                }
                outcome.fields = tally.summaries
            } catch {
                outcome.isUnread = true
                outcome.problems.append(ShardError.wrapping(error, path: shardPath))
            }
            return outcome
        }
        var problems = outcomes.flatMap(\.problems)
        var keys: Set<String> = []
        for place in outcomes.flatMap(\.keys) where !keys.insert(place.key).inserted {
            problems.append(
                ShardError(
                    path: path + "/" + manifest.shards[place.shard].name, record: place.record, key: place.key,
                    "another record has this key"))
        }
        // With records missing from the sum there is nothing to compare.
        if !outcomes.contains(where: \.isUnread) {
            var tally = FieldTally()
            for field in outcomes.flatMap(\.fields) { tally.add(field) }
            if tally.summaries != manifest.fields.sorted(by: { $0.name < $1.name }) {
                problems.append(
                    ShardError(
                        path: path + "/" + Manifest.fileName,
                        "its summary of the fields is not what the records have",
                        remedy: "make a new one with 'vergence-shards salvage'"))
            }
        }
        return problems
    }

    /// Opens and verifies the data set at `path`, manifest included. Where the manifest is broken, the shards that lie
    /// beside it are still looked at.
    public static func verify(
        path: String, workers: Int = 1, progress: @escaping (Int) -> Void = { _ in }
    ) -> [ShardError] {
        do {
            return try DataSet(path: path).verify(workers: workers, progress: progress)
        } catch {
            let names = ((try? Files.list(path)) ?? []).filter { DataSetWriter.split(ofShardName: $0) != nil }
            let others = Parallel.map(names.count, workers: workers, name: "verify") {
                ShardReader.verify(path: path + "/" + names[$0])
            }
            return [ShardError.wrapping(error, path: path)] + others.flatMap { $0 }
        }
    }
}
