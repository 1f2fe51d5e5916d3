import Basics

/// Which frames of a film are taken.
public enum FilmSampling: Equatable, Sendable {
    case every
    /// The first frame of every 1/rate seconds of the film's own time, whatever its frame rate, steady or not.
    case rate(Double)
    /// The first frame, and each that differs so much from the one before that a scene begins with it.
    case scenes
    /// All from this number on, counted from 0.
    case from(Int)

    /// As a filter of ffmpeg.
    var filter: String? {
        switch self {
        case .every: return nil
        case .rate(let rate):
            // Containers round times to milliseconds: without the tolerance a frame now and then falls into the
            // second before its own.
            let shift = min(0.002 * rate, 0.25)
            let slot = { (time: String) in "floor((\(time)-start_t)*\(rate)+\(shift))" }
            return "select='isnan(prev_selected_t)+gt(\(slot("t")),\(slot("prev_selected_t")))'"
        case .from(let number): return number > 0 ? "select='gte(n,\(number))'" : nil
        case .scenes: return "select='eq(n,0)+gt(scene,0.3)'"
        }
    }
}

/// One decoded frame.
public struct FilmFrame: Sendable {
    /// Counts the frames that sampling takes, from 0.
    public let number: Int
    /// Since the film's zero; not a number where the film does not say.
    public let seconds: Double
    /// The same as a whole number of the reader's `timeBase`; nil where the film does not say.
    public let ticks: Int?
    /// `[height, width, 3]` uint8, as coded: packed, with the film's own pixel aspect.
    public let picture: PixelArray
}

/// Streams a film's frames in order through `ffmpeg`, one in memory at a time. Frames are neither invented nor doubled,
/// so a film of uneven frame rate yields exactly what it holds. The same frames on every run.
///
/// For one thread at a time.
public final class FrameReader {
    /// Errors of the decoder so far: the film is damaged, and frames may show it.
    public private(set) var errorCount = 0
    public private(set) var firstError = ""
    /// What a frame says about the packing (SEI); nil before the first one that does.
    public private(set) var frameLabel: StereoLabel?

    /// Seconds of a tick, as a fraction; nil before the first frame.
    public var timeBase: (numerator: Int, denominator: Int)? { inbox.timeBase }

    private let info: FilmInfo
    private let width: Int
    private let height: Int
    private let inbox = Inbox()
    private let process: FilmProcess
    private var number = 0
    private var isOver = false

    /// What ffmpeg has said and nobody has looked at.
    private final class Inbox {
        var times: [Int: (seconds: Double, ticks: Int?)] = [:]
        var timeBase: (numerator: Int, denominator: Int)?
        var errorCount = 0
        var firstError = ""
        var last = ""
        var label: StereoLabel?

        func take(_ text: String) {
            let line = FFmpegLine(text)
            switch line.level {
            case "error", "fatal", "panic":
                errorCount += 1
                if firstError.isEmpty { firstError = line.text }
                last = line.text
            case "info": takeFrame(line.text)
            default: break
            }
        }

        /// `Parsed_showinfo_1: n:   1 pts:  12288 pts_time:1       pos: …`
        private func takeFrame(_ text: String) {
            guard text.hasPrefix("Parsed_showinfo") else { return }
            if let found = StereoLabel(frameLine: text) {
                label = label ?? found
                return
            }
            if timeBase == nil, let base = text.firstRange(of: "config in time_base: ") {
                let parts = text[base.upperBound...].prefix { $0 != "," }.split(separator: "/").map { Int($0) }
                if parts.count == 2, let top = parts[0], let bottom = parts[1], top > 0, bottom > 0 {
                    timeBase = (top, bottom)
                }
                return
            }
            guard let body = text.firstRange(of: ": n:"), let time = text.firstRange(of: "pts_time:"),
                let number = Int(text[body.upperBound...].drop { $0 == " " }.prefix { $0 != " " })
            else { return }
            let seconds = Double(text[time.upperBound...].prefix { $0 != " " }) ?? .nan
            // Seconds come with six digits, which is a hundredth after three hours.
            let ticks = text.firstRange(of: " pts:").flatMap { place in
                Int(text[place.upperBound...].drop { $0 == " " }.prefix { $0 != " " })
            }
            times[number] = (seconds, ticks)
        }
    }

