import Basics
import CProcesses
import Foundation
import Glibc

/// A program that reads a film from its standard input (a file, so that it can seek) and writes to a pipe; or one that we
/// feed through a pipe, and that writes to a file. Its standard error is taken line by line while we wait for it, so neither
/// side can block the other for ever; a program that says nothing for too long is killed. It has a process group of its own:
/// Ctrl-C reaches us alone. When we die, it ends at its next write, or when its input does.
///
/// For one thread at a time.
final class FilmProcess {
    enum End: Equatable {
        case exited(Int32)
        case signalled(Int32)
    }

    /// The film, for messages.
    let film: String
    private let program: String
    private let silenceSeconds: Double
    private let onLine: (String) -> Void
    private let processID: pid_t
    private var feed: Int32
    private var output: Int32
    private var errors: Int32
    private var line: [UInt8] = []
    private var end: End?
    private var lastSign = monotonicSeconds()

    /// - Parameter onLine: takes what the program says on standard error, a line at a time.
    /// - Throws: `FileError` (66, 74) if the film or the program cannot be opened, `ImageError` if it is no file.
    convenience init(
        program: String, arguments: [String], film: String, silenceSeconds: Double = FilmLimits.silenceSeconds,
        onLine: @escaping (String) -> Void
    ) throws {
        let input = try Self.open(film)
        defer { close(input) }
        try self.init(
            program: program, arguments: arguments, film: film, input: input, output: nil,
            silenceSeconds: silenceSeconds, onLine: onLine)
    }

    /// - Parameters:
    ///   - film: for messages.
    ///   - input: the program's standard input, a file; nil for a pipe that `write` feeds. Stays the caller's.
    ///   - output: its standard output, a file; nil for a pipe that `read` empties. Stays the caller's.
    /// - Throws: `FileError` (74) if the program cannot be started.
    init(
        program: String, arguments: [String], film: String, input: Int32?, output: Int32?,
        silenceSeconds: Double = FilmLimits.silenceSeconds, onLine: @escaping (String) -> Void
    ) throws {
        self.film = film
        self.program = String(program.split(separator: "/").last ?? "")
        self.silenceSeconds = silenceSeconds
        self.onLine = onLine
        // Of standard input, output and error: the program's end and ours.
        var theirs: [Int32] = [input ?? -1, output ?? -1, -1]
        var ours: [Int32] = [-1, -1, -1]
        var made: [Int32] = []
        for stream in 0..<3 where theirs[stream] < 0 {
            var pair: [Int32] = [0, 0]
            let code = cprocesses_pipe(&pair, stream == 2 ? 0 : 1 << 20)
            if code != 0 {
                for descriptor in made { close(descriptor) }
                throw FileError(path: program, action: "make a pipe for", code: code)
            }
            theirs[stream] = stream == 0 ? pair[0] : pair[1]
            ours[stream] = stream == 0 ? pair[1] : pair[0]
            made += pair
        }
        // In one language, without colours, and without the log files that FFREPORT asks for.
        var environment = ProcessInfo.processInfo.environment
        environment["FFREPORT"] = nil
        environment["LC_ALL"] = "C"
        environment["AV_LOG_FORCE_NOCOLOR"] = "1"
        let settings: [String] = environment.map { $0.key + "=" + $0.value }
        let words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
        let variables: [UnsafeMutablePointer<CChar>?] = settings.map { strdup($0) } + [nil]
        defer { for text in words + variables { free(text) } }
        let (inputEnd, outputEnd, errorsEnd) = (theirs[0], theirs[1], theirs[2])
        // No death signal: it would come when the calling thread ends, and readers change threads.
        let result: Int32 = words.withUnsafeBufferPointer { words in
            variables.withUnsafeBufferPointer { variables in
                cprocesses_spawn(program, words.baseAddress, variables.baseAddress, inputEnd, outputEnd, errorsEnd, 0)
            }
        }
        for descriptor in made where theirs.contains(descriptor) { close(descriptor) }
        if result < 0 {
            for descriptor in ours where descriptor >= 0 { close(descriptor) }
            throw FileError(path: program, action: "start", code: -result)
        }
        processID = result
        feed = ours[0]
        self.output = ours[1]
        errors = ours[2]
        for descriptor in ours where descriptor >= 0 { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
    }

    deinit { stop() }

    /// A regular file, open for reading; pipes and devices have no end and cannot be read twice.
    static func open(_ path: String) throws -> Int32 {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        if descriptor < 0 { throw FileError(path: path, action: "open", code: errno) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw ImageError(path: path, "is no regular file", remedy: "give a film in a file")
        }
        guard status.st_size > 0 else {
            close(descriptor)
            throw ImageError(path: path, "the file is empty")
        }
        return descriptor
    }

    /// Fills `buffer` as far as output goes; returns how many bytes came before it ended.
    /// - Throws: `ImageError` (74) if the program hangs.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(ImageError) -> Int {
        var count = 0
        while count < buffer.count, output >= 0 {
            let got = Glibc.read(output, buffer.baseAddress.map { $0 + count }, buffer.count - count)
            if got > 0 {
                count += got
                sign()
            } else if got == 0 {
                closeOutput()
            } else if errno == EAGAIN {
                try wait()
            } else if errno != EINTR {
                closeOutput()
            }
        }
        return count
    }

