import CKernels
import COpenBLAS
import Glibc
import Threads

/// What this machine can do at most, measured: the yardstick of every other measurement.
///
/// Arithmetic is float32 multiply-adds on registers alone at the widest instruction level, and OpenBLAS' product of two
/// 1536 x 1536 matrices per thread. Memory is reading, copying and x + a·y of arrays well beyond the caches, touched
/// before, written past the caches; bytes count what is read and what is written. Each is the best of some passes: a
/// limit, not an average.
public struct MachinePeak: Sendable {
    public struct Limits: Sendable {
        public let threads: Int
        /// Operations per second of multiply-adds in registers (two operations each).
        public let multiplyAddRate: Double
        /// Operations per second of OpenBLAS' matrix product; nil where it was not measured.
        public let matrixProductRate: Double?
        /// Bytes per second.
        public let readRate: Double
        public let copyRate: Double
        public let triadRate: Double

        /// Operations per second that nothing exceeds.
        public var operationRate: Double { max(multiplyAddRate, matrixProductRate ?? 0) }
        /// Bytes per second that nothing exceeds which does not stay in the caches.
        public var byteRate: Double { max(readRate, copyRate, triadRate) }

        /// Least seconds for work of so many operations and bytes.
        public func seconds(operations: Double, bytes: Double) -> Double {
            max(operations / operationRate, bytes / byteRate)
        }
    }

    /// How long measuring may take.
    public enum Effort: Sendable {
        /// Under five seconds: everything, for one and for all threads.
        case full
        /// About a second: all threads only, without the matrix product.
        case brief
    }

    public let level: InstructionLevel
    /// Equal to `all` in a brief measurement or with one thread.
    public let one: Limits
    public let all: Limits
    /// Bytes of the arrays together.
    public let arrayByteCount: Int

    /// Measures on the threads of `kernels` and at its level. Nobody else should be computing.
    public static func measure(_ kernels: KernelContext, effort: Effort) -> MachinePeak {
        BlasInfo.prepare()
        let byteCount = arrayByteCount()
        let arrays = PeakArrays(byteCount: byteCount, pool: kernels.pool)
        defer { arrays.deallocate() }
        let all = PeakMeter(pool: kernels.pool, level: kernels.level, arrays: arrays, effort: effort).limits()
        guard effort == .full, kernels.pool.threadCount > 1 else {
            return MachinePeak(level: kernels.level, one: all, all: all, arrayByteCount: byteCount)
        }
        let alone = ForkJoinPool(threadCount: 1)
        defer { alone.shutDown() }
        let one = PeakMeter(pool: alone, level: kernels.level, arrays: arrays, effort: effort).limits()
        return MachinePeak(level: kernels.level, one: one, all: all, arrayByteCount: byteCount)
    }

    /// One and a half times the last cache, at least 256 MiB, at most 768 MiB or an eighth of the machine's memory.
    private static func arrayByteCount() -> Int {
        let cache = max(0, sysconf(Int32(_SC_LEVEL3_CACHE_SIZE)))
        let memory = max(1 << 30, sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)))
        let wanted = min(max(256 << 20, cache / 2 * 3), 768 << 20, memory / 8)
        return wanted / PeakArrays.unit * PeakArrays.unit
    }
}

/// Memory to walk over, touched by the threads that will use it.
private struct PeakArrays {
    /// Bytes that one chunk of the pool walks over; a sixth of the arrays is a whole number of it.
    static let chunk = 1 << 20
    static let unit = 6 * chunk

    let base: UnsafeMutableRawPointer
    let byteCount: Int

    init(byteCount: Int, pool: ForkJoinPool) {
        self.byteCount = byteCount
        base = .allocate(byteCount: byteCount, alignment: 1 << 21)
        madvise(base, byteCount, MADV_HUGEPAGE)
        pool.forEachChunk(byteCount / Self.chunk) { [base] chunk, _ in
            memset(base + chunk * Self.chunk, 0, Self.chunk)
        }
    }

    func deallocate() { base.deallocate() }

    /// Part `index` of `count` equal ones.
    func part(_ index: Int, of count: Int) -> UnsafeMutablePointer<Float> {
        (base + byteCount / count * index).assumingMemoryBound(to: Float.self)
    }
}

