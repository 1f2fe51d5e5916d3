import Basics
import Foundation
import TestSupport
import Testing

@testable import Shards
@testable import Streaming

@Suite struct MixtureTests {
    @Test func `an inverse permutation undoes it`() {
        for count in [1, 2, 7, 255, 256, 257, 1000] {
            let permutation = Permutation(count: count, random: CounterRandom(key: 9))
            for index in 0..<count { #expect(permutation.inverse(permutation(index)) == index) }
        }
    }

    @Test func `a block shuffle is a permutation for every count, block and window`() {
        for count in [1, 2, 5, 16, 17, 63, 64, 65, 100, 1000] {
            for block in [1, 2, 3, 7, 16, 50, 2000] {
                for window in [1, 2, 4, 100] {
                    for key: UInt64 in 0..<3 {
                        let order = BlockShuffle(
                            count: count, shuffling: Shuffling(block: block, window: window),
                            random: CounterRandom(key: key))
                        #expect(
                            Set((0..<count).map { order($0) }) == Set(0..<count), "\(count) \(block) \(window) \(key)")
                    }
                }
            }
        }
    }

    /// Correlation of two sequences.
    private func correlation(_ a: [Double], _ b: [Double]) -> Double {
        let (ma, mb) = (a.reduce(0, +) / Double(a.count), b.reduce(0, +) / Double(b.count))
        let product = zip(a, b).reduce(0) { $0 + ($1.0 - ma) * ($1.1 - mb) }
        let (va, vb) = (a.reduce(0) { $0 + ($1 - ma) * ($1 - ma) }, b.reduce(0) { $0 + ($1 - mb) * ($1 - mb) })
        return product / (va * vb).squareRoot()
    }

    /// What docs/data.md says about the order: position and record are unrelated, neighbours in the order are not
    /// neighbours in the files, and two epochs are unrelated.
    @Test(arguments: [1, 64]) func `orders are well mixed`(block: Int) {
        let count = 100_000
        let shuffling = Shuffling(block: block, window: 16)
        let epochs = (0..<2).map { epoch in
            let order = BlockShuffle(
                count: count, shuffling: shuffling, random: CounterRandom(4, "sample order", UInt64(epoch)))
            return (0..<count).map { Double(order($0)) }
        }
        let positions = (0..<count).map(Double.init)
        // Blocks move as one: their number decides how small a correlation by chance is (4 deviations).
        let bound = 4 / Double(count / block).squareRoot()
        #expect(abs(correlation(positions, epochs[0])) < bound)
        var places = [Double](repeating: 0, count: count)
        for epoch in epochs.indices.dropFirst() {
            for (position, record) in epochs[epoch].enumerated() { places[Int(record)] = Double(position) }
        }
        #expect(abs(correlation(epochs[0].map { places[Int($0)] }, positions)) < bound)
        // Of a batch of 32, pairs that were neighbours within a block's length.
        var near = 0
        for start in stride(from: 0, to: count - 32, by: 32) {
            let batch = epochs[0][start..<(start + 32)].sorted()
            near += zip(batch, batch.dropFirst()).filter { $1 - $0 < 64 }.count
        }
        let share = Double(near) / Double(count)
        // Among 100,000, chance gives 0.02; from 16 blocks two of a batch often come from the same one.
        #expect(block == 1 ? share < 0.03 : share > 0.3 && share < 0.7, "\(share)")
    }

    @Test func `a window is read in as many pieces as it has blocks, and no byte twice`() throws {
        let folder = TemporaryFolder("blocks")
        let writer = try DataSetWriter(path: folder.path, targetShardByteCount: 40_000)
        for number in 0..<600 { try writer.append(try RecordEncoder(level: 1).encode(pair(number)), split: .train) }
        try writer.finish()
        let data = try DataSet(path: folder.path)
        #expect(data.manifest.shards.count > 3)
        let (block, window) = (20, 5)
        let order = try SampleOrder(
            seed: 1, recordCount: 600, lanes: 2, laneBatch: 5, shuffling: Shuffling(block: block, window: window))
        let schedule = order.schedule(lanes: [0, 1], steps: 0..<order.stepsPerEpoch)
        #expect(schedule.readAhead == 20)
        var (pieces, bytes) = (0, 0)
        for start in stride(from: 0, to: schedule.taskCount, by: schedule.readAhead) {
            let records = (start..<min(schedule.taskCount, start + schedule.readAhead))
                .flatMap { schedule.task($0).samples.map(\.record) }
            let read = try data.prepare(.train, records)
            // A block that lies across two shards is two pieces, one beside another in the same shard one with it.
            #expect(read.pieces <= window + 3)
            pieces += read.pieces
            bytes += read.byteCount
        }
        let stored = data.manifest.shards.reduce(0) { $0 + $1.byteCount }
        #expect(pieces <= 600 / block + data.manifest.shards.count && pieces >= 600 / block / 2)
        #expect(bytes < stored && bytes > stored * 8 / 10)
        // Single records: nearly as many pieces as records.
        let single = try SampleOrder(seed: 1, recordCount: 600, lanes: 2, laneBatch: 5)
        #expect(single.schedule(lanes: [0], steps: 0..<10).readAhead == 0)
        let scattered = try data.prepare(.train, (0..<100).map { single.record(epoch: 0, position: $0) })
        #expect(scattered.pieces > 70)
        // What was asked for ahead changes nothing that is delivered.
        var settings = BatchLoader.Settings(height: 8, width: 12, fields: stereoFields)
        settings.seed = 1
        let loader = BatchLoader(data: data, split: .train, schedule: schedule, settings: settings)
        var seen: Set<Int> = []
        while let batch = try loader.nextBatch() {
            seen.formUnion(batch.samples.map(\.record))
            loader.recycle(batch)
        }
        #expect(seen.count == 600)
    }

