import Basics
import Glibc

/// The disk below a run's folder.
public enum DiskFacts {
    /// - Parameters:
    ///   - path: the folder, which need not exist yet.
    ///   - checkpoint: path of the checkpoint to resume from; nil if the run does not resume.
    ///   - neededByteCount: what the run will write; nil if that is unknown.
    public static func run(path: String, checkpoint: String?, neededByteCount: Int?) -> RankFacts.RunFolder {
        var run = RankFacts.RunFolder()
        run.path = path
        run.resumes = checkpoint != nil
        run.checkpointByteCount = checkpoint.flatMap(byteCount)
        run.neededByteCount = neededByteCount
        let existing = existingPart(of: path)
        if access(existing, W_OK | X_OK) != 0 {
            run.problem = existing == path ? words(errno) : "\(existing): \(words(errno))"
        }
        var status = statvfs()
        // File systems without blocks, such as /proc, have no free space to speak of.
        if statvfs(existing, &status) == 0, status.f_blocks > 0 {
            let (free, overflow) = Int(clamping: status.f_bavail).multipliedReportingOverflow(
                by: Int(clamping: status.f_frsize))
            run.freeByteCount = overflow ? .max : free
        }
        return run
    }

    /// Size of a file; nil if there is none.
    public static func byteCount(_ path: String) -> Int? {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG ? Int(status.st_size) : nil
    }

    /// The folder itself, or the nearest one above it that exists.
    static func existingPart(of path: String) -> String {
        var path = path
        while !Files.exists(path) {
            guard let slash = path.lastIndex(of: "/") else { return "." }
            path = slash == path.startIndex ? "/" : String(path[..<slash])
            if path.isEmpty { return "/" }
        }
        return path
    }

    private static func words(_ code: Int32) -> String { String(cString: strerror(code)).lowercased() }
}