    /// - Parameters:
    ///   - start: seek to the key frame at or before this time first; then times count from somewhere near it.
    ///   - limit: end after so many frames.
    ///   - pairsFrames: put every two frames side by side, for films that alternate between the eyes.
    /// - Throws: `FileError` (66, 74), `ImageError`.
    public init(
        _ info: FilmInfo, sampling: FilmSampling = .every, start: Double? = nil, limit: Int? = nil,
        pairsFrames: Bool = false, silenceSeconds: Double = FilmLimits.silenceSeconds
    ) throws {
        self.info = info
        width = info.width * (pairsFrames ? 2 : 1)
        height = info.height
        var filters: [String] = []
        if pairsFrames { filters.append("stereo3d=al:sbsl") }
        if let filter = sampling.filter { filters.append(filter) }
        filters.append("showinfo=checksum=0")
        // The size is given, so that a film which changes it in the middle cannot change what we read.
        let matrix = info.isBT709.map { ":in_color_matrix=\($0 ? "bt709" : "bt601")" } ?? ""
        filters.append(
            "scale=\(width):\(height)\(matrix):flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact")
        var arguments = [
            "-hide_banner", "-nostdin", "-nostats", "-progress", "pipe:2", "-loglevel", "level+info", "-noautorotate",
        ]
        if let start { arguments += ["-noaccurate_seek", "-ss", "\(start)"] }
        arguments += FFmpeg.input
        arguments += ["-map", "0:\(info.streamIndex)", "-an", "-sn", "-dn", "-vf", filters.joined(separator: ",")]
        if let limit { arguments += ["-frames:v", "\(limit)"] }
        // Called -fps_mode since 5.1; every version so far understands this name. Times are the film's own: rounded to its
        // nominal rate, those of unevenly spaced frames would meet, and ffmpeg complain.
        arguments += ["-vsync", "passthrough", "-enc_time_base", "-1", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
        let inbox = self.inbox
        process = try FilmProcess(
            program: info.tools.ffmpeg, arguments: arguments, film: info.path, silenceSeconds: silenceSeconds
        ) { inbox.take($0) }
    }

    /// The next frame; nil after the last.
    /// - Throws: `ImageError`: 65 if the film cannot be decoded at all, 74 if ffmpeg hangs or is killed.
    public func next() throws(ImageError) -> FilmFrame? {
        if isOver { return nil }
        process.resume()
        var picture = PixelArray(zerosOf: height, width, 3, .uint8)
        let byteCount = picture.bytes.count
        let count = try read(into: &picture)
        guard count == byteCount else {
            isOver = true
            try finish(partial: count > 0)
            return nil
        }
        // ffmpeg describes a frame before it writes it.
        let number = self.number
        try process.takeLines { inbox.times[number] != nil }
        self.number += 1
        note()
        let time = inbox.times.removeValue(forKey: number)
        return FilmFrame(number: number, seconds: time?.seconds ?? .nan, ticks: time?.ticks, picture: picture)
    }

    private func read(into picture: inout PixelArray) throws(ImageError) -> Int {
        var result: Result<Int, ImageError> = .success(0)
        picture.bytes.withUnsafeMutableBytes { buffer in
            do throws(ImageError) {
                result = .success(try process.read(into: buffer))
            } catch {
                result = .failure(error)
            }
        }
        if case .failure = result { isOver = true }
        return try result.get()
    }

    /// Ends ffmpeg; there will be no more frames.
    public func stop() {
        isOver = true
        process.stop()
    }

    var processIdentifier: Int32 { process.identifier }

    private func note() {
        errorCount = inbox.errorCount
        firstError = inbox.firstError
        frameLabel = inbox.label
    }

    private func finish(partial: Bool) throws(ImageError) {
        let end = try process.finish()
        note()
        switch end {
        case .signalled(let signal):
            throw ImageError(
                path: info.path, "ffmpeg was ended by signal \(signal) after \(number) frames",
                remedy: "check the memory that is free, and whether ffmpeg can read the film on its own",
                exitCode: .inputOutput)
        case .exited(let code):
            if code != 0 && number == 0 {
                throw ImageError(
                    path: info.path,
                    "cannot be decoded: " + (inbox.last.isEmpty ? "ffmpeg ended with code \(code)" : inbox.last))
            }
            if code != 0 || partial {
                errorCount += 1
                if firstError.isEmpty { firstError = "ffmpeg ended with code \(code)" }
            }
        }
    }
}
