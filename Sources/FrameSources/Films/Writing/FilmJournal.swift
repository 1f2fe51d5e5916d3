import Basics
import Foundation
import Glibc

/// The folder beside a film that is being made: finished segments, a journal that says which, and a lock. What a killed run
/// leaves is enough to go on.
final class FilmJournal {
    struct Segment: Codable, Equatable {
        let frameCount: Int
        /// Of its first and its last frame in the film, microseconds.
        let firstMicroseconds: Int
        let lastMicroseconds: Int
    }

    struct Content: Codable {
        var version = 1
        /// What the frames depend on.
        var settings: [String: String]
        /// What was found out when the film was begun.
        var facts: [String: String] = [:]
        var segments: [Segment] = []
    }

    let folder: String
    private(set) var content: Content
    private var descriptor: Int32

    private static let fileName = "journal.json"
    private static let byteLimit = 1 << 26

    /// Takes the lock and begins, or goes on.
    /// - Throws: `Failure` (64) if there is an unfinished film and neither `resumes` nor `overwrites`, if it was begun with
    ///   other settings, or if somebody is at it; `FileError`.
    init(folder: String, settings: [String: String], resumes: Bool, overwrites: Bool) throws {
        self.folder = folder
        content = Content(settings: settings)
        try Files.createFolder(folder)
        let lockPath = folder + "/lock"
        descriptor = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o644)
        if descriptor < 0 { throw FileError(path: lockPath, action: "create", code: errno) }
        if flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            throw Failure(.usage, "\(folder): another run is writing here; wait for it, or choose another --output")
        }
        let path = folder + "/" + Self.fileName
        let hasJournal = Files.exists(path)
        if hasJournal && !overwrites {
            guard resumes else {
                throw Failure(
                    .usage, "\(folder): holds an unfinished film; give --resume to go on, or --overwrite to begin again"
                )
            }
            guard
                let begun = try? JSONDecoder().decode(
                    Content.self, from: Data(Files.read(path, limit: Self.byteLimit))),
                begun.version == 1
            else {
                throw Failure(.usage, "\(path): is broken, so it is not known how to go on; give --overwrite")
            }
            let names = Set(begun.settings.keys).union(settings.keys).sorted().filter {
                begun.settings[$0] != settings[$0]
            }
            guard names.isEmpty else {
                let differences = names.map {
                    "\($0) \((begun.settings[$0] ?? "none").prefix(80)) then, \((settings[$0] ?? "none").prefix(80)) now"
                }
                throw Failure(
                    .usage,
                    "\(folder): holds an unfinished film made otherwise (\(differences.joined(separator: "; "))); "
                        + "repeat that command, or give --overwrite")
            }
            content = begun
        }
        let isGoingOn = hasJournal && !overwrites
        for name in try Files.list(folder) where name != "lock" && Self.isRemnant(name) {
            if isGoingOn && (name == Self.fileName || isOwned(name)) { continue }
            unlink(folder + "/" + name)
        }
        if !isGoingOn { try save() }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Whether a film has been begun in a folder and is not whole.
    static func isUnfinished(_ folder: String) -> Bool { Files.exists(folder + "/" + fileName) }

    /// Names that only runs give. Files of others stay, whatever the folder is called.
    private static func isRemnant(_ name: String) -> Bool {
        name == "lock" || [fileName, "segment-", "state-", "list-", "trial"].contains { name.hasPrefix($0) }
    }

    /// Files of finished segments, and what comes after them.
    private func isOwned(_ name: String) -> Bool {
        name == stateName
            || (0..<content.segments.count).contains { name.hasPrefix("segment-\($0)-") && name.hasSuffix(".nut") }
    }

    static func segmentName(_ number: Int, _ kind: FilmKind) -> String { "segment-\(number)-\(kind.rawValue).nut" }

    func path(_ number: Int, _ kind: FilmKind) -> String { folder + "/" + Self.segmentName(number, kind) }

    private var stateName: String { "state-\(content.segments.count)" }

    var frameCount: Int { content.segments.reduce(0) { $0 + $1.frameCount } }

    /// What the frames after the last segment depend on of those before it.
    func state() throws -> [UInt8]? {
        let path = folder + "/" + stateName
        return Files.exists(path) ? try Files.read(path) : nil
    }

    func set(fact name: String, _ value: String) throws {
        content.facts[name] = value
        try save()
    }

    /// Takes in a segment whose files are published.
    func add(_ segment: Segment, state: [UInt8]?) throws {
        let before = folder + "/" + stateName
        content.segments.append(segment)
        // The state first: without a line in the journal it counts for nothing.
        if let state { try AtomicFileWriter.write(state, to: folder + "/" + stateName) }
        try save()
        unlink(before)
    }

    private func save() throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        try AtomicFileWriter.write(Array(try encoder.encode(content)) + [10], to: folder + "/" + Self.fileName)
    }

    /// The film is whole: removes the folder. The journal goes first, so that what a kill leaves counts for nothing.
    func remove() throws { try Self.removeRemnants(of: folder) }

    /// What a run left that was killed while it tidied up.
    static func removeRemnants(of folder: String) throws {
        guard Files.isFolder(folder) else { return }
        let names = try Files.list(folder).filter(isRemnant)
        for name in [fileName] + names { unlink(folder + "/" + name) }
        rmdir(folder)
    }
}
