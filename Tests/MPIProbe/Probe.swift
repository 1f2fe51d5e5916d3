import Basics
import Collectives
import Foundation
import MPICollectives
import Tensors
import TestSupport

/// One rank of the tests that run under a real `mpirun`. Rank 0 prints the result.
enum Probe {
    static func main(_ arguments: [String]) -> Int32 {
        do {
            guard MPILauncher.isUnderLauncher() else { throw Failure(.usage, "start the probe with mpirun") }
            let longestMessage = arguments.first == "parts" ? 100 : 1 << 28
            let thread = try CommunicationThread { try MPICommunicator(longestMessage: longestMessage) }
            switch arguments.first {
            case "mean", "parts": try mean(thread, arguments.dropFirst().map { Int($0) ?? 0 })
            case "small": try small(thread)
            case "trouble": try trouble(thread)
            case "abort": try abort(thread)
            case "wait": try wait(thread)
            case "time": try time(thread, arguments.dropFirst().map { Int($0) ?? 0 })
            default: throw Failure(.usage, "what should the probe do?")
            }
            thread.shutDown()
            return 0
        } catch {
            print("\(error)")
            return (error as? any ExitCoding)?.exitCode.rawValue ?? ExitCode.internalFault.rawValue
        }
    }

    private static func print(_ line: String) { FileHandle.standardOutput.write(Data("\(line)\n".utf8)) }

    /// Reduces `lanes` gradients of `count` floats in buckets and prints the hash, which is the same on all ranks.
    private static func mean(_ thread: CommunicationThread, _ numbers: [Int]) throws {
        let (lanes, count, bucket) = (numbers[0], numbers[1], numbers[2])
        let reducer = try TreeReducer(communicator: thread.communicator, lanes: lanes, longestSpan: bucket)
        let buffers = (0..<reducer.fold.bufferCount).map { _ in
            SendablePointer(base: .allocate(capacity: count))
        }
        for step in reducer.fold.steps {
            let gradient = LaneFixture.gradient(lane: step.lane, count: count)
            buffers[step.buffer].base.update(from: gradient, count: count)
            for addition in step.additions {
                LaneFold.add(buffers[addition.from].base, to: buffers[addition.into].base, count: count)
            }
        }
        for start in stride(from: 0, to: count, by: bucket) {
            thread.submit { _ in
                try reducer.reduce(
                    buffers.prefix(reducer.fold.subtrees.count).map { $0.base + start },
                    count: min(bucket, count - start), into: buffers[0].base + start)
            }
        }
        try thread.waitForAll()
        let hash = LaneFixture.hash(Array(UnsafeBufferPointer(start: buffers[0].base, count: count)))
        let hashes = try thread.run { try $0.allGather(Array(hash.utf8)) }.map { String(decoding: $0, as: UTF8.self) }
        guard Set(hashes) == [hash] else { throw Failure(.internalFault, "ranks differ: \(hashes)") }
        if thread.communicator.rank == 0 { print("\(hashes.count) \(hash)") }
    }

    private static func small(_ thread: CommunicationThread) throws {
        let line = try thread.run { communicator in
            let rank = communicator.rank
            let blobs = try communicator.allGather([UInt8](repeating: UInt8(rank), count: rank * 3))
            let root = communicator.worldSize - 1
            let text = try communicator.broadcast(rank == root ? Array("from \(root)".utf8) : [], root: root)
            try communicator.barrier()
            return "\(blobs) \(String(decoding: text, as: UTF8.self))"
        }
        if thread.communicator.rank == 0 { print(line) }
    }

    /// Rank 0 waits a second for the last rank and tells how many milliseconds of processor time that cost.
    private static func wait(_ thread: CommunicationThread) throws {
        let communicator = thread.communicator
        try thread.run { try $0.barrier() }
        let start = processorSeconds()
        if communicator.rank == communicator.worldSize - 1 { Thread.sleep(forTimeInterval: 1) }
        try thread.run { try $0.barrier() }
        if communicator.rank == 0 { print("\(Int((processorSeconds() - start) * 1000))") }
    }

    private static func processorSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    /// Milliseconds of the fastest of several reductions of `count` floats, one lane per rank, in buckets.
    private static func time(_ thread: CommunicationThread, _ numbers: [Int]) throws {
        let (count, bucket) = (numbers[0], numbers[1])
        let world = thread.communicator.worldSize
        let reducer = try TreeReducer(communicator: thread.communicator, lanes: world, longestSpan: bucket)
        let arena = FloatArena(count: count)
        var fastest = Double.infinity
        for _ in 0..<20 {
            let start = monotonicSeconds()
            for begin in stride(from: 0, to: count, by: bucket) {
                thread.submit { _ in
                    let span = arena.base + begin
                    try reducer.reduce([span], count: min(bucket, count - begin), into: span)
                }
            }
            try thread.waitForAll()
            fastest = min(fastest, monotonicSeconds() - start)
        }
        if thread.communicator.rank == 0 { print("\(fastest * 1000) ms") }
    }

    /// The last rank fails alone; all must end in words.
    private static func trouble(_ thread: CommunicationThread) throws {
        let communicator = thread.communicator
        do {
            try thread.together {
                if communicator.rank == communicator.worldSize - 1 { throw Failure(.badData, "shard 3 is broken") }
            }
        } catch {
            // A world that failed is left without MPI_Finalize, and mpirun ends everybody when the first one leaves:
            // rank 0 speaks first, as in the program.
            guard communicator.rank == 0, let failure = error as? PeerFailure else {
                Thread.sleep(forTimeInterval: 1)
                return
            }
            print("rank \(failure.rank): \(failure.reason) (\(failure.exitCode.rawValue))")
        }
    }

    /// The last rank gives up from its main thread, while the others wait in a barrier that it never enters.
    private static func abort(_ thread: CommunicationThread) throws {
        if thread.communicator.rank == thread.communicator.worldSize - 1 { thread.abort(.badData) }
        try thread.run { try $0.barrier() }
    }
}

private struct SendablePointer: @unchecked Sendable { let base: UnsafeMutablePointer<Float> }