private struct PeakMeter {
    let pool: ForkJoinPool
    let arrays: PeakArrays
    let effort: MachinePeak.Effort
    private let kernels: peak_kernels

    init(pool: ForkJoinPool, level: InstructionLevel, arrays: PeakArrays, effort: MachinePeak.Effort) {
        guard let kernels = peak_kernels_for(Int32(level.rawValue)) else {
            preconditionFailure("instruction level \(level) does not run on this processor")
        }
        (self.pool, self.arrays, self.effort, self.kernels) = (pool, arrays, effort, kernels.pointee)
    }

    func limits() -> MachinePeak.Limits {
        // First for a while without looking: a core that was idle starts slowly.
        _ = multiplyAddRate(seconds: 0.03)
        let multiplyAdd = multiplyAddRate(seconds: effort == .full ? 0.2 : 0.08)
        let product = effort == .full ? matrixProductRate(side: 1536, seconds: 0.4) : nil
        let count = PeakArrays.chunk / MemoryLayout<Float>.stride
        let whole = arrays.part(0, of: 1)
        let (half, thirds) = (arrays.part(1, of: 2), (0..<3).map { arrays.part($0, of: 3) })
        let (first, second, third) = (thirds[0], thirds[1], thirds[2])
        let sums = UnsafeMutablePointer<Float>.allocate(capacity: 16 * pool.threadCount)
        defer { sums.deallocate() }
        let read = byteRate(parts: 1) { chunk, worker in
            sums[16 * worker] = kernels.read(whole + chunk * count, count)
        }
        let copy = byteRate(parts: 2) { chunk, _ in
            kernels.copy(whole + chunk * count, half + chunk * count, count)
        }
        let triad = byteRate(parts: 3) { chunk, _ in
            kernels.triad(first + chunk * count, second + chunk * count, 0.5, third + chunk * count, count)
        }
        return MachinePeak.Limits(
            threads: pool.threadCount, multiplyAddRate: multiplyAdd, matrixProductRate: product, readRate: read,
            copyRate: copy, triadRate: triad)
    }

    /// Chunks of a fraction of a millisecond, many more than threads, so that a late thread costs little.
    private func multiplyAddRate(seconds: Double) -> Double {
        let chunkCount = 40 * pool.threadCount
        let sinks = UnsafeMutablePointer<Float>.allocate(capacity: 16 * pool.threadCount)
        defer { sinks.deallocate() }
        let operations = kernels.multiply_add(1, sinks) * 20_000 * Double(chunkCount)
        return operations
            / best(seconds: seconds) {
                pool.forEachChunk(chunkCount) { _, worker in _ = kernels.multiply_add(20_000, sinks + 16 * worker) }
            }
    }

    private func matrixProductRate(side: Int, seconds: Double) -> Double {
        let n = blasint(side)
        let operands = UnsafeMutablePointer<Float>.allocate(capacity: (2 + pool.threadCount) * side * side)
        defer { operands.deallocate() }
        for i in 0..<(2 * side * side) { operands[i] = Float(i % 31) * 0.03 }
        (operands + 2 * side * side).update(repeating: 0, count: pool.threadCount * side * side)
        let chunkCount = 2 * pool.threadCount
        let time = best(seconds: seconds) {
            pool.forEachChunk(chunkCount) { _, worker in
                cblas_sgemm(
                    CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, operands, n, operands + side * side, n, 0,
                    operands + (2 + worker) * side * side, n)
            }
        }
        return 2 * Double(side * side * side) * Double(chunkCount) / time
    }

    /// Bytes per second of a pass over the arrays in `parts` parts.
    private func byteRate(parts: Int, _ body: (_ chunk: Int, _ worker: Int) -> Void) -> Double {
        let chunkCount = arrays.byteCount / parts / PeakArrays.chunk
        return Double(arrays.byteCount)
            / best(seconds: effort == .full ? 0.3 : 0.1) { pool.forEachChunk(chunkCount, body) }
    }

    /// The shortest of as many runs as fit, at least two.
    private func best(seconds: Double, _ body: () -> Void) -> Double {
        let deadline = now() + seconds
        var shortest = Double.infinity
        var runs = 0
        while runs < 2 || now() < deadline {
            let start = now()
            body()
            shortest = min(shortest, now() - start)
            runs += 1
        }
        return max(shortest, 1e-9)
    }

    private func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
