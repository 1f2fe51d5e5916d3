import Basics
import Checkpoints
import Foundation
import TestSupport
import Testing

@testable import Supervision

@Suite struct PlanTests {
    private func hosts(_ slots: Int...) -> [LaunchHost] {
        slots.enumerated().map { LaunchHost(name: "n\($0.offset)", slots: $0.element) }
    }

    private func options(_ change: (inout LaunchOptions) -> Void = { _ in }) -> LaunchOptions {
        var result = LaunchOptions()
        change(&result)
        return result
    }

    @Test func theLargestNumberOfRanksThatFits() {
        func count(_ hosts: [LaunchHost], _ source: LaunchSite.Source, ranks: Int?, lanes: Int?) -> Int {
            LaunchPlan.rankCount(on: hosts, source: source, options: options { $0.ranks = ranks }, lanes: lanes)
        }
        #expect(count(hosts(2), .local, ranks: nil, lanes: 8) == 1)
        #expect(count(hosts(2), .local, ranks: 4, lanes: 8) == 4)
        #expect(count(hosts(2, 2, 1), .slurm, ranks: nil, lanes: 8) == 5)
        #expect(count(hosts(2, 2, 1), .slurm, ranks: nil, lanes: 4) == 4)
        #expect(count(hosts(2, 2, 1), .slurm, ranks: nil, lanes: nil) == 5)
        #expect(count(hosts(2, 1), .slurm, ranks: 5, lanes: 8) == 3)
        #expect(count([], .slurm, ranks: 5, lanes: 8) == 0)
    }

