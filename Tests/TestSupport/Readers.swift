import Foundation

/// Programs of others that read what we write: `Tests/Peers/readers --prepare` makes their environment.
public enum Readers {
    /// Folder of the repository, from the place of this file.
    public static let repository: String = (#filePath as NSString).deletingLastPathComponent + "/../.."
    public static let script: String = repository + "/Tests/Peers/reading.py"

    /// The environment's interpreter; nil where it was not made. VERGENCE_READERS names one elsewhere.
    public static let python: String? = {
        let folder = ProcessInfo.processInfo.environment["VERGENCE_READERS"] ?? repository + "/.readers-venv"
        let python = folder + "/bin/python"
        return FileManager.default.isExecutableFile(atPath: python) ? python : nil
    }()
    /// An interpreter with PyTorch and safetensors: the same environment, or the one that VERGENCE_TORCH names.
    public static let torchPython: String? = {
        let folder = ProcessInfo.processInfo.environment["VERGENCE_TORCH"]
        let candidates = [folder.map { $0 + "/bin/python" }, python].compactMap(\.self)
        return candidates.first { candidate in
            (try? ProcessRunner.run(candidate, ["-c", "import torch, safetensors.torch"], in: "/"))?.exitCode == 0
        }
    }()

    public static let hint: String = "make the environment first: Tests/Peers/readers --prepare"
}
