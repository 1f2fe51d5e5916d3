import Basics
import Glibc
import Shards

/// The folder a data set goes to: empty or not there yet. On failure everything that this run made is removed again.
struct OutputFolder {
    let path: String
    /// Folders that aren't there yet, the outermost first.
    private let missing: [String]

    /// - Throws: `Failure` (64) if there is something in the folder, other than what a killed run left behind.
    init(_ path: String) throws {
        self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        var missing: [String] = []
        var folder = self.path
        while !folder.isEmpty && folder != "/" && !Files.exists(folder) {
            missing.insert(folder, at: 0)
            folder = folder.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        }
        self.missing = missing
        guard missing.isEmpty else { return }
        guard Files.isFolder(self.path) else {
            throw Failure(.usage, "\(path): is a file; choose a folder for the data set")
        }
        let names = try Files.list(self.path)
        guard names.allSatisfy({ Self.isRemnant($0) }) else {
            throw Failure(.usage, "\(path): the folder is not empty; choose another one or remove it")
        }
    }

    /// Removes remnants of a manifest; those of shards are the writer's business.
    func clear() throws {
        guard missing.isEmpty else { return }
        for name in try Files.list(path) where name.hasPrefix(Manifest.fileName) { unlink(path + "/" + name) }
    }

    /// Removes the folders that this run made, unless somebody put something in.
    func discard() {
        for folder in missing.reversed() { rmdir(folder) }
    }

    /// A path that is missing is missing input, except where something was to be written.
    static func unwritable(_ error: any Error) -> any Error {
        guard let error = error as? FileError, error.isMissing else { return error }
        return Failure(.inputOutput, "\(error); choose another place for the output")
    }

    /// Without a manifest a shard is what a killed run left; so is a manifest under its temporary name.
    private static func isRemnant(_ name: String) -> Bool {
        name.contains(".shard.lz4") || (name.hasPrefix(Manifest.fileName + ".") && name.hasSuffix(".partial"))
    }
}
