import Basics
import FrameSources
import Glibc
import Shards
import Synchronization
import Threads

/// From the items of a source to a data set: workers load, resize and encode; this thread writes in the items' order.
///
/// Worker w handles items w, w + n, w + 2n, … and hands them over through a queue of its own, so the order needs no
/// sorting and memory is bounded: what is written does not depend on the number of workers.
struct Conversion {
    let items: [FrameItem]
    let size: Size?
    let rules: [SplitRule]
    let output: OutputFolder
    let workerCount: Int
    let shardByteCount: Int
    let level: Int
    /// Broken items that may be left out.
    let maxBad: Int
    let provenance: [String: String]

    struct Outcome {
        let manifest: Manifest
        let badCount: Int
        let seconds: Double
    }

    private enum Product: Sendable {
        case record(EncodedRecord)
        /// Fine, but not encoded, because nothing will be written.
        case checked
        case bad(line: String, exitCode: Basics.ExitCode)
    }

    /// - Throws: `BadInputs` if more than `maxBad` items are broken, `ShardError`, `FileError`, `Failure` (130).
    ///   Then nothing is left behind.
    func run() throws -> Outcome {
        let start = monotonicSeconds()
        Interruption.watch()
        do {
            try output.clear()
            let writer = try DataSetWriter(
                path: output.path, targetShardByteCount: shardByteCount, provenance: provenance)
            do {
                let badCount = try fill(writer)
                let manifest = try writer.finish()
                return Outcome(manifest: manifest, badCount: badCount, seconds: monotonicSeconds() - start)
            } catch {
                writer.abandon()
                throw error
            }
        } catch {
            output.discard()
            throw OutputFolder.unwritable(error)
        }
    }

    /// Returns the number of items left out.
    private func fill(_ writer: DataSetWriter) throws -> Int {
        let splits = SplitRule.assign(items, rules)
        let workerCount = min(self.workerCount, items.count)
        let queues = (0..<workerCount).map { _ in BoundedQueue<Product>(capacity: 3) }
        // Once too many are broken nothing will be written, but the others are still looked at, to list them all.
        let isChecking = Switch()
        let threads = queues.enumerated().map { worker, queue in
            WorkerThread(name: "convert \(worker)") {
                for index in stride(from: worker, to: items.count, by: workerCount) {
                    if !queue.push(product(of: items[index], onlyChecking: isChecking.value)) { return }
                }
                queue.close()
            }
        }
        defer {
            for queue in queues { queue.close() }
            for thread in threads { thread.join() }
        }
        let progress = ProgressLine(total: items.count, unit: "pairs")
        defer { progress.end() }
        var bad: [(line: String, exitCode: Basics.ExitCode)] = []
        for index in items.indices {
            if Interruption.isRequested {
                throw Failure(.interrupted, "interrupted after \(index) of \(items.count) pairs; nothing was kept")
            }
            guard let product = queues[index % workerCount].pop() else {
                throw Failure(
                    .internalFault, "worker \(index % workerCount) ended before pair \(index); please report this")
            }
            switch product {
            case .bad(let line, let exitCode):
                bad.append((line, exitCode))
                if bad.count > maxBad { isChecking.set() }
            case .checked: break
            case .record(let record):
                if bad.count <= maxBad { try writer.append(record, split: splits[index]) }
            }
            progress.advance(to: index + 1)
        }
        progress.end()
        if bad.count > maxBad || (bad.count == items.count && !bad.isEmpty) {
            let summary =
                "\(bad.count) of \(items.count) pairs are broken, \(maxBad) allowed; nothing was written, "
                + "mend them or raise --max-bad"
            // A source whose every file vanished is broken data all the same; only failing devices are not.
            let exitCode = bad.first { $0.exitCode == .inputOutput }?.exitCode ?? .badData
            throw BadInputs(lines: bad.map(\.line) + [summary], exitCode: exitCode)
        }
        for entry in bad { Console.note("left out: \(entry.line)") }
        return bad.count
    }

    private func product(of item: FrameItem, onlyChecking: Bool) -> Product {
        do {
            var record = try item.load()
            if onlyChecking { return .checked }
            if let size { record = Resizing.record(record, height: size.height, width: size.width) }
            return .record(try RecordEncoder(level: level).encode(record))
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

/// Ctrl-C and SIGTERM set a flag: the run then removes what it made.
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
    }
}
