import Basics
import Foundation
import Glibc
import Shards

/// `conversion.json` in the folder of a data set that is being made: what is made there, and by its lock that somebody
/// is at it. The kernel drops the lock with the process, so a killed run blocks nobody.
final class ConversionJournal {
    static let fileName = "conversion.json"
    private static let byteLimit = 1 << 20

    let folder: String
    private let path: String
    private var descriptor: Int32
    /// Nothing has been made here yet.
    private(set) var isFresh = false

    /// Takes the lock.
    /// - Throws: `Failure` (64) if another process has it, `FileError`.
    init(folder: String) throws {
        self.folder = folder
        path = folder + "/" + Self.fileName
        while true {
            let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o644)
            if descriptor < 0 { throw FileError(path: path, action: "create", code: errno) }
            if flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
                let code = errno
                close(descriptor)
                guard code == EWOULDBLOCK else { throw FileError(path: path, action: "lock", code: code) }
                throw Failure(
                    .usage,
                    "\(folder): another conversion is writing here; wait for it, or choose another folder")
            }
            // The one who had the lock may have removed the file: then this is not the file that others see.
            var mine = stat()
            var seen = stat()
            if fstat(descriptor, &mine) == 0, lstat(path, &seen) == 0, mine.st_ino == seen.st_ino,
                mine.st_dev == seen.st_dev
            {
                guard mine.st_mode & S_IFMT == S_IFREG else {
                    close(descriptor)
                    throw Failure(.usage, "\(path): is not a regular file; choose another folder")
                }
                self.descriptor = descriptor
                return
            }
            close(descriptor)
        }
    }

    deinit { release() }

    /// Whether the file is empty: it was not there, or its writer was killed before a word.
    func isNew() throws -> Bool { try text().isEmpty }

    private func text() throws -> [UInt8] { try Files.read(path, limit: Self.byteLimit) }

    /// Compares what was begun here with `settings`, or begins. Afterwards `isFresh` says which.
    /// - Throws: `Failure` (64) in words if another conversion has begun here.
    func begin(_ settings: [String: String]) throws {
        let hasShards = try !FinishedShard.names(in: folder).isEmpty
        let hasManifest = Files.exists(folder + "/" + Manifest.fileName)
        let text = try text()
        // Without a finished shard, there is nothing that another command could spoil.
        if text.isEmpty || !hasShards && !hasManifest {
            isFresh = true
            return try write(settings)
        }
        let remedy = "repeat that command to continue, or remove the folder"
        guard let begun = try? JSONDecoder().decode([String: String].self, from: Data(text)) else {
            throw Failure(.usage, "\(path): is broken, so what was begun here is not known; remove the folder")
        }
        var names = Set(begun.keys).union(settings.keys).sorted().filter { begun[$0] != settings[$0] }
        guard !names.isEmpty else { return }
        if names == [Self.inputsName] {
            throw Failure(
                .usage,
                "\(folder): holds an unfinished conversion, and files of its input have changed since it began; "
                    + "remove the folder and convert again")
        }
        // These follow from the others.
        if names.contains(where: { !Self.derivedNames.contains($0) }) {
            names.removeAll(where: Self.derivedNames.contains)
        }
        let had = names.map { Self.shown($0, begun[$0]) }.joined(separator: ", ")
        let has = names.map { Self.shown($0, settings[$0]) }.joined(separator: ", ")
        throw Failure(.usage, "\(folder): holds an unfinished conversion with \(had), this one has \(has); \(remedy)")
    }

    private static let derivedNames = ["items", inputsName]
    static let inputsName = "input-files"

    private static func shown(_ name: String, _ value: String?) -> String {
        value.map { "\(name) \($0.prefix(100))" } ?? "no \(name)"
    }

    private func write(_ settings: [String: String]) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let bytes = Array(try encoder.encode(settings)) + [10]
        // In place, because the lock is on this very file. A kill in the middle leaves a broken file and no shard.
        guard ftruncate(descriptor, 0) == 0 else { throw FileError(path: path, action: "write", code: errno) }
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                pwrite(descriptor, $0.baseAddress! + done, $0.count - done, off_t(done))
            }
            if count < 0 && errno == EINTR { continue }
            if count < 0 { throw FileError(path: path, action: "write", code: errno) }
            done += count
        }
        if fsync(descriptor) != 0 { throw FileError(path: path, action: "sync", code: errno) }
        try syncFolder(ofPath: path)
    }

    /// The data set is finished, or nothing of it is left.
    func remove() {
        guard descriptor >= 0 else { return }
        unlink(path)
        release()
    }

    private func release() {
        guard descriptor >= 0 else { return }
        close(descriptor)
        descriptor = -1
    }
}

/// What the files of an input look like from outside: paths, sizes, times. Equal ones were most likely not changed.
enum InputFingerprint {
    /// - Parameter output: passed over, wherever it lies.
    static func of(_ paths: [String], output: String) -> String {
        let stream = HashStream()
        var count = 0
        var byteCount = 0
        var outside = stat()
        let hasOutput = stat(output, &outside) == 0
        // Links may lead in circles.
        var seen: Set<[UInt64]> = hasOutput ? [[UInt64(outside.st_dev), UInt64(outside.st_ino)]] : []
        func visit(_ path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return }
            if status.st_mode & S_IFMT == S_IFDIR {
                guard seen.insert([UInt64(status.st_dev), UInt64(status.st_ino)]).inserted else { return }
                for name in (try? Files.list(path)) ?? [] { visit(path + "/" + name) }
                return
            }
            count += 1
            byteCount += Int(status.st_size)
            let line =
                "\(path)\u{0}\(status.st_size) \(status.st_mtim.tv_sec) \(status.st_mtim.tv_nsec)\n"
            Array(line.utf8).withUnsafeBytes { stream.update($0) }
        }
        for path in paths { visit(path) }
        return "\(count) files, \(byteCount) bytes, \(stream.digest)"
    }
}
