/// In which numbers partial sums travel between ranks.
///
/// With bfloat16 every node of the lane tree, a single lane included, is rounded to its upper 16 bits (nearest, ties to even),
/// in a rank as between ranks. So a sum is the same wherever it is computed, and what travels loses nothing: the bits are
/// those of any other number of ranks, though not those of float32.
public enum Transport: String, Sendable, CaseIterable {
    case float32
    case bf16

    /// Floats of a buffer that `count` values take on their way.
    func packedCount(_ count: Int) -> Int { self == .bf16 ? (count + 1) / 2 : count }

    /// Rounds a node of the tree.
    public func round(_ values: UnsafeMutablePointer<Float>, count: Int) {
        guard self == .bf16 else { return }
        for index in 0..<count { values[index] = Self.rounded(values[index]) }
    }

    /// The nearest bfloat16, ties to even; NaN stays NaN, what is too large becomes infinite.
    static func rounded(_ value: Float) -> Float {
        let bits = value.bitPattern
        let nearest = bits &+ 0x7FFF &+ (bits >> 16 & 1)
        // Rounding up could turn a NaN's bits into another number's.
        let isNaN = bits & 0x7FFF_FFFF > 0x7F80_0000
        return Float(bitPattern: (isNaN ? bits | 0x40_0000 : nearest) & 0xFFFF_0000)
    }

    /// Rounded values, two to a float.
    static func pack(_ values: UnsafePointer<Float>, count: Int, into packed: UnsafeMutablePointer<Float>) {
        let halves = UnsafeMutableRawPointer(packed).assumingMemoryBound(to: UInt16.self)
        for index in 0..<count { halves[index] = UInt16(truncatingIfNeeded: values[index].bitPattern >> 16) }
    }

    static func unpack(_ packed: UnsafePointer<Float>, count: Int, into values: UnsafeMutablePointer<Float>) {
        let halves = UnsafeRawPointer(packed).assumingMemoryBound(to: UInt16.self)
        for index in 0..<count { values[index] = Float(bitPattern: UInt32(halves[index]) << 16) }
    }
}
