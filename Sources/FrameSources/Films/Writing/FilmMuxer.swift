import Basics
import Glibc

/// Joins coded segments to one film, without coding again, with sound, subtitles, chapters and attachments of the film that
/// they come from.
struct FilmMuxer {
    let film: FilmInfo
    let container: FilmContainer
    let keepsOthers: Bool
    let silenceSeconds: Double

    private static let matroskaSubtitles: Set<String> = [
        "subrip", "srt", "ass", "ssa", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle",
        "hdmv_text_subtitle",
    ]
    private static let textSubtitles: Set<String> = ["subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text"]

    /// What is done with the other streams of the film, as arguments, the film being input `input`; and what is lost.
    func streams(input: Int) -> (arguments: [String], losses: [String]) {
        var arguments: [String] = []
        var losses: [String] = []
        var subtitleCount = 0
        guard keepsOthers else { return (["-map_metadata", "\(input)"], []) }
        for stream in film.otherStreams {
            switch stream.type {
            case "audio": arguments += ["-map", "\(input):\(stream.index)"]
            case "subtitle":
                let isText = Self.textSubtitles.contains(stream.codec)
                let codec: String
                if container == .matroska {
                    codec = Self.matroskaSubtitles.contains(stream.codec) ? "copy" : "srt"
                } else {
                    codec = stream.codec == "mov_text" ? "copy" : "mov_text"
                }
                if codec == "copy" || isText {
                    arguments += ["-map", "\(input):\(stream.index)", "-c:s:\(subtitleCount)", codec]
                    subtitleCount += 1
                } else {
                    losses.append("subtitles \(stream.index) (\(stream.codec)) do not fit into \(container.format)")
                }
            case "attachment":
                if container == .matroska {
                    arguments += ["-map", "\(input):\(stream.index)"]
                } else {
                    losses.append("attachment \(stream.index) does not fit into \(container.format)")
                }
            case "video":
                if !stream.isCover { losses.append("video \(stream.index) is another one") }
            default: break
            }
        }
        return (arguments + ["-map_metadata", "\(input)", "-map_chapters", "\(input)"], losses)
    }

    /// Tries the first second, so that nobody hears after hours that the sound does not fit.
    /// - Throws: `Failure` (64), `FileError`, `ImageError`.
    func tryStreams(in folder: String) throws {
        let arguments = streams(input: 0).arguments
        guard arguments.contains("-map") else { return }
        let writer = try AtomicFileWriter(path: folder + "/trial")
        defer { writer.abandon() }
        let inbox = FilmEncoder.Inbox()
        let end = try run(
            FFmpeg.input + arguments + ["-c:a", "copy", "-c:t", "copy", "-t", "1"], to: writer, inbox)
        guard end == .exited(0) else {
            if inbox.isFull { try inbox.complain(folder, end) }
            throw Failure(
                .usage,
                "\(film.path): its sound or subtitles do not fit into \(container.format) (\(inbox.complaint)); give an output "
                    + "that ends in .mkv, or --no-audio")
        }
    }

    /// - Parameters:
    ///   - list: segments, as ffmpeg's concat demuxer wants it.
    ///   - start: time of the first frame in the film, seconds.
    func join(
        list: String, start: Double, kind: FilmKind, codec: FilmCodec, clock: Int, to writer: AtomicFileWriter
    ) throws {
        var arguments = ["-protocol_whitelist", "file,pipe", "-itsoffset", Self.seconds(start)]
        arguments += ["-f", "concat", "-i", "file:" + list] + FFmpeg.input
        arguments += ["-map", "0:v"] + streams(input: 1).arguments
        arguments += ["-c:v", "copy", "-c:a", "copy", "-c:t", "copy"]
        if container == .matroska {
            if let mode = kind.stereoMode { arguments += ["-metadata:s:v:0", "stereo_mode=" + mode] }
        } else {
            arguments += ["-video_track_timescale", "\(clock)", "-movflags", "+faststart"]
            if codec == .h265 { arguments += ["-tag:v", "hvc1"] }
        }
        let inbox = FilmEncoder.Inbox()
        let end = try run(arguments, to: writer, inbox)
        guard end == .exited(0), !inbox.isFull else { try inbox.complain(writer.path, end) }
    }

    private func run(_ arguments: [String], to writer: AtomicFileWriter, _ inbox: FilmEncoder.Inbox) throws
        -> FilmProcess.End
    {
        let input = try FilmProcess.open(film.path)
        defer { close(input) }
        let before = ["-hide_banner", "-nostdin", "-nostats", "-progress", "pipe:2", "-loglevel", "level+warning"]
        let after = ["-fflags", "+bitexact", "-f", container.format, "-y", "file:/proc/self/fd/1"]
        let process = try FilmProcess(
            program: film.tools.ffmpeg, arguments: before + arguments + after, film: writer.path, input: input,
            output: writer.openDescriptor, silenceSeconds: silenceSeconds
        ) { inbox.take($0) }
        return try process.finish()
    }

    /// Six digits behind the point, whatever the locale.
    static func seconds(_ seconds: Double) -> String {
        let micro = Int((seconds * 1e6).rounded())
        let digits = String(abs(micro) % 1_000_000)
        let whole = "\(abs(micro) / 1_000_000)." + String(repeating: "0", count: 6 - digits.count) + digits
        return (micro < 0 ? "-" : "") + whole
    }
}
