import Basics
import Kernels
import Tensors
import Testing
import Threads

@testable import Training

@Suite struct ReplicaCheckTests {
    private func context() -> KernelContext { KernelContext(pool: ForkJoinPool(threadCount: 2, spinMicroseconds: 0)) }

    private static let tensors: [(name: String, range: Range<Int>)] = [
        ("a", 0..<5), ("b", 16..<70_016), ("c", 70_016..<100_001),
    ]

    private func arena(_ seed: UInt64) -> FloatArena {
        let arena = FloatArena(count: 100_016)
        let random = CounterRandom(seed, "digest")
        for i in 0..<arena.count { arena.base[i] = Float(random.uniform(UInt64(i), in: -1..<1)) }
        return arena
    }

    /// Any bit of any tensor counts, and is named.
    @Test func everyBitCounts() {
        let kernels = context()
        defer { kernels.pool.shutDown() }
        let (weights, moment) = (arena(1), arena(2))
        let digest = StateDigest(arenas: [("", weights), ("moment", moment)], tensors: Self.tensors)
        digest.reset(kernels)
        let (total, table) = (digest.total, digest.table)
        let random = CounterRandom(3, "bits")
        for trial in 0..<200 {
            let tensor = Self.tensors[trial % 3]
            let (values, prefix) = trial % 2 == 0 ? (weights, "") : (moment, "moment of ")
            let draw = random.bits(UInt64(trial))
            let index = tensor.range.lowerBound + Int(draw % UInt64(tensor.range.count))
            let old = values.base[index]
            values.base[index] = Float(bitPattern: old.bitPattern ^ 1 << UInt32(draw >> 59))
            digest.reset(kernels)
            #expect(digest.total != total)
            let changed = table.indices.filter { digest.table[$0] != table[$0] }
            #expect(changed.map(digest.name(ofEntry:)) == [prefix + tensor.name])
            values.base[index] = old
        }
        digest.reset(kernels)
        #expect(digest.total == total)
        // Values that change places count too.
        weights.base.withMemoryRebound(to: Float.self, capacity: weights.count) { base in
            (base[20], base[52]) = (base[52], base[20])
        }
        digest.reset(kernels)
        #expect(digest.total != total)
    }

    @Test func checksumsAreTheSameAtEveryLevel() {
        let values = arena(4)
        let sums = InstructionLevel.supported.map { level in
            let kernels = KernelContext(pool: ForkJoinPool(threadCount: 1, spinMicroseconds: 0), level: level)
            defer { kernels.pool.shutDown() }
            return [0, 1, 15, 16, 17, 100_001].map {
                kernels.checksum(UnsafeBufferPointer(start: values.base, count: $0))
            }
        }
        #expect(Set(sums).count == 1)
        #expect(Set(sums[0]).count == 6)
    }

    @Test func majorityNamesTheRank() {
        func text(_ tables: [[UInt64]]) -> String {
            StepJournal.difference(
                of: tables, after: 37, hosts: ["n0", "n1", "n2", "n3"], name: { "tensor \($0)" }
            ).description
        }
        #expect(
            text([[1, 2], [1, 2], [1, 3], [1, 2]]).contains(
                "step 37: rank 2 (n2) differs from the other ranks in tensor 1"))
        #expect(
            text([[7, 2], [1, 2], [1, 3], [1, 2]]).contains("rank 0 (n0) differs from the other ranks in tensor 0"))
        #expect(text([[1, 2], [1, 3]]).contains("rank 0 (n0), rank 1 (n1) do not agree in tensor 1"))
    }

    private func report(_ step: Int, _ times: [(compute: Double, data: Double)]) -> RanksReport {
        RanksReport(
            step: step,
            ranks: times.enumerated().map { rank, time in
                RankStep(
                    rank: rank, host: "n\(rank)", computeSeconds: time.compute, dataWaitSeconds: time.data,
                    communicationSeconds: 0, firstLane: rank, laneHashes: [])
            })
    }

    @Test func stragglerIsNamedWithItsPhase() {
        var watch = StragglerWatch()
        for step in 1...100 { #expect(watch.line(after: report(step, [(1, 0), (1.1, 0), (1, 0.1)])) == nil) }
        var lines = (101...140).compactMap { watch.line(after: report($0, [(1, 0), (1.5, 0), (1, 0)])) }
        #expect(lines.count == 1 && lines[0].contains("rank 1 (n1)") && lines[0].contains("computing takes it 1.5 s"))
        watch = StragglerWatch()
        lines = (1...30).compactMap { watch.line(after: report($0, [(1, 0.9), (1, 0), (1, 0)])) }
        #expect(
            lines.count == 1 && lines[0].contains("rank 0 (n0)") && lines[0].contains("waiting for data takes it 0.9 s")
        )
        // One rank has nobody to wait for it; slow steps that take turns have no culprit.
        watch = StragglerWatch()
        for step in 1...60 { #expect(watch.line(after: report(step, [(1, 0)])) == nil) }
        for step in 1...60 {
            #expect(watch.line(after: report(step, step % 2 == 0 ? [(2, 0), (1, 0)] : [(1, 0), (2, 0)])) == nil)
        }
    }
}
