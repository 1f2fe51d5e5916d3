import Basics
import Glibc

/// The folder `checkpoints` of a run: `last.safetensors`, to resume from, `best.safetensors`, to use, and the last few by
/// step, in case `last` is damaged. Each is replaced in one step, so that a run that is killed at any moment leaves whole
/// files only.
public struct CheckpointFolder: Sendable {
    public enum Kind: String, Sendable, CaseIterable {
        /// The newest resumable state.
        case last
        /// The state with the best validation score.
        case best
    }

    public let path: String

    /// Creates the folder if need be.
    public init(path: String) throws {
        self.path = path
        try Files.createFolder(path)
    }

    public func path(of kind: Kind) -> String { "\(path)/\(kind.rawValue).safetensors" }

    public func has(_ kind: Kind) -> Bool { Files.exists(path(of: kind)) }

    /// Checkpoints to resume from, newest first: `last`, then those that were kept by step.
    public func resumable() throws -> [String] {
        (has(.last) ? [path(of: .last)] : []) + (try kept().map { "\(path)/\($0)" })
    }

    /// Lets a checkpoint appear under another name too, without a copy where the file system has hard links.
    /// - Throws: `FileError`; the file at `target`, if there was one, is as it was then.
    public func repeatFile(_ source: String, as target: String) throws {
        let temporary = "\(target).\(getpid()).partial"
        unlink(temporary)
        if link(source, temporary) == 0 {
            if rename(temporary, target) != 0 {
                let code = errno
                unlink(temporary)
                throw FileError(path: target, action: "rename onto", code: code)
            }
            // Where both were one file already, rename does nothing.
            unlink(temporary)
            return try syncFolder(ofPath: target)
        }
        try AtomicFileWriter.write(try Files.read(source, limit: .max), to: target)
    }

    /// Keeps `last` under its step's name as well, and no more than `count` such files.
    public func keepLast(step: Int, count: Int) throws {
        if count > 0 { try repeatFile(path(of: .last), as: "\(path)/\(Self.name(ofStep: step))") }
        for name in try kept().dropFirst(count) { unlink("\(path)/\(name)") }
    }

    /// step_000000200.safetensors: names sort as steps do.
    public static func name(ofStep step: Int) -> String {
        let digits = String(step)
        return "step_" + String(repeating: "0", count: max(0, 12 - digits.count)) + digits + ".safetensors"
    }

    /// Names of the checkpoints that were kept by step, newest first.
    private func kept() throws -> [String] {
        try Files.list(path).filter { $0.hasPrefix("step_") && $0.hasSuffix(".safetensors") }.reversed()
    }

    /// Removes temporary files that writers which died have left; returns their names. One that is being written is
    /// locked by its writer, and stays.
    @discardableResult
    public func removeStalePartials() throws -> [String] {
        let starts = Kind.allCases.map { "\($0.rawValue).safetensors." } + ["step_"]
        return try Files.list(path).filter { name in
            guard name.hasSuffix(".partial"), starts.contains(where: { name.hasPrefix($0) }) else { return false }
            return AtomicFileWriter.removeIfAbandoned("\(path)/\(name)")
        }
    }
}
