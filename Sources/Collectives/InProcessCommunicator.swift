import Basics
import Glibc

/// N ranks as N threads of one process: the debugging form of a cluster. A rank that fails poisons the world, so that the
/// others get an error instead of waiting for ever.
public final class InProcessCommunicator: Communicator, @unchecked Sendable {
    public let rank: Int
    public let hostName = HostName.current
    private let world: World

    public var worldSize: Int { world.size }

    private init(rank: Int, world: World) {
        self.rank = rank
        self.world = world
    }

    /// Communicators of ranks 0 ..< size; each belongs to one thread.
    public static func world(size: Int) -> [InProcessCommunicator] {
        precondition(size > 0)
        let world = World(size: size)
        return (0..<size).map { InProcessCommunicator(rank: $0, world: world) }
    }

    /// What a rank shows the others during a call. They read it between two barriers.
    fileprivate struct Slot {
        var send: UnsafePointer<Float>?
        var counts: [Int] = []
        var offsets: [Int] = []
        var bytes: [UInt8] = []
    }

    public func allToAll(
        send: UnsafePointer<Float>, sendCounts: [Int], sendOffsets: [Int],
        receive: UnsafeMutablePointer<Float>, receiveCounts: [Int], receiveOffsets: [Int]
    ) throws {
        world.slots[rank] = Slot(send: send, counts: sendCounts, offsets: sendOffsets)
        try world.wait()
        for other in 0..<worldSize where receiveCounts[other] > 0 {
            let slot = world.slots[other]
            precondition(slot.counts[rank] == receiveCounts[other], "rank \(other) sends another count")
            guard let source = slot.send else { preconditionFailure("rank \(other) sends nothing") }
            (receive + receiveOffsets[other]).update(from: source + slot.offsets[rank], count: receiveCounts[other])
        }
        try world.wait()
    }

    public func allGather(_ buffer: UnsafeMutablePointer<Float>, counts: [Int], offsets: [Int]) throws {
        world.slots[rank] = Slot(send: UnsafePointer(buffer))
        try world.wait()
        for other in 0..<worldSize where other != rank && counts[other] > 0 {
            guard let source = world.slots[other].send else { preconditionFailure("rank \(other) has no buffer") }
            (buffer + offsets[other]).update(from: source + offsets[other], count: counts[other])
        }
        try world.wait()
    }

    public func allGather(_ bytes: [UInt8]) throws -> [[UInt8]] {
        world.slots[rank] = Slot(bytes: bytes)
        try world.wait()
        let all = world.slots.map(\.bytes)
        try world.wait()
        return all
    }

    public func barrier() throws { try world.wait() }

    public func abort(_ code: ExitCode) -> Never { exit(code.rawValue) }

    public func finish() {}

    /// Makes every waiting or later call of the other ranks throw.
    public func poison(_ reason: String) { world.poison("rank \(rank) failed: \(reason)") }

    fileprivate final class World: @unchecked Sendable {
        let size: Int
        /// Slot r is written by rank r only, before a barrier, and read by others after it.
        var slots: UnsafeMutableBufferPointer<Slot>
        private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
        private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
        private var waiting = 0
        private var generation = 0
        private var poisonReason: String?

        init(size: Int) {
            self.size = size
            slots = .allocate(capacity: size)
            slots.initialize(repeating: Slot())
            pthread_mutex_init(mutex, nil)
            pthread_cond_init(condition, nil)
        }

        deinit {
            slots.deinitialize()
            slots.deallocate()
            pthread_mutex_destroy(mutex)
            pthread_cond_destroy(condition)
            mutex.deallocate()
            condition.deallocate()
        }

        func wait() throws {
            pthread_mutex_lock(mutex)
            defer { pthread_mutex_unlock(mutex) }
            if let poisonReason { throw CommunicationError(poisonReason) }
            let mine = generation
            waiting += 1
            if waiting == size {
                waiting = 0
                generation += 1
                pthread_cond_broadcast(condition)
                return
            }
            while generation == mine && poisonReason == nil { pthread_cond_wait(condition, mutex) }
            if generation == mine, let poisonReason { throw CommunicationError(poisonReason) }
        }

        func poison(_ reason: String) {
            pthread_mutex_lock(mutex)
            if poisonReason == nil { poisonReason = reason }
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
    }
}
