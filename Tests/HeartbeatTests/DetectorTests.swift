import Testing

@testable import Heartbeats

@Suite struct DetectorTests {
    static let detector = HangDetector(timeoutSeconds: 60)
    static let worlds = [1, 2, 3, 4, 8, 100]
    static let running = RankPhase.allCases.filter { $0 != .finished }

    /// A rank that was heard `ago` seconds before time 1000, and has stood still for `still` seconds by then.
    static func heard(
        _ rank: Int, of world: Int, _ phase: RankPhase, step: Int = 37, exchanges: UInt64 = 50, bucket: Int? = 2,
        still: Double = 0, ago: Double = 0.3, host: String = "node"
    ) -> HeartbeatObservation {
        let status = RankStatus(
            phase: phase, step: step, secondsInPhase: still, progress: 1, exchanges: exchanges, lane: 3, bucket: bucket)
        var observation = HeartbeatObservation(
            Heartbeat(
                number: 1, rank: rank, worldSize: world, pid: 100 + rank, host: "\(host)\(rank)", status: status),
            at: 1000 - ago)
        observation.progressChangedAt = 1000 - max(still, ago)
        // Steps have been going on for long.
        (observation.previousStepChangedAt, observation.stepChangedAt) = (
            1000 - max(still, ago) - 8, 1000 - max(still, ago) - 4
        )
        return observation
    }

    private func judge(_ ranks: [HeartbeatObservation?], at now: Double = 1000, startedAt: Double = 0) -> HangReport? {
        Self.detector.judge(ranks, now: now, startedAt: startedAt)
    }

