import Basics
import CMPI
import Collectives
import Glibc
import Synchronization

/// Ranks over MPI. Must be made, used and finished on one thread: MPI is started FUNNELED there.
///
/// Arrays travel as plain sends and receives rather than in MPI's own collective calls: those have 32-bit counts and
/// offsets, and their non-blocking forms choose worse algorithms. Every call polls with short sleeps, because MPI's
/// blocking calls spin, on a core that compute threads need.
public final class MPICommunicator: PlainSum, @unchecked Sendable {
    public let rank: Int
    public let worldSize: Int
    public let hostName: String
    private let communicator: MPI_Comm
    private let owner = pthread_self()
    private let wantedAbort = Atomic<Int32>(-1)
    /// Longest single message, in floats; longer ones go in parts.
    private let longestMessage: Int
    /// Of a message to each rank, in floats; empty until the first exchange.
    private var messageLengths: [Int] = []
    private var requests: [MPI_Request?] = []

    /// Longest message to another host, in floats: what Open MPI sends over TCP unasked (64 KiB with its header). It
    /// asks before it sends more, and the answer queues behind what is on its way to the same host, so that on slow
    /// cables the two directions of a pair take turns. Shared memory is faster with long messages.
    static let longestRemoteMessage = 15 << 10

    /// One tag for all arrays: messages between two ranks keep their order.
    private static let tag: Int32 = 1

    /// Starts MPI and meets the other ranks.
    /// - Throws: `CommunicationError` in MPI's words.
    public convenience init() throws { try self.init(longestMessage: 1 << 28) }

    /// - Parameter longestMessage: floats per message, below 2³¹; tests make it small.
    public init(longestMessage: Int) throws {
        precondition(longestMessage > 0 && longestMessage <= Int(Int32.max), "messages of \(longestMessage) floats")
        self.longestMessage = longestMessage
        hostName = HostName.current
        cmpi_sleep_precisely()
        var provided: Int32 = 0
        try Self.check(MPI_Init_thread(nil, nil, Int32(MPI_THREAD_FUNNELED), &provided), "start MPI")
        guard provided >= Int32(MPI_THREAD_FUNNELED) else {
            throw CommunicationError(
                "this MPI allows no threads beside its own; use one built with MPI_THREAD_FUNNELED or more",
                exitCode: .usage)
        }
        communicator = cmpi_comm_world()
        MPI_Comm_set_errhandler(communicator, cmpi_errors_return())
        var (rank, size): (Int32, Int32) = (0, 0)
        try Self.check(MPI_Comm_rank(communicator, &rank), "ask MPI for the rank")
        try Self.check(MPI_Comm_size(communicator, &size), "ask MPI for the number of ranks")
        self.rank = Int(rank)
        worldSize = Int(size)
    }