    @Test func `sets come in the asked proportions, each record of one as often as the others`() throws {
        let mix = SampleMix(counts: [30, 100, 7], weights: [0.7, 0.2, 0.1])
        #expect(mix.sources.map(\.quota) == [700, 200, 100] && mix.sources.map(\.start) == [0, 30, 130])
        let order = try SampleOrder(seed: 2, recordCount: 137, lanes: 2, laneBatch: 5, mix: mix)
        var counts = [Int](repeating: 0, count: 137)
        var passes: Set<[Int]> = []
        for step in 0..<300 {
            for lane in 0..<2 {
                for sample in order.task(step: step, lane: lane).samples {
                    counts[sample.record] += 1
                    #expect(passes.insert([sample.epoch, sample.record]).inserted, "a record twice in a pass")
                }
            }
        }
        let sums = [counts[0..<30], counts[30..<130], counts[130...]].map { $0.reduce(0, +) }
        #expect(sums == [2100, 600, 300])
        for (range, expected) in [(0..<30, 70.0), (30..<130, 6.0), (130..<137, 300.0 / 7)] {
            for record in range { #expect(abs(Double(counts[record]) - expected) <= 1.0) }
        }
        // Also in short: no stretch of 100 has fewer than half or more than twice its share of the first.
        let first = (0..<3000).map { mix.place($0, seed: 2).source == 0 ? 1 : 0 }
        for start in stride(from: 0, to: 2900, by: 100) {
            #expect((55...85).contains(first[start..<(start + 100)].reduce(0, +)))
        }
        #expect((0..<50).map { mix.place($0, seed: 2).source } != (0..<50).map { mix.place($0, seed: 3).source })
    }

    @Test func `over a grid, mixtures are the same for any ranks and exact after a stop anywhere`() throws {
        for counts in [[5, 9], [1, 40, 3], [17]] {
            for (lanes, laneBatch) in [(1, 1), (2, 3), (3, 2), (4, 1), (5, 2)] {
                for block in [1, 4] {
                    let total = counts.reduce(0, +)
                    guard total >= lanes * laneBatch else { continue }
                    let order = try SampleOrder(
                        seed: 3, recordCount: total, lanes: lanes, laneBatch: laneBatch,
                        shuffling: Shuffling(block: block, window: 2),
                        mix: SampleMix(counts: counts, weights: counts.map { 1 / Double($0) }))
                    let last = 2 * order.stepsPerEpoch + 1
                    func tasks(_ ranks: Int, _ rank: Int, _ steps: Range<Int>) -> [LaneTask] {
                        let mine = Array((rank * lanes / ranks)..<((rank + 1) * lanes / ranks))
                        let schedule = order.schedule(lanes: mine, steps: steps)
                        return (0..<schedule.taskCount).map(schedule.task)
                    }
                    let whole = tasks(1, 0, 0..<last)
                    #expect(whole.flatMap { $0.samples.map(\.record) }.allSatisfy { (0..<total).contains($0) })
                    for ranks in 1...4 where ranks <= lanes {
                        let all = (0..<ranks).map { tasks(ranks, $0, 0..<last) }
                        #expect(all.joined().sorted { ($0.step, $0.lane) < ($1.step, $1.lane) } == whole)
                        // Nobody goes without: each has its lanes' samples in every step.
                        for rank in 0..<ranks {
                            for step in 0..<last {
                                #expect(
                                    all[rank].filter { $0.step == step }.count
                                        == (rank + 1) * lanes / ranks - rank * lanes / ranks)
                            }
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
    }

    @Test func `folders joined are one data set, in their order`() throws {
        let (a, b) = (TemporaryFolder("mix-a"), TemporaryFolder("mix-b"))
        for (folder, range) in [(a, 0..<7), (b, 100..<112)] {
            let writer = try DataSetWriter(path: folder.path, targetShardByteCount: 2000)
            for number in range {
                try writer.append(
                    try RecordEncoder(level: 1).encode(pair(number)), split: number % 5 == 1 ? .val : .train)
            }
            try writer.finish()
        }
        let (one, two) = (try DataSet(path: a.path), try DataSet(path: b.path))
        let both = try DataSet(paths: [a.path, b.path])
        for split in [Split.train, .val] {
            #expect(both.count(split) == one.count(split) + two.count(split))
            for index in 0..<both.count(split) {
                let expected =
                    index < one.count(split)
                    ? try one.record(split, index) : try two.record(split, index - one.count(split))
                #expect(try both.record(split, index) == expected)
            }
        }
        #expect(both.manifest.fields.first { $0.name == "left" }?.recordCount == 19)
        let other = try DataSet(paths: [b.path, a.path])
        #expect(Set([one.rootHash, two.rootHash, both.rootHash, other.rootHash]).count == 4)
        #expect(both.rootHash == (try DataSet(paths: [a.path, b.path])).rootHash && both.rootHash.count == 32)
        for number in both.manifest.shards.indices { #expect(Files.exists(both.shardPath(number))) }
    }
}
