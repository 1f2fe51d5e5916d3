import Basics
import Glibc
import Synchronization
import Testing

@testable import Heartbeats

@Suite(.serialized) struct ChannelTests {
    static func sender(
        _ monitor: RunMonitor, rank: Int, of world: Int, _ board: StatusBoard = StatusBoard(), host: String = "here",
        dump: @escaping @Sendable () -> Void = {}
    ) throws -> HeartbeatSender {
        try #require(
            try HeartbeatSender.start(
                environment: monitor.environment, rank: rank, worldSize: world, host: host, board: board,
                dumpStacks: dump))
    }

    /// Waits until something holds, but not for ever.
    static func holds(within seconds: Double = 5, _ condition: () -> Bool) -> Bool {
        let end = monotonicSeconds() + seconds
        while monotonicSeconds() < end {
            if condition() { return true }
            usleep(5_000)
        }
        return condition()
    }

    static func throwAt(_ monitor: RunMonitor, _ bytes: [UInt8]) throws {
        let endpoint = try #require(monitor.environment[HeartbeatSender.addressVariable])
        let socket = try DatagramSocket(connectedTo: try SocketAddress(endpoint: endpoint))
        bytes.withUnsafeBytes { _ = socket.send($0) }
    }

    @Test(arguments: ["127.0.0.1", "::1"]) func beatsArrive(address: String) throws {
        if address == "::1", (try? HeartbeatListener(address: address, worldSize: 1, token: .random())) == nil {
            return
        }
        let monitor = try RunMonitor(address: address, worldSize: 2)
        #expect(monitor.status() == ["rank 0: not heard of", "rank 1: not heard of"])
        let board = StatusBoard()
        let sender = try Self.sender(monitor, rank: 1, of: 2, board)
        #expect(Self.holds { monitor.observations()[1] != nil })
        // A new phase is told soon, not only at the next regular beat.
        board.enter(.backward, step: 37, lane: 3)
        #expect(Self.holds(within: 0.4) { monitor.observations()[1]?.beat.status.phase == .backward })
        #expect(monitor.status()[1].hasPrefix("rank 1 (here, pid \(getpid())): backward of step 37, lane 3, for 0."))
        // Regular beats, though nothing happens.
        let count = sender.sentCount
        usleep(1_300_000)
        #expect((2...4).contains(sender.sentCount - count))
        board.enter(.finished)
        sender.stop()
        #expect(Self.holds { monitor.observations()[1]?.beat.status.phase == .finished })
        #expect(monitor.counts.foreign == 0 && monitor.observations()[0] == nil && monitor.warning == nil)
        monitor.stop()
    }

    @Test func nothingHappensWithoutVariables() throws {
        let variables = try RunMonitor(address: "127.0.0.1", worldSize: 1).environment
        for name in RunMonitor.variableNames {
            var some = variables
            some[name] = nil
            let sender = try HeartbeatSender.start(
                environment: some, rank: 0, worldSize: 1, host: "x", board: StatusBoard(), dumpStacks: {})
            #expect(sender == nil)
        }
    }

    @Test func variablesThatCannotBeUnderstood() throws {
        let token = HeartbeatToken.random().hexadecimal
        func message(_ address: String, _ token: String) -> String {
            do {
                _ = try HeartbeatSender.start(
                    environment: [HeartbeatSender.addressVariable: address, HeartbeatSender.tokenVariable: token],
                    rank: 0,
                    worldSize: 1, host: "x", board: StatusBoard(), dumpStacks: {})
                return ""
            } catch {
                return "\(error)"
            }
        }
        for address in [
            "", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:70000", "localhost:3", "::1:3", "[::1]",
            "300.1.1.1:3",
        ] {
            #expect(message(address, token).hasPrefix("VERGENCE_HEARTBEAT_ADDRESS: "), "\(address)")
        }
        let complaint = message("127.0.0.1:4000", "secret")
        #expect(complaint.hasPrefix("VERGENCE_HEARTBEAT_TOKEN is not") && !complaint.contains("secret"))
    }

    /// One interface, never all of them; names are not looked up.
    @Test(arguments: ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1", "localhost", "", "*"])
    func addressesThatAreNoInterface(address: String) {
        #expect(throws: Failure.self) { try RunMonitor(address: address, worldSize: 1) }
    }

    @Test func anAddressOfAnotherHost() {
        #expect { try RunMonitor(address: "192.0.2.1", worldSize: 1) } throws: { error in
            "\(error)".hasPrefix("cannot listen at 192.0.2.1: ")
        }
    }

    @Test func strangersAreCountedAndForgotten() throws {
        let monitor = try RunMonitor(address: "127.0.0.1", worldSize: 2, token: MessageTests.token)
        func beat(
            _ rank: Int, of world: Int, number: UInt64, pid: Int = 5, _ token: HeartbeatToken = MessageTests.token
        )
            -> [UInt8]
        {
            Heartbeat(
                number: number, rank: rank, worldSize: world, pid: pid, host: "h", status: RankStatus(phase: .forward)
            ).encoded(token: token)
        }
        let foreign = [
            [], [1, 2, 3], [UInt8](repeating: 0, count: 4000), beat(0, of: 2, number: 1, .random()),
            beat(0, of: 3, number: 1),
            Array(beat(0, of: 2, number: 1).dropLast()), beat(0, of: 2, number: 1) + [0],
        ]
        for bytes in foreign { try Self.throwAt(monitor, bytes) }
        #expect(Self.holds { monitor.counts.foreign == foreign.count })
        #expect(monitor.observations().allSatisfy { $0 == nil })
        #expect(monitor.warning == "\(foreign.count) messages of strangers were dropped")
        // What was overheard and is sent again does not make a stopped rank look alive.
        let overheard = beat(1, of: 2, number: 7)
        try Self.throwAt(monitor, overheard)
        #expect(Self.holds { monitor.counts.accepted == 1 })
        let arrival = monitor.observations()[1]?.arrivedAt
        for bytes in [overheard, beat(1, of: 2, number: 6)] { try Self.throwAt(monitor, bytes) }
        #expect(Self.holds { monitor.counts.stale == 2 })
        #expect(monitor.observations()[1]?.arrivedAt == arrival)
        // N copies of the same rank, which do not know of each other.
        try Self.throwAt(monitor, beat(1, of: 2, number: 8, pid: 6))
        #expect(Self.holds { monitor.counts.contested == 1 })
        #expect(monitor.observations()[1]?.beat.pid == 5)
        #expect(monitor.warning?.hasPrefix("two processes say that they are the same rank") == true)
    }

    @Test func stacksAreDumpedOnRequestOfTheRightOneOnly() throws {
        let monitor = try RunMonitor(address: "127.0.0.1", worldSize: 2)
        let dumps = Mutex([0, 0])
        let senders = try (0..<2).map { rank in
            try Self.sender(monitor, rank: rank, of: 2) { dumps.withLock { $0[rank] += 1 } }
        }
        #expect(monitor.requestStackDump() <= 2)
        #expect(Self.holds { monitor.observations().allSatisfy { $0 != nil } })
        let before = dumps.withLock { $0 }
        #expect(monitor.requestStackDump(of: [1]) == 1)
        #expect(Self.holds { dumps.withLock { $0[1] > before[1] } })
        #expect(dumps.withLock { $0[0] } == before[0])
        #expect(monitor.requestStackDump() == 2)
        #expect(Self.holds { dumps.withLock { $0[0] > before[0] } })
        #expect(monitor.requestStackDump(of: [5]) == 0)
        withExtendedLifetime(senders) {}
    }

    /// The whole way: one of three ranks falls silent.
    @Test func aRankFallsSilent() throws {
        var detector = HangDetector(timeoutSeconds: 60)
        detector.silenceSeconds = 1
        let monitor = try RunMonitor(address: "127.0.0.1", worldSize: 3, detector: detector)
        let boards = (0..<3).map { _ in StatusBoard() }
        var senders: [HeartbeatSender?] = try (0..<3).map { try Self.sender(monitor, rank: $0, of: 3, boards[$0]) }
        for (rank, board) in boards.enumerated() {
            board.enter(rank == 2 ? .backward : .exchange, step: 37, lane: rank)
            board.exchanging(bucket: 1)
        }
        #expect(Self.holds { monitor.observations().allSatisfy { $0?.beat.status.step == 37 } })
        #expect(monitor.check() == nil)
        senders[2]?.stop()
        senders[2] = nil
        #expect(Self.holds { monitor.check() != nil })
        let report = try #require(monitor.check())
        #expect(report.description.contains("rank 2 (here, pid \(getpid())) has been silent for 1."))
        #expect(
            report.description.hasSuffix(
                " s in backward of step 37, lane 2; 2 ranks wait for it in exchange of bucket 1 of step 37"))
        withExtendedLifetime(senders) {}
    }
}
