import Basics
import CMPI
import Collectives
import Glibc

/// Ranks over MPI. Must be made and used on one thread: MPI is started FUNNELED there.
public final class MPICommunicator: Communicator, @unchecked Sendable {
    public let rank: Int
    public let worldSize: Int
    public let hostName: String
    private let world: MPI_Comm

    /// Starts MPI.
    /// - Throws: `CommunicationError` in MPI's words.
    public init() throws {
        var provided: Int32 = 0
        try Self.check(MPI_Init_thread(nil, nil, Int32(MPI_THREAD_FUNNELED), &provided), "start MPI")
        world = cmpi_comm_world()
        MPI_Comm_set_errhandler(world, cmpi_errors_return())
        var (rank, size): (Int32, Int32) = (0, 0)
        try Self.check(MPI_Comm_rank(world, &rank), "ask for the rank")
        try Self.check(MPI_Comm_size(world, &size), "ask for the number of ranks")
        self.rank = Int(rank)
        worldSize = Int(size)
        hostName = HostName.current
    }

    private static func check(_ code: Int32, _ action: String) throws {
        guard code != MPI_SUCCESS else { return }
        var text = [CChar](repeating: 0, count: Int(MPI_MAX_ERROR_STRING) + 1)
        var length: Int32 = 0
        MPI_Error_string(code, &text, &length)
        let message = String(decoding: text.prefix(Int(length)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        throw CommunicationError("cannot \(action): \(message)")
    }

    /// Waits for a request without holding a core that compute threads need: MPI's own waits spin.
    ///
    /// Progress over TCP happens in every eighth call, hence nine tests before each sleep; short at first, so that a
    /// message in shared memory costs microseconds.
    private func wait(_ request: inout MPI_Request?, _ action: String) throws {
        var done: Int32 = 0
        var nanoseconds = 5_000
        while true {
            for _ in 0..<9 {
                try Self.check(MPI_Test(&request, &done, cmpi_status_ignore()), action)
                if done != 0 { return }
            }
            var pause = timespec(tv_sec: 0, tv_nsec: nanoseconds)
            nanosleep(&pause, nil)
            nanoseconds = min(100_000, nanoseconds * 2)
        }
    }

    /// MPI counts are Int32.
    private static func int32(_ values: [Int]) throws -> [Int32] {
        try values.map {
            guard let value = Int32(exactly: $0) else {
                throw CommunicationError("a message of \($0) floats is too long for MPI", exitCode: .internalFault)
            }
            return value
        }
    }

    public func allToAll(
        send: UnsafePointer<Float>, sendCounts: [Int], sendOffsets: [Int],
        receive: UnsafeMutablePointer<Float>, receiveCounts: [Int], receiveOffsets: [Int]
    ) throws {
        let (counts, offsets) = (try Self.int32(sendCounts), try Self.int32(sendOffsets))
        let (ourCounts, ourOffsets) = (try Self.int32(receiveCounts), try Self.int32(receiveOffsets))
        // MPI keeps the arrays until the operation is complete, so they stay pinned around the wait.
        try counts.withUnsafeBufferPointer { counts in
            try offsets.withUnsafeBufferPointer { offsets in
                try ourCounts.withUnsafeBufferPointer { ourCounts in
                    try ourOffsets.withUnsafeBufferPointer { ourOffsets in
                        var request: MPI_Request?
                        try Self.check(
                            MPI_Ialltoallv(
                                send, counts.baseAddress, offsets.baseAddress, cmpi_float(), receive,
                                ourCounts.baseAddress, ourOffsets.baseAddress, cmpi_float(), world, &request),
                            "exchange partial sums")
                        try wait(&request, "exchange partial sums")
                    }
                }
            }
        }
    }

    public func allGather(_ buffer: UnsafeMutablePointer<Float>, counts: [Int], offsets: [Int]) throws {
        let (counts, offsets) = (try Self.int32(counts), try Self.int32(offsets))
        try counts.withUnsafeBufferPointer { counts in
            try offsets.withUnsafeBufferPointer { offsets in
                var request: MPI_Request?
                try Self.check(
                    MPI_Iallgatherv(
                        cmpi_in_place(), 0, cmpi_float(), buffer, counts.baseAddress, offsets.baseAddress,
                        cmpi_float(), world, &request),
                    "gather results")
                try wait(&request, "gather results")
            }
        }
    }

    public func allGather(_ bytes: [UInt8]) throws -> [[UInt8]] {
        var mine = Int32(bytes.count)
        var counts = [Int32](repeating: 0, count: worldSize)
        try barrier()
        try Self.check(
            MPI_Allgather(&mine, Int32(4), cmpi_byte(), &counts, Int32(4), cmpi_byte(), world), "gather lengths")
        var offsets: [Int32] = []
        var total: Int32 = 0
        for count in counts {
            offsets.append(total)
            let (sum, overflow) = total.addingReportingOverflow(count)
            if overflow { throw CommunicationError("messages are too long together", exitCode: .internalFault) }
            total = sum
        }
        var all = [UInt8](repeating: 0, count: max(1, Int(total)))
        try Self.check(
            MPI_Allgatherv(bytes, mine, cmpi_byte(), &all, counts, offsets, cmpi_byte(), world), "gather messages")
        return (0..<worldSize).map { Array(all[Int(offsets[$0])..<(Int(offsets[$0]) + Int(counts[$0]))]) }
    }

    public func barrier() throws {
        var request: MPI_Request?
        try Self.check(MPI_Ibarrier(world, &request), "meet the other ranks")
        try wait(&request, "meet the other ranks")
    }

    public func abort(_ code: ExitCode) -> Never {
        MPI_Abort(world, code.rawValue)
        exit(code.rawValue)
    }

    public func finish() { MPI_Finalize() }
}