    /// Feeds the program; returns whether it took everything. It does not if it has ended: `finish` says why.
    /// - Throws: `ImageError` (74) if the program hangs.
    func write(_ bytes: UnsafeRawBufferPointer) throws(ImageError) -> Bool {
        var count = 0
        while count < bytes.count {
            guard feed >= 0 else { return false }
            let put = Glibc.write(feed, bytes.baseAddress.map { $0 + count }, bytes.count - count)
            if put > 0 {
                count += put
                sign()
            } else if put < 0 && errno == EAGAIN {
                try wait()
            } else if put < 0 && errno != EINTR {
                closeFeed()
            }
        }
        return true
    }

    /// Takes lines until `condition` holds or there are no more.
    func takeLines(until condition: () -> Bool) throws(ImageError) {
        takeErrors()
        while !condition(), errors >= 0 { try wait(outputToo: false) }
    }

    /// Waits for the end after the output's.
    /// - Throws: `ImageError` (74) if it does not come.
    func finish() throws(ImageError) -> End {
        closeFeed()
        closeOutput()
        while errors >= 0 { try wait() }
        while true {
            if let end = reap() { return end }
            try checkSilence()
            usleep(1000)
        }
    }

    /// Ends the program if it still runs.
    func stop() {
        closeFeed()
        closeOutput()
        closeErrors()
        guard reap() == nil else { return }
        kill(-processID, SIGKILL)
        // Stuck in the system (a dead network file system) it cannot be waited for.
        for _ in 0..<2000 where reap() == nil { usleep(1000) }
    }

    /// Of the program, for tests that stop or kill it.
    var identifier: pid_t { processID }

    private func wait(outputToo: Bool = true) throws(ImageError) {
        var requests = [pollfd(fd: errors, events: Int16(POLLIN), revents: 0)]
        if outputToo, output >= 0 { requests.append(pollfd(fd: output, events: Int16(POLLIN), revents: 0)) }
        if outputToo, feed >= 0 { requests.append(pollfd(fd: feed, events: Int16(POLLOUT), revents: 0)) }
        let milliseconds = Int32(max(1, min(1000, silenceSeconds * 250)))
        _ = poll(&requests, nfds_t(requests.count), milliseconds)
        takeErrors()
        if requests.dropFirst().contains(where: { $0.revents != 0 }) { sign() }
        try checkSilence()
    }

    /// Only time that we spend waiting counts: a slow reader keeps the program waiting, not the other way round.
    private func sign() { lastSign = monotonicSeconds() }

    /// Called when a wait begins after a pause of the reader.
    func resume() { sign() }

    private func checkSilence() throws(ImageError) {
        guard monotonicSeconds() - lastSign > silenceSeconds else { return }
        stop()
        throw ImageError(
            path: film, "\(program) gave no sign of life for \(Int(silenceSeconds.rounded(.up))) s and was ended",
            remedy: "check the disk, and whether \(program) can read the film on its own", exitCode: .inputOutput)
    }

    private func takeErrors() {
        guard errors >= 0 else { return }
        var buffer = [UInt8](repeating: 0, count: 1 << 14)
        while true {
            let got = Glibc.read(errors, &buffer, buffer.count)
            if got > 0 {
                sign()
                for byte in buffer[..<got] {
                    if byte == 10 || byte == 13 {
                        flushLine()
                    } else if line.count < FilmLimits.lineBytes {
                        line.append(byte)
                    }
                }
            } else if got < 0 && errno == EINTR {
                continue
            } else if got < 0 && errno == EAGAIN {
                return
            } else {
                flushLine()
                closeErrors()
                return
            }
        }
    }

    private func flushLine() {
        if !line.isEmpty { onLine(String(decoding: line, as: UTF8.self)) }
        line.removeAll(keepingCapacity: true)
    }

    private func reap() -> End? {
        if let end { return end }
        var status: Int32 = 0
        let got = waitpid(processID, &status, WNOHANG)
        if got == 0 || (got < 0 && errno == EINTR) { return nil }
        let found: End =
            got < 0 ? .signalled(0) : status & 0x7F == 0 ? .exited(status >> 8 & 0xFF) : .signalled(status & 0x7F)
        end = found
        return found
    }

    private func closeOutput() {
        if output >= 0 { close(output) }
        output = -1
    }

    private func closeFeed() {
        if feed >= 0 { close(feed) }
        feed = -1
    }

    private func closeErrors() {
        if errors >= 0 { close(errors) }
        errors = -1
    }
}
