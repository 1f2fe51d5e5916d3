import Basics

/// Gradients of lanes out of thin air, and their mean by the lane tree, as simply as it can be written.
public enum LaneFixture {
    /// Values of very unlike size, so that another order of additions shows in the bits.
    public static func gradient(lane: Int, count: Int) -> [Float] {
        let random = CounterRandom(7, "lane fixture", UInt64(lane))
        return (0..<count).map { index in
            let bits = random.bits(UInt64(index))
            let mantissa = Float(Int32(truncatingIfNeeded: bits)) / 0x1p31
            return mantissa * Float(sign: .plus, exponent: Int(bits >> 32 & 7) - 4, significand: 1)
        }
    }

    /// The mean over lanes, by recursion over whole arrays.
    public static func mean(lanes: Int, count: Int) -> [Float] {
        func sum(_ first: Int, _ end: Int) -> [Float] {
            if end - first == 1 { return gradient(lane: first, count: count) }
            var power = 1
            while power * 2 < end - first { power *= 2 }
            return zip(sum(first, first + power), sum(first + power, end)).map { $0 + $1 }
        }
        return sum(0, lanes).map { $0 * (1 / Float(lanes)) }
    }

    public static func hash(_ values: [Float]) -> String { values.withUnsafeBytes { Hash.xxh128($0) } }
}