    @Test func whatCannotBeIsRefused() throws {
        let cluster = LaunchSite(source: .hostfile("h"), hosts: hosts(2, 2))
        let local = LaunchSite(source: .local, hosts: hosts(2))
        func check(_ site: LaunchSite, _ change: (inout LaunchOptions) -> Void, lanes: Int? = 8) throws -> [String] {
            try LaunchPlan.check(site, options: options(change), lanes: lanes, cores: 2)
        }
        #expect(try check(cluster) { $0.ranks = 4 } == [])
        for (change, words) in [
            ({ $0.ranks = 5 }, "5 ranks for 4 slots"), ({ $0.ranks = 9 }, "9 ranks for 8 lanes"),
            ({ $0.minimumRanks = 5 }, "--min-ranks 5"), ({ $0.isPinned = true }, "--pin needs --threads"),
        ] as [((inout LaunchOptions) -> Void, String)] {
            let error = #expect(throws: Failure.self) { try check(cluster, change) }
            #expect(error?.exitCode == .usage && error?.description.contains(words) == true)
        }
        #expect(try check(local) { $0.ranks = 3 } == ["3 ranks share 2 cores: right, but slow"])
        #expect(
            try check(local) { ($0.ranks, $0.threads) = (2, 2) } == [
                "2 ranks of 2 threads share 2 cores: right, but slow"
            ])
        #expect(try check(local) { $0.ranks = 2 } == [])
    }

    @Test func theCallOfMpirun() {
        let environment = ["OPENBLAS_NUM_THREADS": "1", "TOKEN": "secret"]
        let plan = LaunchPlan(
            hosts: hosts(2), ranks: 2, source: .hostfile("h"),
            options: options {
                ($0.prefix, $0.threads, $0.isPinned, $0.mpirunArguments) = ("/opt/ompi", 3, true, ["--tag-output"])
            }, hostfile: "tmp", cores: 2, environment: environment, more: ["TOKEN"])
        #expect(
            plan.arguments == [
                "-np", "2", "--hostfile", "tmp", "--prefix", "/opt/ompi", "--map-by", "slot:PE=3", "--bind-to", "core",
                "-x",
                "OPENBLAS_NUM_THREADS", "-x", "TOKEN", "--tag-output",
            ])
        // A command line is for everybody to see.
        #expect(!plan.arguments.contains { $0.contains("secret") })
        let local = LaunchPlan(
            hosts: hosts(2), ranks: 2, source: .local, options: options { $0.isPinned = true }, hostfile: nil, cores: 4,
            environment: environment)
        #expect(local.arguments == ["-np", "2", "--map-by", "slot:PE=2", "--bind-to", "core"])
    }

    @Test func argumentsOfTheProgram() {
        let job = LaunchJob(program: "v", arguments: ["train", "d", "--run", "r"], run: nil)
        #expect(
            LaunchPlan.programArguments(job, threads: 2, resumes: true)
                == ["train", "d", "--run", "r", "--threads", "2", "--resume"])
        let own = LaunchJob(program: "v", arguments: ["train", "d", "--threads=1", "--resume"], run: nil)
        #expect(LaunchPlan.programArguments(own, threads: 2, resumes: true) == own.arguments)
        let bench = LaunchJob(program: "v", arguments: ["bench", "allreduce"], run: nil)
        #expect(LaunchPlan.programArguments(bench, threads: 2, resumes: false) == bench.arguments)
    }

    @Test func theEnvironmentOfMpirun() {
        let given = [
            "PATH": "/bin", "OMPI_MCA_pml": "ucx", "OMPI_MCA_plm_rsh_agent": "ssh -q", "OMPI_COMM_WORLD_RANK": "0",
            "PMIX_RANK": "0", "PMI_RANK": "0", "OMPI_MCA_ess": "^singleton", "OMPI_MCA_ess_base_jobid": "1",
            "OMPI_MCA_orte_ess_num_procs": "1", "OMPI_MCA_orte_hnp_uri": "x", "OMPI_MCA_pmix": "^s1",
            "OMPI_ALLOW_RUN_AS_ROOT": "1", "SLURM_JOB_ID": "7", "OMPI_MCA_orte_default_hostfile": "/etc/mpi/hostfile",
            "OMPI_MCA_orte_keep_fqdn_hostnames": "true", "OMPI_UNIVERSE_SIZE": "2",
        ]
        let local = MPISettings.environment(
            for: LaunchSite(source: .local, hosts: hosts(2)), network: nil, isRoot: true, from: given)
        // What the user said stays, what a launcher left goes.
        #expect(local["OMPI_MCA_pml"] == "ucx" && local["PATH"] == "/bin")
        for name in [
            "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "OMPI_MCA_ess", "OMPI_MCA_ess_base_jobid",
            "OMPI_MCA_orte_ess_num_procs", "OMPI_MCA_orte_hnp_uri", "OMPI_MCA_pmix", "OMPI_UNIVERSE_SIZE",
            "SLURM_JOB_ID",
        ] { #expect(local[name] == nil, "\(name)") }
        #expect(local["OMPI_MCA_hwloc_base_binding_policy"] == "none" && local["OMPI_MCA_btl"] == "vader,self")
        #expect(local["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] == "1" && local["OPENBLAS_NUM_THREADS"] == "1")
        let remote = MPISettings.environment(
            for: LaunchSite(source: .slurm, hosts: hosts(2)), network: "10.0.0.0/24", isRoot: true, from: given)
        #expect(remote["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] == nil && remote["SLURM_JOB_ID"] == "7")
        #expect(remote["OMPI_MCA_btl_tcp_if_include"] == "10.0.0.0/24" && remote["OMPI_MCA_btl"] == "tcp,vader,self")
        #expect(remote["OMPI_MCA_orte_default_hostfile"] == nil && remote["OMPI_MCA_plm_rsh_agent"] == "ssh -q")
        #expect(
            remote["OMPI_MCA_orte_keep_fqdn_hostnames"] == "true" && remote["OMPI_MCA_rmaps_base_oversubscribe"] == nil)
    }

    @Test func wordsForAShell() {
        #expect(ShellWords.quoted(["a b", "it's", "-n", "", "x=1"]) == "'a b' 'it'\\''s' -n '' x=1")
    }
}

@Suite struct CheckpointScanTests {
    private func write(_ folder: TemporaryFolder, _ name: String, step: Int) throws {
        try SafeTensorsWriter.write(
            path: folder.file(name), tensors: [.init("w", [4], [1, 2, 3, Float(step)])],
            metadata: ["format": "vergence checkpoint 1", "step": "\(step)"])
    }

    /// Flips a bit of the last tensor's last byte.
    private func damage(_ path: String) throws {
        var data = try #require(FileManager.default.contents(atPath: path))
        data[data.count - 1] ^= 1
        try data.write(to: URL(fileURLWithPath: path))
    }

