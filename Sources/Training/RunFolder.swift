import Basics
import Glibc

/// The folder of a run and the names in it.
public struct RunFolder: Sendable {
    public let path: String

    public init(path: String) { self.path = path }

    public var configurationPath: String { path + "/config.yaml" }
    public var metricsPath: String { path + "/metrics.csv" }
    public var stepsPath: String { path + "/steps.csv" }
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
