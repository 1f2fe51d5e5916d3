import Synchronization
import Testing
import Threads

@Suite struct ForkJoinPoolTests {
    /// Many small tasks of changing size: each chunk exactly once, none after the join, also with more threads than cores
    /// and with workers that sleep at once.
    @Test(arguments: [(1, 1000), (2, 1000), (3, 1000), (2, 0), (16, 0), (16, 50)])
    func everyChunkRunsOnce(threadCount: Int, spinMicroseconds: Int) {
        let pool = ForkJoinPool(threadCount: threadCount, spinMicroseconds: spinMicroseconds)
        defer { pool.shutDown() }
        let most = 97
        let counts = UnsafeMutablePointer<Int>.allocate(capacity: most)
        defer { counts.deallocate() }
        for round in 0..<(spinMicroseconds == 0 ? 300 : 3000) {
            let chunkCount = (round &* 31) % (most + 1)
            counts.update(repeating: 0, count: most)
            pool.forEachChunk(chunkCount) { chunk, worker in
                // Plain additions: a chunk that ran twice, or after the join, would show.
                counts[chunk] += worker >= 0 && worker < threadCount ? 1 : 1000
            }
            for chunk in 0..<most where counts[chunk] != (chunk < chunkCount ? 1 : 0) {
                Issue.record("round \(round): chunk \(chunk) of \(chunkCount) ran \(counts[chunk]) times")
                return
            }
        }
    }

    @Test func chunksOfOneWorkerDoNotOverlap() {
        let pool = ForkJoinPool(threadCount: 4)
        defer { pool.shutDown() }
        let busy = UnsafeMutablePointer<Bool>.allocate(capacity: 4)
        busy.update(repeating: false, count: 4)
        defer { busy.deallocate() }
        let overlaps = Atomic<Int>(0)
        for _ in 0..<200 {
            pool.forEachChunk(40) { _, worker in
                if busy[worker] { overlaps.add(1, ordering: .relaxed) }
                busy[worker] = true
                for _ in 0..<20 { overlaps.add(0, ordering: .relaxed) }
                busy[worker] = false
            }
        }
        #expect(overlaps.load(ordering: .relaxed) == 0)
    }

    /// The closure reaches the workers as two words: captures of every kind must arrive.
    @Test func closuresKeepTheirCaptures() {
        let pool = ForkJoinPool(threadCount: 3)
        defer { pool.shutDown() }
        final class Box { let value = 7 }
        let box = Box()
        let names = ["a", "bb", "ccc"]
        let lengths = UnsafeMutablePointer<Int>.allocate(capacity: 30)
        defer { lengths.deallocate() }
        for factor in 1...50 {
            pool.forEachChunk(30) { chunk, _ in lengths[chunk] = names[chunk % 3].count * factor + box.value }
            for chunk in 0..<30 { #expect(lengths[chunk] == (chunk % 3 + 1) * factor + 7) }
        }
        pool.forEachChunk(5, noCaptures)
    }

    @Test func zeroAndNegativeCountsDoNothing() {
        let pool = ForkJoinPool(threadCount: 2)
        defer { pool.shutDown() }
        pool.forEachChunk(0) { _, _ in Issue.record("a chunk of nothing") }
        pool.forEachChunk(-1) { _, _ in Issue.record("a chunk of less than nothing") }
    }
}

private func noCaptures(_ chunk: Int, _ worker: Int) {}
