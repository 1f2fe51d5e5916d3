import Glibc

/// Whether a launcher started this process. Only then is MPI touched: a solo run needs no MPI and starts faster.
public enum MPILauncher {
    public static var isUnderLauncher: Bool {
        worldSizeHint != nil || getenv("PMIX_RANK") != nil || getenv("PMI_RANK") != nil
    }

    /// Number of ranks as the launcher's environment says; nil without a launcher.
    public static var worldSizeHint: Int? {
        for name in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"] {
            if let value = getenv(name), let size = Int(String(cString: value)) { return size }
        }
        return nil
    }
}
