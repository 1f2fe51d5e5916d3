import Basics

/// How two views share a film's frames.
public enum Arrangement: String, Sendable, CaseIterable {
    case sideBySide = "side by side"
    case topBottom = "top-bottom"
    /// Top-bottom with a gap of blank lines between (HDMI).
    case framePacked = "frame-packed"
    /// Every other frame is of the other eye.
    case alternating
    /// Every other row.
    case rows = "interleaved rows"
    /// Every other column.
    case columns = "interleaved columns"
}

/// What a film says about itself.
///
/// **Source:** Matroska `StereoMode`, H.264 and HEVC frame packing SEI, MP4 `st3d`, by the names that ffmpeg gives them.
public struct StereoLabel: Equatable, Sendable {
    public enum Kind: Equatable, Sendable {
        case packed(Arrangement)
        /// One view.
        case flat
        case anaglyph
        case checkerboard
        /// Something that no packing stands for; the text names it.
        case other(String)
    }

    public let kind: Kind
    public let isRightFirst: Bool

    /// The tag `stereo_mode`, such as `left_right`; nil if it says nothing.
    init?(tag: String) {
        let arrangement: Arrangement
        switch tag {
        case "left_right", "right_left": arrangement = .sideBySide
        case "top_bottom", "bottom_top": arrangement = .topBottom
        case "block_lr", "block_rl": arrangement = .alternating
        case "row_interleaved_lr", "row_interleaved_rl": arrangement = .rows
        case "col_interleaved_lr", "col_interleaved_rl": arrangement = .columns
        default:
            if tag == "mono" {
                kind = .flat
            } else if tag.hasPrefix("anaglyph") {
                kind = .anaglyph
            } else if tag.hasPrefix("checkerboard") {
                kind = .checkerboard
            } else if tag.isEmpty {
                return nil
            } else {
                kind = .other(tag)
            }
            isRightFirst = tag.hasSuffix("_rl")
            return
        }
        kind = .packed(arrangement)
        isRightFirst = tag.hasSuffix("_rl") || tag == "right_left" || tag == "bottom_top"
    }

    /// The type of side data "Stereo 3D", such as `side by side`; `details` may follow it. Nil if it says nothing.
    init?(type: String, isInverted: Bool) {
        let known: [(String, Kind)] = [
            ("side by side (quincunx", .checkerboard), ("side by side", .packed(.sideBySide)),
            ("top and bottom", .packed(.topBottom)), ("frame alternate", .packed(.alternating)),
            ("interleaved lines", .packed(.rows)), ("interleaved columns", .packed(.columns)),
            ("checkerboard", .checkerboard), ("2D", .flat),
        ]
        guard let found = known.first(where: { type.hasPrefix($0.0) }) else { return nil }
        kind = found.1
        isRightFirst = isInverted
    }

    /// A line of ffmpeg's filter `showinfo` about a frame; nil if it is about something else.
    init?(frameLine: String) {
        guard frameLine.contains("stereoscopic information") || frameLine.contains("Stereo 3D"),
            let start = frameLine.firstRange(of: "type - ")
        else { return nil }
        self.init(type: String(frameLine[start.upperBound...]), isInverted: frameLine.contains("inverted"))
    }
}
