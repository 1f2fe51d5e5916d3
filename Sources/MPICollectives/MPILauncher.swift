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
        // `srun --mpi=pmix` says it in Slurm's words only.
        let isSlurms = environment["PMIX_RANK"] != nil && !environment.keys.contains { $0.hasPrefix("PRTE_") }
        return number(
            ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"] + (isSlurms ? ["SLURM_STEP_NUM_TASKS"] : []), environment)
    }

    /// This process' rank as the launcher's environment says, for messages before MPI is up.
    public static func rank(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> Int? {
        number(rankVariables, environment)
    }

    /// Number of ranks on this host, for sharing out its cores.
    public static func localSize(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> Int? {
        number(["OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"], environment)
    }

    /// Whether mpirun bound this rank to some of its host's cores. (By itself it binds ranks to one core where there are at
    /// most two, to a socket where there are more.)
    public static func isBound(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> Bool {
        environment["OMPI_MCA_orte_bound_at_launch"] == "1"
    }

    /// This rank's number among those on this host.
    public static func localRank(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> Int? {
        number(["OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"], environment)
    }

    /// Tasks that Slurm started without telling them of each other (`srun` without a PMI that this MPI speaks gives N
    /// copies of "rank 0 of 1"), and this one's number among them; nil if all is well.
    public static func unrelatedTasks(
        _ environment: [String: String] = ProcessInfo.processInfo.environment
    ) -> (number: Int, count: Int)? {
        guard !isUnderLauncher(environment), let number = environment["SLURM_PROCID"].flatMap(Int.init),
            let tasks = environment["SLURM_STEP_NUM_TASKS"].flatMap(Int.init), tasks > 1
        else { return nil }
        return (number, tasks)
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
