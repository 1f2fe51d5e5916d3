import Basics
import FrameSources
import Glibc
import Shards
import Synchronization
import Telemetry
import Threads

/// From items to a data set: workers load, resize and encode; this thread writes in the items' order.
///
/// Worker w handles items w, w + n, w + 2n, … and hands them over through a queue of its own, so the order needs no
/// sorting and memory is bounded: what is written does not depend on the number of workers. A run that was killed is
/// continued by the same command: shards that are complete are verified and kept, the rest is made again.
struct Conversion {
    /// A record to be.
    struct Item: Sendable {
        let key: String
        let split: Split
        /// Reads and encodes it; `onlyChecking` reads it only, and returns nil.
        let produce: @Sendable (_ onlyChecking: Bool) throws -> EncodedRecord?
    }

    let items: [Item]
    let output: OutputFolder
    let workerCount: Int
    let shardByteCount: Int
    /// Broken items that may be left out.
    let maxBad: Int
    let provenance: [String: String]
    /// What else decides the bytes: must be the same for an interrupted run to be continued.
    let settings: [String: String]
    let unit: String

    struct Outcome {
        let manifest: Manifest
        let badCount: Int
        let seconds: Double
    }

    /// Pictures of a source.
    /// - Parameter inputs: files or folders that the items come from; a changed one forbids to continue.
    init(
        items: [FrameItem], size: PixelSize?, rules: [SplitRule], output: OutputFolder, workerCount: Int,
        shardByteCount: Int, level: Int, maxBad: Int, provenance: [String: String], inputs: [String] = []
    ) {
        let splits = SplitRule.assign(items, rules)
        let records = zip(items, splits).map { item, split in
            Item(key: item.key, split: split) { onlyChecking in
                var record = try item.load()
                if onlyChecking { return nil }
                if let size { record = Resizing.record(record, height: size.height, width: size.width) }
                return try RecordEncoder(level: level).encode(record)
            }
        }
        self.init(
            records: records, output: output, workerCount: workerCount, shardByteCount: shardByteCount, maxBad: maxBad,
            provenance: provenance, settings: ["level": "\(level)"], inputs: inputs, unit: "pairs")
    }

    init(
        records: [Item], output: OutputFolder, workerCount: Int, shardByteCount: Int, maxBad: Int = 0,
        provenance: [String: String], settings: [String: String], inputs: [String], unit: String
    ) {
        items = records
        self.output = output
        self.workerCount = workerCount
        self.shardByteCount = shardByteCount
        self.maxBad = maxBad
        self.provenance = provenance
        self.unit = unit
        var all = provenance
        for (name, value) in settings { all[name] = value }
        all["shard-size"] = "\(shardByteCount)"
        all["lz4"] = ShardTools.compressorVersion
        all["format"] = "\(ShardTools.formatVersion)"
        all["encoder"] = "\(ShardTools.encoderVersion)"
        let stream = HashStream()
        for item in records {
            Array("\(item.split.rawValue) \(item.key)\u{0}".utf8).withUnsafeBytes { stream.update($0) }
        }
        all["items"] = "\(records.count), \(stream.digest)"
        all[ConversionJournal.inputsName] = InputFingerprint.of(inputs, output: output.path)
        self.settings = all
    }

    private enum Product: Sendable {
        case record(EncodedRecord)
        /// Fine, but not encoded, because nothing will be written.
        case checked
        case bad(line: String, exitCode: Basics.ExitCode)
    }

