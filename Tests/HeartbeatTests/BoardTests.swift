import Basics
import Glibc
import Testing
import Threads

@testable import Heartbeats

@Suite struct BoardTests {
    @Test func whatThreadsPostIsSeen() {
        let board = StatusBoard()
        #expect(board.status().phase == .setup && board.status().step == 0)
        board.enter(.read, step: 37)
        #expect(board.status().phase == .read && board.status().lane == nil && board.status().record == nil)
        board.reading(shard: 5, record: 1017)
        #expect(board.status().phase == .read && board.status().shard == 5 && board.status().record == 1017)
        #expect(board.status().place == "read of step 37, at record 1017 of shard 5")
        board.decoding()
        #expect(board.status().phase == .decode && board.status().record == 1017)
        board.enter(.forward, step: 37, lane: 3)
        #expect(board.status().phase == .forward && board.status().lane == 3, "decoding ahead is no wait")
        board.loaded()
        board.enter(.backward, step: 37, lane: 0)
        #expect(board.status().place == "backward of step 37, lane 0")
        board.exchanging(bucket: 2)
        #expect(board.status().phase == .backward && board.status().bucket == 2)
        board.beginWaiting()
        #expect(board.status().place == "exchange of bucket 2 of step 37")
        board.exchanged()
        board.endWaiting()
        #expect(board.status().phase == .backward && board.status().exchanges == 1)
        board.enter(.calibrate)
        #expect(board.status().step == 37 && board.status().lane == nil)
        board.beginWaiting()
        board.enter(.finished)
        #expect(board.status().phase == .finished)
    }

    @Test func largestAndImpossibleNumbers() {
        let board = StatusBoard()
        board.enter(.forward, step: StatusBoard.largestStep, lane: StatusBoard.largestLane)
        #expect(board.status().step == StatusBoard.largestStep && board.status().lane == StatusBoard.largestLane)
        board.enter(.forward, step: .max, lane: .max)
        #expect(board.status().step == StatusBoard.largestStep && board.status().lane == StatusBoard.largestLane)
        board.reading(shard: .max, record: .max)
        #expect(board.status().shard == StatusBoard.largestShard && board.status().record == StatusBoard.largestRecord)
        #expect(board.status().phase == .forward)
    }

    @Test func everyPostIsProgressAndTimesRun() {
        let board = StatusBoard()
        var last = board.status().progress
        func grows(_ post: () -> Void) -> Bool {
            post()
            defer { last = board.status().progress }
            return board.status().progress > last
        }
        #expect(grows { board.enter(.forward, step: 1, lane: 0) })
        #expect(grows { board.advance() })
        #expect(grows { board.reading(shard: 0, record: 0) })
        #expect(grows { board.decoding() })
        #expect(grows { board.loaded() })
        #expect(grows { board.exchanging(bucket: 0) })
        #expect(grows { board.exchanged() })
        #expect(grows { board.writingCheckpoint(true) })
        #expect(!grows {})
        usleep(20_000)
        #expect(board.status().secondsInPhase >= 0.02)
        board.enter(.update)
        #expect(board.status().secondsInPhase < 0.02)
    }

    /// Phase, step and lane of the main thread belong together, whenever one looks.
    @Test func aReaderSeesNoMixture() {
        let board = StatusBoard()
        let writer = WorkerThread(name: "writer") {
            for step in 1...200_000 {
                board.enter(step % 2 == 0 ? .forward : .backward, step: step, lane: step % 1000)
            }
        }
        var step = 0
        while step < 200_000 {
            let status = board.status()
            guard status.step > 0 else { continue }
            #expect(status.step >= step && status.lane == status.step % 1000)
            #expect(status.phase == (status.step % 2 == 0 ? .forward : .backward))
            step = status.step
        }
        writer.join()
    }

    /// Some nanoseconds; the bound is for a busy machine. A step makes some hundred posts.
    @Test func postsAreCheap() {
        let board = StatusBoard()
        func nanoseconds(_ post: () -> Void) -> Double {
            (0..<5).map { _ in
                let start = monotonicSeconds()
                for _ in 0..<20_000 { post() }
                return (monotonicSeconds() - start) / 20_000 * 1e9
            }.min() ?? 0
        }
        let advance = nanoseconds { board.advance() }
        let enter = nanoseconds { board.enter(.forward, step: 5, lane: 1) }
        print("a step onwards takes \(Int(advance)) ns, a new phase \(Int(enter)) ns")
        #expect(advance < 100 && enter < 500)
    }

    @Test func delays() {
        #expect(PhaseDelay("backward:200", rank: 3)?.milliseconds == 200)
        #expect(PhaseDelay("backward:200:3", rank: 3)?.phase == .backward)
        #expect(PhaseDelay("backward:200:3", rank: 2) == nil)
        for text in ["", "backward", "sleep:3", "read:-1", "read:x", "read:1:2:3"] {
            #expect(PhaseDelay(text, rank: 0) == nil, "\(text)")
        }
        #expect(PhaseDelay.list("read:1,update:2:7,decode:3:8", rank: 7).map(\.phase) == [.read, .update])
        let token = [HeartbeatSender.tokenVariable: "x"]
        let delay = [HeartbeatSender.delayVariable: "update:300"]
        for (environment, isSlow) in [(delay, false), (token, false), (token.merging(delay) { $1 }, true)] {
            let board = HeartbeatSender.board(environment: environment, rank: 0)
            let start = monotonicSeconds()
            board.enter(.update, step: 1)
            #expect((monotonicSeconds() - start >= 0.3) == isSlow)
        }
    }
}
