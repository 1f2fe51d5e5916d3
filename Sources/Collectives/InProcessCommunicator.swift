import Basics
import Glibc
import Threads

/// N ranks as N threads of one process: the debugging form of a cluster. A rank that fails poisons the world, so that the
/// others get an error instead of waiting for ever.
public final class InProcessCommunicator: Communicator, @unchecked Sendable {
    public let rank: Int
    public let hostName = HostName.current
    private let world: InProcessWorld

    public var worldSize: Int { world.size }

    private init(rank: Int, world: InProcessWorld) {
        self.rank = rank
        self.world = world
    }

    /// Communicators of ranks 0 ..< size; each belongs to one thread.
    public static func world(size: Int) -> [InProcessCommunicator] {
        precondition(size > 0, "a world of \(size) ranks")
        let world = InProcessWorld(size: size)
        return (0..<size).map { InProcessCommunicator(rank: $0, world: world) }
    }

    /// Runs `body` as `size` ranks on as many threads and returns what each returned or threw, by rank. A rank that
    /// throws poisons the others.
    public static func run<Value: Sendable>(
        size: Int, _ body: @escaping @Sendable (InProcessCommunicator) throws -> Value
    ) -> [Result<Value, any Error>] {
        let results = RankResults<Value>(count: size)
        let threads = world(size: size).map { communicator in
            WorkerThread(name: "rank \(communicator.rank)") {
                let result = Result { try body(communicator) }
                if case .failure(let error) = result { communicator.poison(error) }
                results.set(result, of: communicator.rank)
            }
        }
        for thread in threads { thread.join() }
        return results.all
    }

    public func allToAll(
        send: UnsafePointer<Float>, sendCounts: [Int], sendOffsets: [Int],
        receive: UnsafeMutablePointer<Float>, receiveCounts: [Int], receiveOffsets: [Int]
    ) throws {
        try world.exchange(.init(floats: send, counts: sendCounts, offsets: sendOffsets), of: rank) { shown in
            for (other, message) in shown.enumerated() where receiveCounts[other] > 0 {
                guard let source = message.floats, message.counts[rank] == receiveCounts[other] else {
                    preconditionFailure(
                        "rank \(other) sends \(message.counts) floats, rank \(rank) expects \(receiveCounts[other])")
                }
                (receive + receiveOffsets[other])
                    .update(from: source + message.offsets[rank], count: receiveCounts[other])
            }
        }
    }

    public func allGather(_ buffer: UnsafeMutablePointer<Float>, counts: [Int], offsets: [Int]) throws {
        try world.exchange(.init(floats: UnsafePointer(buffer), counts: counts), of: rank) { shown in
            for (other, message) in shown.enumerated() where other != rank && counts[other] > 0 {
                guard let source = message.floats, message.counts == counts else {
                    preconditionFailure("rank \(other) gathers \(message.counts) floats, rank \(rank) \(counts)")
                }
                (buffer + offsets[other]).update(from: source + offsets[other], count: counts[other])
            }
        }
    }

    public func allGather(_ bytes: [UInt8]) throws -> [[UInt8]] {
        var all: [[UInt8]] = []
        try world.exchange(.init(bytes: bytes), of: rank) { shown in all = shown.map(\.bytes) }
        return all
    }

    public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, root: Int) throws {
        try world.exchange(.init(bytes: rank == root ? Array(bytes) : []), of: rank) { shown in
            guard rank != root else { return }
            precondition(
                shown[root].bytes.count == bytes.count,
                "rank \(root) broadcasts \(shown[root].bytes.count) bytes, rank \(rank) expects \(bytes.count)")
            bytes.copyBytes(from: shown[root].bytes)
        }
    }

    public func barrier() throws { try world.wait(thenReads: false) }

    public func abort(_ code: ExitCode) -> Never { exit(code.rawValue) }

    /// Makes every waiting and every later call of all ranks throw a `PeerFailure` that names this one.
    public func poison(_ error: any Error) {
        // Who fails because another one failed passes that news on unchanged.
        let failure =
            error as? PeerFailure
            ?? PeerFailure(
                rank: rank, hostName: hostName, exitCode: (error as? any ExitCoding)?.exitCode ?? .internalFault,
                reason: "\(error)")
        world.poison(failure)
    }

    public func finish() {}
}

/// What the ranks of a process share: a place for each one's message, and a barrier.
private final class InProcessWorld: @unchecked Sendable {
    /// What a rank shows the others during a call.
    struct Message {
        var floats: UnsafePointer<Float>?
        var counts: [Int] = []
        var offsets: [Int] = []
        var bytes: [UInt8] = []
    }

    let size: Int
    /// Element r is written by rank r before a barrier and read by others between that barrier and the next.
    private let messages: UnsafeMutableBufferPointer<Message>
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    // Under the mutex.
    private var waiting = 0
    /// Ranks that look at others' memory right now.
    private var readers = 0
    private var generation = 0
    private var failure: PeerFailure?

    init(size: Int) {
        self.size = size
        messages = .allocate(capacity: size)
        messages.initialize(repeating: Message())
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        messages.deinitialize()
        messages.deallocate()
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(condition)
        mutex.deallocate()
        condition.deallocate()
    }

    /// Shows a message, waits for those of all ranks, lets `read` look at them, and waits until all have looked.
    func exchange(_ message: Message, of rank: Int, _ read: (UnsafeMutableBufferPointer<Message>) -> Void) throws {
        messages[rank] = message
        do {
            try wait(thenReads: true)
            read(messages)
            finishReading()
            try wait(thenReads: false)
        } catch {
            // Whoever fails frees the memory it has shown: not while somebody still looks at it.
            waitForReaders()
            throw error
        }
    }

    private func finishReading() {
        pthread_mutex_lock(mutex)
        readers -= 1
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }

    private func waitForReaders() {
        pthread_mutex_lock(mutex)
        while readers > 0 { pthread_cond_wait(condition, mutex) }
        pthread_mutex_unlock(mutex)
    }

    func wait(thenReads: Bool) throws(PeerFailure) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if let failure { throw failure }
        let mine = generation
        waiting += 1
        if waiting == size {
            waiting = 0
            generation += 1
            // All of them: some may wake late, after a neighbour has finished.
            if thenReads { readers = size }
            pthread_cond_broadcast(condition)
            return
        }
        while generation == mine && failure == nil { pthread_cond_wait(condition, mutex) }
        if generation == mine, let failure { throw failure }
    }

    func poison(_ failure: PeerFailure) {
        pthread_mutex_lock(mutex)
        if self.failure == nil { self.failure = failure }
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }
}

/// One place per rank, each written by its own thread and read after all were joined.
private final class RankResults<Value: Sendable>: @unchecked Sendable {
    private let places: UnsafeMutableBufferPointer<Result<Value, any Error>?>

    init(count: Int) {
        places = .allocate(capacity: count)
        places.initialize(repeating: nil)
    }

    deinit {
        places.deinitialize()
        places.deallocate()
    }

    func set(_ result: Result<Value, any Error>, of rank: Int) { places[rank] = result }

    var all: [Result<Value, any Error>] {
        places.map { $0 ?? .failure(CommunicationError("a rank ended without a result", exitCode: .internalFault)) }
    }
}
