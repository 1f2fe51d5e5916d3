import Basics

/// How a film is packed, by what was given, what the film says, and what its pictures show, in this order.
struct PackingDecision: Equatable {
    let shape: ViewShape
    let isRightFirst: Bool
    /// What decided.
    let reason: String
    /// Contradictions.
    let warnings: [String]

    struct Given {
        var packing = FilmPacking.auto
        var swapsEyes = false
        /// Of a pixel of the packed frame.
        var pixelAspect: Double?
    }

    /// - Throws: `ImageError` (65) if the film is no stereo film or cannot be taken apart.
    init(_ film: FilmInfo, frameLabel: StereoLabel?, vote: PackingVote, given: Given) throws(ImageError) {
        let label = film.label ?? frameLabel
        let aspect = given.pixelAspect ?? film.pixelAspect
        var warnings: [String] = []
        func shape(_ arrangement: Arrangement, isHalf: Bool? = nil) -> ViewShape {
            ViewShape(
                arrangement, height: film.height, width: film.width, pixelAspect: aspect, isHalf: isHalf,
                isForced: given.pixelAspect != nil)
        }

        var labelled: Arrangement?
        if case .packed(let arrangement)? = label?.kind { labelled = arrangement }
        if labelled == .topBottom, Self.isFramePacked(film) { labelled = .framePacked }
        let arrangement: Arrangement
        if let explicit = given.packing.arrangement {
            arrangement = explicit
            reason = "as given"
            if let labelled, labelled != explicit {
                warnings.append("its label says \(labelled.rawValue), but --packing \(given.packing.rawValue) counts")
            } else if label?.kind == .flat {
                warnings.append("its label says 2D, but --packing \(given.packing.rawValue) counts")
            }
            if let shown = vote.contradicts(explicit) {
                warnings.append("its pictures look \(shown.rawValue) (\(vote.summary)); check --packing")
            } else if vote.count >= PackingVote.quorum, vote.votes(for: explicit) * 5 < vote.count {
                warnings.append("its pictures do not look \(explicit.rawValue) (\(vote.summary)); check --packing")
            }
        } else if let labelled {
            let other: Arrangement = labelled == .sideBySide ? .topBottom : .sideBySide
            if let shown = vote.contradicts(labelled) {
                arrangement = shown
                reason = "from its pictures"
                warnings.append(
                    "its label says \(labelled.rawValue), but its pictures are \(shown.rawValue) (\(vote.summary)); "
                        + "taken as \(shown.rawValue), give --packing if that is wrong")
            } else if [.sideBySide, .topBottom].contains(labelled), !shape(labelled).isPlausible,
                shape(other).isPlausible
            {
                arrangement = other
                reason = "from the shape of its frames"
                warnings.append(
                    "its label says \(labelled.rawValue), but only as \(other.rawValue) do "
                        + "\(film.width)x\(film.height) pixels give pictures of a usual shape; taken as that, give --packing if that is wrong"
                )
            } else if vote.looksFlat, [.sideBySide, .topBottom, .framePacked].contains(labelled) {
                throw ImageError(
                    path: film.path,
                    "its label says \(labelled.rawValue), but it looks like a 2D film (\(vote.summary))",
                    remedy: Self.flatRemedy)
            } else {
                arrangement = labelled
                reason = "from its label"
                if vote.count >= PackingVote.quorum, vote.votes(for: labelled) * 2 < vote.count {
                    warnings.append("its pictures do not look \(labelled.rawValue) (\(vote.summary))")
                }
            }
        } else {
            (arrangement, reason) = try Self.unlabelled(film, label: label, vote: vote, shape: { shape($0) })
        }
        self.shape = shape(arrangement, isHalf: given.packing.isHalf)

        // A label about another arrangement says nothing about this one's order.
        let labelledOrder = labelled == arrangement ? label?.isRightFirst : nil
        if given.swapsEyes {
            isRightFirst = true
            if labelledOrder == false { warnings.append("its label says left view first, but --swap-eyes counts") }
        } else if given.packing != .auto {
            isRightFirst = false
            if labelledOrder == true {
                warnings.append("its label says right view first, but --packing without --swap-eyes counts")
            }
        } else {
            isRightFirst = labelledOrder ?? false
        }
        if let isHalf = given.packing.isHalf, !self.shape.isPlausible {
            let other = shape(arrangement, isHalf: !isHalf)
            if other.isPlausible {
                let (found, usual) = (
                    self.shape.squareSize(height: self.shape.height, width: self.shape.width),
                    other.squareSize(height: other.height, width: other.width)
                )
                warnings.append(
                    "\(given.packing.rawValue) gives views of \(found.width)x\(found.height), no picture's shape, "
                        + "\(isHalf ? "full" : "half") ones would have \(usual.width)x\(usual.height); check --packing")
            }
        }
        if self.shape.ignoresPixelAspect {
            warnings.append(
                "its pixel aspect of \(Self.rounded(film.pixelAspect)) gives views no usual shape and is left alone; "
                    + "--pixel-aspect W:H would apply it")
        }
        guard self.shape.height >= 16, self.shape.width >= 16 else {
            throw ImageError(
                path: film.path, "\(film.width)x\(film.height) pixels are too few for two views",
                remedy: "give a larger film")
        }
        self.warnings = warnings
    }

    private static func isFramePacked(_ film: FilmInfo) -> Bool {
        (film.width == 1920 && film.height == 2205) || (film.width == 1280 && film.height == 1470)
    }

    private static let flatRemedy =
        "give a stereo film, or --packing if it is one; 2D films are for networks that read one picture (deep3d)"

    /// Without a word about its packing.
    private static func unlabelled(
        _ film: FilmInfo, label: StereoLabel?, vote: PackingVote, shape: (Arrangement) -> ViewShape
    ) throws(ImageError) -> (Arrangement, String) {
        let remedy = flatRemedy
        switch label?.kind {
        case .anaglyph?:
            throw ImageError(
                path: film.path, "an anaglyph: its two views share the colours and cannot be parted again",
                remedy: "find the film as side-by-side or top-bottom")
        case .checkerboard?:
            throw ImageError(
                path: film.path, "a checkerboard of both views, which is not read",
                remedy: "convert the film to side-by-side first")
        case .flat?:
            throw ImageError(path: film.path, "its label says 2D: one view only", remedy: remedy)
        case .other(let name)?:
            throw ImageError(path: film.path, "unknown packing \(name)", remedy: "give --packing")
        case .packed?, nil: break
        }
        if isFramePacked(film) { return (.framePacked, "from the size of its frames") }
        let possible = [Arrangement.sideBySide, .topBottom].filter { shape($0).isPlausible }
        let flatShape = Double(film.width) / Double(film.height) * film.pixelAspect
        // A single view of this shape would be no picture, and only one packing makes it one.
        if possible.count == 1, !ViewShape.pictureShapes.contains(flatShape), vote.contradicts(possible[0]) == nil {
            return (possible[0], "from the shape of its frames")
        }
        if let winner = vote.winner { return (winner, "from its pictures (\(vote.summary))") }
        if vote.count == 0 {
            throw ImageError(
                path: film.path, "no label says how it is packed, and its pictures are too dark or plain to tell",
                remedy: "give --packing")
        }
        throw ImageError(path: film.path, "looks like a 2D film, one view only (\(vote.summary))", remedy: remedy)
    }

    static func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }
}
