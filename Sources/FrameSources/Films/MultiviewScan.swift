import Basics

/// Finds films whose second eye is coded as a difference to the first (MVC of Blu-ray 3D, MV-HEVC of spatial video).
/// `ffmpeg` decodes one eye of them and says nothing.
///
/// **Source:** ITU-T H.264 annex H: NAL unit types 15 (subset SPS), 20 (slice of another view). ITU-T H.265 annex G:
/// `nuh_layer_id` > 0.
enum MultiviewScan {
    /// Packets to look at; parameter sets and the second view are in the first.
    private static let packets = 12
    private static let byteLimit = 8 << 20

    /// - Throws: `ImageError` (65) if there is a second view, (74) if ffmpeg hangs.
    static func refuse(_ film: FilmInfo) throws {
        if film.profile.contains("Stereo High") || film.profile.contains("Multiview") { throw refusal(film.path) }
        for stream in film.codedStreams {
            for codec in ["h264", "hevc"] where codec == film.codec {
                if hasSecondView(try bytes(film, stream: stream, codec: codec), codec: codec) {
                    throw refusal(film.path)
                }
            }
        }
    }

    private static func refusal(_ path: String) -> ImageError {
        ImageError(
            path: path, "its second eye is coded as multiview (MVC or MV-HEVC), of which ffmpeg decodes one eye only",
            remedy: "convert it to full side-by-side with a decoder for multiview first")
    }

    /// The first packets as a byte stream with start codes.
    private static func bytes(_ film: FilmInfo, stream: Int, codec: String) throws -> [UInt8] {
        let process = try FilmProcess(
            program: film.tools.ffmpeg,
            arguments: ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "error"] + FFmpeg.input
                + [
                    "-map", "0:\(stream)", "-c", "copy", "-bsf:v", "\(codec)_mp4toannexb", "-frames:v", "\(packets)",
                    "-f", codec, "pipe:1",
                ], film: film.path
        ) { _ in }
        var bytes = [UInt8](repeating: 0, count: byteLimit)
        let count = try bytes.withUnsafeMutableBytes { try process.read(into: $0) }
        process.stop()
        return Array(bytes[..<count])
    }

    static func hasSecondView(_ bytes: [UInt8], codec: String) -> Bool {
        var index = 0
        while index + 4 < bytes.count {
            guard bytes[index] == 0, bytes[index + 1] == 0, bytes[index + 2] == 1 else {
                index += 1
                continue
            }
            let head = bytes[index + 3]
            if codec == "h264" {
                if head & 0x1F == 15 || head & 0x1F == 20 { return true }
            } else if head >> 1 & 0x3F < 41 {
                // Six bits of type, six of layer. Types from 41 on are reserved or private.
                if (head & 1) << 5 | bytes[index + 4] >> 3 > 0 { return true }
            }
            index += 3
        }
        return false
    }
}
