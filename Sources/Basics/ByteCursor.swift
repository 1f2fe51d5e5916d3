/// Reads little-endian values out of bytes that somebody else wrote: every read is checked, none can trap.
public struct ByteCursor {
    public struct Truncated: Error, Equatable {
        public let byteOffset: Int
        public let wanted: Int
    }

    public let bytes: UnsafeRawBufferPointer
    public private(set) var byteOffset: Int

    public init(_ bytes: UnsafeRawBufferPointer, at byteOffset: Int = 0) {
        self.bytes = bytes
        self.byteOffset = byteOffset
    }

    public var remaining: Int { bytes.count - byteOffset }

    public mutating func take(_ count: Int) throws(Truncated) -> UnsafeRawBufferPointer {
        guard count >= 0, count <= remaining else { throw Truncated(byteOffset: byteOffset, wanted: count) }
        defer { byteOffset += count }
        return UnsafeRawBufferPointer(rebasing: bytes[byteOffset..<(byteOffset + count)])
    }

    public mutating func integer<T: FixedWidthInteger>(_ type: T.Type = T.self) throws(Truncated) -> T {
        T(littleEndian: try take(MemoryLayout<T>.size).loadUnaligned(as: T.self))
    }
}

extension Array where Element == UInt8 {
    /// Appends `value` in little-endian order.
    public mutating func appendLittleEndian<T: FixedWidthInteger>(_ value: T) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }
}
