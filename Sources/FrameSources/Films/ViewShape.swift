import Basics

/// How a film's frames are to be cut, as the user says it; nil stands for "find out".
public enum FilmPacking: String, Sendable, CaseIterable {
    case auto
    /// Side by side, full or half by the shape that a view then has.
    case sideBySide = "sbs"
    case fullSideBySide = "full-sbs"
    case halfSideBySide = "half-sbs"
    case topBottom = "tab"
    case fullTopBottom = "full-tab"
    case halfTopBottom = "half-tab"
    case framePacked = "frame-packed"
    case alternating
    case rows
    case columns

    var arrangement: Arrangement? {
        switch self {
        case .auto: nil
        case .sideBySide, .fullSideBySide, .halfSideBySide: .sideBySide
        case .topBottom, .fullTopBottom, .halfTopBottom: .topBottom
        case .framePacked: .framePacked
        case .alternating: .alternating
        case .rows: .rows
        case .columns: .columns
        }
    }

    /// Whether views are squeezed to half; nil if that is open.
    var isHalf: Bool? {
        switch self {
        case .auto, .sideBySide, .topBottom, .rows, .columns: nil
        case .halfSideBySide, .halfTopBottom: true
        case .fullSideBySide, .fullTopBottom, .framePacked, .alternating: false
        }
    }
}

/// Where the two views lie in a frame, and which shape they have.
///
/// Neither a label nor the pictures say whether views are squeezed to half, and a film's pixel aspect may be that of a
/// view or of the packed frame (so that players without stereo show it in shape), or be left over from what was done to
/// the film before. What decides is which reading gives a view the shape of a picture.
struct ViewShape: Equatable, Sendable {
    let arrangement: Arrangement
    /// Of one view, as coded.
    let height: Int
    let width: Int
    let isHalf: Bool
    /// Width of a coded pixel of the view divided by its height, squeezing included.
    let pixelAspect: Double
    /// The view has the shape of a picture.
    let isPlausible: Bool
    /// The film's pixel aspect was not taken, because it leads to no picture's shape.
    let ignoresPixelAspect: Bool

    /// From a bit below 4:3 to a bit above 2.76:1.
    static let pictureShapes = 1.3...2.8

    /// - Parameters:
    ///   - height, width: of a packed frame; for alternating frames of one frame.
    ///   - isForced: the pixel aspect is the user's and beyond doubt.
    init(
        _ arrangement: Arrangement, height frameHeight: Int, width frameWidth: Int, pixelAspect film: Double,
        isHalf: Bool?, isForced: Bool = false
    ) {
        self.arrangement = arrangement
        (height, width) =
            switch arrangement {
            case .sideBySide, .columns: (frameHeight, frameWidth / 2)
            case .topBottom, .rows: (frameHeight / 2, frameWidth)
            case .framePacked: ((frameHeight - Self.gap(frameHeight)) / 2, frameWidth)
            case .alternating: (frameHeight, frameWidth)
            }
        let squeeze =
            switch arrangement {
            case .sideBySide, .columns: 2.0
            case .topBottom, .rows: 0.5
            case .framePacked, .alternating: 1.0
            }
        let isHalf = squeeze == 1 ? false : isHalf
        let shape = Double(width) / Double(max(height, 1))
        var readings: [(isHalf: Bool, aspect: Double)] = []
        for half in [false, true] where isHalf == nil || isHalf == half {
            readings.append((half, film))
            if film != 1 && !isForced { readings.append((half, 1)) }
        }
        func aspect(_ reading: (isHalf: Bool, aspect: Double)) -> Double {
            reading.aspect * (reading.isHalf ? squeeze : 1)
        }
        let plausible = readings.first { Self.pictureShapes.contains(shape * aspect($0)) }
        let taken = plausible ?? readings[0]
        self.isHalf = taken.isHalf
        self.pixelAspect = aspect(taken)
        isPlausible = plausible != nil
        ignoresPixelAspect = taken.aspect != film
    }

    /// Blank lines between the views of a frame-packed film: 45 of 2205, 30 of 1470.
    ///
    /// **Source:** HDMI 1.4a, 3D signalling.
    private static func gap(_ frameHeight: Int) -> Int { (frameHeight + 24) / 49 }

    /// Size of a part of a view in square pixels. No axis shrinks, so nothing is lost.
    func squareSize(height: Int, width: Int) -> (height: Int, width: Int) {
        if pixelAspect > 1.02 { return (height, Int((Double(width) * pixelAspect).rounded())) }
        if pixelAspect < 0.98 { return (Int((Double(height) / pixelAspect).rounded()), width) }
        return (height, width)
    }

    /// Cuts a frame; alternating ones come side by side. First view first.
    func views(of picture: PixelArray, crop: Crop = Crop()) -> (PixelArray, PixelArray) {
        let rowStep = arrangement == .rows ? 2 : 1
        let columnStep = arrangement == .columns ? 2 : 1
        // Where a side is odd, the pixel in the middle belongs to no view.
        let second: (y: Int, x: Int) =
            switch arrangement {
            case .sideBySide, .alternating: (0, picture.width - width)
            case .topBottom, .framePacked: (picture.height - height, 0)
            case .rows: (1, 0)
            case .columns: (0, 1)
            }
        func cut(_ y: Int, _ x: Int) -> PixelArray {
            let (rows, columns) = (height - crop.top - crop.bottom, width - crop.left - crop.right)
            var view = PixelArray(zerosOf: rows, columns, 3, .uint8)
            picture.bytes.withUnsafeBytes { source in
                view.bytes.withUnsafeMutableBytes { target in
                    guard let source = source.baseAddress, let target = target.baseAddress else { return }
                    for row in 0..<rows {
                        let line =
                            source + ((y + (row + crop.top) * rowStep) * picture.width + x + crop.left * columnStep) * 3
                        let into = target + row * columns * 3
                        if columnStep == 1 {
                            into.copyMemory(from: line, byteCount: columns * 3)
                        } else {
                            for column in 0..<columns {
                                (into + column * 3).copyMemory(from: line + column * columnStep * 3, byteCount: 3)
                            }
                        }
                    }
                }
            }
            return view
        }
        return (cut(0, 0), cut(second.y, second.x))
    }
}

/// Rows and columns of a coded view to leave out.
public struct Crop: Equatable, Sendable {
    public var top = 0
    public var bottom = 0
    public var left = 0
    public var right = 0

    public var isEmpty: Bool { self == Crop() }
}
