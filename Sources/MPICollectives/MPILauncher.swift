import Foundation

/// Whether a launcher started this process as a rank. Only then is MPI touched: a run alone needs no MPI daemon, cannot
/// be hurt by a broken one, and starts faster.
public enum MPILauncher {
    /// Variables that a launcher sets in every rank: mpirun (Open MPI), PMIx (mpirun, `srun --mpi=pmix`, prun), PMI-1 and
    /// PMI-2 (`srun --mpi=pmi2`). `SLURM_PROCID` alone says nothing: every program in a Slurm job sees it, linked to PMI
    /// or not.
    static let rankVariables = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"]

    public static func isUnderLauncher(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> Bool {
        rankVariables.contains { Int(environment[$0] ?? "") != nil }
    }

    /// Number of ranks as the launcher's environment says; nil without a launcher, and where it does not say.
    public static func worldSize(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> Int? {
        number(["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"], environment)
    }

    /// This process' rank as the launcher's environment says, for messages before MPI is up.
    public static func rank(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> Int? {
        number(rankVariables, environment)
    }

    /// Number of ranks on this host, for sharing out its cores.
    public static func localSize(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> Int? {
        number(["OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"], environment)
    }

    /// This rank's number among those on this host.
    public static func localRank(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> Int? {
        number(["OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"], environment)
    }

    /// A line for somebody who started several tasks under Slurm that do not know of each other (`srun` without a PMI
    /// that this MPI speaks gives N copies of "rank 0 of 1"); nil if all is well.
    public static func warning(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> String? {
        guard !isUnderLauncher(environment), environment["SLURM_PROCID"] != nil,
            let tasks = environment["SLURM_STEP_NUM_TASKS"].flatMap(Int.init), tasks > 1
        else { return nil }
        return "Slurm started \(tasks) tasks, but not as ranks that know of each other; use srun --mpi=pmix, or mpirun"
    }

    /// The environment without what ties a process to a launcher: for a child that is no rank, or starts its own ranks.
    public static func detached(_ environment: [String: String]) -> [String: String] {
        environment.filter { name, _ in !["OMPI_", "PMIX_", "PMI_", "PRTE_"].contains { name.hasPrefix($0) } }
    }

    private static func number(_ names: [String], _ environment: [String: String]) -> Int? {
        guard isUnderLauncher(environment) else { return nil }
        return names.lazy.compactMap { environment[$0].flatMap(Int.init) }.first
    }
}
