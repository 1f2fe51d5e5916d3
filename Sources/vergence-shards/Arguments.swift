import ArgumentParser
import Basics
import Foundation
import FrameSources
import Shards

extension PixelSize {
    /// `HxW` on the command line.
    /// - Throws: `ValidationError` for what is no size, or one of more pixels than a picture may have.
    static func parse(_ argument: String) throws -> PixelSize {
        guard let size = PixelSize(text: argument), size.height * size.width <= ImageLimits.samples / 3 else {
            throw ValidationError("give height x width in pixels, such as 192x336")
        }
        return size
    }
}

/// Which records go to another part than `train`: `val=0.1` or `val=every:7`.
///
/// Records are counted in the order of the source, from 0. `every:K` takes those whose number leaves remainder K − 1
/// when divided by K (6, 13, 20, … for 7); a fraction F takes the same number evenly spread: record i belongs to it if
/// ⌊(i + 1) · F⌋ > ⌊i · F⌋. A later rule counts what the earlier ones left.
struct SplitRule {
    enum Selection: Equatable {
        case every(Int)
        case fraction(Double)
    }

    let text: String
    let split: Split
    let selection: Selection

    init(argument: String) throws {
        let remedy = ValidationError("give val or test, then a fraction or every:K, such as val=0.1 or val=every:7")
        text = argument
        let parts = argument.split(separator: "=", omittingEmptySubsequences: false)
        guard parts.count == 2, let split = Split(rawValue: String(parts[0])), split != .train else { throw remedy }
        self.split = split
        if parts[1].hasPrefix("every:") {
            guard let step = Int(parts[1].dropFirst(6)), (1...1_000_000_000).contains(step) else { throw remedy }
            selection = .every(step)
        } else {
            guard let fraction = Double(parts[1]), fraction > 0, fraction <= 1 else { throw remedy }
            selection = .fraction(fraction)
        }
    }

    func takes(_ index: Int) -> Bool {
        switch selection {
        case .every(let step): index % step == step - 1
        case .fraction(let fraction): Self.quota(index + 1, fraction) > Self.quota(index, fraction)
        }
    }

    /// ⌊count · fraction⌋, where a product that misses an integer only by rounding counts as that integer.
    private static func quota(_ count: Int, _ fraction: Double) -> Int { Int(Double(count) * fraction + 1e-9) }

    /// The part of every record of a source.
    static func assign(_ count: Int, _ rules: [SplitRule]) -> [Split] {
        var splits = [Split](repeating: .train, count: count)
        for rule in rules {
            var number = 0
            for index in splits.indices where splits[index] == .train {
                if rule.takes(number) { splits[index] = rule.split }
                number += 1
            }
        }
        return splits
    }

    /// The part of every item. Parts that the publisher named stay, except that rules divide his training part. Items of
    /// one group, such as a scene, go to one part, wherever they stand: the rules count groups, in order of appearance.
    static func assign(_ items: [FrameItem], _ rules: [SplitRule]) -> [Split] {
        let units = units(items)
        let splits = assign((units.compactMap { $0 }.max() ?? -1) + 1, rules)
        return zip(items, units).map { item, unit in
            unit.map { splits[$0] } ?? (item.part == .val ? .val : .test)
        }
    }

    /// For every item the number of what rules count; nil for those that keep the publisher's part.
    private static func units(_ items: [FrameItem]) -> [Int?] {
        var numbers: [String: Int] = [:]
        var count = 0
        return items.map { item in
            if item.part == .val || item.part == .test { return nil }
            if let group = item.group, let number = numbers[group] { return number }
            if let group = item.group { numbers[group] = count }
            count += 1
            return count - 1
        }
    }

    /// A line for every rule that takes nothing.
    static func complaints(_ items: [FrameItem], _ rules: [SplitRule]) -> [String] {
        let units = units(items)
        let count = (units.compactMap { $0 }.max() ?? -1) + 1
        let splits = assign(count, rules)
        let isGrouped = zip(items, units).contains { $0.group != nil && $1 != nil }
        return rules.filter { rule in !splits.contains(rule.split) }.map { rule in
            "warning: --split \(rule.text) takes nothing of \(count) "
                + (isGrouped ? "groups (scenes, drives, films); they are not torn apart" : "records")
                + (count > 1 ? "; \(rule.split.rawValue)=every:\(count) takes the last one" : "")
        }
    }
}

/// What every command that writes a data set takes.
struct WritingOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Records for validation or test: val=0.1 (evenly spread), val=every:7 (numbers 6, 13, 20, …). Repeatable.",
            valueName: "part=rule"), transform: SplitRule.init(argument:))
    var split: [SplitRule] = []

    @Option(help: "Threads that read and compress. The output does not depend on it. (default: all cores)")
    var workers: Int?

    @Option(help: ArgumentHelp("Size at which a shard ends, in MiB.", valueName: "MB"))
    var shardSize: Int = DataSetWriter.defaultShardByteCount >> 20

    @OptionGroup
    var logging: LogOptions

    @Option(help: "LZ4 level: 0 (fast) … 12 (small).")
    var level: Int = 9

    func validate() throws {
        if let workers, !(1...1024).contains(workers) { throw ValidationError("--workers \(workers) is not in 1…1024") }
        guard (1...65536).contains(shardSize) else {
            throw ValidationError("--shard-size \(shardSize) is not in 1…65536")
        }
        guard (0...12).contains(level) else { throw ValidationError("--level \(level) is not in 0…12") }
        guard Set(split.map(\.split)).count == split.count else {
            throw ValidationError("--split names one part twice")
        }
    }

    var workerCount: Int { workers ?? max(1, min(1024, ProcessInfo.processInfo.activeProcessorCount)) }
}
