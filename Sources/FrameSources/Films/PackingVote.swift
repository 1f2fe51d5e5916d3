import Basics

/// Which packing a film's pictures speak for. Each frame has one vote: for the halves that look alike. Single frames
/// err (of ordinary pictures about one in eight looks packed), so that fewer than `quorum` of them decide nothing
/// against a label.
struct PackingVote: Equatable {
    static let quorum = 15
    /// Correlation of brightness from which two halves count as alike.
    private static let alike = 0.6

    private(set) var sideBySide = 0
    private(set) var topBottom = 0
    /// Neither.
    private(set) var flat = 0
    /// Too dark or too plain to say anything.
    private(set) var silent = 0

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
        } else if horizontal >= vertical {
            sideBySide += 1
        } else {
            topBottom += 1
        }
    }

    /// What more than half of the voting frames say; nil if they say "not packed" or nothing.
    var winner: Arrangement? {
        if 2 * sideBySide > count { return .sideBySide }
        if 2 * topBottom > count { return .topBottom }
        return nil
    }

    func votes(for arrangement: Arrangement) -> Int {
        switch arrangement {
        case .sideBySide: sideBySide
        case .topBottom, .framePacked: topBottom
        case .alternating, .rows, .columns: flat
        }
    }

    /// Clear enough to stand against a label: a quorum, of which four in five agree.
    func contradicts(_ arrangement: Arrangement) -> Arrangement? {
        guard count >= Self.quorum, let winner, winner != arrangement,
            !(winner == .topBottom && arrangement == .framePacked), 5 * votes(for: winner) >= 4 * count
        else { return nil }
        return winner
    }

    /// As clear that nothing is packed at all.
    var looksFlat: Bool { count >= Self.quorum && 5 * flat >= 4 * count }

    var summary: String {
        "of \(count) frames that tell, \(sideBySide) look side by side, \(topBottom) top-bottom, \(flat) like neither"
    }
}
