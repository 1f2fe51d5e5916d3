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

    @Test("blocks stay within the limit of OpenBLAS' small kernels, or are one call")
    func blocks() {
        for (rows, columns, depth) in [
            (4096, 64, 64), (64, 64, 6048), (256, 128, 1024), (1, 4096, 9000), (30_000, 1, 50), (100, 100, 100),
            (101, 100, 100), (2048, 2048, 2048), (3, 500_000, 1), (7, 0, 3), (513, 257, 300), (96, 64, 864),
        ] {
            for layoutA in [MatrixLayout.normal, .transposed] {
                let blocks = ProductBlocks(
                    rows: rows, columns: columns, depth: depth, layoutA: layoutA, layoutB: .normal,
                    hasSmallKernels: true)
                let isWhole = blocks.rows == rows && blocks.columns == columns && blocks.depth == depth
                #expect(blocks.rows > 0 && blocks.depth > 0)
                #expect(isWhole || blocks.rows * blocks.columns * blocks.depth <= ProductBlocks.limit)
                for (layoutB, hasSmallKernels) in [(MatrixLayout.transposed, true), (.normal, false)] {
                    let whole = ProductBlocks(
                        rows: rows, columns: columns, depth: depth, layoutA: layoutA, layoutB: layoutB,
                        hasSmallKernels: hasSmallKernels)
                    #expect(whole.rows == rows && whole.columns == columns && whole.depth == depth)
                }
            }
        }
        let cut = ProductBlocks(
            rows: 4096, columns: 64, depth: 64, layoutA: .normal, layoutB: .normal, hasSmallKernels: true)
        #expect(cut.rows == 244 && cut.columns == 64 && cut.depth == 64)
    }

    @Test("large products in blocks agree with the definition", arguments: [MatrixLayout.normal, .transposed])
    func largeProduct(layoutA: MatrixLayout) {
        let (m, n, k) = (303, 150, 421)
        let a = GuardedTensor([m * k], random: 6)
        let b = GuardedTensor([k * n], random: 7)
        let c = GuardedTensor([m * n])
        for accumulate in [false, true] {
            matrixProduct(
                rows: m, columns: n, depth: k, a.base, layoutA: layoutA, rowStrideA: layoutA == .normal ? k : m, b.base,
                rowStrideB: n, accumulate: accumulate, into: c.base, rowStrideC: n)
        }
        #expect(c.isGuardIntact)
        for index in stride(from: 0, to: m * n, by: 41) {
            let (i, j) = (index / n, index % n)
            var sum = LayerReference.Sum()
            for l in 0..<k { sum.add(a.base[layoutA == .normal ? i * k + l : l * m + i], b.base[l * n + j]) }
            #expect(abs(Double(c.base[index]) - 2 * sum.value) < 1e-6 * sum.magnitude)
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
        func share(_ allowed: Int, of online: Int, ranks: Int, isBound: Bool) -> Int {
            CPUAffinity.share(allowedCores: allowed, onlineCores: online, ranksOnHost: ranks, isBound: isBound)
        }
        #expect(share(16, of: 64, ranks: 4, isBound: false) == 4)  // a container's cores, for all its ranks
        #expect(share(8, of: 64, ranks: 4, isBound: true) == 8)  // cores of its own
        #expect(share(32, of: 64, ranks: 8, isBound: true) == 8)  // a socket that four ranks share
        #expect(share(1, of: 2, ranks: 2, isBound: true) == 1)
        #expect(share(0, of: 2, ranks: 4, isBound: false) == 1)
        #expect(CPUAffinity.warning(threadCount: 2, allowedCores: 2) == nil)
        #expect(CPUAffinity.warning(threadCount: 2, allowedCores: 0) == nil)
        let text = try #require(CPUAffinity.warning(threadCount: 2, allowedCores: 1))
        #expect(
            text
                == "2 compute threads share 1 core: the process is bound to no more; remedy: mpirun --bind-to none, or "
                + "--threads 1")
    }
}
