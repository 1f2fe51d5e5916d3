import Basics
import Glibc

/// Where the programs `ffmpeg` and `ffprobe` are. They run as processes of their own: every codec, and a crash stays
/// outside.
public struct FFmpeg: Sendable {
    public let ffmpeg: String
    public let ffprobe: String

    /// Looks along `PATH`.
    /// - Throws: `Failure` (66) with the remedy where one is missing.
    public static func find() throws(Failure) -> FFmpeg {
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
        return try find(path: path)
    }

    static func find(path: String) throws(Failure) -> FFmpeg {
        func locate(_ program: String) throws(Failure) -> String {
            for folder in path.split(separator: ":") where folder.hasPrefix("/") {
                let candidate = "\(folder)/\(program)"
                if access(candidate, X_OK) == 0 && !Files.isFolder(candidate) { return candidate }
            }
            throw Failure(
                .missingInput,
                "\(program): not found on PATH, and films are read by it; install it with: apt-get install ffmpeg")
        }
        return FFmpeg(ffmpeg: try locate("ffmpeg"), ffprobe: try locate("ffprobe"))
    }

    /// What every call has in front. No terminal, no network, and nothing but the file that is standard input: names
    /// that begin with `-`, hold `%`, a protocol or a line end never reach the command line.
    static let input = ["-protocol_whitelist", "file,pipe", "-i", "file:/proc/self/fd/0"]
}

/// How long `ffmpeg` may say nothing at all (it reports progress about twice a second) before it counts as hung.
public enum FilmLimits {
    public static let silenceSeconds = 120.0
    /// Of a line on standard error; the rest of a longer one is dropped.
    static let lineBytes = 4096
    /// Of what `ffprobe` prints.
    static let probeBytes = 1 << 22
}