    /// One rank's messages stop, the others wait for it: it is named, with its last phase; they are not.
    @Test(arguments: running, worlds) func silent(phase: RankPhase, world: Int) throws {
        for culprit in Set([0, world / 2, world - 1]) {
            func table(ago: Double) -> [HeartbeatObservation?] {
                (0..<world).map { rank in
                    rank == culprit
                        ? Self.heard(rank, of: world, phase, exchanges: 49, still: ago, ago: ago)
                        : Self.heard(rank, of: world, .exchange, still: ago - 0.2)
                }
            }
            #expect(judge(table(ago: 2.9)) == nil)
            let report = try #require(judge(table(ago: 5.2)))
            #expect(report.culprits.map(\.rank) == [culprit])
            #expect(report.culprits[0].kind == .silent && report.culprits[0].phase == phase)
            #expect(report.waiting.map(\.rank) == (0..<world).filter { $0 != culprit })
            #expect(report.silentHosts == ["node\(culprit)"])
            #expect(
                report.description.hasPrefix(
                    "rank \(culprit) (node\(culprit), pid \(100 + culprit)) has been silent for 5.2 s in \(phase)"))
        }
    }

    /// One rank is heard but does not get on.
    @Test(arguments: running, worlds) func stuck(phase: RankPhase, world: Int) throws {
        let limit = Self.detector.limitSeconds(phase)
        #expect(limit == ([.setup, .checkpoint, .calibrate, .validate].contains(phase) ? 300 : 60))
        for culprit in Set([0, world / 2, world - 1]) {
            func table(still: Double) -> [HeartbeatObservation?] {
                (0..<world).map { rank in
                    rank == culprit
                        ? Self.heard(rank, of: world, phase, exchanges: 49, bucket: 1, still: still)
                        : Self.heard(rank, of: world, .exchange, still: still - 0.2)
                }
            }
            // Others' waiting is no reason to blame them while the slow one is within its limit.
            #expect(judge(table(still: limit - 1)) == nil)
            let report = try #require(judge(table(still: limit + 1)))
            #expect(report.culprits.map(\.rank) == [culprit])
            #expect(report.culprits[0].phase == phase)
            let isOnlyOne = world == 1 && phase == .exchange
            #expect(report.culprits[0].kind == (phase == .exchange ? .behind : .stuck))
            #expect(report.waiting.map(\.rank) == (0..<world).filter { $0 != culprit })
            #expect(report.silentHosts == [])
            if !isOnlyOne {
                #expect(
                    report.description.hasPrefix("rank \(culprit) (node\(culprit), pid \(100 + culprit)) has been "))
            }
            #expect(report.description.contains(" in \(phase)"))
            if world > 2 {
                #expect(
                    report.description.hasSuffix("; \(world - 1) ranks wait for it in exchange of bucket 2 of step 37"))
            }
        }
    }

    /// Slow, but getting on.
    @Test(arguments: running) func activeRanksAreLeftAlone(phase: RankPhase) {
        let others = (1..<4).map { Optional(Self.heard($0, of: 4, .exchange, still: 500)) }
        guard phase != .exchange else { return }
        #expect(judge([Self.heard(0, of: 4, phase, still: 1)] + others) == nil)
    }

    @Test func exampleLine() {
        var table: [HeartbeatObservation?] = (0..<4).map { Self.heard($0, of: 4, .exchange, still: 5) }
        table[2] = Self.heard(2, of: 4, .backward, still: 5.2, ago: 5.2)
        #expect(
            judge(table)?.description
                == "rank 2 (node2, pid 102) has been silent for 5.2 s in backward of step 37, lane 3; "
                + "3 ranks wait for it in exchange of bucket 2 of step 37")
    }

    @Test func allStandAtTheSameBucket() {
        let table: [HeartbeatObservation?] = (0..<4).map { Self.heard($0, of: 4, .exchange, still: 61) }
        #expect(
            judge(table)?.description
                == "all 4 ranks have been waiting for each other for 61.0 s in exchange of bucket 2 of step 37: "
                + "look at the network between their hosts")
        #expect(judge(table)?.culprits.count == 4)
    }

    @Test func theLowestStepAndBucketIsBehind() {
        var table: [HeartbeatObservation?] = (0..<4).map { Self.heard($0, of: 4, .exchange, still: 70) }
        table[1] = Self.heard(1, of: 4, .exchange, exchanges: 48, bucket: 0, still: 65)
        table[3] = Self.heard(3, of: 4, .exchange, exchanges: 48, bucket: 0, still: 65)
        #expect(judge(table)?.culprits.map(\.rank) == [1, 3])
        table[3] = Self.heard(3, of: 4, .exchange, step: 36, exchanges: 48, still: 65)
        #expect(judge(table)?.culprits.map(\.rank) == [3])
    }

    @Test func severalAtOnce() {
        var table: [HeartbeatObservation?] = (0..<5).map { Self.heard($0, of: 5, .exchange, still: 70) }
        table[1] = Self.heard(1, of: 5, .forward, still: 6, ago: 6)
        table[3] = Self.heard(3, of: 5, .read, still: 61)
        let report = judge(table)
        #expect(report?.culprits.map(\.rank) == [1, 3])
        #expect(report?.culprits.map(\.kind) == [.silent, .stuck])
        #expect(report?.lines.last == "3 ranks wait for them in exchange of bucket 2 of step 37")
    }

    /// A host is to be left out only if none of its ranks is heard any more.
    @Test func silentHosts() {
        var table: [HeartbeatObservation?] = (0..<4).map { Self.heard($0, of: 4, .exchange, still: 5) }
        for rank in 0..<4 { table[rank]?.beat.host = rank < 2 ? "a" : "b" }
        for rank in [0, 1, 2] { table[rank]?.arrivedAt = 995 }
        #expect(judge(table)?.culprits.map(\.rank) == [0, 1, 2])
        #expect(judge(table)?.silentHosts == ["a"])
        // The rank that is left on the other host may be busy.
        table[3]?.beat.status.phase = .forward
        table[3]?.progressChangedAt = 999.9
        #expect(judge(table)?.silentHosts == ["a"])
    }

    @Test func neverHeardOf() throws {
        let others: [HeartbeatObservation?] = (0..<2).map { Self.heard($0, of: 3, .exchange, step: 0, still: 290) }
        let table = (others + [nil]).map { observation in
            observation.map { old -> HeartbeatObservation in
                var new = old
                (new.stepChangedAt, new.previousStepChangedAt) = (705, 705)
                return new
            }
        }
        #expect(judge(table, startedAt: 701) == nil)
        let report = try #require(judge(table, startedAt: 699))
        #expect(report.culprits.map(\.kind) == [.unheard] && report.culprits[0].rank == 2 && report.waiting.count == 2)
        #expect(
            report.description.hasPrefix("rank 2 has not been heard of for 301.0 s; 2 ranks wait for it in exchange"))
        #expect(judge([nil, nil], startedAt: 699)?.culprits.count == 2)
        #expect(judge([nil, nil], startedAt: 701) == nil)
    }

    /// Messages of one rank get lost, but steps, which need all ranks, go on: nobody hangs. Once they stop, it is named.
    @Test func unheardButAlive() {
        var table: [HeartbeatObservation?] = (0..<3).map { Self.heard($0, of: 3, .forward) }
        table[1]?.arrivedAt = 900
        #expect(judge(table) == nil)
        #expect(Self.detector.unheardButAlive(table, now: 1000, startedAt: 0) == [1])
        table[1] = nil
        #expect(judge(table) == nil)
        #expect(Self.detector.unheardButAlive(table, now: 1000, startedAt: 0) == [1])
        table = (0..<3).map { Self.heard($0, of: 3, .exchange, still: 61) }
        table[1]?.arrivedAt = 900
        #expect(judge(table)?.culprits.map(\.rank) == [1])
        #expect(judge(table)?.culprits.map(\.kind) == [.silent])
    }

    /// After a step that it took part in a rank may stop while others begin the next one: that proves nothing.
    @Test func othersThatBeginOneMoreStepDoNotExcuse() {
        var table: [HeartbeatObservation?] = (0..<3).map { Self.heard($0, of: 3, .exchange, still: 0) }
        table[0] = Self.heard(0, of: 3, .checkpoint, still: 6, ago: 6)
        for rank in 1...2 {
            table[rank]?.stepChangedAt = 998
            table[rank]?.previousStepChangedAt = 993.9
        }
        #expect(judge(table)?.culprits.map(\.rank) == [0])
    }

    @Test func finishedRanksAreNeverToBlame() {
        var table: [HeartbeatObservation?] = (0..<3).map { Self.heard($0, of: 3, .finished, still: 900, ago: 900) }
        #expect(judge(table) == nil)
        table[0] = Self.heard(0, of: 3, .checkpoint, still: 4, ago: 4)
        #expect(
            judge(table)?.description == "rank 0 (node0, pid 100) has been silent for 4.0 s in checkpoint of step 37")
    }

    /// The listener itself did not run for a while: silence counts from when it did again.
    @Test func aPauseOfTheListener() {
        let table: [HeartbeatObservation?] = (0..<3).map { Self.heard($0, of: 3, .forward, ago: 30) }
        #expect(Self.detector.judge(table, now: 1000, startedAt: 0, awakeSince: 998) == nil)
        #expect(Self.detector.judge(table, now: 1002, startedAt: 0, awakeSince: 998)?.culprits.count == 3)
    }

    @Test func observations() {
        var seen = HeartbeatObservation(MessageTests.beat(), at: 10)
        seen.update(MessageTests.beat(number: 10), at: 11)
        #expect(seen.arrivedAt == 11 && seen.progressChangedAt == 10 && seen.stepChangedAt == 10)
        var next = MessageTests.beat(number: 11)
        next.status.progress += 1
        seen.update(next, at: 12)
        #expect(seen.progressChangedAt == 12 && seen.stepChangedAt == 10)
        next.status.step += 1
        seen.update(next, at: 13)
        #expect(seen.stepChangedAt == 13 && seen.previousStepChangedAt == 10)
    }
}
