import Glibc

/// An error of the operating system on a path.
public struct FileError: Error, CustomStringConvertible, Equatable {
    public let path: String
    public let action: String
    public let code: Int32

    public init(path: String, action: String, code: Int32) {
        self.path = path
        self.action = action
        self.code = code
    }

    public var isMissing: Bool { code == ENOENT || code == ENOTDIR }

    public var description: String { "\(path): cannot \(action): \(Self.message(code))" }

    static func message(_ code: Int32) -> String {
        let text = String(cString: strerror(code)).lowercased()
        switch code {
        case ENOSPC: return "\(text); free some space or choose another folder"
        case EACCES, EPERM, EROFS: return "\(text); choose a folder that you may write, or mend its permissions"
        case ENOENT, ENOTDIR, EISDIR, ELOOP, ENAMETOOLONG: return "\(text); check the path"
        case EFBIG: return "\(text); give a smaller file, or the right one"
        case EINVAL: return "\(text) for this kind of file; give a regular file"
        case EMFILE, ENFILE: return "\(text); raise the limit with ulimit -n"
        case EIO: return "\(text); check the disk"
        default: return text
        }
    }
}

/// Writes a file so that its path shows either nothing (or the old content) or the complete new content, never a part:
/// exclusive temporary file in the same folder, write, sync, rename, sync of the folder.
public final class AtomicFileWriter {
    public let path: String
    private let temporaryPath: String
    private var descriptor: Int32
    /// Bytes written so far.
    public private(set) var byteOffset = 0

    /// - Throws: `FileError` if the temporary file cannot be created.
    public init(path: String) throws {
        self.path = path
        let process = UInt64(UInt32(bitPattern: getpid()))
        // O_EXCL with an unpredictable name: a stranger's link at that name is never followed.
        var random: UInt64 = 0
        _ = getentropy(&random, 8)
        temporaryPath = "\(path).\(String(process &* 0x9E37_79B9 ^ random, radix: 36)).partial"
        descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o644)
        if descriptor < 0 { throw FileError(path: path, action: "create", code: errno) }
        // Ends with the process, however it ends: tells `removeIfAbandoned` that somebody is still writing.
        _ = flock(descriptor, LOCK_EX | LOCK_NB)
    }

    /// Removes the temporary file of a writer that died; returns whether it did. A file that a living writer holds, or
    /// that is no plain file, stays.
    public static func removeIfAbandoned(_ partialPath: String) -> Bool {
        let descriptor = open(partialPath, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            flock(descriptor, LOCK_EX | LOCK_NB) == 0
        else { return false }
        return unlink(partialPath) == 0
    }

    deinit { abandon() }

    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        var offset = 0
        while offset < bytes.count {
            let written = Glibc.write(descriptor, bytes.baseAddress! + offset, bytes.count - offset)
            if written < 0 {
                if errno == EINTR { continue }
                let code = errno
                abandon()
                throw FileError(path: path, action: "write", code: code)
            }
            offset += written
        }
        byteOffset += bytes.count
    }

    public func write(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try write($0) } }

    public func write(_ text: String) throws { try write(Array(text.utf8)) }

    /// For programs that write the file themselves.
    public var openDescriptor: Int32 { descriptor }

    /// Makes the file appear at `path`. Nothing can be written afterwards.
    public func publish() throws {
        precondition(descriptor >= 0, "publish of a closed file \(path)")
        if fsync(descriptor) != 0 {
            let code = errno
            abandon()
            throw FileError(path: path, action: "sync", code: code)
        }
        close(descriptor)
        descriptor = -1
        if rename(temporaryPath, path) != 0 {
            let code = errno
            unlink(temporaryPath)
            throw FileError(path: path, action: "rename onto", code: code)
        }
        try syncFolder(ofPath: path)
    }

    /// Removes what was written. Called by `deinit` if `publish` was not.
    public func abandon() {
        guard descriptor >= 0 else { return }
        close(descriptor)
        descriptor = -1
        unlink(temporaryPath)
    }

    /// Writes a whole file at once.
    public static func write(_ text: String, to path: String) throws {
        let writer = try AtomicFileWriter(path: path)
        try writer.write(text)
        try writer.publish()
    }

    public static func write(_ bytes: [UInt8], to path: String) throws {
        let writer = try AtomicFileWriter(path: path)
        try writer.write(bytes)
        try writer.publish()
    }
}

/// Syncs the folder that holds `path`, so that a rename in it survives a power failure.
public func syncFolder(ofPath path: String) throws {
    let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    let name = folder.isEmpty ? (path.hasPrefix("/") ? "/" : ".") : folder
    let descriptor = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if descriptor < 0 { throw FileError(path: name, action: "open", code: errno) }
    defer { close(descriptor) }
    // Some file systems refuse to sync a folder (EINVAL); the rename itself is still atomic.
    if fsync(descriptor) != 0 && errno != EINVAL { throw FileError(path: name, action: "sync", code: errno) }
}
