import CKernels

/// The processors that the system lets this process use. Open MPI binds each rank to one core by default where there are
/// at most two ranks: two compute threads then share it, at half the speed.
public enum CPUAffinity {
    /// Logical processors that the calling thread may run on; 0 if the system doesn't tell.
    public static var allowedCores: Int { Int(patches_allowed_processors()) }

    /// One line if fewer cores are allowed than threads want to run; nil otherwise.
    public static func warning(threadCount: Int) -> String? {
        warning(threadCount: threadCount, allowedCores: allowedCores)
    }

    static func warning(threadCount: Int, allowedCores: Int) -> String? {
        guard allowedCores > 0, allowedCores < threadCount else { return nil }
        let cores = allowedCores == 1 ? "1 core" : "\(allowedCores) cores"
        return "\(threadCount) compute threads share \(cores): the process is bound to no more; "
            + "remedy: mpirun --bind-to none, or --threads \(allowedCores)"
    }
}
