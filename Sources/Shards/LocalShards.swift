import Basics
import Foundation
import Glibc
import Threads

/// Copies of shards in a folder on this machine, for data sets that lie far away. Any number of processes may share the
/// folder.
///
/// A thread copies shards that have been asked for; until a copy is there, records are read where they are, so nobody
/// waits for it. Copies are named by their hash in the manifest and appear whole, after that hash was seen; a process that
/// dies leaves only a `.partial` file, which the next one removes. The folder keeps to its size: copies unused for
/// `idleSeconds` make room for others, the longest unused first. Copies in use stay: where a data set is larger than the
/// folder, part of it is local and the rest is read from afar, without endless copying.
public final class LocalShards: Sendable {
    /// What the copying thread holds as well. This object itself belongs to those who read, so that it ends on one of
    /// their threads and can wait there for the copying one.
    private let core: LocalShardsCore

    public var path: String { core.path }
    public var byteLimit: Int { core.byteLimit }

    /// - Parameters:
    ///   - path: folder; it is created if it is not there.
    ///   - warning: is told once, by the copying thread, if copies cannot be made; reading goes on without them.
    /// - Throws: `FileError` if the folder cannot be created.
    public init(
        path: String, byteLimit: Int, idleSeconds: Double = 60, warning: @escaping @Sendable (String) -> Void
    ) throws {
        core = try LocalShardsCore(path: path, byteLimit: byteLimit, idleSeconds: idleSeconds, warning: warning)
    }

    deinit { core.stop() }

    func owns(_ file: String) -> Bool { file.hasPrefix(path + "/") }
    /// The copy's path. nil: there is none (yet); it is then asked for.
    func path(of shard: ShardSummary, at origin: String) -> String? { core.path(of: shard, at: origin) }
    /// Gives up a copy that cannot be read; the shard is read from afar from now on.
    func discard(_ shard: ShardSummary) { core.discard(shard) }
    /// Waits until everything asked for so far was copied or given up. For tests.
    func settle() { core.settle() }
}

private final class LocalShardsCore: @unchecked Sendable {
    let path: String
    let byteLimit: Int
    /// A copy that was used so recently is not removed for another.
    let idleSeconds: Double
    private let warning: @Sendable (String) -> Void
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    // All below is under the mutex.
    private var queue: [(shard: ShardSummary, origin: String)] = []
    private var asked: Set<String> = []
    /// Not to be copied (again) by this process.
    private var refused: Set<String> = []
    /// Since when no room was found; asked again after `idleSeconds`.
    private var crowded: [String: Double] = [:]
    private var touched: [String: Double] = [:]
    private var hasWarned = false
    private var isClosed = false
    private var isStopping = false
    private var thread: WorkerThread?

    init(
        path: String, byteLimit: Int, idleSeconds: Double, warning: @escaping @Sendable (String) -> Void
    ) throws {
        try Files.createFolder(path)
        self.path = path
        self.byteLimit = byteLimit
        self.idleSeconds = idleSeconds
        self.warning = warning
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    /// Ends the thread, which holds this object, and waits for it.
    func stop() {
        let thread = locked {
            isStopping = true
            pthread_cond_broadcast(condition)
            defer { self.thread = nil }
            return self.thread
        }
        thread?.join()
    }

    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(condition)
        mutex.deallocate()
        condition.deallocate()
    }

    private func locked<R>(_ body: () -> R) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    private func file(_ shard: ShardSummary) -> String { "\(path)/\(shard.hash).shard" }

    func path(of shard: ShardSummary, at origin: String) -> String? {
        let copy = file(shard)
        let isRefused = locked { refused.contains(shard.hash) }
        if !isRefused, access(copy, R_OK) == 0 {
            touch(copy)
            return copy
        }
        locked {
            guard !isRefused, !isClosed, !isStopping, shard.byteCount <= byteLimit else { return }
            if let since = crowded[shard.hash], monotonicSeconds() - since < idleSeconds { return }
            guard asked.insert(shard.hash).inserted else { return }
            queue.append((shard, origin))
            if thread == nil {
                thread = WorkerThread(name: "shard copies") { self.copyAll() }
            }
            pthread_cond_broadcast(condition)
        }
        return nil
    }

    /// Says to the others that the copy is in use.
    private func touch(_ copy: String) {
        let now = monotonicSeconds()
        let isDue = locked {
            if let last = touched[copy], now - last < idleSeconds / 6 { return false }
            touched[copy] = now
            return true
        }
        if isDue { utimensat(AT_FDCWD, copy, nil, 0) }
    }

    func discard(_ shard: ShardSummary) {
        locked { _ = refused.insert(shard.hash) }
        unlink(file(shard))
    }

    func settle() {
        while locked({ !asked.isEmpty }) { usleep(2000) }
    }

    // MARK: the copying thread

    private func copyAll() { while let (shard, origin) = next() { copy(shard, origin) } }

