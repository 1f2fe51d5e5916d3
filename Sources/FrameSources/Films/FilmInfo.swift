import Basics
import Foundation

/// A film and what `ffprobe` says of its first video stream.
public struct FilmInfo: Sendable {
    public let path: String
    public let tools: FFmpeg
    /// Of the stream within the file.
    public let streamIndex: Int
    public let codec: String
    public let profile: String
    /// Of a packed frame, as coded.
    public let height: Int
    public let width: Int
    /// Width of a pixel divided by its height, as the film says; 1 where it says nothing.
    public let pixelAspect: Double
    public let durationSeconds: Double?
    public let label: StereoLabel?
    public let isHDR: Bool
    public let isInterlaced: Bool
    /// The colours follow ITU-R BT.709, by what the film says or, where it says nothing, by its size.
    let isBT709: Bool?
    /// H.264 or HEVC, the indices of whose streams are given, for `MultiviewScan`.
    let codedStreams: [Int]
    /// Frames a second on average; nil where the film does not say.
    public let frameRate: Double?
    /// Frames as the container counts them, or by duration and rate; nil where neither is known.
    public let estimatedFrameCount: Int?
    /// Turned by the player, clockwise degrees: 90, 180 or 270, else 0.
    public let rotation: Int
    /// All streams but the film's own video.
    let otherStreams: [(index: Int, type: String, codec: String, isCover: Bool)]

    /// Asks `ffprobe`.
    /// - Throws: `ImageError` (65, 74), `FileError` (66, 74).
    public init(path: String, tools: FFmpeg, silenceSeconds: Double = FilmLimits.silenceSeconds) throws {
        var complaint = ""
        let process = try FilmProcess(
            program: tools.ffprobe,
            arguments: ["-hide_banner", "-loglevel", "error", "-print_format", "json", "-show_streams", "-show_format"]
                + FFmpeg.input, film: path, silenceSeconds: silenceSeconds
        ) { if complaint.isEmpty { complaint = FFmpegLine($0).text } }
        var bytes = [UInt8](repeating: 0, count: FilmLimits.probeBytes)
        let count = try bytes.withUnsafeMutableBytes { try process.read(into: $0) }
        if count == bytes.count { throw ImageError(path: path, "ffprobe lists more than \(count) bytes of streams") }
        let end = try process.finish()
        guard end == .exited(0), let answer = try? JSONDecoder().decode(Answer.self, from: Data(bytes[..<count])) else {
            if case .signalled(let number) = end {
                throw ImageError(path: path, "ffprobe was ended by signal \(number)", exitCode: .inputOutput)
            }
            throw ImageError(path: path, "no film: " + (complaint.isEmpty ? "ffprobe cannot read it" : complaint))
        }
        try self.init(path: path, tools: tools, answer)
    }

    /// Lists that name other files: they could name any.
    private static let playlists: Set<String> = ["hls", "concat", "dash", "imf", "tty", "applehttp", "sdp", "rtsp"]

    private init(path: String, tools: FFmpeg, _ answer: Answer) throws(ImageError) {
        let format = answer.format?.formatName ?? ""
        if let list = format.split(separator: ",").first(where: { Self.playlists.contains(String($0)) }) {
            throw ImageError(path: path, "\(list) is a list of other files, no film", remedy: "give the film itself")
        }
        let videos = (answer.streams ?? []).filter {
            $0.codecType == "video" && ($0.disposition?["attached_pic"] ?? 0) == 0
        }
        guard let stream = videos.first, let index = stream.index else {
            throw ImageError(path: path, "no video in it", remedy: "give a film")
        }
        guard let width = stream.width, let height = stream.height, width > 0, height > 0 else {
            throw ImageError(path: path, "a video without pictures", remedy: "replace the film or remove it")
        }
        do {
            try ImageLimits.check(height: height, width: width, channels: 3)
        } catch {
            throw ImageError(path: path, error.problem)
        }
        self.path = path
        self.tools = tools
        streamIndex = index
        codec = stream.codecName ?? "unknown"
        profile = stream.profile ?? ""
        self.width = width
        self.height = height
        pixelAspect = Self.ratio(stream.sampleAspectRatio ?? "") ?? 1
        durationSeconds = [stream.duration, answer.format?.duration].lazy.compactMap { $0.flatMap(Double.init) }
            .first { $0 > 0 && $0.isFinite }
        // The tag is finer than the side data (it knows anaglyphs); MP4 has only the latter.
        label =
            StereoLabel(tag: stream.tags?["stereo_mode"] ?? "")
            ?? (stream.sideDataList ?? []).lazy.compactMap { data in
                data.sideDataType == "Stereo 3D"
                    ? StereoLabel(type: data.type ?? "", isInverted: (data.inverted ?? 0) != 0) : nil
            }.first
        isHDR = ["smpte2084", "arib-std-b67"].contains(stream.colorTransfer ?? "")
        isInterlaced = ["tt", "bb", "tb", "bt"].contains(stream.fieldOrder ?? "")
        isBT709 = (stream.colorSpace ?? "unknown") == "unknown" ? height >= 720 || width >= 1280 : nil
        let averageRate = Self.positive(stream.averageFrameRate) ?? Self.positive(stream.frameRate)
        frameRate = averageRate
        let counted = stream.frameCount.flatMap { Int($0) }.flatMap { $0 > 0 ? $0 : nil }
        let seconds = durationSeconds
        estimatedFrameCount =
            counted
            ?? averageRate.flatMap { rate in
                seconds.flatMap { $0 * rate < 1e9 ? Int(($0 * rate).rounded()) : nil }
            }
        let turn = (stream.sideDataList ?? []).lazy.compactMap(\.rotation).first ?? 0
        // ffprobe counts counter-clockwise.
        rotation = turn % 90 == 0 ? ((-turn % 360) + 360) % 360 : 0
        otherStreams = (answer.streams ?? []).compactMap { other in
            guard let place = other.index, place != index else { return nil }
            return (
                place, other.codecType ?? "", other.codecName ?? "unknown",
                (other.disposition?["attached_pic"] ?? 0) != 0
            )
        }
        codedStreams = videos.filter { $0.codecName == "h264" || $0.codecName == "hevc" }.compactMap(\.index)
    }

