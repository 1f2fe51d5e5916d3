import Basics

/// The one binary tree by which everything is combined over lanes, whatever the number of ranks.
///
/// Over lanes [a, b): split at a plus the largest power of two below b − a; left + right.
public enum LaneTree {
    /// Where a range of at least two lanes is split.
    public static func split(_ range: Range<Int>) -> Int {
        precondition(range.count >= 2, "\(range) has no two parts")
        var power = 1
        while power * 2 < range.count { power *= 2 }
        return range.lowerBound + power
    }

    /// The contiguous lanes of a rank: 8 lanes on 3 ranks are 0–2, 3–5, 6–7.
    /// - Throws: `Failure` (usage) if there are fewer lanes than ranks.
    public static func share(rank: Int, worldSize: Int, lanes: Int) throws -> Range<Int> {
        precondition((0..<worldSize).contains(rank), "rank \(rank) of \(worldSize)")
        guard lanes >= worldSize else {
            throw Failure(
                .usage,
                "\(lanes) lanes cannot be shared by \(worldSize) ranks; raise --lanes or start at most \(lanes) ranks")
        }
        let (quotient, remainder) = lanes.quotientAndRemainder(dividingBy: worldSize)
        let start = rank * quotient + min(rank, remainder)
        return start..<(start + quotient + (rank < remainder ? 1 : 0))
    }

    /// The largest subtrees of the tree over lanes 0 ..< lanes that lie within `range`, in lane order. A rank passes one
    /// partial sum per subtree on.
    public static func subtrees(of lanes: Int, within range: Range<Int>) -> [Range<Int>] {
        precondition(range.lowerBound >= 0 && range.upperBound <= lanes, "lanes \(range) of \(lanes)")
        var result: [Range<Int>] = []
        func visit(_ node: Range<Int>) {
            guard node.overlaps(range) else { return }
            if node.lowerBound >= range.lowerBound && node.upperBound <= range.upperBound {
                result.append(node)
                return
            }
            let middle = split(node)
            visit(node.lowerBound..<middle)
            visit(middle..<node.upperBound)
        }
        visit(0..<lanes)
        return result
    }
}

/// One addition `buffers[into] += buffers[from]`, of whole buffers.
public struct BufferAddition: Sendable, Equatable {
    public let into: Int
    public let from: Int

    public init(into: Int, from: Int) {
        self.into = into
        self.from = from
    }
}

/// How a rank that computes its lanes one after another combines their results: which buffer each lane writes and which
/// additions follow it.
///
/// Buffers form a stack: a lane writes the lowest free one, and additions fold it downward as soon as a node of the tree
/// is complete. That needs the fewest buffers of any order that keeps to the tree: 1 + log₂ n for n = 2ᵏ lanes.
public struct LaneFold: Sendable, Equatable {
    public struct Step: Sendable, Equatable {
        public let lane: Int
        /// The buffer that receives the lane's result (overwritten, not added to).
        public let buffer: Int
        /// What to add afterwards, in this order.
        public let additions: [BufferAddition]
    }

    /// One per lane, in lane order.
    public let steps: [Step]
    public let bufferCount: Int
    /// The subtrees that are left at the end, in lane order: that of index i is in buffer i.
    public let subtrees: [Range<Int>]

    /// - Parameter range: the rank's lanes, not empty, of `lanes` in all.
    public init(lanes: Int, range: Range<Int>) {
        precondition(!range.isEmpty, "a rank without lanes")
        subtrees = LaneTree.subtrees(of: lanes, within: range)
        // How many nodes of two or more lanes end with each lane: so many additions follow it.
        var closing = [Int](repeating: 0, count: range.count)
        func visit(_ node: Range<Int>) {
            guard node.count >= 2 else { return }
            let middle = LaneTree.split(node)
            visit(node.lowerBound..<middle)
            visit(middle..<node.upperBound)
            closing[node.upperBound - 1 - range.lowerBound] += 1
        }
        for subtree in subtrees { visit(subtree) }
        var steps: [Step] = []
        var (depth, deepest) = (0, 0)
        for (lane, count) in zip(range, closing) {
            let top = depth
            let additions = (0..<count).map { BufferAddition(into: top - 1 - $0, from: top - $0) }
            steps.append(Step(lane: lane, buffer: top, additions: additions))
            deepest = max(deepest, top + 1)
            depth = top + 1 - count
        }
        precondition(depth == subtrees.count, "\(depth) partial sums for \(subtrees.count) subtrees")
        self.steps = steps
        bufferCount = deepest
    }

    /// `into[i] += from[i]` for `count` floats, rounded as the transport wants it: the one addition of the tree.
    public static func add(
        _ from: UnsafePointer<Float>, to into: UnsafeMutablePointer<Float>, count: Int,
        _ transport: Transport = .float32
    ) {
        switch transport {
        case .float32: for index in 0..<count { into[index] += from[index] }
        case .bf16: for index in 0..<count { into[index] = Transport.rounded(into[index] + from[index]) }
        }
    }
}
