import Basics
import Glibc

/// Finds the state that a run can go on from, among all that its folder `checkpoints` holds: `last.safetensors`,
/// retained ones (`step_NNNNNN.safetensors`), and, for want of these, `best.safetensors`.
public enum CheckpointScan {
    public struct Found: Equatable, Sendable {
        public let path: String
        /// Steps done, as its metadata say.
        public let step: Int
    }

    public struct Result: Sendable {
        /// The newest that is whole: every byte was compared with its checksum.
        public var newest: Found?
        /// What is newer but broken, and how.
        public var damaged: [(path: String, reason: String)] = []
    }

    /// Reads headers, then whole files from the newest on until one is right.
    /// - Throws: `FileError` if the folder or a file cannot be read (which says nothing about what is in it). A
    /// missing folder holds nothing.
    public static func newest(in folder: String) throws -> Result {
        guard Files.isFolder(folder) else { return Result() }
        var result = Result()
        var candidates: [(found: Found, order: Int)] = []
        for name in try Files.list(folder) {
            guard let order = order(name) else { continue }
            let path = "\(folder)/\(name)"
            do {
                guard let step = try step(of: SafeTensorsFile(path: path)) else {
                    result.damaged.append((path, "\(path): has no step; it is no checkpoint of a run"))
                    continue
                }
                candidates.append((Found(path: path, step: step), order))
            } catch let error as SafeTensorsError {
                result.damaged.append((path, "\(error)"))
            }
        }
        // `best` is written before the row of its epoch is in metrics.csv: it comes after all others.
        candidates.sort {
            ($0.order == 2 ? 1 : 0, -$0.found.step, $0.order) < ($1.order == 2 ? 1 : 0, -$1.found.step, $1.order)
        }
        for candidate in candidates {
            do {
                try SafeTensorsFile(path: candidate.found.path).verify()
                result.newest = candidate.found
                return result
            } catch let error as SafeTensorsError {
                result.damaged.append((candidate.found.path, "\(error)"))
            }
        }
        return result
    }

    /// Steps done, without a look at the tensors; nil if there is no such checkpoint.
    public static func step(ofLastIn folder: String) -> Int? {
        (try? SafeTensorsFile(path: "\(folder)/\(CheckpointFolder.Kind.last.rawValue).safetensors")).flatMap(step)
    }

    private static func step(of file: SafeTensorsFile) -> Int? {
        guard let step = file.metadata["step"].flatMap({ Int($0) }), step >= 0 else { return nil }
        return step
    }

    /// Of files of the same step; nil for what is no checkpoint.
    private static func order(_ name: String) -> Int? {
        guard name.hasSuffix(".safetensors") else { return nil }
        let stem = name.dropLast(".safetensors".count)
        if stem == CheckpointFolder.Kind.last.rawValue { return 0 }
        if stem == CheckpointFolder.Kind.best.rawValue { return 2 }
        let digits = stem.dropFirst("step_".count)
        return stem.hasPrefix("step_") && !digits.isEmpty && digits.utf8.allSatisfy { (48...57).contains($0) } ? 1 : nil
    }

    /// Makes `last.safetensors` the newest whole checkpoint. A broken one is kept beside as `last.safetensors.damaged`.
    /// - Returns: what `newest` found, after which `last.safetensors` is `newest` or, if there is none, not there.
    /// - Throws: `FileError`.
    public static func repair(_ folder: String) throws -> Result {
        let result = try newest(in: folder)
        let last = "\(folder)/\(CheckpointFolder.Kind.last.rawValue).safetensors"
        if result.newest?.path == last { return result }
        if result.damaged.contains(where: { $0.path == last }) {
            if rename(last, last + ".damaged") != 0 { throw FileError(path: last, action: "rename", code: errno) }
            try syncFolder(ofPath: last)
        }
        if let newest = result.newest {
            try AtomicFileWriter.write(Files.read(newest.path, limit: .max), to: last)
        }
        return result
    }
}