    /// `24000/1001` frames a second.
    private static func positive(_ text: String?) -> Double? {
        let parts = (text ?? "").split(separator: "/").map { Double($0) }
        guard parts.count == 2, let top = parts[0], let bottom = parts[1], top > 0, bottom > 0 else { return nil }
        let rate = top / bottom
        return (0.001...10_000).contains(rate) ? rate : nil
    }

    /// `24:35`; nil for what is no ratio or beyond 1:16…16:1.
    static func ratio(_ text: String) -> Double? {
        let parts = text.split(whereSeparator: { $0 == ":" || $0 == "/" }).map { Double($0) }
        guard parts.count == 2, let top = parts[0], let bottom = parts[1], top > 0, bottom > 0 else { return nil }
        let ratio = top / bottom
        return (1.0 / 16...16).contains(ratio) ? ratio : nil
    }

    private struct Answer: Decodable {
        struct Format: Decodable {
            let formatName: String?
            let duration: String?

            private enum CodingKeys: String, CodingKey {
                case duration
                case formatName = "format_name"
            }
        }
        struct SideData: Decodable {
            let sideDataType: String?
            let type: String?
            let inverted: Int?
            let rotation: Int?

            private enum CodingKeys: String, CodingKey {
                case type, inverted, rotation
                case sideDataType = "side_data_type"
            }
        }
        struct Stream: Decodable {
            let index: Int?
            let codecType: String?
            let codecName: String?
            let profile: String?
            let width: Int?
            let height: Int?
            let sampleAspectRatio: String?
            let duration: String?
            let fieldOrder: String?
            let colorSpace: String?
            let colorTransfer: String?
            let disposition: [String: Int]?
            let tags: [String: String]?
            let averageFrameRate: String?
            let frameRate: String?
            let frameCount: String?
            let sideDataList: [SideData]?

            private enum CodingKeys: String, CodingKey {
                case index, profile, width, height, duration, disposition, tags
                case codecType = "codec_type"
                case codecName = "codec_name"
                case sampleAspectRatio = "sample_aspect_ratio"
                case fieldOrder = "field_order"
                case colorSpace = "color_space"
                case colorTransfer = "color_transfer"
                case averageFrameRate = "avg_frame_rate"
                case frameRate = "r_frame_rate"
                case frameCount = "nb_frames"
                case sideDataList = "side_data_list"
            }

            init(from decoder: any Decoder) throws {
                let values = try decoder.container(keyedBy: CodingKeys.self)
                // What has another type than expected counts as not said.
                func value<T: Decodable>(_ key: CodingKeys) -> T? {
                    (try? values.decodeIfPresent(T.self, forKey: key)) ?? nil
                }
                index = value(.index)
                codecType = value(.codecType)
                codecName = value(.codecName)
                profile = value(.profile)
                width = value(.width)
                height = value(.height)
                sampleAspectRatio = value(.sampleAspectRatio)
                duration = value(.duration)
                fieldOrder = value(.fieldOrder)
                colorSpace = value(.colorSpace)
                colorTransfer = value(.colorTransfer)
                disposition = value(.disposition)
                tags = value(.tags)
                averageFrameRate = value(.averageFrameRate)
                frameRate = value(.frameRate)
                frameCount = value(.frameCount)
                sideDataList = value(.sideDataList)
            }
        }
        let streams: [Stream]?
        let format: Format?
    }
}

/// A line that ffmpeg wrote with `-loglevel level+…`: `[h264 @ 0x55…] [error] text`.
struct FFmpegLine {
    let level: Substring
    /// Without addresses, which differ from run to run, and without our name for the input.
    let text: String

    init(_ line: String) {
        var rest = Substring(line)
        var origin: Substring = ""
        var level: Substring = ""
        while rest.hasPrefix("["), let end = rest.firstIndex(of: "]") {
            let inside = rest[rest.index(after: rest.startIndex)..<end]
            if ["fatal", "panic", "error", "warning", "info", "verbose", "debug"].contains(inside) {
                level = inside
            } else if origin.isEmpty {
                origin = inside.prefix { $0 != " " }
            }
            rest = rest[rest.index(after: end)...].drop { $0 == " " }
            if !level.isEmpty { break }
        }
        self.level = level
        var text = String(rest)
        if text.hasPrefix("file:/proc/self/fd/0: ") { text.removeFirst("file:/proc/self/fd/0: ".count) }
        self.text = origin.isEmpty ? text : "\(origin): \(text)"
    }
}