    /// - Throws: `BadInputs` if more than `maxBad` items are broken; then nothing is left behind. `ShardError`,
    ///   `FileError`, `Failure` (130); then shards that are complete stay, for the same command to go on from.
    func run() throws -> Outcome {
        let start = monotonicSeconds()
        Interruption.watch()
        let journal: ConversionJournal
        do {
            journal = try output.open(settings: settings)
        } catch {
            output.discard()
            throw OutputFolder.unwritable(error)
        }
        do {
            if !journal.isFresh, Files.exists(output.path + "/" + Manifest.fileName) {
                return try finished(journal, start)
            }
            let resumption = try journal.isFresh ? Resumption() : resume()
            let writer = try DataSetWriter(
                path: output.path, targetShardByteCount: shardByteCount, provenance: provenance,
                keeping: resumption.kept)
            do {
                let badCount = try fill(writer, resumption)
                let manifest = try writer.finish()
                journal.remove()
                return Outcome(manifest: manifest, badCount: badCount, seconds: monotonicSeconds() - start)
            } catch let error as BadInputs {
                writer.abandon()
                throw error
            } catch {
                let kept = writer.suspend()
                guard kept > 0 else { throw error }
                Console.note(
                    "\(output.path): \(kept) finished \(kept == 1 ? "shard stays" : "shards stay"); "
                        + "the same command continues from there")
                throw Suspended(cause: error)
            }
        } catch let error as Suspended {
            throw OutputFolder.unwritable(error.cause)
        } catch {
            // What an earlier run finished is not this one's to remove.
            if (try? FinishedShard.names(in: output.path).isEmpty) ?? true { journal.remove() }
            output.discard()
            throw OutputFolder.unwritable(error)
        }
    }

    private struct Suspended: Error { let cause: any Error }

    /// Killed after the manifest had appeared: all that is missing is a look at it.
    private func finished(_ journal: ConversionJournal, _ start: Double) throws -> Outcome {
        let problems = DataSet.verify(path: output.path, workers: workerCount)
        guard problems.isEmpty else {
            throw Failure(
                .badData, "\(problems[0]); \(problems.count) problems in what was finished, remove the folder")
        }
        let manifest = try DataSet(path: output.path).manifest
        try DataSetWriter.removeOthers(in: output.path, than: manifest.shards.map(\.name))
        journal.remove()
        let count = Split.allCases.reduce(0) { $0 + manifest.recordCount($1) }
        return Outcome(manifest: manifest, badCount: items.count - count, seconds: monotonicSeconds() - start)
    }

    /// What an earlier run has done.
    private struct Resumption {
        var kept: [FinishedShard] = []
        /// Items whose records are in these shards.
        var done: Set<Int> = []
        /// Items before the last of those of their split that are in none: they were broken.
        var passed: Set<Int> = []
    }

    private func resume() throws -> Resumption {
        let names = try FinishedShard.names(in: output.path)
        let path = output.path
        let shards = Parallel.map(names.count, workers: workerCount, name: "resume") { place in
            Result { try FinishedShard(folder: path, split: names[place].split, number: names[place].number) }
        }
        var resumption = Resumption()
        for split in Split.allCases {
            let own = items.indices.filter { items[$0].split == split }
            var next = own.startIndex
            search: for (place, shard) in zip(names, shards) where place.split == split {
                let again = "\(place.name): is made again, and what follows it"
                let kept: FinishedShard
                do {
                    kept = try shard.get()
                } catch {
                    Console.note("\(error); \(again)")
                    break
                }
                var done: [Int] = []
                var passed: [Int] = []
                var end = next
                for key in kept.keys {
                    while end < own.endIndex && items[own[end]].key != key {
                        passed.append(own[end])
                        end += 1
                    }
                    guard end < own.endIndex else {
                        Console.note("\(place.name): holds a record '\(key)' that is not in the input; \(again)")
                        break search
                    }
                    done.append(own[end])
                    end += 1
                }
                resumption.kept.append(kept)
                resumption.done.formUnion(done)
                resumption.passed.formUnion(passed)
                next = end
            }
        }
        if !resumption.kept.isEmpty {
            let count = resumption.kept.count
            Console.note(
                "\(output.path): continues behind \(resumption.done.count) of \(items.count) \(unit), whose \(count) "
                    + "finished \(count == 1 ? "shard was" : "shards were") verified")
        }
        return resumption
    }

