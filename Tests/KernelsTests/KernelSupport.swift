import Glibc
import Kernels
import Tensors
import Testing
import Threads

/// The lengths at which tails go wrong.
let tailLengths = [0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 1000]

/// A small random stream; values in -1 ..< 1.
struct Noise {
    private var state: UInt64

    init(_ seed: Int) { state = UInt64(truncatingIfNeeded: seed) &* 0x9E37_79B9_7F4A_7C15 &+ 12345 }

    mutating func next() -> Float {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(state >> 40) / 8_388_608 - 1
    }

    mutating func values(_ count: Int) -> [Float] { (0..<count).map { _ in next() } }
}

/// Keeps tensors whose views were passed on alive to the end of a run: a view does not own memory.
final class Scope: @unchecked Sendable {
    @TaskLocal static var current: Scope?
    fileprivate var arenas: [FloatArena] = []
}

/// A tensor with guards on both sides, `misalignment` floats off a 64-byte boundary.
final class Guarded {
    private let arena: FloatArena
    let view: TensorView
    private let start: Int
    private static let mark: Float = -12345.678

    init(_ shape: Shape, misalignment: Int = 0, _ values: [Float]? = nil) {
        start = 16 + misalignment
        arena = FloatArena(count: start + shape.count + 32)
        arena.base.update(repeating: Self.mark, count: arena.count)
        view = TensorView(arena.base + start, shape)
        Scope.current?.arenas.append(arena)
        if let values {
            precondition(values.count == shape.count)
            values.withUnsafeBufferPointer { source in
                if let first = source.baseAddress { view.base.update(from: first, count: values.count) }
            }
        }
    }

    var values: [Float] { Array(view.buffer) }
    var floats: UnsafeBufferPointer<Float> { UnsafeBufferPointer(view.buffer) }

    /// Nothing was written outside.
    var isIntact: Bool {
        for index in 0..<start where arena.base[index] != Self.mark { return false }
        for index in start + view.count..<arena.count where arena.base[index] != Self.mark { return false }
        return true
    }
}

/// Runs `body` at every level with 1, 2 and 3 threads, expects the same bits everywhere, and returns those of the best
/// level. `multiplies`: kernels that use fused multiply-add where they can; levels without it agree among themselves, and
/// with the others to 1e-5 of the largest value.
func everywhere(
    _ label: String = "", multiplies: Bool = false, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: (KernelContext) -> [Float]
) -> [Float] {
    var found: [Bool: [Float]] = [:]
    for threadCount in 1...3 {
        let pool = ForkJoinPool(threadCount: threadCount, spinMicroseconds: 20)
        defer { pool.shutDown() }
        for level in InstructionLevel.supported {
            let scope = Scope()
            let result = Scope.$current.withValue(scope) { body(KernelContext(pool: pool, level: level)) }
            withExtendedLifetime(scope) {}
            let kind = level.fusesMultiplyAdd || !multiplies
            guard let expected = found[kind] else {
                found[kind] = result
                continue
            }
            // Debug builds loop slowly: the usual case first.
            if haveSameBytes(result, expected) { continue }
            let different = zip(result, expected).filter { $0.bitPattern != $1.bitPattern && !($0.isNaN && $1.isNaN) }
                .count
            #expect(
                different == 0 && result.count == expected.count,
                "\(label): \(different) of \(result.count) values differ at \(level), \(threadCount) threads",
                sourceLocation: sourceLocation)
        }
    }
    if let fused = found[true], let separate = found[false] {
        let largest = fused.reduce(Float.leastNormalMagnitude) { max($0, abs($1)) }
        let worst = zip(fused, separate).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
        #expect(worst <= 1e-5 * largest, "\(label): levels differ by \(worst)", sourceLocation: sourceLocation)
    }
    return found[true] ?? found[false] ?? []
}

private func haveSameBytes(_ a: [Float], _ b: [Float]) -> Bool {
    a.count == b.count
        && a.withUnsafeBytes { a in
            b.withUnsafeBytes { b in
                guard let first = a.baseAddress, let second = b.baseAddress else { return true }
                return memcmp(first, second, a.count) == 0
            }
        }
}

/// Every value within `tolerance` · max(1, |expected|); NaN only where NaN is expected.
func expectClose(
    _ values: [Float], _ expected: [Double], tolerance: Double = 1e-6, _ label: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(values.count == expected.count, "\(label)", sourceLocation: sourceLocation)
    for (index, (value, wanted)) in zip(values, expected).enumerated() {
        if value.isNaN && wanted.isNaN { continue }
        if Double(value) == wanted { continue }
        guard abs(Double(value) - wanted) <= tolerance * max(1, abs(wanted)) else {
            Issue.record("\(label) at \(index): \(value), expected \(wanted)", sourceLocation: sourceLocation)
            return
        }
    }
}

/// Central differences of Σ cotangent · forward(x), in double.
func finiteDifferences(
    _ x: [Float], cotangent: [Float], step: Double = 1e-5, _ forward: ([Double]) -> [Double]
) -> [Double] {
    var point = x.map(Double.init)
    func value() -> Double { zip(forward(point), cotangent).reduce(0) { $0 + $1.0 * Double($1.1) } }
    return point.indices.map { index in
        let saved = point[index]
        point[index] = saved + step
        let above = value()
        point[index] = saved - step
        let below = value()
        point[index] = saved
        return (above - below) / (2 * step)
    }
}

/// Scratch memory, 64-byte aligned.
func workspace(_ count: Int) -> FloatArena {
    let arena = FloatArena(count: count)
    Scope.current?.arenas.append(arena)
    return arena
}
