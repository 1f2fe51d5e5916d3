import Basics

/// What the user wants of films.
public struct FilmOptions: Sendable {
    public var packing = FilmPacking.auto
    /// The right view comes first.
    public var swapsEyes = false
    /// Width of a pixel of the packed frame divided by its height, rather than what the film says.
    public var pixelAspect: Double?
    public var sampling = FilmSampling.rate(1)
    /// Drop nothing: black frames, titles, mono frames and repetitions stay.
    public var keepsAll = false
    /// Black bars stay.
    public var keepsBars = false
    /// Take what a damaged film yields.
    public var keepsDamaged = false
    /// Of views; nil for their own in square pixels.
    public var size: (height: Int, width: Int)?
    public var silenceSeconds = FilmLimits.silenceSeconds

    public init() {}
}

/// What is to be taken of a film: found out in one pass, before any record is made, so that the number of records is
/// known and nothing depends on who makes them.
struct FilmPlan: Sendable {
    let film: FilmInfo
    let shape: ViewShape
    let isRightFirst: Bool
    let crop: Crop
    /// Numbers among the sampled frames.
    let kept: [Int]
    let sampledCount: Int
    /// Of views.
    let size: (height: Int, width: Int)
    /// A line about all this.
    let summary: String
    let warnings: [String]

    /// Left and right view of one of this film's frames.
    func views(of picture: PixelArray) -> (left: PixelArray, right: PixelArray) {
        let (first, second) = shape.views(of: picture, crop: crop)
        let views = [first, second].map { Resizing.area($0, height: size.height, width: size.width) }
        return isRightFirst ? (views[1], views[0]) : (views[0], views[1])
    }
}

/// Looks through a film.
struct FilmSurvey {
    let path: String
    let tools: FFmpeg
    let options: FilmOptions
    let note: (String) -> Void

    private static let noteSeconds = 30.0
    /// Frames spread over the film, for votes on packing, bars and eyes.
    static let lookCount = 41

    /// - Throws: `FileError` (66, 74), `ImageError` (65: no stereo film, damaged, nothing of use in it; 74).
    func plan() throws -> FilmPlan {
        let (film, decision, looked) = try packing()
        let shape = decision.shape
        // Pictures of alternating films were looked at one by one.
        let pictures = shape.arrangement == .alternating ? try pairs(of: film) : looked.pictures
        var bars = BlackBars()
        for picture in pictures where !options.keepsBars { bars.add(shape.views(of: picture)) }
        let crop = bars.crop(height: shape.height, width: shape.width)
        var eyes = EyeOrder()
        for picture in pictures {
            let (first, second) = shape.views(of: picture, crop: crop)
            eyes.add(decision.isRightFirst ? (second, first) : (first, second))
        }
        var warnings = decision.warnings + [eyes.warning].compactMap { $0 }
        if film.isHDR { warnings.append("HDR: colours are taken as they are coded, not mapped to ordinary brightness") }
        if film.isInterlaced {
            warnings.append("interlaced: a frame holds two moments; deinterlace the film first if that shows")
        }
        let choice = try choose(from: film, shape, crop)
        if choice.errorCount > 0 {
            let text =
                "damaged (\(choice.errorCount) complaints of the decoder, first: \(choice.firstError)); "
                + "\(choice.sampledCount) frames could be read"
            guard options.keepsDamaged else {
                throw ImageError(path: path, text, remedy: "give --keep-damaged to take them, or remove the film")
            }
            warnings.append(text)
        }
        guard !choice.kept.isEmpty else { throw nothingLeft(choice) }
        let height = shape.height - crop.top - crop.bottom
        let width = shape.width - crop.left - crop.right
        let size = options.size ?? shape.squareSize(height: height, width: width)
        return FilmPlan(
            film: film, shape: shape, isRightFirst: decision.isRightFirst, crop: crop, kept: choice.kept,
            sampledCount: choice.sampledCount, size: size,
            summary: summary(decision, crop, size, choice), warnings: warnings)
    }

    /// How the film is packed.
    func packing() throws -> (film: FilmInfo, decision: PackingDecision, look: Look) {
        let film = try FilmInfo(path: path, tools: tools, silenceSeconds: options.silenceSeconds)
        try MultiviewScan.refuse(film)
        let looked = try look(at: film)
        var vote = PackingVote()
        for picture in looked.pictures { vote.add(picture) }
        let decision = try PackingDecision(
            film, frameLabel: looked.label, vote: vote,
            given: .init(packing: options.packing, swapsEyes: options.swapsEyes, pixelAspect: options.pixelAspect))
        return (film, decision, looked)
    }

    struct Look {
        var pictures: [PixelArray] = []
        var label: StereoLabel?
    }

