import Basics
import CProcesses
import Glibc

/// How a program ended.
public enum ProcessEnd: Equatable, Sendable {
    case exited(Int32)
    case signalled(Int32)
    /// It never ran.
    case notStarted(String)
}

/// A program under our eyes: in a process group of its own, so that a terminal's Ctrl-C reaches us alone; with nothing
/// to read; its output and errors in pipes. It is told when this process dies, even by `kill -9`.
final class ChildProcess {
    let processID: pid_t
    private(set) var end: ProcessEnd?
    private var pipes: [(descriptor: Int32, sink: (ArraySlice<UInt8>) -> Void)] = []

    /// - Parameters:
    ///   - path: of the program, absolute.
    ///   - deathSignal: what it gets when the calling thread ends: that has to be the main thread.
    ///   - output, errors: take what the program writes, as it comes.
    /// - Throws: `FileError`.
    init(
        path: String, arguments: [String], environment: [String: String], deathSignal: Int32,
        output: @escaping (ArraySlice<UInt8>) -> Void, errors: @escaping (ArraySlice<UInt8>) -> Void
    ) throws {
        var opened: [Int32] = []
        func fail(_ action: String, _ code: Int32) -> FileError {
            for descriptor in opened { close(descriptor) }
            return FileError(path: path, action: action, code: code)
        }
        let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
        if null < 0 { throw FileError(path: "/dev/null", action: "open", code: errno) }
        opened.append(null)
        for _ in 0..<2 {
            var ends: [Int32] = [0, 0]
            if pipe(&ends) != 0 { throw fail("make a pipe for", errno) }
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            opened += ends
        }
        let (outputEnd, errorsEnd) = (opened[2], opened[4])
        let words = ([path] + arguments).map { strdup($0) } + [nil]
        let variables = environment.sorted { $0.key < $1.key }.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in words + variables { free(text) } }
        let result = words.withUnsafeBufferPointer { words in
            variables.withUnsafeBufferPointer { variables in
                cprocesses_spawn(
                    path, words.baseAddress, variables.baseAddress, null, outputEnd, errorsEnd, deathSignal)
            }
        }
        if result < 0 { throw fail("start", -result) }
        processID = result
        for descriptor in [null, outputEnd, errorsEnd] { close(descriptor) }
        pipes = [(opened[1], output), (opened[3], errors)]
        for pipe in pipes { _ = fcntl(pipe.descriptor, F_SETFL, O_NONBLOCK) }
    }

    deinit { for pipe in pipes { close(pipe.descriptor) } }

    /// Waits for output, a signal to us, or the time; hands on what has come.
    func pump(milliseconds: Int32) {
        var requests = pipes.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
        _ = poll(&requests, nfds_t(requests.count), milliseconds)
        drain()
    }

    /// Hands on what can be read without waiting.
    func drain() {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        pipes = pipes.filter { pipe in
            while true {
                let got = read(pipe.descriptor, &buffer, buffer.count)
                if got > 0 {
                    pipe.sink(buffer[..<got])
                } else if got < 0 && (errno == EINTR || errno == EAGAIN) {
                    if errno == EAGAIN { return true }
                } else {
                    close(pipe.descriptor)
                    return false
                }
            }
        }
    }

    /// Whether it has ended; `end` then says how.
    func hasEnded() -> Bool {
        if end != nil { return true }
        var status: Int32 = 0
        let got = waitpid(processID, &status, WNOHANG)
        if got == 0 || (got < 0 && errno == EINTR) { return false }
        if got < 0 {
            end = .signalled(0)
        } else if status & 0x7F == 0 {
            end = .exited(status >> 8 & 0xFF)
        } else {
            end = .signalled(status & 0x7F)
        }
        return true
    }

    func send(_ signal: Int32) { if end == nil { kill(processID, signal) } }

    /// To the program and what it started, unless that has left the group.
    func sendToGroup(_ signal: Int32) { if end == nil { kill(-processID, signal) } }
}

/// Processes of this host, as `/proc` shows them.
enum ProcessTable {
    /// Processes whose parent this is, those that have ended but were not waited for included.
    static func children(of parent: pid_t) -> [pid_t] {
        let names = (try? Files.list("/proc")) ?? []
        return names.compactMap { pid_t($0) }.filter { Self.parent(of: $0) == parent }
    }

    private static func parent(of process: pid_t) -> pid_t? {
        guard let text = content("/proc/\(process)/stat") else { return nil }
        // The name, in parentheses, may hold anything.
        guard let name = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: name)...].split(separator: " ")
        return fields.count > 1 ? pid_t(fields[1]) : nil
    }

    /// Ranks that mpirun started on this host: rank → process.
    static func ranks(of launcher: pid_t) -> [Int: pid_t] {
        var result: [Int: pid_t] = [:]
        for process in children(of: launcher) {
            guard let text = content("/proc/\(process)/environ") else { continue }
            let key = "OMPI_COMM_WORLD_RANK="
            for variable in text.split(separator: "\0") where variable.hasPrefix(key) {
                if let rank = Int(variable.dropFirst(key.count)) { result[rank] = process }
            }
        }
        return result
    }

    /// A file of `/proc`, which says that it is empty.
    private static func content(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        if descriptor < 0 { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 14)
        while bytes.count < 1 << 20 {
            let got = read(descriptor, &buffer, buffer.count)
            if got <= 0 { break }
            bytes += buffer[..<got]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Ends what our children have left behind (they are ours, since `cprocesses_adopt_orphans`): gives them the time
    /// to end by themselves, then ends them. Returns how many had to be ended.
    static func endOrphans(graceSeconds: Double) -> Int {
        let deadline = monotonicSeconds() + graceSeconds
        var ended = 0
        var isKilling = false
        while true {
            while waitpid(-1, nil, WNOHANG) > 0 {}
            let left = children(of: getpid())
            if left.isEmpty { return ended }
            if !isKilling && monotonicSeconds() >= deadline {
                isKilling = true
                ended = left.count
            }
            if isKilling { for process in left { kill(process, SIGKILL) } }
            // A process in an uninterruptible wait outlasts even that.
            if monotonicSeconds() > deadline + 5 { return ended }
            usleep(10_000)
        }
    }
}