    /// Library and version, e.g. `Open MPI v4.1.4`, for reports.
    public static var versionOfMPI: String {
        var text = [CChar](repeating: 0, count: Int(MPI_MAX_LIBRARY_VERSION_STRING) + 1)
        var length: Int32 = 0
        guard MPI_Get_library_version(&text, &length) == MPI_SUCCESS else { return "unknown MPI" }
        let line = String(decoding: text.prefix(Int(length)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        return String(line.prefix { $0 != "," && $0 != "\n" })
    }

    // MARK: Arrays

    public func allToAll(
        send: UnsafePointer<Float>, sendCounts: [Int], sendOffsets: [Int],
        receive: UnsafeMutablePointer<Float>, receiveCounts: [Int], receiveOffsets: [Int]
    ) throws {
        if receiveCounts[rank] > 0 {
            (receive + receiveOffsets[rank]).update(from: send + sendOffsets[rank], count: receiveCounts[rank])
        }
        try transfer(
            from: { (send + sendOffsets[$0], sendCounts[$0]) },
            into: { (receive + receiveOffsets[$0], receiveCounts[$0]) })
    }

    public func allGather(_ buffer: UnsafeMutablePointer<Float>, counts: [Int], offsets: [Int]) throws {
        try transfer(
            from: { _ in (UnsafePointer(buffer + offsets[rank]), counts[rank]) },
            into: { (buffer + offsets[$0], counts[$0]) })
    }

    /// Exchanges one array with every other rank. Each starts with its neighbour, so that not all send to rank 0 first.
    private func transfer(
        from source: (Int) -> (UnsafePointer<Float>, Int), into target: (Int) -> (UnsafeMutablePointer<Float>, Int)
    ) throws {
        if messageLengths.isEmpty {
            // Here and not at the start, where nobody has looked yet whether the ranks can reach each other.
            messageLengths = try allGather(Array(hostName.utf8)).map {
                $0.elementsEqual(hostName.utf8) ? longestMessage : min(longestMessage, Self.longestRemoteMessage)
            }
        }
        requests.removeAll(keepingCapacity: true)
        for distance in 1..<max(1, worldSize) {
            let other = (rank + worldSize - distance) % worldSize
            let (floats, count) = target(other)
            try forEachPart(of: count, messageLengths[other]) { start, length in
                try post { MPI_Irecv(floats + start, length, cmpi_float(), Int32(other), Self.tag, communicator, &$0) }
            }
        }
        for distance in 1..<max(1, worldSize) {
            let other = (rank + distance) % worldSize
            let (floats, count) = source(other)
            try forEachPart(of: count, messageLengths[other]) { start, length in
                try post { MPI_Isend(floats + start, length, cmpi_float(), Int32(other), Self.tag, communicator, &$0) }
            }
        }
        try poll("exchange arrays") { done in
            MPI_Testall(Int32(requests.count), &requests, &done, cmpi_statuses_ignore())
        }
    }

    /// `MPI_Allreduce` as it is, spinning included.
    public func sum(_ values: UnsafeMutablePointer<Float>, count: Int) throws {
        try forEachPart(of: count, longestMessage) { start, length in
            try Self.check(
                MPI_Allreduce(cmpi_in_place(), values + start, length, cmpi_float(), cmpi_sum(), communicator),
                "add arrays")
        }
    }

    private func forEachPart(
        of count: Int, _ longest: Int, _ body: (_ start: Int, _ length: Int32) throws -> Void
    ) rethrows {
        for start in stride(from: 0, to: count, by: longest) {
            try body(start, Int32(min(longest, count - start)))
        }
    }

    private func post(_ start: (inout MPI_Request?) -> Int32) throws {
        var request: MPI_Request? = cmpi_request_null()
        try Self.check(start(&request), "exchange arrays")
        requests.append(request)
    }

    // MARK: Small things

    public func allGather(_ bytes: [UInt8]) throws -> [[UInt8]] {
        var counts = [Int](repeating: 0, count: worldSize)
        var ours = bytes.count
        try counts.withUnsafeMutableBytes { counts in
            try withUnsafeMutableBytes(of: &ours) { ours in
                try complete("gather lengths") {
                    MPI_Iallgather(
                        ours.baseAddress, Int32(ours.count), cmpi_byte(), counts.baseAddress, Int32(ours.count),
                        cmpi_byte(), communicator, &$0)
                }
            }
        }
        // Everybody sees the same lengths, so everybody throws, or nobody.
        let total = counts.reduce(0, +)
        guard total <= Int(Int32.max) else {
            throw CommunicationError("messages of \(total) bytes are too long to gather", exitCode: .internalFault)
        }
        var offsets: [Int] = []
        for index in counts.indices { offsets.append(index == 0 ? 0 : offsets[index - 1] + counts[index - 1]) }
        var all = [UInt8](repeating: 0, count: max(1, total))
        // MPI reads its argument arrays until the call is complete: they stay in place around the wait.
        try counts.map(Int32.init).withUnsafeBufferPointer { countsOfMPI in
            try offsets.map(Int32.init).withUnsafeBufferPointer { offsetsOfMPI in
                try bytes.withUnsafeBytes { ours in
                    try all.withUnsafeMutableBytes { theirs in
                        try complete("gather messages") {
                            MPI_Iallgatherv(
                                ours.baseAddress, Int32(ours.count), cmpi_byte(), theirs.baseAddress,
                                countsOfMPI.baseAddress, offsetsOfMPI.baseAddress, cmpi_byte(), communicator, &$0)
                        }
                    }
                }
            }
        }
        return zip(offsets, counts).map { Array(all[$0..<($0 + $1)]) }
    }

    public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, root: Int) throws {
        let longest = 1 << 30
        for start in stride(from: 0, to: bytes.count, by: longest) {
            let part = UnsafeMutableRawBufferPointer(rebasing: bytes[start..<min(start + longest, bytes.count)])
            try complete("broadcast") {
                MPI_Ibcast(part.baseAddress, Int32(part.count), cmpi_byte(), Int32(root), communicator, &$0)
            }
        }
    }

    public func barrier() throws { try complete("meet the other ranks") { MPI_Ibarrier(communicator, &$0) } }

    /// Starts a non-blocking call and waits for it.
    private func complete(_ action: String, _ start: (inout MPI_Request?) -> Int32) throws {
        var request: MPI_Request? = cmpi_request_null()
        try Self.check(start(&request), action)
        try poll(action) { done in MPI_Test(&request, &done, cmpi_status_ignore()) }
    }

    // MARK: Waiting and ending

    /// Asks until done, asleep in between. Nine questions at a time, because Open MPI looks at TCP in every eighth call
    /// only. Sleeps are short at first, so that a small message in shared memory costs microseconds, and longest once ten
    /// milliseconds have passed: then a rank is late, and looking more often would take a tenth of a core.
    private func poll(_ action: String, _ test: (inout Int32) -> Int32) throws {
        var done: Int32 = 0
        var pauseNanoseconds = 2_000
        var pauseCount = 0
        while true {
            for _ in 0..<9 {
                try Self.check(test(&done), action)
                if done != 0 { return }
            }
            let code = wantedAbort.load(ordering: .relaxed)
            if code >= 0 { abortNow(code) }
            var pause = timespec(tv_sec: 0, tv_nsec: pauseNanoseconds)
            nanosleep(&pause, nil)
            pauseCount += 1
            pauseNanoseconds = min(pauseCount < 100 ? 100_000 : 300_000, pauseNanoseconds * 2)
        }
    }

    private static func check(_ code: Int32, _ action: String) throws {
        guard code != MPI_SUCCESS else { return }
        var text = [CChar](repeating: 0, count: Int(MPI_MAX_ERROR_STRING) + 1)
        var length: Int32 = 0
        MPI_Error_string(code, &text, &length)
        let words = text.prefix(Int(length)).prefix { $0 != 10 }.map(UInt8.init(bitPattern:))
        throw CommunicationError(
            "cannot \(action): \(String(decoding: words, as: UTF8.self)); start again from the last checkpoint")
    }

    public func abort(_ code: ExitCode) -> Never {
        fflush(nil)
        if pthread_equal(pthread_self(), owner) != 0 { abortNow(code.rawValue) }
        // MPI belongs to its owner, which looks for this wish whenever it waits. If it doesn't come to it (because it
        // computes, or is stuck), ending without leaving MPI makes the launcher end the other ranks, only later.
        wantedAbort.store(code.rawValue, ordering: .relaxed)
        var pause = timespec(tv_sec: 2, tv_nsec: 0)
        nanosleep(&pause, nil)
        _exit(code.rawValue)
    }

    private func abortNow(_ code: Int32) -> Never {
        MPI_Abort(communicator, code)
        _exit(code)
    }

    public func finish() { MPI_Finalize() }
}
