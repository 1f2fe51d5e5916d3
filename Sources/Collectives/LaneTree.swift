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
        precondition((0..<worldSize).contains(rank))
        guard lanes >= worldSize else {
            throw Failure(
                .usage,
                "\(lanes) lanes cannot be shared by \(worldSize) ranks; raise --lanes or start at most \(lanes) ranks")
        }
        let (quotient, remainder) = lanes.quotientAndRemainder(dividingBy: worldSize)
        let start = rank * quotient + min(rank, remainder)
        return start..<(start + quotient + (rank < remainder ? 1 : 0))
    }

    /// The largest subtrees of the tree over `lanes` that lie within `range`, in lane order. A rank passes one partial
    /// sum per subtree on.
    public static func subtrees(of lanes: Int, within range: Range<Int>) -> [Range<Int>] {
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

    /// What to do with the partial sums after each lane of a rank, lanes in order. Partial sums form a stack.
    ///
    /// Element i belongs to lane range.lowerBound + i: how many partial sums from the top of the stack are added, one
    /// after the other, onto which the new lane's result goes as the right operand: first top + new, then the one below
    /// it + that, and so on; the result stays on the stack.
    public static func merges(of lanes: Int, within range: Range<Int>) -> [Int] {
        var counts = [Int](repeating: 0, count: range.count)
        func visit(_ node: Range<Int>) {
            guard node.count >= 2 else { return }
            let middle = split(node)
            visit(node.lowerBound..<middle)
            visit(middle..<node.upperBound)
            counts[node.upperBound - 1 - range.lowerBound] += 1
        }
        for subtree in subtrees(of: lanes, within: range) { visit(subtree) }
        return counts
    }
}
