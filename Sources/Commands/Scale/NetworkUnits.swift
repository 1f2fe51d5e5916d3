import ArgumentParser
import Basics

/// Speed of a cable, as in `10gbit`.
struct CableRate: ExpressibleByArgument, CustomStringConvertible, Hashable {
    let bitsPerSecond: Double
    let description: String

    init?(argument: String) {
        let text = argument.lowercased()
        if text == "unlimited" {
            (bitsPerSecond, description) = (.infinity, text)
            return
        }
        for (unit, factor) in [("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3)] where text.hasSuffix(unit) {
            guard let number = Double(text.dropLast(unit.count)), number > 0, number <= 1e6 else { return nil }
            (bitsPerSecond, description) = (number * factor, text)
            return
        }
        return nil
    }

    var bytesPerSecond: Double { bitsPerSecond / 8 }
    var defaultValueDescription: String { description }
}

/// A short time, as in `50us` or `0.2ms`.
struct ShortTime: ExpressibleByArgument, CustomStringConvertible {
    let seconds: Double
    let description: String

    init?(argument: String) {
        let text = argument.lowercased()
        for (unit, factor) in [("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)] where text.hasSuffix(unit) {
            guard let number = Double(text.dropLast(unit.count)), number >= 0, number * factor <= 60 else { return nil }
            (seconds, description) = (number * factor, text)
            return
        }
        return nil
    }

    var defaultValueDescription: String { description }
}

/// Numbers of ranks, as in `1,2,4`.
struct RankCounts: ExpressibleByArgument, CustomStringConvertible {
    static let most = 65_536
    let counts: [Int]

    init(_ counts: [Int]) { self.counts = counts }

    init?(argument: String) {
        let numbers = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
        let counts = numbers.compactMap { $0 }.filter { (1...Self.most).contains($0) }
        guard counts.count == numbers.count, !counts.isEmpty, counts.count <= 64 else { return nil }
        self.counts = Set(counts).sorted()
    }

    var description: String { counts.map(String.init).joined(separator: ",") }
    var defaultValueDescription: String { description }
}
