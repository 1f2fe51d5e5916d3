import Basics

/// What speaks against pairs that a user hands over, before anything is learned from them or made of them: eyes that look
/// exchanged, halves or files that are no views of the same scene.
public struct PairSurvey {
    /// Pairs that are looked at; taken evenly from all.
    public static let limit = 16

    private var eyes = EyeOrder()
    private var seen = 0
    private var unlike = 0
    private var same = 0

    public init() {}

    /// Looks at some of the items. Those that cannot be read, or hold no pair, are left to whoever needs them.
    public init(_ items: [FrameItem]) {
        for item in Self.sample(items) {
            guard let record = try? item.load(), let left = record[FieldName.left], let right = record[FieldName.right]
            else { continue }
            add(left: left, right: right)
        }
    }

    public mutating func add(left: PixelArray, right: PixelArray) {
        guard left.height == right.height, left.width == right.width else { return }
        let views = (ContactSheet.displayable(left), ContactSheet.displayable(right))
        // Plain and dark pictures say nothing.
        guard let likeness = Self.likeness(Self.grid(views.0), Self.grid(views.1)) else { return }
        seen += 1
        if likeness < Self.alike { unlike += 1 }
        if left == right { same += 1 }
        eyes.add(views)
    }

    /// One line each; empty if nothing speaks against the pairs.
    public var warnings: [String] {
        guard seen > 0 else { return [] }
        let of = "\(seen) pair\(seen == 1 ? "" : "s") looked at"
        if 2 * unlike > seen {
            return [
                "the two views do not look alike in \(unlike) of \(of): perhaps pictures are packed in another way, or "
                    + "hold one view; look at one, and give the right --layout"
            ]
        }
        if 2 * same > seen {
            return ["the two views are the same picture in \(same) of \(of): there is no depth in them"]
        }
        return [eyes.warning ?? eyes.negativeWarning].compactMap(\.self)
    }

    /// What speaks for single pictures being two views side by side; nil if nothing does.
    public static func packingWarning(_ items: [FrameItem]) -> String? {
        let halves = PackedFrames(root: "", packing: .sideBySide)
        var (seen, packed) = (0, 0)
        for item in sample(items) {
            guard let picture = try? item.load().fields.first?.array else { continue }
            seen += 1
            // Views are seldom higher than wide.
            guard picture.width >= 2 * picture.height, let views = try? halves.split(picture, path: ""), views.count == 2,
                let likeness = likeness(
                    grid(ContactSheet.displayable(views[0].array)), grid(ContactSheet.displayable(views[1].array))),
                likeness >= alike
            else { continue }
            packed += 1
        }
        guard 3 * packed > 2 * seen else { return nil }
        return "\(packed) of \(seen) pictures look like two views side by side and are taken for one each; "
            + "--layout side-by-side takes the left views"
    }

    private static func sample(_ items: [FrameItem]) -> [FrameItem] {
        let count = min(items.count, limit)
        return (0..<count).map { items[$0 * items.count / count] }
    }

    private static func grid(_ picture: PixelArray) -> PictureGrid {
        PictureGrid(picture, height: side, width: side)
    }

    private static let side = 96
    /// Views of one scene have 0.67 and more (KITTI, Middlebury, film frames); of other halves of pictures from there one
    /// in five comes so far.
    private static let alike = 0.6

    /// Largest correlation of brightness over sideways shifts of up to a fifth of the width, so that near scenes count as
    /// alike, too; nil if the pictures are too plain.
    private static func likeness(_ left: PictureGrid, _ right: PictureGrid) -> Double? {
        guard left.width == side, left.height == side, PictureGrid.correlation(left, right) != nil else { return nil }
        let (a, b) = (left.luma, right.luma)
        return (-20...20).map { shift -> Double in
            let columns = max(0, shift)..<(side + min(0, shift))
            var (count, sumA, sumB, aa, bb, ab) = (0, 0, 0, 0, 0, 0)
            for row in 0..<side {
                for column in columns {
                    let (x, y) = (a[row * side + column], b[row * side + column - shift])
                    count += 1
                    sumA += x
                    sumB += y
                    aa += x * x
                    bb += y * y
                    ab += x * y
                }
            }
            let n = Double(count)
            let (varianceA, varianceB) = (
                n * Double(aa) - Double(sumA) * Double(sumA), n * Double(bb) - Double(sumB) * Double(sumB)
            )
            guard varianceA > 0, varianceB > 0 else { return 0 }
            return (n * Double(ab) - Double(sumA) * Double(sumB)) / (varianceA * varianceB).squareRoot()
        }.max()
    }
}
