/// Growing scratch memory: 64-byte aligned, with `padding` bytes of room on both sides for the filters' vector loads.
final class ScratchBuffer {
    static let padding = 64
    private var storage: UnsafeMutableRawPointer?
    private var capacity = 0

    deinit { storage?.deallocate() }

    /// At least `count` bytes. What was in the buffer is lost when it grows.
    func pointer(_ count: Int) -> UnsafeMutableRawPointer {
        if let storage, capacity >= count { return storage + Self.padding }
        storage?.deallocate()
        capacity = count + count / 8
        let byteCount = capacity + 2 * Self.padding
        let grown = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 64)
        grown.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        storage = grown
        return grown + Self.padding
    }

    func bytes(_ count: Int) -> UnsafeMutableRawBufferPointer { .init(start: pointer(count), count: count) }

    func uint8s(_ count: Int) -> UnsafeMutablePointer<UInt8> { pointer(count).assumingMemoryBound(to: UInt8.self) }
}
