import Basics

/// Whether the eyes look exchanged, by the sign of disparity.
///
/// The sign alone does not tell: in films most of a scene lies behind the screen (negative), in pictures of parallel
/// cameras all of it is positive. But what is low in a picture is near more often than what is high: with the eyes
/// right, disparity grows downwards. On real film frames this holds in five of six that tell, and most of them have
/// mostly negative disparities.
struct EyeOrder: Equatable {
    /// Frames where disparity grows, or shrinks, downwards.
    private(set) var growing = 0
    private(set) var shrinking = 0
    /// Matched blocks over all frames.
    private(set) var negative = 0
    private(set) var positive = 0
    private(set) var unmoved = 0

    private static let block = 8
    /// Search range at a width of 168, where films have −8…7.
    private static let reach = 10

    mutating func add(_ views: (PixelArray, PixelArray)) {
        let left = PictureGrid(views.0, height: 96, width: 168)
        let right = PictureGrid(views.1, height: 96, width: 168)
        guard left.width == right.width, left.height == right.height, left.width > 4 * Self.reach else { return }
        let matches = Self.match(left, right).found
        negative += matches.count { $0.disparity < 0 }
        positive += matches.count { $0.disparity > 0 }
        unmoved += matches.count { $0.disparity == 0 }
        guard matches.count >= 20, let slope = Self.correlation(matches) else { return }
        if slope > 0.2 { growing += 1 }
        if slope < -0.2 { shrinking += 1 }
    }

    /// What to say if they look exchanged.
    var warning: String? {
        let count = growing + shrinking
        guard count >= 8, 3 * shrinking >= 2 * count else { return nil }
        let share = Int((Double(positive) / Double(max(1, positive + negative)) * 100).rounded())
        return "the eyes look exchanged: in \(shrinking) of \(count) frames disparity shrinks downwards, and "
            + "\(share) % of it is positive; look at a frame (vergence-shards show), and give --swap-eyes or leave it out"
    }

    /// What to say of few pairs that lie behind infinity altogether, as no rig of parallel cameras has them, with what is low
    /// farther than what is high.
    var negativeWarning: String? {
        guard negative >= 50, 50 * positive <= negative, shrinking > growing else { return nil }
        return "the eyes look exchanged: all disparities are negative, and shrink downwards; look at a pair, "
            + "and give --swap-eyes or leave it out"
    }

    private struct Match {
        let disparity: Int
        let row: Int
    }

    /// Blocks of the left view with texture, and how many of them the right view has too, somewhere beside.
    static func details(_ first: PictureGrid, _ second: PictureGrid) -> (count: Int, alike: Int) {
        let result = match(first, second)
        return (result.textured, result.alike)
    }

    /// Blocks with texture whose best place in the other view is unique: left(x) = right(x − d).
    private static func match(_ first: PictureGrid, _ second: PictureGrid)
        -> (found: [Match], textured: Int, alike: Int)
    {
        var found: [Match] = []
        var (textured, alike) = (0, 0)
        let (height, width) = (first.height, first.width)
        guard width > 4 * reach, height >= block, second.height == height, second.width == width else {
            return (found, textured, alike)
        }
        let (left, right) = (first.luma, second.luma)
        for y in stride(from: 0, through: height - block, by: block) {
            for x in stride(from: reach, through: width - block - reach, by: block) {
                var texture = 0
                for row in y..<(y + block) {
                    for column in x..<(x + block - 1) {
                        texture += abs(left[row * width + column + 1] - left[row * width + column])
                    }
                }
                guard texture >= 4 * block * (block - 1) else { continue }
                let costs = (-reach...reach).map { disparity -> Int in
                    var cost = 0
                    for row in y..<(y + block) {
                        let line = row * width
                        for column in x..<(x + block) {
                            cost += abs(left[line + column] - right[line + column - disparity])
                        }
                    }
                    return cost
                }
                guard let best = costs.min(), let at = costs.firstIndex(of: best) else { continue }
                textured += 1
                if best < 8 * block * block { alike += 1 }
                guard at > 0, at < 2 * reach else { continue }
                let others = costs.indices.filter { abs($0 - at) > 1 }.map { costs[$0] }.min() ?? 0
                let pixels = block * block
                if best < 8 * pixels && 10 * others > 13 * best + 10 * pixels {
                    found.append(Match(disparity: at - reach, row: y))
                }
            }
        }
        return (found, textured, alike)
    }

    /// Between disparity and row.
    private static func correlation(_ matches: [Match]) -> Double? {
        let count = Double(matches.count)
        let meanD = Double(matches.reduce(0) { $0 + $1.disparity }) / count
        let meanY = Double(matches.reduce(0) { $0 + $1.row }) / count
        var (dd, yy, dy) = (0.0, 0.0, 0.0)
        for match in matches {
            let d = Double(match.disparity) - meanD
            let y = Double(match.row) - meanY
            dd += d * d
            yy += y * y
            dy += d * y
        }
        return dd > 0 && yy > 0 ? dy / (dd * yy).squareRoot() : nil
    }
}
