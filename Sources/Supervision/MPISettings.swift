import Basics

/// What Open MPI must be told, each for a reason. A setting of the user's (`OMPI_MCA_…` in the environment) always
/// wins.
public enum MPISettings {
    /// A parameter of Open MPI.
    public struct Setting: Equatable, Sendable {
        let name: String
        let value: String
    }

    /// On one host and on many.
    static let common = [
        // mpirun binds each of two ranks to ONE core by default, whatever threads it has.
        Setting(name: "hwloc_base_binding_policy", value: "none"),
        // Ranks that wait in MPI leave the core to those that compute.
        Setting(name: "mpi_yield_when_idle", value: "1"),
        // Plain point-to-point transport: starts fast, and is what we test.
        Setting(name: "pml", value: "ob1"),
        Setting(name: "btl_base_warn_component_unused", value: "0"),
        // When a rank has died, mpirun waits this long before it sends the others SIGTERM, and as long again before
        // SIGKILL. They have nothing to save that a checkpoint does not have; a wish to stop goes to them another way
        // (`askToStop`).
        Setting(name: "odls_base_sigkill_timeout", value: "1"),
    ]

    /// On this machine alone.
    static let local = [
        // Shared memory is all that one host needs.
        Setting(name: "btl", value: "vader,self"),
        // More ranks than cores are allowed: for trying out what a cluster would do.
        Setting(name: "rmaps_base_oversubscribe", value: "1"),
    ]

    /// On several machines.
    static let remote = [
        Setting(name: "btl", value: "tcp,vader,self"),
        // No questions: a machine that asks for a password must fail at once, not hang. Host keys stay checked.
        Setting(name: "plm_rsh_args", value: "-o BatchMode=yes -o ConnectTimeout=15"),
        // Notice a machine that went silent in 11 s (a break of the line that is shorter does no harm); the default
        // takes 8 minutes.
        Setting(name: "oob_tcp_keepalive_time", value: "5"),
        Setting(name: "oob_tcp_keepalive_intvl", value: "2"),
        Setting(name: "oob_tcp_keepalive_probes", value: "3"),
    ]

    /// The signal by which ranks are asked to save and end. mpirun hands SIGALRM on to them as it is; SIGINT and
    /// SIGTERM it takes as an order to end them.
    public static let askToStop: Int32 = 14

    /// Variables that ranks on other machines need; mpirun carries only its own (`OMPI_MCA_…`) there.
    static let carried = [
        "OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE", "GLIBC_TUNABLES", "LD_LIBRARY_PATH", resumePrefixVariable,
    ]

    /// How the run was launched, in words for a shell: what the command that goes on begins with.
    public static let resumePrefixVariable = "VERGENCE_LAUNCHED_AS"

    /// The environment of mpirun.
    /// - Parameters:
    ///   - network: networks or interfaces to use, as Open MPI takes them; nil for all.
    ///   - isRoot: whether this process runs as root.
    public static func environment(
        for site: LaunchSite, network: String?, isRoot: Bool, from environment: [String: String]
    ) -> [String: String] {
        var result = detached(environment)
        // Vergence's own threads call OpenBLAS; threads of its own on top would fight them.
        if result["OPENBLAS_NUM_THREADS"] == nil { result["OPENBLAS_NUM_THREADS"] = "1" }
        var settings = common + (site.source == .local ? local : remote)
        if let network {
            settings.append(Setting(name: "btl_tcp_if_include", value: network))
            settings.append(Setting(name: "oob_tcp_if_include", value: network))
        }
        for setting in settings where result["OMPI_MCA_\(setting.name)"] == nil {
            result["OMPI_MCA_\(setting.name)"] = setting.value
        }
        if site.source == .local {
            // Open MPI refuses to run as root unless told twice; containers have no other user. On one's own machine
            // only.
            if isRoot {
                result["OMPI_ALLOW_RUN_AS_ROOT"] = "1"
                result["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
            }
            // Else mpirun would go for the nodes of an allocation that surrounds us.
            result = result.filter { name, _ in !name.hasPrefix("SLURM_") }
        } else {
            // Ours replaces it.
            result["OMPI_MCA_orte_default_hostfile"] = nil
        }
        return result
    }

    /// The environment without what ties a process to a launcher, such as an MPI program that called this one: an
    /// mpirun that inherits that ends at once without a word. The user's settings stay.
    static func detached(_ environment: [String: String]) -> [String: String] {
        let internals: Set = [
            "pmix", "ess", "mpi_oversubscribe", "shmem_RUNTIME_QUERY_hint", "initial_wdir", "orte_app_num",
            "orte_bound_at_launch", "orte_hnp_uri", "orte_jobfam_session_dir", "orte_launch", "orte_local_daemon_uri",
            "orte_num_nodes", "orte_precondition_transports", "orte_top_session_dir",
        ]
        return environment.filter { name, _ in
            if name.hasPrefix("OMPI_MCA_") {
                let parameter = String(name.dropFirst("OMPI_MCA_".count))
                return !internals.contains(parameter) && !parameter.hasPrefix("ess_base_")
                    && !parameter.hasPrefix("orte_ess_")
            }
            if name.hasPrefix("OMPI_ALLOW_RUN_AS_ROOT") { return true }
            return !["OMPI_", "PMIX_", "PMI_", "PRTE_"].contains { name.hasPrefix($0) }
        }
    }
}
