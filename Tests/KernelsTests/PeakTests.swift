import CKernels
import Tensors
import Testing
import Threads

@testable import Kernels

/// The loops that measure the machine do what they say, at every level.
@Suite struct PeakTests {
    @Test(arguments: InstructionLevel.supported) func loops(level: InstructionLevel) throws {
        let kernels = try #require(peak_kernels_for(Int32(level.rawValue))).pointee
        let count = 512
        let arena = FloatArena(count: 3 * count)
        let (x, y, z) = (arena.base, arena.base + count, arena.base + 2 * count)
        for i in 0..<count { (x[i], y[i]) = (Float(i), Float(7 * i % 64)) }
        // Whole numbers far below 2^24: exact in any order.
        #expect(kernels.read(x, count) == Float(count * (count - 1) / 2))
        kernels.triad(x, y, 0.5, z, count)
        for i in 0..<count { #expect(z[i] == x[i] + 0.5 * y[i]) }
        kernels.copy(x, z, count)
        for i in 0..<count { #expect(z[i] == x[i]) }
        var sink: Float = 0
        let one = kernels.multiply_add(1, &sink)
        #expect(one >= 2 * 4 * 8 && kernels.multiply_add(1000, &sink) == 1000 * one)
        // Every chain halves its distance from 1 in each round; `one` / 2 of them are added up.
        #expect(abs(sink - Float(one / 2)) < 0.01)
    }

    @Test func unknownLevels() {
        #expect(peak_kernels_for(-1) == nil)
        #expect(peak_kernels_for(99) == nil)
    }

    @Test func limitsAreTheLargestRates() {
        let limits = MachinePeak.Limits(
            threads: 1, multiplyAddRate: 100, matrixProductRate: 90, readRate: 5, copyRate: 10, triadRate: 8)
        #expect(limits.operationRate == 100 && limits.byteRate == 10)
        #expect(limits.seconds(operations: 300, bytes: 20) == 3)
        #expect(limits.seconds(operations: 100, bytes: 20) == 2)
    }
}
