import CKernels
import Glibc

/// The processors that the system lets this process use. Open MPI binds each rank to one core by default where there are
/// at most two ranks: two compute threads then share it, at half the speed.
public enum CPUAffinity {
    /// Logical processors that the calling thread may run on; 0 if the system doesn't tell.
    public static var allowedCores: Int { Int(patches_allowed_processors()) }

    /// Cores for each of the ranks on this host.
    /// - Parameter isBound: whether the launcher gave this rank cores of its own, so that the allowed ones are not those of
    ///   all. (It may have given several ranks the same socket: then their part of the machine is the bound.)
    public static func share(ranksOnHost: Int, isBound: Bool) -> Int {
        share(
            allowedCores: allowedCores, onlineCores: sysconf(Int32(_SC_NPROCESSORS_ONLN)), ranksOnHost: ranksOnHost,
            isBound: isBound)
    }

    static func share(allowedCores: Int, onlineCores: Int, ranksOnHost: Int, isBound: Bool) -> Int {
        let ranks = max(1, ranksOnHost)
        return max(1, isBound ? min(allowedCores, onlineCores / ranks) : allowedCores / ranks)
    }

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
