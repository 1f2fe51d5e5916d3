import Basics
import Checkpoints
import Glibc

/// What the supervisor sees of a training run: its folder. It has to be on a file system that this machine shares.
struct RunRecord {
    let folder: String
    var configurationPath: String { folder + "/config.yaml" }
    var stepsPath: String { folder + "/steps.csv" }
    var checkpointFolder: String { folder + "/checkpoints" }
    var journalPath: String { folder + "/launch.jsonl" }

    /// Whether there is a run to resume.
    var exists: Bool { Files.exists(configurationPath) }

    /// Whether nothing is there yet that `train` would refuse to write into.
    var isFree: Bool { !Files.exists(folder) || ((try? Files.list(folder))?.isEmpty ?? false) }

    /// The file of steps, to tell whether somebody has written to it.
    struct Snapshot: Equatable {
        var inode: UInt64 = 0
        var byteCount = 0
        var seconds = 0
        var nanoseconds = 0
    }

    func snapshot() -> Snapshot {
        var status = stat()
        guard stat(stepsPath, &status) == 0 else { return Snapshot() }
        return Snapshot(
            inode: UInt64(status.st_ino), byteCount: Int(status.st_size), seconds: status.st_mtim.tv_sec,
            nanoseconds: status.st_mtim.tv_nsec)
    }

    /// The last step in `steps.csv`; 0 if there is none.
    func lastStep() -> Int {
        let descriptor = open(stepsPath, O_RDONLY | O_CLOEXEC)
        if descriptor < 0 { return 0 }
        defer { close(descriptor) }
        let size = lseek(descriptor, 0, SEEK_END)
        var bytes = [UInt8](repeating: 0, count: 1 << 14)
        let got = pread(descriptor, &bytes, bytes.count, max(0, size - bytes.count))
        guard got > 0 else { return 0 }
        // A last line that is not finished does not count; the first may be cut.
        let whole = bytes[..<got].lastIndex(of: 10).map { bytes[..<$0] } ?? []
        let line = whole.lastIndex(of: 10).map { whole[($0 + 1)...] } ?? whole
        return Int(String(decoding: line.prefix { $0 != 44 }, as: UTF8.self)) ?? 0
    }

    /// Removes what a run that died before it had a configuration has left, so that it can start again. What is not
    /// empty stays.
    func removeShell() {
        for name in (try? Files.list(folder)) ?? [] where name.hasSuffix(".partial") {
            _ = AtomicFileWriter.removeIfAbandoned("\(folder)/\(name)")
        }
        for name in ["checkpoints", "samples"] { rmdir("\(folder)/\(name)") }
    }
}

/// `launch.jsonl` in the run's folder: an event a line. What happens before the run has a folder is kept until it has
/// one.
final class LaunchJournal {
    enum Value {
        case text(String)
        case texts([String])
        case whole(Int)
        case number(Double)
    }

    private let record: RunRecord?
    private var waiting: [String] = []

    /// - Parameter record: nil for a journal that is not kept.
    init(_ record: RunRecord?) { self.record = record }

    func add(_ event: String, _ values: [(String, Value)]) {
        guard record != nil else { return }
        let fields = [("time", .text(Self.now())), ("event", .text(event))] + values
        waiting.append("{" + fields.map { "\(Self.quoted($0.0)): \(Self.json($0.1))" }.joined(separator: ", ") + "}\n")
        flush()
    }

    /// Writes what waits, if the run's folder is there. A journal that cannot be written is no reason to end a run.
    func flush() {
        guard let record, !waiting.isEmpty, record.exists else { return }
        let descriptor = open(record.journalPath, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o644)
        if descriptor < 0 { return }
        defer { close(descriptor) }
        let bytes = Array(waiting.joined().utf8)
        if write(descriptor, bytes, bytes.count) == bytes.count { waiting = [] }
    }

    private static func json(_ value: Value) -> String {
        switch value {
        case .text(let text): quoted(text)
        case .texts(let texts): "[" + texts.map(quoted).joined(separator: ", ") + "]"
        case .whole(let number): "\(number)"
        case .number(let number): number.isFinite ? "\((number * 1000).rounded() / 1000)" : "null"
        }
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case _ where scalar.value < 32:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    /// 2026-01-31T23:59:59.123Z
    private static func now() -> String {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        var parts = tm()
        gmtime_r(&time.tv_sec, &parts)
        func padded(_ value: Int, _ width: Int) -> String {
            let digits = "\(value)"
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let date = [Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday)].map { padded($0, 2) }
        let clock = [Int(parts.tm_hour), Int(parts.tm_min), Int(parts.tm_sec)].map { padded($0, 2) }
        return date.joined(separator: "-") + "T" + clock.joined(separator: ":") + "."
            + padded(time.tv_nsec / 1_000_000, 3) + "Z"
    }
}
