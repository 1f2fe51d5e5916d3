import Basics
import Streaming
import Testing

@Suite struct SampleOrderTests {
    @Test func `every key permutes every count`() {
        for count in [1, 2, 3, 5, 16, 17, 100, 255, 256, 257, 1000, 5000] {
            for key: UInt64 in 0..<4 {
                let permutation = Permutation(count: count, random: CounterRandom(key: key))
                #expect(Set((0..<count).map { permutation($0) }) == Set(0..<count), "\(count)")
            }
        }
    }

    @Test func `large counts need no memory and stay inside`() {
        let permutation = Permutation(count: 1 << 40, random: CounterRandom(key: 1))
        let images = (0..<1000).map { permutation($0) }
        #expect(Set(images).count == 1000 && images.allSatisfy { (0..<(1 << 40)).contains($0) })
        #expect(images.max() ?? 0 > 1 << 39 && images.min() ?? 0 < 1 << 35)
    }

    @Test func `every place gets every record about equally often`() {
        // 12 records, 6000 epochs: 500 expected per cell; chi-squared with 121 degrees of freedom stays below 200.
        let count = 12
        var cells = [Int](repeating: 0, count: count * count)
        for epoch in 0..<6000 {
            let permutation = Permutation(count: count, random: CounterRandom(7, "test", UInt64(epoch)))
            for place in 0..<count { cells[place * count + permutation(place)] += 1 }
        }
        let chiSquared = cells.reduce(0.0) { $0 + (Double($1) - 500) * (Double($1) - 500) / 500 }
        #expect(chiSquared < 200 && chiSquared > 60)
    }

