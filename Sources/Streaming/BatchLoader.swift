import Basics
import Glibc
import Heartbeats
import Shards
import Threads

/// Loads lane batches ahead of a consumer on threads of its own, in the order of a schedule.
///
/// Threads take tasks by number and finish them in any order; the consumer gets them in order, so that neither the
/// number of threads nor chance shows. At most `prefetch` batches are loaded ahead. (A `BoundedQueue` would do for one thread;
/// with several it would need the reordering that this class is.)
public final class BatchLoader: @unchecked Sendable {
    public struct Settings: Sendable {
        /// Training size, pixels. Larger records are an error (65) unless the augmentation crops, smaller ones always.
        public var height: Int
        public var width: Int
        /// Batches loaded ahead of the consumer.
        public var prefetch = 4
        public var threadCount = 1
        /// What batches hold.
        public var fields: [StreamedField]
        public var augmentation = AugmentationSettings.off
        /// Key of the augmentation.
        public var seed: UInt64 = 0
        /// Whether another record stands in for a damaged one (`ReplacementRule`). Otherwise damage is an error.
        public var replacesDamaged = false
        /// Is told which record is being read.
        public var board: StatusBoard?

        public init(height: Int, width: Int, fields: [StreamedField]) {
            self.height = height
            self.width = width
            self.fields = fields
        }

        /// Bytes that a loader of `taskCount` batches keeps: those loaded ahead, and the one in use.
        public func byteCount(largestBatch: Int, taskCount: Int) -> Int {
            min(prefetch + 1, taskCount)
                * LaneBatch.byteCount(
                    capacity: largestBatch, height: height, width: width, fields: fields)
        }
    }

    private let core: LoaderCore
    private var threads: [WorkerThread] = []
    private var next = 0
    /// Seconds that `nextBatch` has waited for data so far.
    public private(set) var waitSeconds = 0.0

    /// Starts loading at once.
    public init(data: DataSet, split: Split, schedule: LaneSchedule, settings: Settings) {
        precondition(settings.prefetch > 0 && settings.threadCount > 0 && settings.height > 0 && settings.width > 0)
        let core = LoaderCore(data: data, split: split, schedule: schedule, settings: settings)
        self.core = core
        for number in 0..<min(settings.threadCount, settings.prefetch) {
            threads.append(WorkerThread(name: "loader \(number)") { core.work() })
        }
    }

    deinit { shutDown() }

    /// The next batch of the schedule, or nil after the last. For one consumer thread.
    /// - Throws: What went wrong while loading this very batch (`ShardError`, `FileError`); batches before it are
    ///   delivered, and every later call throws the same again.
    public func nextBatch() throws -> LaneBatch? {
        if next >= core.schedule.taskCount { return nil }
        let start = monotonicSeconds()
        let result = core.take(next)
        waitSeconds += monotonicSeconds() - start
        let batch = try result.get()
        next += 1
        return batch
    }

    /// Gives a batch's buffers back for reuse. The batch must not be used afterwards. Any thread may call this.
    public func recycle(_ batch: LaneBatch) { core.recycle(batch) }

    /// Stops and joins the threads; what was loaded ahead is dropped. Safe at any time, and a second time. `nextBatch`
    /// must not be called afterwards.
    public func shutDown() {
        core.stop()
        for thread in threads { thread.join() }
        threads = []
    }
}

/// What loader threads and consumer share. Separate from `BatchLoader`, so that threads don't keep that alive and its
/// `deinit` can end them.
private final class LoaderCore: @unchecked Sendable {
    let schedule: LaneSchedule
    private let data: DataSet
    private let split: Split
    private let decoder: SampleDecoder
    private let prefetch: Int
    /// nil: damage is an error.
    private let rule: ReplacementRule?
    // All below is under the mutex.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private var nextTask = 0
    private var consumed = 0
    private var isStopping = false
    /// Task number modulo `prefetch`: at most `prefetch` tasks are under way or waiting.
    private var slots: [Result<LaneBatch, any Error>?]
    private var free: [LaneBatch] = []

