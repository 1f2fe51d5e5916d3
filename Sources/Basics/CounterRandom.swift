/// A counter-based random generator: number `i` of a stream is a pure function of (key, i), so that no draw depends on
/// the order of other draws, and resuming means evaluating somewhere else.
///
/// The mixing function is SplitMix64's finalizer. **Source:** Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014.
public struct CounterRandom: Sendable {
    public let key: UInt64

    public init(key: UInt64) { self.key = key }

    /// A stream for a purpose: `CounterRandom(seed, "shuffle", epoch)`.
    public init(_ seed: UInt64, _ purpose: String, _ indices: UInt64...) {
        var key = Self.mix(seed ^ Hash.xxh64(purpose))
        for index in indices { key = Self.derive(key, index) }
        self.key = key
    }

    /// The key of sub-stream `index` of the stream `key`.
    public static func derive(_ key: UInt64, _ index: UInt64) -> UInt64 {
        mix(key &+ 0x9E37_79B9_7F4A_7C15 &* (index &+ 1))
    }

    /// 64 random bits.
    public func bits(_ index: UInt64) -> UInt64 {
        Self.mix(key &+ 0x9E37_79B9_7F4A_7C15 &* (index &+ 1))
    }

    /// Uniform in 0 ..< 1, 53 bits.
    public func uniform(_ index: UInt64) -> Double {
        Double(bits(index) >> 11) * 0x1p-53
    }

    public func uniform(_ index: UInt64, in range: Range<Double>) -> Double {
        range.lowerBound + (range.upperBound - range.lowerBound) * uniform(index)
    }

    /// Uniform integer in 0 ..< bound by multiplication (bias below bound / 2⁶⁴).
    public func integer(_ index: UInt64, below bound: Int) -> Int {
        precondition(bound > 0)
        return Int(bits(index).multipliedFullWidth(by: UInt64(bound)).high)
    }

    /// Standard normal by Box–Muller from two draws of the stream (`2 * index` and `2 * index + 1`).
    public func normal(_ index: UInt64) -> Double {
        let radius = (-2 * Libm.log(1 - uniform(2 * index))).squareRoot()
        return radius * Libm.cos(2 * .pi * uniform(2 * index + 1))
    }

    public static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
