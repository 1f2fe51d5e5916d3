import Basics
import Glibc

/// The folder `checkpoints` of a run: `last.safetensors`, to resume from, and `best.safetensors`, to use. Each is replaced
/// in one step, so that a run that is killed at any moment leaves whole files only.
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

    /// Opens a checkpoint.
    /// - Throws: `FileError` (missing input) if there is none, `SafeTensorsError` if it is broken.
    public func open(_ kind: Kind) throws -> SafeTensorsFile { try SafeTensorsFile(path: path(of: kind)) }

    /// Replaces a checkpoint.
    public func publish(_ kind: Kind, tensors: [SafeTensorsWriter.Tensor], metadata: [String: String]) throws {
        try SafeTensorsWriter.write(path: path(of: kind), tensors: tensors, metadata: metadata)
    }

    /// Removes temporary files that writers which died have left; returns their names. One that is being written is
    /// locked by its writer, and stays.
    @discardableResult
    public func removeStalePartials() throws -> [String] {
        let kinds = Kind.allCases.map { "\($0.rawValue).safetensors." }
        return try Files.list(path).filter { name in
            guard name.hasSuffix(".partial"), kinds.contains(where: { name.hasPrefix($0) }) else { return false }
            return AtomicFileWriter.removeIfAbandoned("\(path)/\(name)")
        }
    }
}
