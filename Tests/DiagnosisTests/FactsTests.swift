import Basics
import Collectives
import Foundation
import Glibc
import TestSupport
import Testing

@testable import Diagnosis

/// What is read from the system, and how it travels.
@Suite struct FactsTests {
    @Test func processorLists() {
        #expect(ProcessorSet(list: "0-3,8")?.members == [0, 1, 2, 3, 8])
        #expect(ProcessorSet(list: "5\n")?.list == "5")
        #expect(ProcessorSet([8, 0, 1, 2, 3, 10, 11]).list == "0-3,8,10-11")
        for bad in ["", "a", "3-1", "1-", "-1", "1-2-3", "0-99999999999", "70000"] {
            #expect(ProcessorSet(list: bad) == nil, "\(bad)")
        }
        #expect(ProcessorSet([0, 1]).overlaps(ProcessorSet([1, 2])))
        #expect(!ProcessorSet([0, 1]).overlaps(ProcessorSet([2])))
    }

    @Test func linesOfTheKernel() {
        let limits =
            "Limit   Soft Limit  Hard Limit  Units\nMax open files            1024   4096   files\n"
            + "Max locked memory         unlimited            unlimited            bytes\n"
        #expect(SystemFiles.limit("Max open files", limits: limits) == 1024)
        #expect(SystemFiles.limit("Max locked memory", limits: limits) == nil)
        #expect(SystemFiles.meminfo("MemAvailable", of: "MemTotal: 8 kB\nMemAvailable:    4 kB\n") == 4096)
        #expect(SystemFiles.mask(status: "Name: x\nCpus_allowed_list:\t0-1\n")?.count == 2)
        #expect(LaunchFacts.startTicks("7 (a) b) S " + (1...30).map { "\($0)" }.joined(separator: " ")) == 19)
        #expect(
            LaunchFacts.runtime(maps: "7f r-xp 0 8:1 3 /lib/libm.so.6\n7f r-xp 0 8:1 4 /opt/libopen-rte.so.40.1.2\n")
                == "libopen-rte.so.40.1.2")
        #expect(LaunchFacts.launcher(["PMI_RANK": "0", "PMI_FD": "5"]).hasPrefix("Hydra"))
        #expect(LaunchFacts.launcher(["OMPI_COMM_WORLD_RANK": "0"]) == "mpirun")
    }

    @Test func thisMachine() {
        let cores = SystemFiles.cores(threads: 1, threadsAsked: 0)
        #expect((cores.mask?.count ?? 0) > 0 && (cores.available?.count ?? 0) >= cores.mask?.count ?? 0)
        let memory = SystemFiles.memory(neededByteCount: nil)
        #expect((memory.availableByteCount ?? 0) > 0 && (memory.availableByteCount ?? 0) <= memory.totalByteCount ?? 0)
        #expect(SystemFiles.bootIdentifier().count == 36)
        #expect(NetworkFacts.interfaces().contains { $0.address == "127.0.0.1" && $0.prefix == 8 })
        let program = LaunchFacts.program(version: "1")
        #expect(program.hash?.count == 32 && program.byteCount > 0)
    }

    @Test func limitsOfContainers() {
        let files = [
            "/g/pod/cpuset.cpus.effective": "0-3\n", "/g/pod/cpu.max": "150000 100000\n", "/g/cpu.max": "max 100000\n",
            "/g/pod/memory.max": "1000\n", "/g/pod/memory.current": "700\n",
            "/g/pod/memory.stat": "anon 5\ninactive_file 300\n",
        ]
        let unified = ControlGroup.of("0::/pod\n", root: "/g") { files[$0] ?? "" }
        #expect(unified.processors?.count == 4 && unified.quota == 1.5)
        #expect(unified.memoryByteCount == 1000 && unified.usedByteCount == 400)
        let old = [
            "/g/cpu/cpu.cfs_quota_us": "-1", "/g/memory/memory.limit_in_bytes": "500\n",
            "/g/memory/memory.usage_in_bytes": "100", "/g/cpuset/cpuset.cpus": "0-1",
        ]
        let group = ControlGroup.of("4:memory:/docker/x\n3:cpuset:/\n1:cpu,cpuacct:/\n", root: "/g") { old[$0] ?? "" }
        #expect(group.memoryByteCount == 500 && group.usedByteCount == 100)
        #expect(group.quota == nil && group.processors?.count == 2)
        #expect(ControlGroup.of("garbage\n0::/../..\n", root: "/g") { _ in "" } == ControlGroup())
    }

    @Test func settingsChooseInterfaces() {
        let all = [("lo", "127.0.0.1", 8), ("eth0", "10.0.0.7", 24), ("docker0", "172.17.0.1", 16)].map {
            RankFacts.Interface(name: $0.0, address: $0.1, prefix: $0.2)
        }
        func names(_ environment: [String: String]) -> [String] {
            NetworkFacts.chosen(all, environment).map(\.name)
        }
        #expect(names([:]) == ["eth0", "docker0"])
        #expect(names(["OMPI_MCA_btl_tcp_if_include": "10.0.0.0/24"]) == ["eth0"])
        #expect(names(["OMPI_MCA_btl_tcp_if_include": "lo,docker0"]) == ["lo", "docker0"])
        #expect(names(["OMPI_MCA_btl_tcp_if_exclude": "lo,172.17.0.0/16"]) == ["eth0"])
        #expect(IPv4.network(all[1]) == "10.0.0.0/24")
        #expect(NetworkFacts.usesTCP([:]) && NetworkFacts.usesTCP(["OMPI_MCA_btl": "self,tcp"]))
        #expect(
            !NetworkFacts.usesTCP(["OMPI_MCA_btl": "vader,self"]) && !NetworkFacts.usesTCP(["OMPI_MCA_btl": "^tcp"]))
        #expect(NetworkFacts.usesTCP(["OMPI_MCA_btl": "^openib"]) && !NetworkFacts.usesTCP(["OMPI_MCA_pml": "ucx"]))
        #expect(
            NetworkFacts.ports(["OMPI_MCA_btl_tcp_port_min_v4": "5000", "OMPI_MCA_btl_tcp_port_range_v4": "10"])
                == 5000...5009)
        #expect(NetworkFacts.ports(["OMPI_MCA_btl_tcp_port_min_v4": "65530"]) == nil)
    }

    @Test func disks() throws {
        let folder = TemporaryFolder("doctor")
        try Data(count: 5).write(to: URL(fileURLWithPath: folder.file("checkpoint")))
        let run = DiskFacts.run(
            path: folder.file("not/there"), checkpoint: folder.file("checkpoint"), neededByteCount: 7)
        #expect(run.problem == nil && run.checkpointByteCount == 5 && run.resumes && (run.freeByteCount ?? 0) > 0)
        #expect(DiskFacts.existingPart(of: folder.file("not/there")) == folder.path)
        #expect(DiskFacts.existingPart(of: "not-there") == "." && DiskFacts.existingPart(of: "/not-there") == "/")
    }

    // MARK: encoding

    @Test func factsTravel() throws {
        for facts in FindingsTests.clean() {
            let decoded = try #require(RankFacts.decoded(facts.encoded(), rank: facts.rank))
            #expect(decoded.isWhole && decoded.facts == facts)
        }
        // The rank is the one that MPI says.
        #expect(RankFacts.decoded(FindingsTests.clean()[0].encoded(), rank: 7)?.facts.rank == 7)
    }

    @Test func hostileFactsAreRefused() {
        let bytes = FindingsTests.clean()[1].encoded()
        for count in 0..<bytes.count {
            #expect(RankFacts.decoded(Array(bytes.prefix(count)), rank: 0)?.isWhole != true, "\(count)")
        }
        #expect(RankFacts.decoded(bytes + [0], rank: 0)?.isWhole == false)
        for position in bytes.indices {
            for bit in [1, 0x80] as [UInt8] {
                var flipped = bytes
                flipped[position] ^= bit
                _ = RankFacts.decoded(flipped, rank: 0)
            }
        }
    }

    @Test func anotherVersionIsKnownByItsHead() throws {
        var bytes = FindingsTests.clean()[1].encoded()
        bytes[4] = 9
        let decoded = try #require(RankFacts.decoded(bytes, rank: 1))
        #expect(!decoded.isWhole && decoded.facts.host == "a" && decoded.facts.program.version == "0.1.0")
    }

    @Test func longTextsAreCut() throws {
        var facts = FindingsTests.clean()[0]
        facts.data?.problem = String(repeating: "ä", count: 1 << 20)
        facts.network.interfaces = Array(repeating: facts.network.interfaces[0], count: 10_000)
        let bytes = facts.encoded()
        #expect(bytes.count < 64 << 10)
        #expect(RankFacts.decoded(bytes, rank: 0)?.isWhole == true)
    }

    // MARK: reaching each other

    private func target(_ port: Int, _ token: String, address: String = "127.0.0.1") -> Prober.Target {
        .init(rank: 3, interface: .init(name: "lo", address: address, prefix: 8), port: port, token: token)
    }

    @Test func listenersAreReached() {
        let listener = ProbeListener(addresses: ["127.0.0.1", "127.0.0.2", "203.0.113.9"], ports: nil)
        #expect(listener.ports.count == 3 && listener.ports[0] > 0 && listener.ports[2] == 0)
        #expect(listener.token.utf8.count == ProbeListener.tokenByteCount)
        // As many as a large launch may bring, in one batch and the next.
        let targets = (0..<300).map { _ in target(listener.ports[0], listener.token) }
        for _ in 0..<10 {
            let failures = Prober.failures(targets)
            #expect(failures.isEmpty, "\(failures.count) of \(targets.count): \(failures.first?.reason ?? "")")
        }
        #expect(Prober.failures([target(listener.ports[1], listener.token, address: "127.0.0.2")]).isEmpty)
        let wrong = Prober.failures([target(listener.ports[0], String(repeating: "0", count: 32))])
        #expect(wrong.map(\.reason) == ["somebody else answers"] && wrong[0].rank == 3)
        listener.close()
        #expect(Prober.failures([target(listener.ports[0], listener.token)]).map(\.reason) == ["connection refused"])
    }

    @Test func whoSaysNothingIsNotWaitedFor() throws {
        // Listens and never accepts.
        let silent = TCP.socket()
        defer { Glibc.close(silent) }
        #expect(TCP.withAddress("127.0.0.1", 0) { bind(silent, $0, $1) } == 0)
        #expect(Glibc.listen(silent, 4) == 0)
        let port = try #require(TCP.boundPort(silent))
        let start = monotonicSeconds()
        #expect(Prober.failures([target(port, "x")], seconds: 0.2).map(\.reason) == ["no answer"])
        #expect(monotonicSeconds() - start < 1)
    }

    @Test func ranksMeet() throws {
        let world = InProcessCommunicator.world(size: 3)
        let outcomes = try world.map { communicator in
            try CommunicationThread { communicator }
        }
        let results = Results()
        let threads = outcomes.map { communication in
            Thread {
                let rank = communication.communicator.rank
                var facts = FindingsTests.clean(ranks: 3)[rank]
                facts.host = "host\(rank)"
                facts.machine = facts.host
                facts.localRank = 0
                facts.network.interfaces = [.init(name: "lo", address: "127.0.0.\(rank + 1)", prefix: 8)]
                facts.lanes = 2
                let met = try? Examination.meet(facts, environment: [:], communication)
                let found = try? Examination.findings(
                    of: met?.facts ?? [], strangers: met?.strangers ?? [], communication)
                results.add(rank, met?.facts ?? [], found ?? [])
            }
        }
        for thread in threads { thread.start() }
        #expect(results.wait(for: 3))
        for communication in outcomes { communication.shutDown() }
        #expect(results.facts[0].count == 3 && results.facts[1].isEmpty)
        for facts in results.facts[0] {
            #expect(facts.clock != nil && facts.failedProbes.isEmpty, "\(facts.failedProbes)")
            #expect(facts.network.ports.allSatisfy { $0 > 0 })
        }
        for found in results.findings { #expect(found.map(\.name) == [.fewerLanesThanRanks], "\(found.map(\.line))") }
    }

    private final class Results: @unchecked Sendable {
        private let lock = NSCondition()
        private(set) var facts = [[RankFacts]](repeating: [], count: 3)
        private(set) var findings = [[Finding]](repeating: [], count: 3)
        private var count = 0

        func add(_ rank: Int, _ facts: [RankFacts], _ findings: [Finding]) {
            lock.lock()
            self.facts[rank] = facts
            self.findings[rank] = findings
            count += 1
            lock.broadcast()
            lock.unlock()
        }

        func wait(for wanted: Int) -> Bool {
            lock.lock()
            defer { lock.unlock() }
            let end = Date().addingTimeInterval(20)
            while count < wanted { if !lock.wait(until: end) { return false } }
            return true
        }
    }
}
