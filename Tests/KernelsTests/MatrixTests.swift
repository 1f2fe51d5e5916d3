import Tensors
import Testing
import Threads

@testable import Kernels

@Suite("Matrix products and column sums")
struct MatrixTests {
    @Test("column sums in float64 of any length, same bits for any number of threads")
    func columnSum() {
        for (rows, columns) in [(0, 3), (1, 1), (5, 3), (257, 17), (20_000, 33), (70_001, 1)] {
            let input = GuardedTensor([rows, columns], random: 5)
            // An offset that float32 sums would drown in.
            for i in 0..<input.shape.count { input.base[i] += 1000 }
            var expected: [UInt32] = []
            for level in InstructionLevel.allCases.filter({ $0 <= .best }) {
                for threads in [1, 2, 3] {
                    let pool = ForkJoinPool(threadCount: threads, spinMicroseconds: 50)
                    defer { pool.shutDown() }
                    let output = GuardedTensor([columns])
                    let workspace = GuardedTensor([
                        KernelContext.columnSumWorkspaceCount(input: input.shape, threadCount: threads)
                    ])
                    KernelContext(pool: pool, level: level).columnSum(
                        input: input.view, output: output.view, workspace: workspace.base)
                    #expect(workspace.isGuardIntact && output.isGuardIntact)
                    for column in 0..<columns {
                        let sum = (0..<rows).reduce(0.0) { $0 + Double(input.base[$1 * columns + column]) }
                        #expect(abs(Double(output.base[column]) - sum) <= 1e-7 * sum)
                    }
                    if expected.isEmpty { expected = output.bits }
                    #expect(output.bits == expected, "\(rows)x\(columns), \(threads) threads, \(level)")
                }
            }
        }
    }

    @Test("matrix product in all layouts, accumulated or not")
    func products() {
        let (m, n, k) = (7, 5, 11)
        let a = GuardedTensor([m * k], random: 6)
        let b = GuardedTensor([k * n], random: 7)
        for layoutA in [MatrixLayout.normal, .transposed] {
            for layoutB in [MatrixLayout.normal, .transposed] {
                for accumulate in [false, true] {
                    let c = GuardedTensor([m * n])
                    if accumulate { c.view.buffer.update(repeating: 2) }
                    matrixProduct(
                        rows: m, columns: n, depth: k, a.base, layoutA: layoutA, rowStrideA: layoutA == .normal ? k : m,
                        b.base, layoutB: layoutB, rowStrideB: layoutB == .normal ? n : k, accumulate: accumulate,
                        into: c.base, rowStrideC: n)
                    #expect(c.isGuardIntact)
                    for i in 0..<m {
                        for j in 0..<n {
                            var sum = accumulate ? 2.0 : 0.0
                            for l in 0..<k {
                                sum +=
                                    Double(a.base[layoutA == .normal ? i * k + l : l * m + i])
                                    * Double(b.base[layoutB == .normal ? l * n + j : j * k + l])
                            }
                            #expect(abs(Double(c.base[i * n + j]) - sum) < 1e-5)
                        }
                    }
                }
            }
        }
    }

    @Test("a depth of zero overwrites with zero")
    func depthZero() {
        let a = GuardedTensor([1], random: 1)
        let c = GuardedTensor([6])
        matrixProduct(
            rows: 2, columns: 3, depth: 0, a.base, rowStrideA: 1, a.base, rowStrideB: 3, accumulate: false,
            into: c.base,
            rowStrideC: 3)
        #expect(c.bits.allSatisfy { $0 == 0 })
    }
}

@Suite("OpenBLAS and affinity")
struct BlasInfoTests {
    @Test("the warning names the variable, the cost and the remedy, in one line")
    func warning() throws {
        let text = try #require(
            BlasInfo.warning(requested: "Haswell", coreName: "Haswell", processorLevel: .avx512))
        #expect(
            text
                == "OPENBLAS_CORETYPE=Haswell makes OpenBLAS use avx2 where the processor has avx512: matrix products run "
                + "at about half of the speed; remedy: unset OPENBLAS_CORETYPE")
        #expect(
            BlasInfo.warning(requested: "nehalem", coreName: "Nehalem", processorLevel: .avx2)?.contains("quarter")
                == true)
    }

    @Test("no warning where nothing is lost")
    func noWarning() {
        #expect(BlasInfo.warning(requested: nil, coreName: "Haswell", processorLevel: .avx512) == nil)
        #expect(BlasInfo.warning(requested: "", coreName: "Haswell", processorLevel: .avx512) == nil)
        // OpenBLAS doesn't know the name and detects by itself.
        #expect(BlasInfo.warning(requested: "Foo", coreName: "SkylakeX", processorLevel: .avx512) == nil)
        #expect(BlasInfo.warning(requested: "SkylakeX", coreName: "SkylakeX", processorLevel: .avx512) == nil)
        #expect(BlasInfo.warning(requested: "Haswell", coreName: "Haswell", processorLevel: .avx2) == nil)
        #expect(BlasInfo.warning(requested: "NeoverseN1", coreName: "NeoverseN1", processorLevel: .sse) == nil)
    }

    @Test("the library answers")
    func library() {
        BlasInfo.prepare()
        #expect(!BlasInfo.coreName.isEmpty)
        #expect(BlasInfo.config.contains("OpenBLAS"))
        #expect(BlasInfo.isSlowerThanProcessor == (BlasInfo.warning != nil))
        #expect(BlasInfo.measuredGigaflops(milliseconds: 5) > 0.1)
    }

    @Test("affinity: allowed cores, and a warning when threads outnumber them")
    func affinity() throws {
        #expect(CPUAffinity.allowedCores >= 1)
        #expect(CPUAffinity.warning(threadCount: 2, allowedCores: 2) == nil)
        #expect(CPUAffinity.warning(threadCount: 2, allowedCores: 0) == nil)
        let text = try #require(CPUAffinity.warning(threadCount: 2, allowedCores: 1))
        #expect(
            text
                == "2 compute threads share 1 core: the process is bound to no more; remedy: mpirun --bind-to none, or "
                + "--threads 1")
    }
}
