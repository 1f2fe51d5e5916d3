import Basics

/// `--checkpoint` names a file, or a run: then its best checkpoint counts, or its last if none was best yet.
enum CheckpointPath {
    /// - Throws: `Failure` (66) for a folder that is no run.
    static func file(_ path: String) throws -> String {
        guard Files.isFolder(path) else { return path }
        for name in ["best", "last"] {
            let file = "\(path)/checkpoints/\(name).safetensors"
            if Files.exists(file) { return file }
        }
        throw Failure(.missingInput, "\(path): is a folder without checkpoints/best.safetensors; give a run or a file")
    }
}
