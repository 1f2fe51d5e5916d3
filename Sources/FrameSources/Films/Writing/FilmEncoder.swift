import Basics
import Glibc

/// Codes pictures into a file through `ffmpeg`; the file appears when it is whole. For one thread at a time.
final class FilmEncoder {
    struct Format: Sendable {
        let kind: FilmKind
        let codec: FilmCodec
        let quality: Int?
        /// Of pictures.
        let height: Int
        let width: Int
        /// Seconds of a tick of the film's clock: times are kept to this.
        let timeBase: (numerator: Int, denominator: Int)
        /// Of a frame, where times do not say.
        let frameSeconds: Double
        /// Width of a pixel divided by its height.
        let pixelAspect: (Int, Int)
    }

    /// What ffmpeg has said.
    final class Inbox {
        /// The first complaint; those that follow are consequences.
        var complaint = ""
        var isFull = false

        func take(_ text: String) {
            if text.contains("No space left on device") { isFull = true }
            let line = FFmpegLine(text)
            if ["error", "fatal", "panic"].contains(line.level), complaint.isEmpty { complaint = line.text }
        }

        /// - Throws: `FileError` (74) where the disk is full, `Failure` (66) where the codec is missing, else `ImageError` (74).
        func complain(_ path: String, _ end: FilmProcess.End) throws -> Never {
            if isFull { throw FileError(path: path, action: "write", code: ENOSPC) }
            if complaint.contains("Unknown encoder") {
                throw Failure(
                    .missingInput,
                    "ffmpeg: \(complaint.prefix(1).lowercased() + complaint.dropFirst()); install one that has it, "
                        + "or choose another --codec")
            }
            let reason =
                switch end {
                case .signalled(let signal): "ffmpeg was ended by signal \(signal)"
                case .exited(let code): complaint.isEmpty ? "ffmpeg ended with code \(code)" : complaint
                }
            throw ImageError(
                path: path, "cannot be written: \(reason)", remedy: "check the disk and the memory that is free",
                exitCode: .inputOutput)
        }
    }

    private let writer: AtomicFileWriter
    private let process: FilmProcess
    private let inbox = Inbox()
    private let format: Format

    init(_ tools: FFmpeg, _ format: Format, to path: String, silenceSeconds: Double) throws {
        self.format = format
        writer = try AtomicFileWriter(path: path)
        var filters: [String] = []
        if format.codec.needsEvenSides, format.kind.samples == .rgb24 {
            filters.append(
                "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int+bitexact")
        }
        filters.append("setsar=\(format.pixelAspect.0)/\(format.pixelAspect.1)")
        var arguments = ["-hide_banner", "-nostdin", "-nostats", "-progress", "pipe:2", "-loglevel", "level+warning"]
        arguments += ["-protocol_whitelist", "file,pipe", "-f", "matroska", "-i", "pipe:0", "-an", "-sn"]
        arguments +=
            ["-vf", filters.joined(separator: ",")] + format.codec.arguments(format.kind, quality: format.quality)
        if format.codec.needsEvenSides {
            arguments += [
                "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv",
            ]
        }
        // MPEG-4 counts in 16 bits.
        let base = format.codec == .mpeg4 && format.timeBase.denominator > 65_535 ? (1, 1000) : format.timeBase
        arguments += ["-vsync", "passthrough", "-enc_time_base", "\(base.0):\(base.1)"]
        // NUT keeps any clock; nothing in it says when or where it was made.
        arguments += ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-f", "nut", "-y", "file:/proc/self/fd/1"]
        let inbox = self.inbox
        process = try FilmProcess(
            program: tools.ffmpeg, arguments: arguments, film: path, input: nil, output: writer.openDescriptor,
            silenceSeconds: silenceSeconds
        ) { inbox.take($0) }
        try feed(
            TimedPictures.header(
                height: format.height, width: format.width, format.kind.samples, frameSeconds: format.frameSeconds))
    }

    /// - Parameter microseconds: since the first frame of this file; later than the frame before.
    func write(_ picture: PixelArray, microseconds: Int) throws {
        precondition(
            picture.height == format.height && picture.width == format.width,
            "a frame of \(picture.width)x\(picture.height) in a film of \(format.width)x\(format.height)")
        try feed(TimedPictures.frame(microseconds: microseconds, byteCount: picture.bytes.count))
        try feed(picture.bytes)
    }

    private func feed(_ bytes: [UInt8]) throws {
        process.resume()
        if try !bytes.withUnsafeBytes({ try process.write($0) }) { try inbox.complain(writer.path, process.finish()) }
    }

    /// Waits for the last frames and publishes the file.
    func finish() throws {
        process.resume()
        let end = try process.finish()
        guard end == .exited(0), !inbox.isFull else { try inbox.complain(writer.path, end) }
        try writer.publish()
    }

    /// Ends ffmpeg; no file appears.
    func stop() {
        process.stop()
        writer.abandon()
    }
}
