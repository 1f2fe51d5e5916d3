import Basics
import Glibc

/// The folder of a run and the names in it.
public struct RunFolder: Sendable {
    public let path: String

    public init(path: String) { self.path = path }

    public var configurationPath: String { path + "/config.yaml" }
    public var metricsPath: String { path + "/metrics.csv" }
    public var stepsPath: String { path + "/steps.csv" }
    /// Training records that others stood in for.
    public var badRecordsPath: String { path + "/bad_records.csv" }
    /// A row per step and rank: where its time went.
    public var ranksPath: String { path + "/ranks.csv" }
    /// A row per step and lane: the checksum of what it gave.
    public var lanesPath: String { path + "/lanes.csv" }
    public var checkpointFolder: String { path + "/checkpoints" }
    public var lastCheckpoint: String { checkpointFolder + "/last.safetensors" }
    public var bestCheckpoint: String { checkpointFolder + "/best.safetensors" }
    public var sampleFolder: String { path + "/samples" }
    /// The sheet of samples of an epoch.
    public func samplePath(epoch: Int) -> String {
        let digits = String(epoch)
        return "\(sampleFolder)/epoch_\(String(repeating: "0", count: max(0, 4 - digits.count)))\(digits).png"
    }
    /// What belongs to this execution and not to the result: host, time, ranks.
    public var machinePath: String { path + "/machine.txt" }

    /// `PARENT/NAME-3` where `PARENT/NAME-2` is the highest that there is. Nothing is made: of two runs that start at the
    /// same moment one is refused.
    public static func numbered(_ name: String, in parent: String = "runs") throws -> RunFolder {
        let names = Files.isFolder(parent) ? try Files.list(parent) : []
        let numbers = names.compactMap { $0.hasPrefix(name + "-") ? Int($0.dropFirst(name.count + 1)) : nil }
        return RunFolder(path: "\(parent)/\(name)-\(max(0, numbers.max() ?? 0) + 1)")
    }

    /// Makes the folder of a new run.
    /// - Throws: `Failure` (usage) if it exists and is not empty: a run never mixes with another.
    public func create() throws {
        if Files.exists(path) {
            guard Files.isFolder(path) else { throw Failure(.usage, "\(path): is a file; choose a folder for the run") }
            if !(try Files.list(path)).isEmpty {
                throw Failure(
                    .usage, "\(path): is not empty; go on with that run by --resume, or choose another folder")
            }
        }
        try createFolders()
    }

    public func createFolders() throws {
        for folder in [path, checkpointFolder, sampleFolder] { try Files.createFolder(folder) }
    }
}

/// Keeps two processes from writing one run. Held until the process ends, however it ends.
final class RunLock {
    private let folder: String
    private var descriptor: Int32 = -1

    init(folder: String) { self.folder = folder }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// - Throws: `Failure` (usage) if another process has the run. A file system without locks counts as free.
    func take() throws {
        descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if descriptor < 0 { throw FileError(path: folder, action: "open", code: errno) }
        if flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK {
            throw Failure(
                .usage, "\(folder): another process is writing this run; wait for it or choose another folder")
        }
    }
}
