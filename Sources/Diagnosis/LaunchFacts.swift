import Basics
import Foundation
import Glibc

/// How this process was started, as far as the environment and `/proc` tell.
public enum LaunchFacts {
    /// - Parameters:
    ///   - environment: of this process.
    ///   - library: the MPI library, such as `Open MPI v4.1.4`.
    public static func gather(
        environment: [String: String], isUnderLauncher: Bool, launcherWorldSize: Int?, unrelatedTasks: Int?,
        worldSize: Int, library: String
    ) -> RankFacts.Launch {
        var launch = RankFacts.Launch()
        launch.worldSize = worldSize
        launch.launcherWorldSize = launcherWorldSize
        launch.unrelatedTasks = unrelatedTasks
        launch.mpiLibrary = library
        launch.launcher = launcher(environment)
        launch.isBound = environment["OMPI_MCA_orte_bound_at_launch"] != nil
        if isUnderLauncher {
            launch.runtime = runtime(maps: SystemFiles.text("/proc/self/maps", limit: 4 << 20))
            launch.launcherRuntime = launcherRuntime()
        } else {
            launch.twins = twins()
        }
        return launch
    }

    static func launcher(_ environment: [String: String]) -> String {
        func has(_ prefix: String) -> Bool { environment.keys.contains { $0.hasPrefix(prefix) } }
        if has("HYDRA_") || has("HYDI_") || environment["PMI_FD"] != nil { return "Hydra (mpirun of MPICH)" }
        if has("I_MPI_") && environment["PMI_RANK"] != nil { return "the mpirun of Intel MPI" }
        if has("PRTE_") { return "PRRTE (mpirun of Open MPI 5)" }
        if environment["OMPI_COMM_WORLD_RANK"] != nil { return "mpirun" }
        if environment["SLURM_PROCID"] != nil { return "Slurm" }
        return ""
    }

    /// File name of Open MPI's run-time library in the text of `/proc/PID/maps`: mpirun and its ranks have it from the same
    /// installation. The name that links lead to holds its version.
    static func runtime(maps: String) -> String? {
        for line in maps.split(separator: "\n") {
            guard let name = line.split(separator: "/").last, name.hasPrefix("libopen-rte.so") else { continue }
            return String(name.prefix { $0 != " " })
        }
        return nil
    }

    /// That of mpirun or its daemon, above shells and the like.
    private static func launcherRuntime() -> String? {
        var process = getppid()
        for _ in 0..<4 where process > 1 {
            let name = SystemFiles.text("/proc/\(process)/comm").prefix { $0 != "\n" }
            if ["mpirun", "mpiexec", "orterun", "orted"].contains(String(name)) {
                return runtime(maps: SystemFiles.text("/proc/\(process)/maps", limit: 4 << 20))
            }
            guard let parent = SystemFiles.field("PPid", of: SystemFiles.text("/proc/\(process)/status")),
                let number = Int32(parent)
            else { return nil }
            process = number
        }
        return nil
    }

    /// Other processes with this command line and folder that started at the same time, within ten seconds.
    private static func twins() -> Int {
        let own = getpid()
        guard let started = startTicks(SystemFiles.text("/proc/self/stat")) else { return 0 }
        let commandLine = SystemFiles.text("/proc/self/cmdline")
        let folder = link("/proc/self/cwd")
        let program = link("/proc/self/exe")
        let second = max(1, sysconf(Int32(_SC_CLK_TCK)))
        let deadline = monotonicSeconds() + 1
        var count = 0
        for name: String in (try? Files.list("/proc")) ?? [] {
            guard let process = Int32(name), process != own else { continue }
            // On a machine with very many processes, better no answer than a late one.
            if monotonicSeconds() > deadline { return 0 }
            guard SystemFiles.text("/proc/\(name)/cmdline", limit: commandLine.utf8.count + 1) == commandLine,
                link("/proc/\(name)/exe") == program, link("/proc/\(name)/cwd") == folder,
                let theirs = startTicks(SystemFiles.text("/proc/\(name)/stat")), abs(theirs - started) < 10 * second
            else { continue }
            count += 1
        }
        return count
    }

    /// Field 22 of `/proc/PID/stat`, which may have spaces and brackets in field 2.
    static func startTicks(_ stat: String) -> Int? {
        guard let end = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[end...].split(separator: " ")
        return fields.count > 20 ? Int(fields[20]) : nil
    }

    private static func link(_ path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink(path, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self) : nil
    }

    /// Version, size and hash of the running program.
    public static func program(version: String) -> RankFacts.Program {
        var program = RankFacts.Program()
        program.version = version
        guard let (hash, byteCount) = hash(of: "/proc/self/exe", deadline: monotonicSeconds() + 2) else {
            return program
        }
        program.hash = hash
        program.byteCount = byteCount
        return program
    }

    /// nil if the file cannot be read, or not in time.
    private static func hash(of path: String, deadline: Double) -> (String, Int)? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        let stream = HashStream()
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        var byteCount = 0
        while monotonicSeconds() < deadline {
            let got = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            if got < 0 && errno == EINTR { continue }
            if got < 0 { return nil }
            if got == 0 { return (stream.digest, byteCount) }
            buffer.withUnsafeBytes { stream.update(UnsafeRawBufferPointer(rebasing: $0[..<got])) }
            byteCount += got
        }
        return nil
    }

    /// First line of `mpirun --version`; empty if there is no mpirun. Waits a second at most.
    public static func mpirunVersion(environment: [String: String]) -> String? {
        let folders = (environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":")
        let paths = folders.map { String($0) + "/mpirun" }
        guard let path = paths.first(where: { access($0, X_OK) == 0 }) else { return "" }
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = ["--version"]
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        let ended = DispatchSemaphore(value: 0)
        process.terminationHandler = { _ in ended.signal() }
        guard (try? process.run()) != nil else { return nil }
        guard ended.wait(timeout: .now() + 1) == .success else {
            kill(process.processIdentifier, SIGKILL)
            return nil
        }
        let text = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        return text.split(separator: "\n").first.map(String.init)
    }
}
