import Basics
import Glibc

/// Asks machines whether they are there, all at once, the way mpirun would reach them: by Open MPI's remote agent
/// (`OMPI_MCA_plm_rsh_agent`, ssh by default), in an allocation of Slurm by `srun`.
public struct HostProbe {
    let source: LaunchSite.Source
    let environment: [String: String]
    /// After this a machine counts as gone.
    var limitSeconds = 10.0
    /// Of one connection.
    var connectSeconds = 5

    public init(source: LaunchSite.Source, environment: [String: String]) {
        self.source = source
        self.environment = environment
    }

    /// The command that asks a machine; nil if there is no program to ask with.
    func command(for host: LaunchHost, find: (String) -> String?) -> [String]? {
        if source == .slurm {
            guard let srun = find("srun") else { return nil }
            return [srun, "--overlap", "--nodes=1", "--ntasks=1", "--nodelist=\(host.name)", "true"]
        }
        // A list of agents, of which Open MPI takes the first that is there.
        let agents = (environment["OMPI_MCA_plm_rsh_agent"] ?? "ssh : rsh").split(separator: ":")
        for agent in agents {
            let words = agent.split(separator: " ").map(String.init)
            guard let first = words.first, let path = find(first) else { continue }
            var command = [path] + words.dropFirst()
            command += (environment["OMPI_MCA_plm_rsh_args"] ?? "").split(separator: " ").map(String.init)
            if path.split(separator: "/").last == "ssh" {
                // ssh takes the first of options that contradict each other: the user's stand in front.
                command += ["-o", "BatchMode=yes", "-o", "ConnectTimeout=\(connectSeconds)", "-n"]
                if let port = host.port { command += ["-p", "\(port)"] }
            }
            return command + [host.user.map { "\($0)@\(host.name)" } ?? host.name, "true"]
        }
        return nil
    }

    /// Hosts that answer, in their order, and those that don't. Where nobody can be asked, all count as there.
    /// - Parameters:
    ///   - local: these need no question.
    ///   - isCancelled: ends the wait; those that have not answered by then count as gone.
    public func answering(
        _ hosts: [LaunchHost], local: LocalNames, isCancelled: () -> Bool = { false }
    ) -> (there: [LaunchHost], gone: [LaunchHost]) {
        var isThere = hosts.map { local.contains($0.name) }
        var asked: [(index: Int, child: ChildProcess)] = []
        let clean = MPISettings.detached(environment)
        for (index, host) in hosts.enumerated() where !isThere[index] {
            guard let command = command(for: host, find: { Programs.find($0, environment) }) else {
                isThere[index] = true
                continue
            }
            let child = try? ChildProcess(
                path: command[0], arguments: Array(command.dropFirst()), environment: clean, deathSignal: SIGKILL,
                output: { _ in }, errors: { _ in })
            if let child { asked.append((index, child)) }
        }
        let deadline = monotonicSeconds() + limitSeconds
        while !asked.isEmpty {
            let isOver = monotonicSeconds() > deadline || isCancelled()
            asked.removeAll { question in
                question.child.drain()
                if isOver { question.child.sendToGroup(SIGKILL) }
                guard question.child.hasEnded() else { return false }
                isThere[question.index] = question.child.end == .exited(0)
                return true
            }
            if !asked.isEmpty { usleep(10_000) }
        }
        let pairs = zip(hosts, isThere)
        return (pairs.filter { $0.1 }.map { $0.0 }, pairs.filter { !$0.1 }.map { $0.0 })
    }
}

/// Programs of the system.
public enum Programs {
    /// Path of a program on the PATH, or of one with a slash in its name; nil if it is not there.
    public static func find(_ name: String, _ environment: [String: String]) -> String? {
        if name.contains("/") { return access(name, X_OK) == 0 ? name : nil }
        return (environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":").map { "\($0)/\(name)" }
            .first { access($0, X_OK) == 0 && !Files.isFolder($0) }
    }
}