    @Test func theNewestWholeOne() throws {
        let folder = TemporaryFolder("scan")
        #expect(try CheckpointScan.newest(in: folder.file("none")).newest == nil)
        try write(folder, "best.safetensors", step: 50)
        #expect(try CheckpointScan.newest(in: folder.path).newest?.step == 50)
        try write(folder, "step_000020.safetensors", step: 20)
        try write(folder, "step_000030.safetensors", step: 30)
        try write(folder, "step_x.safetensors", step: 99)
        try write(folder, "other.safetensors", step: 99)
        try write(folder, "last.safetensors", step: 40)
        // `best` is for want of others.
        #expect(try CheckpointScan.newest(in: folder.path).newest?.path == folder.file("last.safetensors"))
        try damage(folder.file("last.safetensors"))
        let scan = try CheckpointScan.newest(in: folder.path)
        #expect(scan.newest?.path == folder.file("step_000030.safetensors") && scan.newest?.step == 30)
        #expect(scan.damaged.map(\.path) == [folder.file("last.safetensors")])
        try Data("half".utf8).write(to: URL(fileURLWithPath: folder.file("step_000030.safetensors")))
        #expect(try CheckpointScan.newest(in: folder.path).newest?.step == 20)
        try damage(folder.file("step_000020.safetensors"))
        #expect(try CheckpointScan.newest(in: folder.path).newest?.step == 50)
    }

    @Test func repairing() throws {
        let folder = TemporaryFolder("repair")
        let last = folder.file("last.safetensors")
        try write(folder, "last.safetensors", step: 40)
        let whole = FileManager.default.contents(atPath: last)
        #expect(try CheckpointScan.repair(folder.path).damaged.isEmpty)
        #expect(FileManager.default.contents(atPath: last) == whole)
        try write(folder, "step_000030.safetensors", step: 30)
        try damage(last)
        #expect(try CheckpointScan.repair(folder.path).newest?.step == 30)
        #expect(CheckpointScan.step(ofLastIn: folder.path) == 30)
        #expect(
            FileManager.default.contents(atPath: last)
                == FileManager.default.contents(atPath: folder.file("step_000030.safetensors")))
        #expect(FileManager.default.fileExists(atPath: last + ".damaged"))
        // Nothing whole left: the run starts again, and what there was is kept.
        try damage(last)
        try damage(folder.file("step_000030.safetensors"))
        #expect(try CheckpointScan.repair(folder.path).newest == nil)
        #expect(!FileManager.default.fileExists(atPath: last))
    }
}

@Suite struct RunRecordTests {
    @Test func theLastStep() throws {
        let folder = TemporaryFolder("record")
        let record = RunRecord(folder: folder.path)
        func lastStep(_ text: String) throws -> Int {
            try Data(text.utf8).write(to: URL(fileURLWithPath: record.stepsPath))
            return record.lastStep()
        }
        #expect(record.lastStep() == 0)
        #expect(try lastStep("") == 0)
        #expect(try lastStep("step,loss\n") == 0)
        #expect(try lastStep("step,loss\n1,0.5\n") == 1)
        #expect(try lastStep("step,loss\n41,0.5\n42,0.4\n43,0") == 42)
        #expect(try lastStep("step,loss\n" + (1...5000).map { "\($0),0.123456789\n" }.joined()) == 5000)
    }

    @Test func theJournalWaitsForTheRun() throws {
        let folder = TemporaryFolder("journal")
        let record = RunRecord(folder: folder.path)
        let journal = LaunchJournal(record)
        journal.add("start", [("hosts", .texts(["a\"b", "c\\d\n"])), ("ranks", .whole(3))])
        // Before the run has its configuration, a file there would keep it from starting.
        #expect(record.isFree)
        try Data().write(to: URL(fileURLWithPath: record.configurationPath))
        journal.add("restart", [("delay_seconds", .number(1.5))])
        let text = String(decoding: try Files.read(record.journalPath), as: UTF8.self)
        let lines = text.split(separator: "\n").compactMap {
            try? JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
        }
        #expect(lines.count == 2 && lines[0]["hosts"] as? [String] == ["a\"b", "c\\d\n"])
        #expect(lines[0]["ranks"] as? Int == 3 && lines[1]["delay_seconds"] as? Double == 1.5)
        #expect((lines[1]["time"] as? String)?.wholeMatch(of: #/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/#) != nil)
    }
}
