import Basics

/// A film of which every frame is wanted, whole: how its one or two views are taken out of its frames.
public struct FilmViews: Sendable {
    public let film: FilmInfo
    /// Of a view, in square pixels.
    public let height: Int
    public let width: Int
    /// A line about what was found.
    public let summary: String
    public let warnings: [String]

    /// Nil: frames hold one view.
    private let shape: ViewShape?
    private let isRightFirst: Bool
    private let options: FilmOptions

    /// Looks at some frames of the film.
    /// - Parameter wantsPair: two views are needed. If not, a film counts as 2D unless it says or `options` say that it is
    ///   packed; then its left view is taken.
    /// - Throws: `FileError` (66, 74), `ImageError` (65: no film, no stereo film; 74).
    public init(path: String, tools: FFmpeg, wantsPair: Bool, options: FilmOptions) throws {
        self.options = options
        let film = try FilmInfo(path: path, tools: tools, silenceSeconds: options.silenceSeconds)
        self.film = film
        let survey = FilmSurvey(path: path, tools: tools, options: options) { _ in }
        var warnings: [String] = []
        let isPacked = try wantsPair || options.packing != .auto || Self.isLabelledPacked(film, options)
        if isPacked {
            let (_, decision, look) = try survey.packing()
            let shape = decision.shape
            self.shape = shape
            isRightFirst = decision.isRightFirst
            (height, width) = shape.squareSize(height: shape.height, width: shape.width)
            warnings += decision.warnings
            var eyes = EyeOrder()
            for picture in shape.arrangement == .alternating ? try survey.pairs(of: film) : look.pictures {
                let (first, second) = shape.views(of: picture)
                eyes.add(decision.isRightFirst ? (second, first) : (first, second))
            }
            if let warning = eyes.warning { warnings.append(warning) }
            let isWhole = ![.sideBySide, .topBottom].contains(shape.arrangement)
            summary =
                "\(path): \(isWhole ? "" : shape.isHalf ? "half " : "full ")\(shape.arrangement.rawValue) "
                + "(\(decision.reason)), \(decision.isRightFirst ? "right" : "left") first, views \(width)x\(height)"
        } else {
            shape = nil
            isRightFirst = false
            let isTurned = film.rotation % 180 == 90
            let (rows, columns) = isTurned ? (film.width, film.height) : (film.height, film.width)
            let aspect = options.pixelAspect ?? film.pixelAspect
            let square = isTurned ? 1 / aspect : aspect
            if square > 1.02 {
                (height, width) = (rows, Int((Double(columns) * square).rounded()))
            } else if square < 0.98 {
                (height, width) = (Int((Double(rows) / square).rounded()), columns)
            } else {
                (height, width) = (rows, columns)
            }
            summary = "\(path): 2D, \(width)x\(height)"
        }
        if film.isHDR { warnings.append("HDR: colours are taken as they are coded, not mapped to ordinary brightness") }
        if film.isInterlaced {
            warnings.append("interlaced: a frame holds two moments; deinterlace the film first if that shows")
        }
        self.warnings = warnings
    }

    private static func isLabelledPacked(_ film: FilmInfo, _ options: FilmOptions) throws -> Bool {
        var label = film.label
        if label == nil, ["h264", "hevc"].contains(film.codec) {
            // MP4 says it in the frames.
            let reader = try FrameReader(film, limit: 1, silenceSeconds: options.silenceSeconds)
            _ = try reader.next()
            label = reader.frameLabel
            reader.stop()
        }
        if case .packed? = label?.kind { return true }
        return false
    }

    /// Whether frames hold two views.
    public var isStereo: Bool { shape != nil }

    /// Views of a frame. No second one in a 2D film.
    public func views(of picture: PixelArray) -> (left: PixelArray, right: PixelArray?) {
        guard let shape else {
            return (Resizing.area(Self.turned(picture, by: film.rotation), height: height, width: width), nil)
        }
        let (first, second) = shape.views(of: picture)
        let views = [first, second].map { Resizing.area($0, height: height, width: width) }
        return isRightFirst ? (views[1], views[0]) : (views[0], views[1])
    }

    /// - Parameter number: of the first frame that is wanted, counted from 0.
    /// - Throws: `FileError`, `ImageError`.
    public func reader(from number: Int) throws -> FrameReader {
        try FrameReader(
            film, sampling: .from(number), pairsFrames: shape?.arrangement == .alternating,
            silenceSeconds: options.silenceSeconds)
    }

    /// Some frames spread over the film; the same on every run.
    public func samples(_ count: Int) throws -> [PixelArray] {
        let survey = FilmSurvey(path: film.path, tools: film.tools, options: options) { _ in }
        if shape?.arrangement == .alternating { return Array(try survey.pairs(of: film).prefix(count)) }
        return try survey.look(at: film, count: count, quorum: 1).pictures
    }

    /// Clockwise, by a multiple of 90 degrees.
    static func turned(_ picture: PixelArray, by degrees: Int) -> PixelArray {
        guard degrees != 0 else { return picture }
        let (height, width) = (picture.height, picture.width)
        let isHalf = degrees == 180
        var result = PixelArray(zerosOf: isHalf ? height : width, isHalf ? width : height, 3, .uint8)
        picture.bytes.withUnsafeBufferPointer { source in
            result.bytes.withUnsafeMutableBufferPointer { target in
                for y in 0..<height {
                    for x in 0..<width {
                        let place =
                            switch degrees {
                            case 90: x * height + height - 1 - y
                            case 180: (height - 1 - y) * width + width - 1 - x
                            default: (width - 1 - x) * height + y
                            }
                        for c in 0..<3 { target[place * 3 + c] = source[(y * width + x) * 3 + c] }
                    }
                }
            }
        }
        return result
    }
}