    /// nil: the thread should end.
    private func next() -> (shard: ShardSummary, origin: String)? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while queue.isEmpty && !isStopping { pthread_cond_wait(condition, mutex) }
        return isStopping ? nil : queue.removeFirst()
    }

    private func copy(_ shard: ShardSummary, _ origin: String) {
        do {
            let isRoom = try LocalShardCopy(owner: self, shard: shard, origin: origin).run()
            locked { crowded[shard.hash] = isRoom ? nil : monotonicSeconds() }
        } catch {
            locked { _ = refused.insert(shard.hash) }
            let isFull =
                (error as? FileError).map { [ENOSPC, EDQUOT, EROFS, EACCES, EPERM].contains($0.code) } ?? false
            let isFirst = locked {
                defer { hasWarned = true }
                // No copy will fare better on a full disk.
                if isFull { isClosed = true }
                return !hasWarned
            }
            if isFirst {
                warning(
                    "\(error); its records are read from where they are" + (isFull ? ", and so are all others" : ""))
            }
        }
        locked { _ = asked.remove(shard.hash) }
    }

    fileprivate var mustStop: Bool { locked { isStopping } }
}

/// One copy on its way.
private struct LocalShardCopy {
    let owner: LocalShardsCore
    let shard: ShardSummary
    let origin: String

    private var partial: String { "\(owner.path)/\(shard.hash).partial" }
    private var final: String { "\(owner.path)/\(shard.hash).shard" }

    /// - Returns: false if there is no room for it now.
    func run() throws -> Bool {
        let descriptor = open(partial, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o644)
        if descriptor < 0 { throw FileError(path: partial, action: "create", code: errno) }
        defer { close(descriptor) }
        // Who holds the lock copies; it ends with its process. The name may meanwhile have become another's file.
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0, Self.isStill(descriptor, at: partial) else { return true }
        guard access(final, F_OK) != 0 else {
            unlink(partial)
            return true
        }
        var isDone = false
        defer { if !isDone { unlink(partial) } }
        guard try reserve(descriptor) else { return false }
        guard try copy(into: descriptor) else { return true }
        guard rename(partial, final) == 0 else { throw FileError(path: final, action: "create", code: errno) }
        isDone = true
        return true
    }

    private static func isStill(_ descriptor: Int32, at path: String) -> Bool {
        var (mine, there) = (stat(), stat())
        return fstat(descriptor, &mine) == 0 && lstat(path, &there) == 0 && mine.st_ino == there.st_ino
            && mine.st_dev == there.st_dev
    }

    /// Makes room and takes it, one process at a time.
    private func reserve(_ descriptor: Int32) throws -> Bool {
        let lock = open(owner.path + "/lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o644)
        if lock < 0 { throw FileError(path: owner.path, action: "write", code: errno) }
        defer { close(lock) }
        _ = flock(lock, LOCK_EX)
        var files: [(path: String, byteCount: Int, used: Double)] = []
        var sum = 0
        for name in try Files.list(owner.path) {
            let path = owner.path + "/" + name
            var status = stat()
            guard path != partial, lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { continue }
            if name.hasSuffix(".partial"), Self.removeIfAbandoned(path) { continue }
            guard name.hasSuffix(".partial") || name.hasSuffix(".shard") else { continue }
            sum += Int(status.st_size)
            if name.hasSuffix(".shard") {
                files.append(
                    (path, Int(status.st_size), Double(status.st_mtim.tv_sec) + Double(status.st_mtim.tv_nsec) * 1e-9))
            }
        }
        let now = Date().timeIntervalSince1970
        for file in files.sorted(by: { $0.used < $1.used }) where sum + shard.byteCount > owner.byteLimit {
            guard now - file.used >= owner.idleSeconds else { break }
            if unlink(file.path) == 0 { sum -= file.byteCount }
        }
        guard sum + shard.byteCount <= owner.byteLimit else { return false }
        if ftruncate(descriptor, 0) != 0 { throw FileError(path: partial, action: "write", code: errno) }
        // Also says now, not half-way, if the disk has no room.
        let problem = posix_fallocate(descriptor, 0, off_t(shard.byteCount))
        if problem != 0 { throw FileError(path: partial, action: "write", code: problem) }
        return true
    }

    /// A partial file that nobody is writing.
    private static func removeIfAbandoned(_ path: String) -> Bool {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        if descriptor < 0 { return false }
        defer { close(descriptor) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0, isStill(descriptor, at: path) else { return false }
        return unlink(path) == 0
    }

    /// - Returns: false if it was told to stop.
    /// - Throws: `FileError`; `ShardError` if the bytes are not those of the manifest.
    private func copy(into descriptor: Int32) throws -> Bool {
        let source = open(origin, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        if source < 0 { throw FileError(path: origin, action: "open", code: errno) }
        defer { close(source) }
        let file = ShardFile(path: origin, descriptor: source, byteCount: shard.byteCount)
        let stream = HashStream()
        let scratch = ScratchBuffer()
        var offset = 0
        while offset < shard.byteCount {
            if owner.mustStop { return false }
            let piece = scratch.bytes(min(1 << 20, shard.byteCount - offset))
            try file.read(piece, at: offset)
            stream.update(UnsafeRawBufferPointer(piece))
            var done = 0
            while done < piece.count {
                let count = pwrite(
                    descriptor, piece.baseAddress.map { $0 + done }, piece.count - done, off_t(offset + done))
                if count < 0 && errno == EINTR { continue }
                if count <= 0 { throw FileError(path: partial, action: "write", code: errno) }
                done += count
            }
            offset += piece.count
        }
        guard stream.digest == shard.hash else {
            throw ShardError(path: origin, "hashes to \(stream.digest), the manifest says \(shard.hash)")
        }
        if fsync(descriptor) != 0 { throw FileError(path: partial, action: "write", code: errno) }
        return true
    }
}
