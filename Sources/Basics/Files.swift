import Glibc

/// Small questions to the file system, with errors that name the path.
public enum Files {
    /// Whole content of a file of at most `limit` bytes.
    public static func read(_ path: String, limit: Int = 1 << 30) throws -> [UInt8] {
        // Without O_NONBLOCK, opening a pipe with a picture's name would wait for a writer for ever.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        if descriptor < 0 { throw FileError(path: path, action: "open", code: errno) }
        defer { close(descriptor) }
        var status = stat()
        if fstat(descriptor, &status) != 0 { throw FileError(path: path, action: "read", code: errno) }
        if status.st_mode & S_IFMT == S_IFDIR { throw FileError(path: path, action: "read", code: EISDIR) }
        // Pipes and devices have no size and no end.
        if status.st_mode & S_IFMT != S_IFREG { throw FileError(path: path, action: "read", code: EINVAL) }
        let size = Int(status.st_size)
        if size > limit { throw FileError(path: path, action: "read", code: EFBIG) }
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            while count < size {
                let got = Glibc.read(descriptor, buffer.baseAddress! + count, size - count)
                if got < 0 && errno == EINTR { continue }
                if got < 0 { failure = errno }
                if got <= 0 { break }
                count += got
            }
        }
        if failure != 0 { throw FileError(path: path, action: "read", code: failure) }
        return bytes
    }

    public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    public static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Names in a folder, sorted by bytes, without `.` and `..`.
    public static func list(_ path: String) throws -> [String] {
        guard let folder = opendir(path) else { throw FileError(path: path, action: "list", code: errno) }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Creates a folder and those above it. An existing one is fine.
    public static func createFolder(_ path: String) throws {
        if isFolder(path) { return }
        let parent = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        if !parent.isEmpty { try createFolder(parent) }
        if mkdir(path, 0o755) != 0 && errno != EEXIST {
            throw FileError(path: path, action: "create folder", code: errno)
        }
        if !isFolder(path) { throw FileError(path: path, action: "create folder", code: ENOTDIR) }
    }
}

/// Monotonic time in seconds, for durations only.
public func monotonicSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
