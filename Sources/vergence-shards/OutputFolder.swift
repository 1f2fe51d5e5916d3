import Basics
import Glibc
import Shards

/// The folder a data set goes to: empty or not there yet, or what a conversion left that did not come to its end.
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
        try requireRoom()
    }

    private func requireRoom() throws {
        let names = try Files.list(path)
        // A manifest beside a journal: the run was killed between its last two steps.
        let hasJournal = names.contains(ConversionJournal.fileName)
        guard names.allSatisfy({ Self.isRemnant($0) || hasJournal && $0 == Manifest.fileName }) else {
            throw Failure(.usage, "\(path): the folder is not empty; choose another one or remove it")
        }
    }

    /// Makes the folder, takes its lock and looks at what is there.
    /// - Throws: `Failure` (64) if another conversion is at work here, or one with other settings has begun here.
    func open(settings: [String: String]) throws -> ConversionJournal {
        try Files.createFolder(path)
        let journal = try ConversionJournal(folder: path)
        do {
            // Again, now that nobody else can write: another run may just have come to its end.
            if try journal.isNew() { try requireEmptyOfManifest() }
            try journal.begin(settings)
        } catch {
            if try journal.isFresh || journal.isNew() { journal.remove() }
            throw error
        }
        for name in try Files.list(path) where Self.isManifestRemnant(name) { unlink(path + "/" + name) }
        return journal
    }

    private func requireEmptyOfManifest() throws {
        guard !Files.exists(path + "/" + Manifest.fileName) else {
            throw Failure(.usage, "\(path): the folder is not empty; choose another one or remove it")
        }
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
        name.contains(".shard.lz4") || isManifestRemnant(name) || name == ConversionJournal.fileName
    }

    private static func isManifestRemnant(_ name: String) -> Bool {
        name.hasPrefix(Manifest.fileName + ".") && name.hasSuffix(".partial")
    }
}
