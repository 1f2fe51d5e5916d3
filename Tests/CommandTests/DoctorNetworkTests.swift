import Foundation
import TestSupport
import Testing

/// Two hosts of their own names in network namespaces, joined by one wire, for tests that run as root.
private final class TwoHosts {
    let names: [String]
    private static let ip = ProcessRunner.find("ip")

    init?() {
        let number = ProcessInfo.processInfo.processIdentifier
        names = ["vgd\(number)a", "vgd\(number)b"]
        guard Self.ip != nil, ProcessRunner.find("unshare") != nil else { return nil }
        let wire = [
            "link", "add", "wire", "netns", names[0], "type", "veth", "peer", "name", "wire", "netns", names[1],
        ]
        guard run(["netns", "add", names[0]]), run(["netns", "add", names[1]]), run(wire) else { return nil }
        for (name, host) in zip(names, 1...) {
            guard run(["-n", name, "link", "set", "lo", "up"]), addInterface("wire", "10.83.0.\(host)/24", on: name)
            else {
                return nil
            }
        }
    }

    deinit { for name in names { _ = run(["netns", "del", name]) } }

    static let isPossible = TwoHosts() != nil

    private func run(_ arguments: [String]) -> Bool {
        guard let ip = Self.ip else { return false }
        return (try? ProcessRunner.run(ip, arguments, in: "/"))?.exitCode == 0
    }

    func addInterface(_ interface: String, _ address: String, on name: String) -> Bool {
        run(["-n", name, "addr", "add", address, "dev", interface])
            && run(["-n", name, "link", "set", interface, "up"])
    }

    /// A bridge as Docker makes it: up, with an address, and nothing behind it.
    func addBridge(_ bridge: String, _ address: String, on name: String) -> Bool {
        run(["-n", name, "link", "add", bridge, "type", "bridge"]) && addInterface(bridge, address, on: name)
    }

    /// Starts a command, which may begin with options of mpirun, as one rank on each host.
    func start(_ workspace: Workspace, _ command: [String]) throws -> ProcessRunner.Running {
        let agent =
            "#!/bin/sh\nhost=$1; shift\n"
            + "exec ip netns exec $host unshare --uts sh -c \"hostname $host; $*\"\n"
        try workspace.write(agent, "agent")
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: workspace.path("agent"))
        let options = Workspace.launching(2).dropLast() + ["--host", names.joined(separator: ",")]
        return try ProcessRunner.Running(
            workspace.path("agent"), [names[0], "mpirun"] + options + command, in: workspace.folder.path,
            environment: [
                "OMPI_MCA_plm_rsh_agent": workspace.path("agent"), "OMPI_MCA_oob_tcp_if_include": "10.83.0.0/24",
            ])
    }
}

extension CommandTests {
    /// Hosts that MPI would send to over interfaces that lead nowhere.
    @Suite(
        .serialized, .enabled(if: Workspace.mpirun != nil && TwoHosts.isPossible, "no network namespaces here"))
    struct DoctorNetwork {
        @Test func interfacesThatLeadNowhere() throws {
            let workspace = try Workspace(pairs: 10)
            let hosts = try #require(TwoHosts())
            let command =
                [ProcessRunner.product("vergence"), "doctor", "data", "--lanes", "2", "--lane-batch", "1"]
                + Workspace.model + Workspace.oneThread
            // The one wire is enough for MPI, but it may come to choose this one.
            try #require(hosts.addBridge("docker0", "172.17.0.1/16", on: hosts.names[0]))
            let one = try hosts.start(workspace, command).wait(timeoutSeconds: 20)
            #expect(one.exitCode == 0, "\(one.errors)")
            #expect(
                one.output.contains("warning: unroutable-interface: rank 1 (\(hosts.names[1])) cannot reach rank 0 ("),
                "\(one.output)\(one.errors)")
            #expect(one.output.contains("172.17.0.1 of docker0"), "\(one.output)")
            // On both hosts it is what MPI joins first, and each talks to itself.
            try #require(hosts.addBridge("docker0", "172.17.0.1/16", on: hosts.names[1]))
            let both = try hosts.start(workspace, command)
            #expect(
                both.poll(timeoutSeconds: 15) { both.errors.contains("vergence: unroutable-interface: ") },
                "\(both.errors)")
            let line = both.errors.split(separator: "\n").first { $0.contains("vergence: ") } ?? ""
            #expect(line.hasPrefix("rank 0 (\(hosts.names[0]))"), "\(both.errors)")
            #expect(line.contains("MPI may choose docker0 172.17.0.1/16, a bridge"), "\(line)")
            #expect(line.hasSuffix("mpirun --mca btl_tcp_if_include 10.83.0.0/24"), "\(line)")
            both.send(SIGTERM)
            #expect(!both.wait(timeoutSeconds: 20).timedOut)
            // What the line says to do.
            let remedy = ["--mca", "btl_tcp_if_include", "10.83.0.0/24"]
            let clean = try hosts.start(workspace, remedy + command).wait(timeoutSeconds: 20)
            #expect(clean.exitCode == 0, "\(clean.errors)")
            #expect(clean.output == "doctor: 2 ranks on 2 hosts, nothing to complain about\n", "\(clean.errors)")
        }
    }
}
