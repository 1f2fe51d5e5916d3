import Basics

/// Which packing a film's pictures speak for. Each frame has one vote: for the halves that look alike. Single frames
/// err (of ordinary pictures about one in eight looks packed), so that fewer than `quorum` of them decide nothing
/// against a label.
struct PackingVote {
    static let quorum = 15
    /// Correlation of brightness from which two halves count as alike.
    private static let alike = 0.6

    private(set) var sideBySide = 0
    private(set) var topBottom = 0
    /// Neither.
    private(set) var flat = 0
    /// Too dark or too plain to say anything.
    private(set) var silent = 0
    /// Blocks with texture in frames that look packed, and those of them that the other half has too.
    private var details: [Arrangement: (count: Int, alike: Int)] = [:]

    var count: Int { sideBySide + topBottom + flat }

    mutating func add(_ picture: PixelArray) {
        func likeness(_ arrangement: Arrangement) -> Double? {
            let shape = ViewShape(
                arrangement, height: picture.height, width: picture.width, pixelAspect: 1, isHalf: false)
            guard shape.height > 0, shape.width > 0 else { return nil }
            let second =
                arrangement == .sideBySide ? (0, picture.width - shape.width) : (picture.height - shape.height, 0)
            let grids = [(0, 0), second].map {
                PictureGrid(picture, part: ($0.0, $0.1, shape.height, shape.width), height: 96, width: 96)
            }
            return PictureGrid.correlation(grids[0], grids[1])
        }
        guard let horizontal = likeness(.sideBySide), let vertical = likeness(.topBottom) else {
            silent += 1
            return
        }
        if max(horizontal, vertical) < Self.alike {
            flat += 1
            return
        }
        let arrangement: Arrangement = horizontal >= vertical ? .sideBySide : .topBottom
        if arrangement == .sideBySide { sideBySide += 1 } else { topBottom += 1 }
        let views = ViewShape(
            arrangement, height: picture.height, width: picture.width, pixelAspect: 1, isHalf: false
        ).views(of: picture)
        let found = EyeOrder.details(
            PictureGrid(views.0, height: 96, width: 168), PictureGrid(views.1, height: 96, width: 168))
        let before = details[arrangement] ?? (0, 0)
        details[arrangement] = (before.count + found.count, before.alike + found.alike)
    }

    /// Halves of a single picture may look alike from afar (a horizon, a pattern), but not in detail: of two views of a
    /// real film 78 % of the details match, of halves of its single views 2 %, of a test pattern's 40 %.
    private func isConfirmed(_ arrangement: Arrangement) -> Bool {
        guard let found = details[arrangement], found.count >= 50 else { return true }
        return 2 * found.alike >= found.count
    }

    /// What more than half of the voting frames say; nil if they say "not packed" or nothing.
    var winner: Arrangement? {
        let most: Arrangement
        if 2 * sideBySide > count {
            most = .sideBySide
        } else if 2 * topBottom > count {
            most = .topBottom
        } else {
            return nil
        }
        return isConfirmed(most) ? most : nil
    }

    func votes(for arrangement: Arrangement) -> Int {
        switch arrangement {
        case .sideBySide: sideBySide
        case .topBottom, .framePacked: topBottom
        case .alternating, .rows, .columns: count
        }
    }

    /// Clear enough to stand against a label: a quorum, of which four in five agree. Nothing is known of frames that
    /// alternate or interleave: their halves may look like anything.
    func contradicts(_ arrangement: Arrangement) -> Arrangement? {
        guard [.sideBySide, .topBottom, .framePacked].contains(arrangement), count >= Self.quorum, let winner,
            winner != arrangement,
            !(winner == .topBottom && arrangement == .framePacked), 5 * votes(for: winner) >= 4 * count
        else { return nil }
        return winner
    }

    /// As clear that nothing is packed at all.
    var looksFlat: Bool { count >= Self.quorum && 5 * flat >= 4 * count }

    var summary: String {
        let unlike = [Arrangement.sideBySide, .topBottom].filter { 2 * votes(for: $0) > count && !isConfirmed($0) }
        return "of \(count) frames that tell, \(sideBySide) look side by side, \(topBottom) top-bottom, "
            + "\(flat) like neither" + (unlike.isEmpty ? "" : ", but their halves differ in detail")
    }
}