    @Test func `all ways to share lanes read the same samples, disjoint within an epoch`() throws {
        for (records, lanes, laneBatch) in [(37, 4, 2), (24, 8, 3), (25, 3, 5), (8, 8, 1), (6, 1, 6)] {
            let order = try SampleOrder(seed: 5, recordCount: records, lanes: lanes, laneBatch: laneBatch)
            let steps = order.stepsPerEpoch
            #expect(steps == records / (lanes * laneBatch))
            var whole: [SampleOrder.Sample] = []
            for ranks in 1...lanes {
                var all: [SampleOrder.Sample] = []
                for epoch in 0..<3 {
                    var seen: Set<Int> = []
                    for rank in 0..<ranks {
                        let mine = Array((rank * lanes / ranks)..<((rank + 1) * lanes / ranks))
                        let schedule = order.schedule(lanes: mine, steps: (epoch * steps)..<((epoch + 1) * steps))
                        for number in 0..<schedule.taskCount {
                            let task = schedule.task(number)
                            #expect(mine.contains(task.lane) && task.samples.count == laneBatch)
                            for sample in task.samples {
                                #expect(seen.insert(sample.record).inserted && sample.epoch == epoch)
                                all.append(sample)
                            }
                        }
                    }
                    #expect(seen.count == steps * order.globalBatch)
                }
                all.sort { $0.globalIndex < $1.globalIndex }
                #expect(all.map(\.globalIndex) == Array(0..<(3 * steps * order.globalBatch)))
                if ranks == 1 { whole = all } else { #expect(all == whole) }
            }
        }
    }

    @Test func `over a grid, an epoch is a permutation, the same for any ranks, and exact after a stop anywhere`()
        throws
    {
        for records in [1, 7, 24, 61, 100] {
            for (lanes, laneBatch) in [(1, 1), (1, 3), (2, 1), (3, 2), (4, 1), (4, 3), (6, 4)]
            where lanes * laneBatch <= records {
                let order = try SampleOrder(seed: 11, recordCount: records, lanes: lanes, laneBatch: laneBatch)
                let last = 2 * order.stepsPerEpoch + 1
                for epoch in 0..<3 {
                    let places = (0..<records).map { order.record(epoch: epoch, position: $0) }
                    #expect(places.sorted() == Array(0..<records))
                }
                func tasks(_ ranks: Int, _ rank: Int, _ steps: Range<Int>) -> [LaneTask] {
                    let mine = Array((rank * lanes / ranks)..<((rank + 1) * lanes / ranks))
                    let schedule = order.schedule(lanes: mine, steps: steps)
                    return (0..<schedule.taskCount).map(schedule.task)
                }
                let whole = tasks(1, 0, 0..<last)
                for ranks in 1...4 where ranks <= lanes {
                    let all = (0..<ranks).map { tasks(ranks, $0, 0..<last) }
                    #expect(all.joined().sorted { ($0.step, $0.lane) < ($1.step, $1.lane) } == whole)
                    for step in 0..<last {
                        let read = all.joined().filter { $0.step == step }.flatMap { $0.samples.map(\.record) }
                        #expect(Set(read).count == order.globalBatch, "ranks share a record in step \(step)")
                    }
                    for stop in 0...last {
                        for rank in 0..<ranks {
                            #expect(tasks(ranks, rank, 0..<stop) + tasks(ranks, rank, stop..<last) == all[rank])
                        }
                    }
                }
            }
        }
    }

    @Test func `a stand-in depends on seed, epoch and record only, and is spread over all`() {
        let rule = ReplacementRule(seed: 5, recordCount: 40)
        #expect(
            ReplacementRule(seed: 5, recordCount: 40).candidate(epoch: 3, record: 7, attempt: 1)
                == rule.candidate(epoch: 3, record: 7, attempt: 1))
        let over = { (body: (Int) -> Int) in Set((0..<400).map(body)).count }
        #expect(over { rule.candidate(epoch: $0, record: 7, attempt: 0) } == 40)
        #expect(over { rule.candidate(epoch: 0, record: $0, attempt: 0) } == 40)
        #expect(over { rule.candidate(epoch: 0, record: 7, attempt: $0 % 16) } > 8)
        #expect(
            over { ReplacementRule(seed: UInt64($0), recordCount: 40).candidate(epoch: 0, record: 0, attempt: 0) } == 40
        )
    }

    @Test func `epochs and seeds differ, the same seed doesn't`() throws {
        func epoch(_ seed: UInt64, _ epoch: Int) throws -> [Int] {
            let order = try SampleOrder(seed: seed, recordCount: 50, lanes: 1, laneBatch: 1)
            return (0..<50).map { order.record(epoch: epoch, position: $0) }
        }
        #expect(try epoch(1, 0) == epoch(1, 0))
        #expect(try epoch(1, 0) != epoch(1, 1))
        #expect(try epoch(1, 0) != epoch(2, 0))
        // Runs that were started stay as they are: the order is part of the resumable state.
        #expect(try Array(epoch(1, 0).prefix(5)) == pinned)
    }

    private let pinned = [26, 30, 39, 0, 38]

    @Test func `too few records are bad data, no lanes are bad usage`() {
        let few = #expect(throws: Failure.self) {
            try SampleOrder(seed: 0, recordCount: 5, lanes: 2, laneBatch: 3)
        }
        #expect(few?.exitCode == .badData)
        #expect(few?.description.contains("5 records, one global batch of 2 lanes x 3 needs 6") == true)
        let none = #expect(throws: Failure.self) { try SampleOrder(seed: 0, recordCount: 5, lanes: 0, laneBatch: 3) }
        #expect(none?.exitCode == .usage)
    }

    @Test func `sequential schedules cover the records once, over all parts`() {
        for parts in 1...3 {
            var seen: [Int] = []
            for part in 0..<parts {
                let schedule = LaneSchedule.sequential(records: 3..<20, batch: 4, part: part, of: parts)
                for number in 0..<schedule.taskCount {
                    let task = schedule.task(number)
                    #expect(task.step % parts == part && task.samples.count <= schedule.largestBatch)
                    seen += task.samples.map(\.record)
                }
            }
            #expect(seen.sorted() == Array(3..<20))
        }
        #expect(LaneSchedule.sequential(records: 0..<0, batch: 4).taskCount == 0)
    }
}
