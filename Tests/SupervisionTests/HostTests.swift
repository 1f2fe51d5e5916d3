import Basics
import Testing

@testable import Supervision

@Suite struct HostTests {
    @Test func hostfilesInOpenMPISyntax() throws {
        let hosts = try Hostfile.parse(
            """
            # machines
            node1 slots=2 max_slots=4   # the first
            node2
            \tme@node3.cluster   slots = 3  port=2222

            node2
            10.0.0.7 slots=1 max-slots=1 username="x_y"
            fe80::1%eth0 cpu=2
            node1 slots=1\r
            gone slots=5
            ^gone
            """, path: "hosts")
        #expect(
            hosts == [
                LaunchHost(name: "node1", slots: 3), LaunchHost(name: "node2", slots: 2),
                LaunchHost(name: "node3.cluster", slots: 3, user: "me", port: 2222),
                LaunchHost(name: "10.0.0.7", slots: 1, user: "x_y"), LaunchHost(name: "fe80::1%eth0", slots: 2),
            ])
        #expect(hosts[2].line == "node3.cluster slots=3 username=me port=2222")
    }

    @Test(arguments: [
        ("node1 slots=x", "hosts:1: slots=x: give 0…65536"),
        ("\nnode1 slots=-1", "hosts:2: slots=-1: give 0…65536"),
        ("node1 slots=99999999999999999999", "hosts:1: slots=99999999999999999999: give 0…65536"),
        ("node1 slots=3 max_slots=2", "hosts:1: slots=3 is more than max_slots=2"),
        ("node1 slot=3", "unknown setting 'slot=3'"),
        ("node1 2", "'2' is no setting; write slots=N"),
        ("node1:2", "write 'node1 slots=2'"),
        ("-oProxyCommand=evil", "is no name of a machine"),
        ("node1;reboot", "is no name of a machine"),
        ("a@b@c", "is no name of a machine"),
        ("-x@node1", "is no user"),
        ("node1 port=0", "port=0: give 1…65535"),
        ("# nothing\n\n", "names no machine"),
        ("node1\n^node1", "names no machine"),
    ])
    func badHostfiles(text: String, words: String) throws {
        let error = #expect(throws: Failure.self) { try Hostfile.parse(text, path: "hosts") }
        #expect(error?.exitCode == .usage)
        #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
    }

    @Test(arguments: [
        ("n1", ["n1"]),
        ("n[1-3,7],m5", ["n1", "n2", "n3", "n7", "m5"]),
        ("n[08-10]", ["n08", "n09", "n10"]),
        ("r[1-2]c[1,3]-ib", ["r1c1-ib", "r1c3-ib", "r2c1-ib", "r2c3-ib"]),
        ("gpu-a,gpu-b[2]", ["gpu-a", "gpu-b2"]),
        ("n[001,1]", ["n001", "n1"]),
    ])
    func slurmNodeLists(list: String, names: [String]) throws {
        #expect(try SlurmNodes.expand(list) == names)
    }

    @Test(arguments: [
        "", "n[1-", "n1]", "n[3-1]", "n[a-b]", "n[1-3],", "n[]", "n[1-9999999]", "n[[1]]", "-o[1-2]", "n[1-2",
    ])
    func badSlurmNodeLists(list: String) {
        #expect(throws: Failure.self) { try SlurmNodes.expand(list) }
    }

    @Test func slurmCounts() throws {
        #expect(try SlurmNodes.counts("2(x3),1") == [2, 2, 2, 1])
        #expect(try SlurmNodes.counts("4") == [4])
        for text in ["", "2(3)", "x", "2(x3", "1,", "1(x999999),2"] {
            #expect(throws: Failure.self, "\(text)") { try SlurmNodes.counts(text) }
        }
    }

    private func site(
        _ environment: [String: String], hostfile: String? = nil, isLocal: Bool = false, there: [String] = []
    ) throws -> LaunchSite {
        try LaunchSite.find(
            hostfile: hostfile, isLocal: isLocal, environment: environment, cores: 2,
            read: { [LaunchHost(name: "from-\($0)", slots: 1)] }, exists: { there.contains($0) })
    }

    @Test func whereMachinesComeFrom() throws {
        let slurm = [
            "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_TASKS_PER_NODE": "2,1",
        ]
        #expect(try site([:]).source == .local)
        #expect(try site(slurm).hosts == [LaunchHost(name: "n1", slots: 2), LaunchHost(name: "n2", slots: 1)])
        #expect(try site(slurm).source == .slurm)
        #expect(try site(slurm, isLocal: true).source == .local)
        #expect(try site(slurm, hostfile: "mine", there: ["mine"]).source == .hostfile("mine"))
        let operator1 = ["KUBERNETES_SERVICE_HOST": "10.0.0.1"]
        #expect(try site(operator1, there: ["/etc/mpi/hostfile"]).source == .kubernetes("/etc/mpi/hostfile"))
        #expect(try site(operator1).source == .local)
        let operator2 = operator1.merging(["OMPI_MCA_orte_default_hostfile": "/x"]) { $1 }
        #expect(try site(operator2, there: ["/x"]).source == .kubernetes("/x"))
        // Not in an MPIJob, whatever lies there.
        #expect(try site([:], there: ["/etc/mpi/hostfile"]).source == .local)
        let error = #expect(throws: Failure.self) { try site([:], hostfile: "none") }
        #expect(error?.exitCode == .missingInput)
        #expect(throws: Failure.self) { try site(slurm.merging(["SLURM_TASKS_PER_NODE": "2(x3)"]) { $1 }) }
    }

    @Test func namesOfThisMachine() {
        let names = LocalNames(["localhost", "127.0.0.1", "node1", "10.0.0.1"])
        for name in ["localhost", "node1", "node1.cluster.org", "10.0.0.1"] { #expect(names.contains(name), "\(name)") }
        for name in ["node2", "node10", "10.0.0.2", "10", "10.9.9.9"] { #expect(!names.contains(name), "\(name)") }
        #expect(LocalNames.current().contains("127.0.0.1"))
    }

    @Test func probingAsksTheWayThatMpirunWould() {
        let host = LaunchHost(name: "node2", slots: 1, user: "me", port: 22)
        func command(_ source: LaunchSite.Source, _ environment: [String: String], _ programs: Set<String>) -> [String]?
        {
            HostProbe(source: source, environment: environment).command(for: host) {
                programs.contains($0) ? "/bin/\($0)" : nil
            }
        }
        #expect(
            command(.hostfile("h"), [:], ["ssh"])
                == ["/bin/ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-n", "-p", "22", "me@node2", "true"])
        #expect(
            command(.hostfile("h"), ["OMPI_MCA_plm_rsh_agent": "gone : kubexec -q"], ["kubexec", "ssh"])
                == ["/bin/kubexec", "-q", "me@node2", "true"])
        #expect(
            command(.slurm, [:], ["srun", "ssh"])
                == ["/bin/srun", "--overlap", "--nodes=1", "--ntasks=1", "--nodelist=node2", "true"])
        #expect(command(.hostfile("h"), [:], []) == nil)
    }
}
