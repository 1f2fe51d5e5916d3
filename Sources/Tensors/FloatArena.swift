import Glibc

/// One block of float32 memory, 64-byte aligned, huge pages where the system offers them, zero at first.
///
/// Parameters, gradients, optimizer state and activations each live in one arena; tensors are offsets into it.
public final class FloatArena: @unchecked Sendable {
    public let count: Int
    public let base: UnsafeMutablePointer<Float>
    private let byteCount: Int

    public init(count: Int) {
        precondition(count >= 0)
        self.count = count
        let page = 1 << 21
        let bytes = max(64, count * MemoryLayout<Float>.stride)
        byteCount = bytes >= page ? (bytes + page - 1) / page * page : bytes
        var pointer: UnsafeMutableRawPointer?
        let failure = posix_memalign(&pointer, bytes >= page ? page : 64, byteCount)
        precondition(failure == 0, "out of memory: \(byteCount) bytes")
        if bytes >= page { madvise(pointer, byteCount, MADV_HUGEPAGE) }
        memset(pointer!, 0, byteCount)
        base = pointer!.bindMemory(to: Float.self, capacity: count)
    }

    deinit { free(base) }

    public var buffer: UnsafeMutableBufferPointer<Float> { .init(start: base, count: count) }

    public subscript(_ range: Range<Int>) -> UnsafeMutableBufferPointer<Float> {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "span \(range) of an arena of \(count)")
        return .init(start: base + range.lowerBound, count: range.count)
    }
}

/// A span of an arena with a shape: what kernels work on. It does not own memory.
public struct TensorView: @unchecked Sendable {
    public let base: UnsafeMutablePointer<Float>
    public let shape: Shape

    public init(_ base: UnsafeMutablePointer<Float>, _ shape: Shape) {
        self.base = base
        self.shape = shape
    }

    public var count: Int { shape.count }
    public var buffer: UnsafeMutableBufferPointer<Float> { .init(start: base, count: count) }
}
