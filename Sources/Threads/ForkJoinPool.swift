import CThreads
import Glibc
import Synchronization

/// A pool of threads that together run numbered chunks of one task and join: the compute threads of a rank.
///
/// Work is split by chunk, never by thread count: which thread runs a chunk is left to chance, what a chunk computes is
/// not, so results are the same bits for 1 and 64 threads as long as chunks write to disjoint places and partial
/// results are combined in index order.
///
/// Workers spin for `spinMicroseconds` before they sleep (waking a sleeper costs 35–65 µs in a virtual machine), which is
/// only right while all ranks of the host together have no more threads than cores: pass 0 otherwise.
public final class ForkJoinPool: @unchecked Sendable {
    public let threadCount: Int
    private let spinNanoseconds: UInt64

    // One task at a time; `generation` publishes it. Chunk numbers are handed out by `nextChunk`, whose upper half holds
    // the generation's low bits, so that a worker which comes late cannot take a chunk of the next task.
    private let generation = Atomic<UInt64>(0)
    private let nextChunk = Atomic<UInt64>(0)
    private let finishedChunks = Atomic<Int>(0)
    private let sleepers = Atomic<Int>(0)
    private let stopping = Atomic<Bool>(false)
    private let chunkCount = Atomic<Int>(0)
    /// The running task. A structure around the closure: a bare closure in an optional is wrapped anew, on the heap, each
    /// time it is read, once per chunk.
    private struct Body {
        let run: (Int, Int) -> Void
    }
    private var body: Body?
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private var threads: [pthread_t] = []

    public init(threadCount: Int, spinMicroseconds: Int = 1000) {
        precondition(threadCount >= 1, "a pool needs at least one thread")
        self.threadCount = threadCount
        spinNanoseconds = UInt64(spinMicroseconds) * 1000
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
        for worker in stride(from: 1, to: threadCount, by: 1) {
            var thread = pthread_t()
            let context = Unmanaged.passRetained(WorkerStart(pool: self, worker: worker)).toOpaque()
            let failure = pthread_create(&thread, nil, forkJoinWorker, context)
            precondition(failure == 0, "cannot start a compute thread: error \(failure)")
            threads.append(thread)
        }
    }

    /// Stops and joins the workers. The pool must not be used afterwards. Workers hold the pool until then.
    public func shutDown() {
        stopping.store(true, ordering: .sequentiallyConsistent)
        pthread_mutex_lock(mutex)
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
        for thread in threads { pthread_join(thread, nil) }
        threads = []
    }

    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(condition)
        mutex.deallocate()
        condition.deallocate()
    }

    /// Runs `body(chunk, worker)` for chunks 0 ..< chunkCount, each exactly once, and returns when all have finished.
    ///
    /// `worker` is in 0 ..< threadCount and names the thread: chunks of one worker never overlap in time, so it may choose
    /// a scratch buffer. It must not influence results. Not reentrant: a chunk must not call the pool.
    public func forEachChunk(_ chunkCount: Int, _ body: (_ chunk: Int, _ worker: Int) -> Void) {
        if chunkCount <= 1 || threadCount == 1 {
            for chunk in 0..<max(0, chunkCount) { body(chunk, 0) }
            return
        }
        precondition(chunkCount < 1 << 31)
        withoutActuallyEscaping(body) { escaping in
            // The closure does not outlive the call: the join below waits for every chunk, and `body` is cleared.
            self.body = Body(run: escaping)
            self.chunkCount.store(chunkCount, ordering: .relaxed)
            finishedChunks.store(0, ordering: .relaxed)
            let next = generation.load(ordering: .relaxed) &+ 1
            nextChunk.store((next & 0xFFFF_FFFF) << 32, ordering: .relaxed)
            generation.store(next, ordering: .sequentiallyConsistent)
            if sleepers.load(ordering: .sequentiallyConsistent) > 0 {
                pthread_mutex_lock(mutex)
                pthread_cond_broadcast(condition)
                pthread_mutex_unlock(mutex)
            }
            runChunks(of: next, as: 0)
            while finishedChunks.load(ordering: .acquiring) < chunkCount { cthreads_pause() }
            self.body = nil
        }
    }

    private func runChunks(of task: UInt64, as worker: Int) {
        let tag = (task & 0xFFFF_FFFF) << 32
        while true {
            var ticket = nextChunk.load(ordering: .acquiring)
            while true {
                guard ticket & 0xFFFF_FFFF_0000_0000 == tag, Int(ticket & 0xFFFF_FFFF) < chunkCount.load(ordering: .relaxed) else { return }
                let (exchanged, original) = nextChunk.compareExchange(
                    expected: ticket, desired: ticket + 1, ordering: .acquiringAndReleasing)
                if exchanged { break }
                ticket = original
            }
            body.unsafelyUnwrapped.run(Int(ticket & 0xFFFF_FFFF), worker)
            finishedChunks.add(1, ordering: .releasing)
        }
    }

    fileprivate func work(as worker: Int) {
        var seen: UInt64 = 0
        while true {
            var task = generation.load(ordering: .acquiring)
            var spins = 0
            var start: UInt64 = 0
            while task == seen && !stopping.load(ordering: .relaxed) {
                cthreads_pause()
                spins &+= 1
                if spins & 63 == 0 {
                    let now = nanoseconds()
                    if start == 0 {
                        start = now
                    }
                    if now - start >= spinNanoseconds {
                        sleep(after: seen)
                        start = 0
                    }
                }
                task = generation.load(ordering: .acquiring)
            }
            if stopping.load(ordering: .relaxed) { return }
            seen = task
            runChunks(of: task, as: worker)
        }
    }

    private func sleep(after seen: UInt64) {
        pthread_mutex_lock(mutex)
        sleepers.add(1, ordering: .sequentiallyConsistent)
        while generation.load(ordering: .sequentiallyConsistent) == seen && !stopping.load(ordering: .relaxed) {
            pthread_cond_wait(condition, mutex)
        }
        sleepers.subtract(1, ordering: .relaxed)
        pthread_mutex_unlock(mutex)
    }

    private func nanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

private final class WorkerStart {
    let pool: ForkJoinPool
    let worker: Int
    init(pool: ForkJoinPool, worker: Int) {
        self.pool = pool
        self.worker = worker
    }
}

// A C callback must not inherit an actor's isolation: it runs on a foreign thread.
private func forkJoinWorker(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    let start = Unmanaged<WorkerStart>.fromOpaque(context!).takeRetainedValue()
    cthreads_set_name("compute \(start.worker)")
    start.pool.work(as: start.worker)
    return nil
}