    init(data: DataSet, split: Split, schedule: LaneSchedule, settings: BatchLoader.Settings) {
        self.schedule = schedule
        self.data = data
        self.split = split
        prefetch = settings.prefetch
        rule =
            settings.replacesDamaged ? ReplacementRule(seed: settings.seed, recordCount: data.count(split)) : nil
        decoder = SampleDecoder(
            data: data, split: split, height: settings.height, width: settings.width,
            fields: settings.fields, augmentation: settings.augmentation, seed: settings.seed, board: settings.board)
        slots = Array(repeating: nil, count: settings.prefetch)
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(condition)
        mutex.deallocate()
        condition.deallocate()
    }

    func work() {
        while let (number, recycled) = begin() {
            // Never waits for a buffer: the consumer may hold as many batches as it likes.
            let batch =
                recycled
                ?? LaneBatch(
                    capacity: schedule.largestBatch, height: decoder.height, width: decoder.width,
                    fields: decoder.fields, owner: ObjectIdentifier(self))
            let result = Result<LaneBatch, any Error> {
                prepare(number)
                let task = schedule.task(number)
                precondition(task.samples.count <= schedule.largestBatch, "\(task.samples.count) samples in a task")
                batch.step = task.step
                batch.lane = task.lane
                batch.samples = task.samples
                batch.replaced = []
                for (position, sample) in task.samples.enumerated() {
                    do {
                        try decoder.decode(sample, position: position, into: batch)
                    } catch let problem as ShardError where problem.exitCode == .badData {
                        guard let rule else { throw problem }
                        batch.replaced.append(
                            try rule.replace(sample, damagedBy: problem) {
                                try decoder.decode($0, position: position, into: batch)
                            })
                    }
                }
                return batch
            }
            finish(number, result)
        }
    }

    /// Once in `readAhead` tasks: has the records of the stretch behind the one that begins here read, at the start those
    /// of this one too.
    private func prepare(_ number: Int) {
        let step = schedule.readAhead
        guard step > 0, number % step == 0 else { return }
        let range = (number == 0 ? 0 : number + step)..<(number + 2 * step)
        let records = range.clamped(to: 0..<schedule.taskCount).flatMap { schedule.task($0).samples.map(\.record) }
        // Whoever reads a record that cannot be found will say so.
        _ = try? data.prepare(split, records)
    }

    /// Waits until a task may be begun. nil: the thread should end.
    private func begin() -> (Int, LaneBatch?)? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !isStopping && nextTask < schedule.taskCount && nextTask >= consumed + prefetch {
            pthread_cond_wait(condition, mutex)
        }
        if isStopping || nextTask >= schedule.taskCount { return nil }
        defer { nextTask += 1 }
        return (nextTask, free.popLast())
    }

    private func finish(_ number: Int, _ result: Result<LaneBatch, any Error>) {
        pthread_mutex_lock(mutex)
        precondition(number < consumed + prefetch, "task \(number) runs more than \(prefetch) ahead of \(consumed)")
        slots[number % prefetch] = result
        // Nothing after a broken batch will be asked for.
        if case .failure = result { nextTask = schedule.taskCount }
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }

    /// Waits for task `number`, which must be the next one. An error stays, so that it is thrown again.
    func take(_ number: Int) -> Result<LaneBatch, any Error> {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        precondition(!isStopping, "nextBatch after shutDown")
        while true {
            if let result = slots[number % prefetch] {
                if case .success = result {
                    slots[number % prefetch] = nil
                    consumed += 1
                    pthread_cond_broadcast(condition)
                }
                return result
            }
            pthread_cond_wait(condition, mutex)
        }
    }

    func recycle(_ batch: LaneBatch) {
        pthread_mutex_lock(mutex)
        // More than prefetch + 1 would only be memory that nobody needs; another loader's batch may have another size.
        if free.count <= prefetch, batch.owner == ObjectIdentifier(self) { free.append(batch) }
        pthread_mutex_unlock(mutex)
    }

    func stop() {
        pthread_mutex_lock(mutex)
        isStopping = true
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }
}
