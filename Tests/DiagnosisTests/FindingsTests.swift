import Foundation
import Testing

@testable import Diagnosis

/// Facts of a launch without a flaw, with one thing changed, and what is found.
@Suite struct FindingsTests {
    /// Ranks 0 and 1 on host `a`, 2 and 3 on `b`, four cores each, two threads a rank.
    static func clean(ranks: Int = 4) -> [RankFacts] {
        (0..<ranks).map { rank in
            var facts = RankFacts()
            facts.rank = rank
            facts.localRank = rank % 2
            facts.host = rank < 2 ? "a" : "b"
            facts.machine = "boot of " + facts.host
            facts.launch.worldSize = ranks
            facts.launch.launcherWorldSize = ranks
            facts.launch.launcher = "mpirun"
            facts.launch.mpiLibrary = "Open MPI v4.1.4"
            facts.launch.runtime = "libopen-rte.so.40.30.2"
            facts.launch.launcherRuntime = "libopen-rte.so.40.30.2"
            facts.program.version = "0.1.0"
            facts.program.hash = "0123456789abcdef0123456789abcdef"
            facts.program.byteCount = 1000
            facts.kernels = .init(name: "SkylakeX/avx512", openBLAS: "OpenBLAS 0.3.21", slowdown: nil)
            facts.configuration = [.init(name: "lanes", value: "8"), .init(name: "lr", value: "0.001")]
            facts.lanes = 8
            var data = RankFacts.DataFolder()
            data.path = "data"
            data.rootHash = "feed"
            data.size = "32x48"
            data.shardCount = 3
            facts.data = data
            facts.cores.mask = ProcessorSet(Set(0..<4))
            facts.cores.available = ProcessorSet(Set(0..<4))
            facts.cores.threads = 2
            facts.memory.totalByteCount = 16 << 30
            facts.memory.availableByteCount = 12 << 30
            facts.memory.neededByteCount = rank % 2 == 0 ? 2 << 30 : nil
            facts.limits.openFiles = 1024
            facts.limits.lockedByteCount = 8 << 20
            var run = RankFacts.RunFolder()
            run.path = "run"
            run.freeByteCount = 1 << 40
            run.neededByteCount = 100 << 20
            facts.run = run
            let number = rank < 2 ? 1 : 2
            facts.network.interfaces = [.init(name: "eth0", address: "10.0.0.\(number)", prefix: 24)]
            facts.network.ports = [40_000]
            facts.clock = .init(entered: 1000 + 0.01 * Double(rank), left: 1000.05 + 0.01 * Double(rank))
            return facts
        }
    }

    /// What is found after a change of the clean facts.
    private func found(ranks: Int = 4, _ change: (inout [RankFacts]) -> Void) -> [Finding] {
        var facts = Self.clean(ranks: ranks)
        change(&facts)
        return findings(of: facts)
    }