    /// Frames spread over the film: by seeking in long ones, else by decoding.
    func look(at film: FilmInfo, count: Int = lookCount, quorum: Int = PackingVote.quorum) throws -> Look {
        var look = Look()
        func add(_ reader: FrameReader) throws {
            while let frame = try reader.next() { look.pictures.append(frame.picture) }
            look.label = look.label ?? reader.frameLabel
        }
        let duration = film.durationSeconds ?? 0
        if duration > 60 {
            for index in 0..<count {
                let time = duration * (Double(index) + 0.5) / Double(count)
                // Behind damage there may be nothing at one place; others will do.
                let reader = try FrameReader(
                    film, start: time, limit: 1, silenceSeconds: options.silenceSeconds)
                do {
                    try add(reader)
                } catch let error as ImageError where error.exitCode == .badData {
                    continue
                }
            }
            if look.pictures.count >= quorum { return look }
            look.pictures = []
        }
        let rate = Double(count) / (duration > 0 ? min(duration, 60) : 2)
        try add(
            FrameReader(
                film, sampling: .rate(rate), limit: count + 1, silenceSeconds: options.silenceSeconds))
        return look
    }

    /// The first pairs of an alternating film, side by side.
    func pairs(of film: FilmInfo) throws -> [PixelArray] {
        let reader = try FrameReader(
            film, sampling: .rate(2), limit: Self.lookCount, pairsFrames: true, silenceSeconds: options.silenceSeconds)
        var pictures: [PixelArray] = []
        while let frame = try reader.next() { pictures.append(frame.picture) }
        return pictures
    }

    private struct Choice {
        var kept: [Int] = []
        var sampledCount = 0
        var dropped: [FrameFault: Int] = [:]
        var errorCount = 0
        var firstError = ""
    }

    private func choose(from film: FilmInfo, _ shape: ViewShape, _ crop: Crop) throws -> Choice {
        let reader = try FrameReader(
            film, sampling: options.sampling, pairsFrames: shape.arrangement == .alternating,
            silenceSeconds: options.silenceSeconds)
        var choice = Choice()
        var checks = FrameChecks()
        var lastNote = monotonicSeconds()
        while let frame = try reader.next() {
            choice.sampledCount += 1
            let fault =
                options.keepsAll
                ? nil : checks.fault(of: shape.views(of: frame.picture, crop: crop), seconds: frame.seconds)
            if let fault { choice.dropped[fault, default: 0] += 1 } else { choice.kept.append(frame.number) }
            if monotonicSeconds() - lastNote > Self.noteSeconds {
                lastNote = monotonicSeconds()
                let whole = film.durationSeconds.map { " of \(Self.clock($0))" } ?? ""
                note("\(path): looked through \(Self.clock(frame.seconds))\(whole)")
            }
        }
        choice.errorCount = reader.errorCount
        choice.firstError = reader.firstError
        return choice
    }

    private func nothingLeft(_ choice: Choice) -> ImageError {
        let mono = choice.dropped[.mono] ?? 0
        if choice.sampledCount == 0 { return ImageError(path: path, "no frames in it") }
        return ImageError(
            path: path,
            "nothing of use in it: of \(choice.sampledCount) frames " + Self.list(choice.dropped)
                + (mono * 2 > choice.sampledCount ? "; both views are the same, so there is no depth in it" : ""),
            remedy: "give another film, or --keep-all to take every frame")
    }

    private func summary(
        _ decision: PackingDecision, _ crop: Crop, _ size: (height: Int, width: Int), _ choice: Choice
    ) -> String {
        let shape = decision.shape
        var text = "\(path): "
        switch shape.arrangement {
        case .sideBySide, .topBottom: text += shape.isHalf ? "half " : "full "
        default: break
        }
        text +=
            "\(shape.arrangement.rawValue) (\(decision.reason)), \(decision.isRightFirst ? "right" : "left") first, "
        text += "views \(size.width)x\(size.height)"
        if !crop.isEmpty {
            text +=
                ", black bars left out (top \(crop.top), bottom \(crop.bottom), left \(crop.left), "
                + "right \(crop.right))"
        }
        text += "; \(choice.kept.count) of \(choice.sampledCount) frames taken"
        if !choice.dropped.isEmpty { text += ", dropped: " + Self.list(choice.dropped) }
        return text
    }

    private static func list(_ dropped: [FrameFault: Int]) -> String {
        FrameFault.allCases.compactMap { fault in dropped[fault].map { "\($0) \(fault.rawValue)" } }
            .joined(separator: ", ")
    }

    private static func clock(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0, seconds < 1e7 else { return "?" }
        let whole = Int(seconds)
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(two(whole / 3600)):\(two(whole / 60 % 60)):\(two(whole % 60))"
    }
}
