import Basics

/// A permutation of 0 ..< count that is evaluated, not stored: a Feistel network over the smallest even number of bits
/// that holds `count`, walked until it lands inside.
///
/// **Source:** Black, Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002 (cycle walking, generalised
/// Feistel); the round function is `CounterRandom`'s.
public struct Permutation: Sendable {
    public let count: Int
    private let random: CounterRandom
    private let halfBits: UInt64
    private let mask: UInt64
    private static let rounds: UInt64 = 8

    /// Different keys of `random` give independent permutations.
    public init(count: Int, random: CounterRandom) {
        precondition(count > 0, "a permutation of \(count)")
        self.count = count
        self.random = random
        // At least 4 bits a side: with fewer, the rounds have too few different functions to choose from.
        var half: UInt64 = 4
        while half < 31 && count > 1 << (2 * half) { half += 1 }
        precondition(count <= 1 << (2 * half), "a permutation of \(count)")
        halfBits = half
        mask = (1 << half) - 1
    }

    /// Where `index` goes. Expected O(1).
    public func callAsFunction(_ index: Int) -> Int {
        precondition(index >= 0 && index < count, "index \(index) of a permutation of \(count)")
        var value = UInt64(index)
        repeat {
            var left = value >> halfBits
            var right = value & mask
            for round in 0..<Self.rounds {
                (left, right) = (right, left ^ (random.bits(round << halfBits | right) & mask))
            }
            value = left << halfBits | right
        } while value >= UInt64(count)
        return Int(value)
    }

    /// What goes to `index`. Expected O(1).
    public func inverse(_ index: Int) -> Int {
        precondition(index >= 0 && index < count, "index \(index) of a permutation of \(count)")
        var value = UInt64(index)
        repeat {
            var left = value >> halfBits
            var right = value & mask
            for round in (0..<Self.rounds).reversed() {
                (left, right) = (right ^ (random.bits(round << halfBits | left) & mask), left)
            }
            value = left << halfBits | right
        } while value >= UInt64(count)
        return Int(value)
    }
}