    /// Returns the number of items left out.
    private func fill(_ writer: DataSetWriter, _ resumption: Resumption) throws -> Int {
        let todo = items.indices.filter { !resumption.done.contains($0) }
        let before = items.count - todo.count
        let workerCount = max(1, min(self.workerCount, todo.count))
        let queues = (0..<workerCount).map { _ in BoundedQueue<Product>(capacity: 3) }
        // Once too many are broken nothing will be written, but the others are still looked at, to list them all.
        let isChecking = Switch()
        let threads = queues.enumerated().map { worker, queue in
            WorkerThread(name: "convert \(worker)") {
                for place in stride(from: worker, to: todo.count, by: workerCount) {
                    if !queue.push(product(of: items[todo[place]], onlyChecking: isChecking.value)) { return }
                }
                queue.close()
            }
        }
        defer {
            for queue in queues { queue.close() }
            for thread in threads { thread.join() }
        }
        let progress = ProgressReporter(task: "convert", unit: unit, items: unit, position: before, total: items.count)
        defer { progress.abandon() }
        var bad: [(line: String, exitCode: Basics.ExitCode)] = []
        for (place, index) in todo.enumerated() {
            if Interruption.isRequested {
                throw Failure(.interrupted, "interrupted after \(before + place) of \(items.count) \(unit)")
            }
            guard let product = queues[place % workerCount].pop() else {
                throw Failure(
                    .internalFault, "worker \(place % workerCount) ended before item \(index); please report this")
            }
            switch product {
            case .bad(let line, let exitCode):
                bad.append((line, exitCode))
                if bad.count > maxBad { isChecking.set() }
            case .checked: break
            case .record(let record):
                // Its place in a finished shard is taken by what came behind it.
                if resumption.passed.contains(index) {
                    throw Failure(
                        .badData,
                        "\(output.path): '\(record.key)' was broken when this conversion began and is not any more; "
                            + "remove the folder and convert again")
                }
                if bad.count <= maxBad { try writer.append(record, split: items[index].split) }
            }
            progress.update(position: before + place + 1)
        }
        progress.finish()
        if bad.count > maxBad || (bad.count == items.count && !bad.isEmpty) {
            let summary =
                bad.count == items.count
                ? "all \(items.count) \(unit) are broken; nothing was written, mend them"
                : "\(bad.count) of \(items.count) \(unit) are broken, \(maxBad) allowed; nothing was written, "
                    + "mend them or raise --max-bad"
            // A source whose every file vanished is broken data all the same; only failing devices are not.
            let exitCode = bad.first { $0.exitCode == .inputOutput }?.exitCode ?? .badData
            throw BadInputs(lines: bad.map(\.line) + [summary], exitCode: exitCode)
        }
        for entry in bad { Console.note("left out: \(entry.line)") }
        return bad.count
    }

    private func product(of item: Item, onlyChecking: Bool) -> Product {
        do {
            guard let record = try item.produce(onlyChecking) else { return .checked }
            return .record(record)
        } catch let error as any ExitCoding {
            return .bad(line: error.description, exitCode: error.exitCode)
        } catch {
            return .bad(line: "\(item.key): \(error)", exitCode: .internalFault)
        }
    }
}

/// A switch that is only ever turned on, from any thread.
final class Switch: Sendable {
    private let state = Atomic<Bool>(false)
    var value: Bool { state.load(ordering: .relaxed) }
    func set() { state.store(true, ordering: .relaxed) }
}

// Global, because a C handler can capture nothing.
private let interruptionRequested = Atomic<Bool>(false)

/// Ctrl-C and SIGTERM set a flag: the run then removes what is not complete.
enum Interruption {
    static var isRequested: Bool { interruptionRequested.load(ordering: .relaxed) }

    static func watch() {
        // Evaluated here, so that the handler never runs the initialiser.
        _ = isRequested
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number) { number in
                interruptionRequested.store(true, ordering: .relaxed)
                // A second Ctrl-C ends the process at once.
                signal(number, SIG_DFL)
            }
        }
        // A parent that starts programs from a thread that blocks signals passes that on.
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&signals, number) }
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
    }
}
