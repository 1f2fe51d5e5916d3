import Basics

/// How the records of an epoch are mixed.
public struct Shuffling: Sendable, Equatable {
    /// Neighbouring records that stay together until they are mixed with those of other blocks; 1 mixes single records.
    public var block: Int
    /// Blocks that are mixed with one another.
    public var window: Int

    public init(block: Int = 1, window: Int = 16) {
        precondition(block > 0 && window > 0, "blocks of \(block), windows of \(window)")
        self.block = block
        self.window = window
    }

    /// Records that are mixed with one another; 0 = all of them.
    public var windowRecords: Int { block == 1 ? 0 : block * window }
}

/// The order of one pass over `count` records: a pure function, nothing is stored.
///
/// Blocks of neighbours are permuted; every `window` of them in the new order are then permuted record by record. So
/// whoever reads in this order needs the bytes of one window at a time, and each block of it is one stretch of a file.
/// With blocks of one record it is a plain permutation.
public struct BlockShuffle: Sendable {
    public let count: Int
    private let shuffling: Shuffling
    private let blocks: Permutation
    private let random: CounterRandom
    /// Place of the last block, which may be short, in the order of blocks; its records.
    private let shortPlace: Int
    private let shortCount: Int

    /// Different keys of `random` give independent orders.
    public init(count: Int, shuffling: Shuffling, random: CounterRandom) {
        self.count = count
        self.shuffling = shuffling
        self.random = random
        let blockCount = (count + shuffling.block - 1) / shuffling.block
        blocks = Permutation(count: blockCount, random: random)
        shortCount = count - (blockCount - 1) * shuffling.block
        shortPlace = shuffling.block == 1 ? blockCount - 1 : blocks.inverse(blockCount - 1)
    }

    /// First position of a place in the order of blocks.
    private func start(_ place: Int) -> Int {
        place * shuffling.block - (place > shortPlace ? shuffling.block - shortCount : 0)
    }

    /// Record at a position.
    public func callAsFunction(_ position: Int) -> Int {
        if shuffling.block == 1 { return blocks(position) }
        precondition(position >= 0 && position < count, "position \(position) of \(count)")
        // The short block may shift a window's start to the left by less than a block.
        var window = position / shuffling.windowRecords
        if start((window + 1) * shuffling.window) <= position { window += 1 }
        let firstPlace = window * shuffling.window
        let first = start(firstPlace)
        let end = min(count, start(min(blocks.count, firstPlace + shuffling.window)))
        let mixed = Permutation(
            count: end - first, random: CounterRandom(key: CounterRandom.derive(random.key, UInt64(window))))
        let target = first + mixed(position - first)
        // The block that lies there.
        var place = target / shuffling.block
        if place + 1 < blocks.count, start(place + 1) <= target { place += 1 }
        return blocks(place) * shuffling.block + target - start(place)
    }
}

/// Several sets of records that are read in fixed proportions.
public struct SampleMix: Sendable, Equatable {
    public struct Source: Sendable, Equatable {
        /// Number of its first record within the split of the joined set.
        public let start: Int
        public let count: Int
        /// Of every `cycle` samples.
        public let quota: Int

        public init(start: Int, count: Int, quota: Int) {
            self.start = start
            self.count = count
            self.quota = quota
        }
    }

    public let sources: [Source]
    /// Sum of the quotas.
    public let cycle: Int
    /// Weights are rounded to this part of the whole.
    public static let resolution = 1000

    /// - Parameters:
    ///   - counts: records of each, all above 0.
    ///   - weights: any scale, all above 0. Each set gets the nearest thousandths of the whole, at least one.
    public init(counts: [Int], weights: [Double]) {
        precondition(counts.count == weights.count && !counts.isEmpty && weights.allSatisfy { $0 > 0 && $0.isFinite })
        let total = weights.reduce(0, +)
        var start = 0
        var sources: [Source] = []
        for (count, weight) in zip(counts, weights) {
            let quota = max(1, Int((weight / total * Double(Self.resolution)).rounded()))
            sources.append(Source(start: start, count: count, quota: quota))
            start += count
        }
        self.sources = sources
        cycle = sources.reduce(0) { $0 + $1.quota }
    }

    /// Source, pass over it, and position in that pass of sample `index` of the run. Every cycle of samples has each
    /// source's quota exactly, in an order of its own.
    func place(_ index: Int, seed: UInt64) -> (source: Int, pass: Int, position: Int) {
        let number = index / cycle
        let order = Permutation(count: cycle, random: CounterRandom(seed, "order of sources", UInt64(number)))
        var slot = order(index % cycle)
        var source = 0
        while slot >= sources[source].quota {
            slot -= sources[source].quota
            source += 1
        }
        let drawn = number * sources[source].quota + slot
        return (source, drawn / sources[source].count, drawn % sources[source].count)
    }
}
