import Basics
import Collectives
import TestSupport
import Testing

@Suite struct InProcessCommunicatorTests {
    @Test(arguments: [1, 2, 5]) func smallMessages(size: Int) throws {
        let results = InProcessCommunicator.run(size: size) { communicator in
            let rank = communicator.rank
            let blobs = try communicator.allGather([UInt8](repeating: UInt8(rank), count: rank))
            let text = try communicator.broadcast(rank == size - 1 ? Array("last".utf8) : [1, 2], root: size - 1)
            try communicator.barrier()
            return (blobs, text)
        }
        for result in results {
            let (blobs, text) = try result.get()
            let expected = (0..<size).map { [UInt8](repeating: UInt8($0), count: $0) }
            #expect(blobs == expected)
            #expect(text == Array("last".utf8))
        }
    }

    @Test func unevenAllToAll() throws {
        // Rank r sends r + 1 floats of value 10 r + o to rank o.
        let results = InProcessCommunicator.run(size: 3) { communicator in
            let rank = communicator.rank
            let counts = [Int](repeating: rank + 1, count: 3)
            let send = (0..<3).flatMap { [Float](repeating: Float(10 * rank + $0), count: rank + 1) }
            var received = [Float](repeating: -1, count: 6)
            try communicator.allToAll(
                send: send, sendCounts: counts, sendOffsets: [0, rank + 1, 2 * rank + 2], receive: &received,
                receiveCounts: [1, 2, 3], receiveOffsets: [0, 1, 3])
            return received
        }
        for (rank, result) in results.enumerated() {
            let r = Float(rank)
            let expected: [Float] = [r, 10 + r, 10 + r, 20 + r, 20 + r, 20 + r]
            #expect(try result.get() == expected)
        }
    }

    @Test func aFailingRankWakesTheOthers() {
        let results = InProcessCommunicator.run(size: 4) { communicator in
            if communicator.rank == 2 { throw Failure(.badData, "record 17 is broken") }
            try communicator.barrier()
        }
        for (rank, result) in results.enumerated() {
            switch result {
            case .failure(let error as Failure): #expect(rank == 2 && error.description == "record 17 is broken")
            case .failure(let error as PeerFailure):
                #expect(rank != 2 && error.rank == 2 && error.exitCode == .badData)
                #expect(error.description == "rank 2 (\(HostName.current)) failed: record 17 is broken")
            default: Issue.record("rank \(rank): \(result)")
            }
        }
    }

    @Test func togetherTellsEveryRank() {
        let results = InProcessCommunicator.run(size: 3) { communicator in
            let value = try communicator.together { communicator.rank }
            #expect(value == communicator.rank)
            try communicator.together {
                if communicator.rank > 0 { throw Failure(.missingInput, "no file of rank \(communicator.rank)") }
            }
        }
        #expect(throws: PeerFailure.self) { try results[0].get() }
        #expect(throws: Failure(.missingInput, "no file of rank 1")) { try results[1].get() }
        #expect(throws: Failure(.missingInput, "no file of rank 2")) { try results[2].get() }
        if case .failure(let error as PeerFailure) = results[0] {
            #expect(error.rank == 1 && error.exitCode == .missingInput && error.reason == "no file of rank 1")
        }
    }
}

@Suite struct CommunicationThreadTests {
    private final class Log: @unchecked Sendable { var lines: [String] = [] }

    @Test func jobsRunInOrderOnOneThread() throws {
        let log = Log()
        let thread = try CommunicationThread {
            log.lines.append("made")
            return SoloCommunicator()
        }
        for index in 0..<100 { thread.submit { _ in log.lines.append("\(index)") } }
        let ticket = thread.submit { _ in log.lines.append("last") }
        try thread.wait(ticket)
        let expected = ["made"] + (0..<100).map { "\($0)" } + ["last"]
        #expect(log.lines == expected)
        #expect(try thread.run { $0.worldSize } == 1)
        thread.shutDown()
        thread.shutDown()
    }

    @Test func anErrorStopsLaterJobs() throws {
        let log = Log()
        let thread = try CommunicationThread { SoloCommunicator() }
        let good = thread.submit { _ in log.lines.append("good") }
        try thread.wait(good)
        let bad = thread.submit { _ in throw CommunicationError("the cable is out") }
        thread.submit { _ in log.lines.append("never") }
        #expect(throws: CommunicationError("the cable is out")) { try thread.wait(bad) }
        #expect(throws: CommunicationError("the cable is out")) { try thread.waitForAll() }
        #expect(throws: CommunicationError("the cable is out")) { try thread.run { _ in 1 } }
        thread.shutDown()
        #expect(log.lines == ["good"])
    }

    @Test func aCommunicatorThatCannotBeMadeThrows() {
        #expect(throws: Failure(.usage, "no network")) {
            try CommunicationThread { throw Failure(.usage, "no network") }
        }
    }

    @Test func aFailingJobPoisonsTheOtherRanks() {
        let results = InProcessCommunicator.run(size: 2) { communicator in
            let thread = try CommunicationThread { communicator }
            if communicator.rank == 1 { thread.submit { _ in throw Failure(.inputOutput, "disk full") } }
            try thread.run { try $0.barrier() }
        }
        #expect(throws: PeerFailure.self) { try results[0].get() }
        #expect(throws: Failure(.inputOutput, "disk full")) { try results[1].get() }
    }
}