    /// Exactly one finding, with these words in its line.
    private func expect(
        _ found: [Finding], _ name: Finding.Name, _ severity: Finding.Severity = .error, ranks: [Int],
        exitCode: Int32 = 64, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let shown = Comment(rawValue: found.map(\.line).joined(separator: "\n"))
        #expect(found.map(\.name) == [name], shown, sourceLocation: sourceLocation)
        guard let one = found.first else { return }
        #expect(one.severity == severity, shown, sourceLocation: sourceLocation)
        #expect(one.ranks == ranks, shown, sourceLocation: sourceLocation)
        #expect(one.exitCode == (severity == .warning ? 0 : exitCode), shown, sourceLocation: sourceLocation)
        #expect(one.line.hasPrefix(name.rawValue + ": "), shown, sourceLocation: sourceLocation)
        #expect(!one.remedy.isEmpty && !one.line.contains("\n"), shown, sourceLocation: sourceLocation)
        for word in words { #expect(one.line.contains(word), shown, sourceLocation: sourceLocation) }
    }

    @Test(arguments: [1, 2, 3, 4]) func aCleanLaunchGivesNothing(ranks: Int) {
        #expect(found(ranks: ranks) { _ in }.isEmpty)
        #expect(findings(of: []).isEmpty)
    }

    @Test func whatIsUnknownIsNoFault() {
        let found = found { facts in
            for rank in facts.indices {
                facts[rank].program.hash = nil
                facts[rank].data = nil
                facts[rank].cores.mask = nil
                facts[rank].cores.available = nil
                facts[rank].memory = .init()
                facts[rank].limits = .init()
                facts[rank].run = nil
                facts[rank].network = .init()
                facts[rank].clock = nil
                facts[rank].launch.runtime = nil
            }
        }
        #expect(found.isEmpty, "\(found.map(\.line))")
    }

    // MARK: launch

    @Test func singletons() {
        let hydra = found(ranks: 1) {
            $0[0].launch.launcherWorldSize = 4
            $0[0].launch.launcher = "Hydra (mpirun of MPICH)"
        }
        expect(hydra, .singletons, ranks: [0], "Hydra", "4 processes", "rank 0 of 1", "Open MPI v4.1.4")
        let slurm = found(ranks: 1) { $0[0].launch.unrelatedTasks = 3 }
        expect(slurm, .singletons, ranks: [0], "Slurm started 3 tasks", "--mpi=pmix")
        let twins = found(ranks: 1) { $0[0].launch.twins = 1 }
        expect(twins, .singletons, ranks: [0], "2 processes", "same time", "Open MPI v4.1.4")
    }

    @Test func differentPrograms() {
        let hashes = found { $0[2].program.hash = "f00" }
        expect(hashes, .differentPrograms, ranks: [2], "rank 2 (b)", "rank 0 (a)", "f00", "01234567", "copy the same")
        expect(found { $0[1].program.version = "0.2.0" }, .differentPrograms, ranks: [1], "0.2.0", "0.1.0")
    }

    @Test func differentVersionsOfMPI() {
        let libraries = found { $0[2].launch.mpiLibrary = "Open MPI v4.0.3" }
        expect(libraries, .differentVersionsOfMPI, ranks: [2], "rank 2 (b)", "v4.0.3", "v4.1.4")
        let launcher = found { facts in
            for rank in facts.indices { facts[rank].launch.launcherRuntime = "libopen-rte.so.40.20.3" }
        }
        expect(
            launcher, .differentVersionsOfMPI, ranks: [0, 1, 2, 3], "libopen-rte.so.40.20.3",
            "libopen-rte.so.40.30.2", "PATH")
        let path = found(ranks: 1) { $0[0].launch.mpirun = "mpirun (Open MPI) 5.0.3" }
        expect(path, .differentVersionsOfMPI, .warning, ranks: [0], "5.0.3", "v4.1.4")
        let other = found(ranks: 1) { $0[0].launch.mpirun = "HYDRA build details:" }
        expect(other, .differentVersionsOfMPI, .warning, ranks: [0], "HYDRA")
        #expect(found(ranks: 1) { $0[0].launch.mpirun = "mpirun (Open MPI) 4.1.4" }.isEmpty)
        let missing = found(ranks: 1) { $0[0].launch.mpirun = "" }
        expect(missing, .missingMpirun, .warning, ranks: [0], "openmpi-bin")
    }

    // MARK: agreement

    @Test func differentConfigurations() {
        let found = found { facts in
            facts[3].configuration[1].value = "0.1"
            facts[3].configuration.append(.init(name: "clip-norm", value: "1"))
        }
        expect(
            found, .differentConfigurations, ranks: [3], "rank 3 (b) and rank 0 (a)", "lr is '0.1' and '0.001'",
            "clip-norm is '1' and 'not given'", "same options")
    }

    @Test func fewerLanesThanRanks() {
        let found = found { facts in for rank in facts.indices { facts[rank].lanes = 3 } }
        expect(found, .fewerLanesThanRanks, ranks: [3], "3 lanes cannot be shared by 4 ranks", "at most 3 ranks")
    }

    @Test func data() {
        let hashes = found { $0[1].data?.rootHash = "f00d" }
        expect(hashes, .differentData, ranks: [1], "rank 1 (a)", "'f00d' and 'feed'")
        expect(found { $0[1].data?.size = "64x96" }, .differentData, ranks: [1], "size", "64x96", "32x48")
        let missing = found {
            $0[2].data?.missingCount = 2
            $0[2].data?.firstMissing = "train-0001"
        }
        expect(
            missing, .differentData, ranks: [2], exitCode: 66, "rank 2 (b)", "train-0001 and 1 more of 3", "rank 0 (a)")
        let cut = found {
            $0[2].data?.wrongSizeCount = 1
            $0[2].data?.firstWrongSize = "train-0001"
        }
        expect(cut, .differentData, ranks: [2], exitCode: 65, "rank 2 (b)", "train-0001", "size")
        let gone = found {
            // Rank 0 itself may be the one without.
            $0[0].data?.problem = "data: no such folder; make one"
            $0[0].data?.problemCode = 66
        }
        expect(gone, .differentData, ranks: [0], exitCode: 66, "rank 0 (a)", "rank 1 (a)", "no such folder", "copy")
        let everywhere = found { facts in
            for rank in facts.indices {
                facts[rank].data?.problem = "data: no such folder; make one"
                facts[rank].data?.problemCode = 66
            }
        }
        expect(everywhere, .unusableData, ranks: [0, 1, 2, 3], exitCode: 66, "data: no such folder; make one")
    }

    @Test func kernels() {
        let different = found { $0[3].kernels?.name = "Haswell/avx512" }
        expect(
            different, .differentKernels, ranks: [3], "rank 3 (b) and rank 0 (a)",
            "'Haswell/avx512' and 'SkylakeX/avx512'",
            "OPENBLAS_CORETYPE")
        let slow = found { $0[1].kernels?.slowdown = "half the speed; remedy: unset it" }
        expect(slow, .slowKernels, .warning, ranks: [1], "rank 1 (a): half the speed; unset it")
    }

    // MARK: cores

    private func bound(_ masks: [Set<Int>], threads: Int, asked: Int, isBound: Bool = true) -> [Finding] {
        found(ranks: masks.count) { facts in
            for rank in facts.indices {
                facts[rank].cores.mask = ProcessorSet(masks[rank])
                facts[rank].cores.threads = threads
                facts[rank].cores.threadsAsked = asked
                facts[rank].launch.isBound = isBound
            }
        }
    }

    @Test func overlappingCores() {
        expect(
            bound([[0], [0]], threads: 1, asked: 1), .overlappingCores, ranks: [0, 1], "2 threads", "1 core (0)", "3 of"
        )
        // By chains: 0 and 2 meet in 1.
        let chain = bound([[0, 1], [1, 2]], threads: 2, asked: 2)
        expect(chain, .overlappingCores, ranks: [0, 1], "4 threads on the same 3 cores (0-2)", "--bind-to none")
        #expect(bound([[0, 1], [0, 1]], threads: 1, asked: 1).isEmpty)
        #expect(bound([[0, 1], [2, 3]], threads: 2, asked: 2).isEmpty)
        // Virtual hosts of one machine share its cores.
        let virtual = found { facts in
            for rank in facts.indices {
                facts[rank].machine = "one"
                facts[rank].cores.threads = 1
                facts[rank].cores.mask = ProcessorSet([rank % 2])
            }
        }
        #expect(virtual.map(\.name) == [.overlappingCores, .overlappingCores])
        #expect(virtual.map(\.ranks) == [[0, 2], [1, 3]])
    }

    @Test func boundToTooFewCores() {
        let tight = bound([[0], [1]], threads: 2, asked: 2)
        expect(
            tight, .boundToTooFewCores, .warning, ranks: [0, 1], "2 compute threads of a rank share 1 core",
            "mpirun --bind-to none, or --threads 1")
        // What mpirun does by default: a core each, others idle.
        let idle = bound([[0], [1]], threads: 1, asked: 0)
        expect(idle, .boundToTooFewCores, .warning, ranks: [0, 1], "2 of 4 cores are used")
        #expect(bound([[0], [1]], threads: 1, asked: 1).isEmpty)
        #expect(bound([[0], [1]], threads: 1, asked: 0, isBound: false).isEmpty)
        #expect(bound([[0, 1], [2, 3]], threads: 2, asked: 0).isEmpty)
    }

    @Test func tooManyThreads() {
        let many = bound([[0, 1, 2, 3], [0, 1, 2, 3]], threads: 4, asked: 4)
        expect(many, .tooManyThreads, .warning, ranks: [0, 1], "2 ranks on a run 8 threads on 4 cores", "--threads 2")
        let quota = found(ranks: 1) {
            $0[0].cores.quota = 1.5
            $0[0].cores.threads = 4
        }
        expect(quota, .tooManyThreads, .warning, ranks: [0], "4 threads on a quota of 1.5 cores", "--threads 1")
        #expect(found(ranks: 1) { $0[0].cores.quota = 1.5 }.isEmpty)
    }

    // MARK: network

    @Test func unroutableInterfaces() {
        let bridge = found { facts in
            for rank in facts.indices {
                facts[rank].network.interfaces.append(.init(name: "docker0", address: "172.17.0.1", prefix: 16))
            }
        }
        expect(
            bridge, .unroutableInterface, ranks: [0, 2], "docker0", "172.17.0.1", "a, b",
            "mpirun --mca btl_tcp_if_include 10.0.0.0/24")
        let dead = found {
            $0[0].failedProbes = [.init(rank: 2, interface: $0[2].network.interfaces[0], reason: "no route to host")]
        }
        expect(
            dead, .unroutableInterface, ranks: [2], "rank 0 (a) cannot reach rank 2 (b) at 10.0.0.2 of eth0", "no route"
        )
        // One of two ways is dead, and MPI would not choose it first.
        let spare = found { facts in
            let extra = RankFacts.Interface(name: "virbr0", address: "192.168.122.1", prefix: 24)
            for rank in 2...3 {
                facts[rank].network.interfaces.append(extra)
                facts[rank].network.ports.append(40_001)
            }
            facts[0].failedProbes = [.init(rank: 2, interface: extra, reason: "no answer")]
        }
        expect(spare, .unroutableInterface, .warning, ranks: [2], "virbr0", "btl_tcp_if_include 10.0.0.0/24")
        // Nobody sends over TCP on one host, or without the transport.
        let one = found(ranks: 2) {
            $0[1].network.interfaces = $0[0].network.interfaces
            $0[0].failedProbes = [.init(rank: 1, interface: $0[1].network.interfaces[0], reason: "no answer")]
        }
        #expect(one.isEmpty)
        let fast = found { facts in
            for rank in facts.indices {
                facts[rank].network.hasFastNetwork = true
                facts[rank].limits.lockedByteCount = nil
                facts[rank].network.interfaces.append(.init(name: "docker0", address: "172.17.0.1", prefix: 16))
            }
        }
        expect(fast, .unroutableInterface, .warning, ranks: [0, 2], "docker0")
    }

    // MARK: resources

    @Test func disk() {
        let full = found { $0[0].run?.freeByteCount = 1 << 20 }
        expect(full, .noSpace, ranks: [0], exitCode: 74, "run on a has 1 MB left", "need 100 MB")
        // Others write nothing.
        let reader = found { $0[3].run?.freeByteCount = 0 }
        #expect(reader.isEmpty)
        let closed = found { $0[0].run?.problem = "read-only file system" }
        expect(closed, .notWritable, ranks: [0], exitCode: 74, "rank 0 (a) cannot write to run: read-only")
    }

    @Test func runFolderNotShared() {
        func resuming(_ sizes: [Int?]) -> [Finding] {
            found { facts in
                for rank in facts.indices {
                    facts[rank].run?.resumes = true
                    facts[rank].run?.checkpointByteCount = sizes[rank]
                }
            }
        }
        #expect(resuming([5, 5, 5, 5]).isEmpty && resuming([nil, nil, nil, nil]).isEmpty)
        expect(
            resuming([5, 5, nil, nil]), .runFolderNotShared, ranks: [2, 3], exitCode: 66, "ranks 2, 3 (b)",
            "none and one of 5 bytes", "share")
    }

    @Test func memory() {
        let never = found { $0[2].memory.neededByteCount = 9 << 30 }
        expect(never, .notEnoughMemory, ranks: [2, 3], "2 ranks on b need up to 18432 MB", "it has 16384 MB")
        let now = found { $0[2].memory.neededByteCount = 7 << 30 }
        expect(now, .notEnoughMemory, .warning, ranks: [2, 3], "14336 MB", "has 12288 MB left", "--lane-batch")
        #expect(found { $0[2].memory.neededByteCount = 6 << 30 }.isEmpty)
        #expect(found { $0[2].memory.neededByteCount = .max }.isEmpty)
    }

    @Test func limits() {
        let few = found { $0[1].limits.openFiles = 128 }
        expect(few, .tooFewOpenFiles, .warning, ranks: [1], "rank 1 (a) may open 128", "ulimit -n 328")
        let locked = found { facts in for rank in 0..<2 { facts[rank].network.hasFastNetwork = true } }
        expect(locked, .littleLockedMemory, .warning, ranks: [0, 1], "may lock 8 MB", "ulimit -l")
    }

    @Test func clocks() {
        func shifted(_ seconds: Double) -> [Finding] {
            found { facts in
                for rank in 2...3 {
                    facts[rank].clock?.entered += seconds
                    facts[rank].clock?.left += seconds
                }
            }
        }
        #expect(shifted(1.9).isEmpty && shifted(-1.9).isEmpty)
        expect(shifted(7), .clockSkew, .warning, ranks: [2, 3], "clock of b", "ahead of that of a")
        expect(shifted(-7), .clockSkew, .warning, ranks: [2, 3], "clock of b", "behind that of a")
        // A rank that was late makes the others wait, and is no proof.
        for rank in [0, 2] {
            let late = found { $0[rank].clock?.entered -= 10 }
            #expect(late.isEmpty)
        }
    }

    @Test func allNamesAreDocumented() throws {
        let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let table = try String(contentsOf: repository.appendingPathComponent("docs/doctor.md"), encoding: .utf8)
        for name in Finding.Name.allCases { #expect(table.contains("| `\(name.rawValue)` |"), "\(name.rawValue)") }
    }

    @Test func errorsComeFirst() {
        let found = found {
            $0[1].limits.openFiles = 128
            $0[0].run?.freeByteCount = 0
            $0[2].program.hash = "f00"
            $0[2].clock?.entered += 9
            $0[2].clock?.left += 9
        }
        #expect(found.map(\.name) == [.differentPrograms, .noSpace, .tooFewOpenFiles, .clockSkew])
    }

    @Test func manyRanksAreCountedNotListed() {
        let found = found(ranks: 4) { facts in
            facts += (4..<40).map { rank in
                var other = facts[2]
                other.rank = rank
                other.host = "host\(rank)"
                other.program.hash = "f00"
                other.network.interfaces = []
                other.memory.neededByteCount = nil
                return other
            }
            for rank in facts.indices { facts[rank].lanes = 64 }
        }
        expect(found, .differentPrograms, ranks: Array(4..<40), "ranks 4, 5, 6, 7 and 32 more (host4, host5,")
    }
}
