import Basics

/// What a film is made of.
public enum FilmKind: String, Sendable, CaseIterable {
    /// The map in colours.
    case depth
    /// The map in gray over the film's range, near or large = white.
    case gray
    /// The map's own numbers in 16 bits, lossless.
    case gray16
    /// The view that the network makes.
    case view
    case sideBySide = "sbs"
    case halfSideBySide = "half-sbs"
    case topBottom = "tab"
    case halfTopBottom = "half-tab"
    /// Red and cyan.
    case anaglyph

    /// Holds both views.
    public var isStereo: Bool {
        switch self {
        case .depth, .gray, .gray16, .view: false
        case .sideBySide, .halfSideBySide, .topBottom, .halfTopBottom, .anaglyph: true
        }
    }

    /// Behind the film's name; those of 3D films are what players go by.
    ///
    /// **Source:** nunif/iw3, `README.md`: names that Pigasus, SKYBOX and DeoVR recognise.
    public func suffix(view: String) -> String {
        switch self {
        case .depth: "_depth"
        case .gray: "_depth_gray"
        case .gray16: "_depth_16"
        case .view: "_" + view
        case .sideBySide: "_LRF_Full_SBS"
        case .halfSideBySide: "_LR"
        case .topBottom: "_TBF_fulltb"
        case .halfTopBottom: "_TB"
        case .anaglyph: "_redcyan"
        }
    }

    /// Matroska's StereoMode by ffmpeg's names; left view first. ffmpeg writes none for anaglyphs.
    var stereoMode: String? {
        switch self {
        case .depth, .gray, .gray16, .view, .anaglyph: nil
        case .sideBySide, .halfSideBySide: "left_right"
        case .topBottom, .halfTopBottom: "top_bottom"
        }
    }

    /// `frame_packing_arrangement_type` of H.264's SEI.
    ///
    /// **Source:** ITU-T H.264 D.2.26: 3 side by side, 4 top-bottom.
    var framePacking: Int? {
        switch self {
        case .sideBySide, .halfSideBySide: 3
        case .topBottom, .halfTopBottom: 4
        case .depth, .gray, .gray16, .view, .anaglyph: nil
        }
    }

    var samples: TimedPictures.Samples { self == .gray16 ? .gray16 : self == .gray ? .gray8 : .rgb24 }
}

/// How pictures of a film are coded.
public enum FilmCodec: String, Sendable, CaseIterable {
    case h264, h265, mpeg4
    /// Lossless.
    case ffv1

    var name: String {
        switch self {
        case .h264: "libx264"
        case .h265: "libx265"
        case .mpeg4: "mpeg4"
        case .ffv1: "ffv1"
        }
    }

    /// Colours at half the resolution: sides must be even.
    var needsEvenSides: Bool { self != .ffv1 }

    /// Constant quality, smaller = better; the scale is the codec's own. Frames are coded in the order in which they are
    /// shown: then segments join, and times survive any container.
    func arguments(_ kind: FilmKind, quality: Int?) -> [String] {
        var arguments = ["-c:v", name]
        switch self {
        case .h264:
            arguments += ["-preset", "medium", "-crf", "\(quality ?? 18)", "-bf", "0", "-pix_fmt", "yuv420p"]
            if let type = kind.framePacking { arguments += ["-x264-params", "frame-packing=\(type)"] }
        case .h265:
            arguments += ["-preset", "medium", "-crf", "\(quality ?? 20)", "-pix_fmt", "yuv420p"]
            arguments += ["-x265-params", "bframes=0:log-level=error"]
        case .mpeg4: arguments += ["-q:v", "\(quality ?? 2)", "-bf", "0", "-pix_fmt", "yuv420p"]
        case .ffv1:
            arguments += ["-level", "3", "-g", "1", "-slicecrc", "1"]
            arguments += ["-pix_fmt", kind == .gray16 ? "gray16le" : kind == .gray ? "gray" : "bgr0"]
        }
        return arguments
    }
}

/// The file that a film goes into.
public enum FilmContainer: Sendable {
    case matroska, mp4, mov

    /// By extension; nil for others.
    public init?(extensionOf path: String) {
        switch fileExtension(path) {
        case "mkv", "mk3d": self = .matroska
        case "mp4", "m4v": self = .mp4
        case "mov": self = .mov
        default: return nil
        }
    }

    var format: String {
        switch self {
        case .matroska: "matroska"
        case .mp4: "mp4"
        case .mov: "mov"
        }
    }
}
