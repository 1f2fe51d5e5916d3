import Foundation
import MPICollectives
import TestSupport
import Testing

/// Runs of the helper `mpi-probe` under a real mpirun; skipped where there is none.
@Suite(.serialized, .enabled(if: MPIRun.isAvailable, "mpirun is not installed")) struct MPITests {
    @Test(arguments: [1, 2, 3, 4]) func meanHasTheBitsOfTheNaiveTree(ranks: Int) throws {
        let run = try MPIRun(ranks: ranks, ["mean", "8", "5003", "1500"])
        let hash = LaneFixture.hash(LaneFixture.mean(lanes: 8, count: 5003))
        #expect(run.exitCode == 0, "\(run.errors)")
        #expect(run.lines == ["\(ranks) \(hash)"])
    }

    @Test func lanesThatFormNoSubtreeAndLongMessagesInParts() throws {
        let run = try MPIRun(ranks: 3, ["parts", "7", "2000", "2000"])
        let hash = LaneFixture.hash(LaneFixture.mean(lanes: 7, count: 2000))
        #expect(run.lines == ["3 \(hash)"])
    }

    @Test func smallMessages() throws {
        let run = try MPIRun(ranks: 3, ["small"])
        #expect(run.lines == ["[[], [1, 1, 1], [2, 2, 2, 2, 2, 2]] from 2"])
    }

    @Test func troubleOfOneRankIsToldByAll() throws {
        let run = try MPIRun(ranks: 3, ["trouble"])
        #expect(run.lines == ["rank 2: shard 3 is broken (65)"], "exit code \(run.exitCode): \(run.errors)")
    }

    @Test func abortEndsRanksThatWait() throws {
        let run = try MPIRun(ranks: 3, ["abort"])
        #expect(run.exitCode == 65)
    }

    /// MPI's own blocking calls would take the whole second of a core.
    @Test func waitingLeavesTheCoreToOthers() throws {
        let run = try MPIRun(ranks: 2, ["wait"])
        let milliseconds = try #require(run.lines.first.flatMap { Int($0) })
        #expect(milliseconds < 500)
    }

    @Test func tooManyRanksIsAUsageError() throws {
        let run = try MPIRun(ranks: 3, ["mean", "2", "100", "100"])
        #expect(run.exitCode == 64)
        #expect(run.lines.contains("2 lanes cannot be shared by 3 ranks; raise --lanes or start at most 2 ranks"))
    }
}

@Suite struct MPILauncherTests {
    @Test func onlyALauncherMakesARank() {
        #expect(!MPILauncher.isUnderLauncher([:]))
        #expect(!MPILauncher.isUnderLauncher(["SLURM_PROCID": "0", "SLURM_JOB_ID": "7"]))
        #expect(!MPILauncher.isUnderLauncher(["OMPI_MCA_pml": "ob1", "PMI_RANK": ""]))
        #expect(MPILauncher.isUnderLauncher(["OMPI_COMM_WORLD_RANK": "1"]))
        #expect(MPILauncher.isUnderLauncher(["PMIX_RANK": "0"]))
        #expect(MPILauncher.isUnderLauncher(["PMI_RANK": "0"]))
    }

    @Test func numbersOfTheLauncher() {
        let environment = ["OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"]
        #expect(MPILauncher.rank(environment) == 3)
        #expect(MPILauncher.worldSize(environment) == 8)
        #expect(MPILauncher.localSize(environment) == 2)
        #expect(MPILauncher.worldSize(["OMPI_COMM_WORLD_SIZE": "8"]) == nil)
    }

    @Test func tasksThatAreNoRanksAreNoticed() {
        let tasks = ["SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "4"]
        #expect(MPILauncher.unrelatedTasks(tasks)?.number == 1)
        #expect(MPILauncher.unrelatedTasks(tasks)?.count == 4)
        #expect(MPILauncher.unrelatedTasks(tasks.merging(["PMIX_RANK": "1"]) { $1 }) == nil)
        #expect(MPILauncher.unrelatedTasks(["SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"]) == nil)
        // With PMIx they are ranks, and Slurm says how many.
        #expect(MPILauncher.worldSize(tasks.merging(["PMIX_RANK": "1"]) { $1 }) == 4)
    }

    @Test func aChildIsDetached() {
        #expect(MPILauncher.detached(["OMPI_MCA_x": "1", "PMIX_RANK": "0", "PATH": "/bin"]) == ["PATH": "/bin"])
    }
}

/// One run of the probe.
struct MPIRun {
    let exitCode: Int32
    /// Lines of standard output that the probe wrote.
    let lines: [String]
    /// Standard error, for messages of failed tests.
    let errors: String

    static let mpirun: String? = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        .map { "\($0)/mpirun" }.first { FileManager.default.isExecutableFile(atPath: $0) }
    static let isAvailable = mpirun != nil

    /// Folder of the products: the test runner lies beside them.
    static var products: String {
        let program = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return (program as NSString).deletingLastPathComponent
    }

    init(ranks: Int, _ arguments: [String]) throws {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: try #require(Self.mpirun))
        // `--mca pml/btl`: only what one host needs, which starts in half the time.
        process.arguments =
            ["--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1", "--mca", "pml", "ob1"]
            + ["--mca", "btl", "vader,self", "--mca", "orte_abort_timeout", "20", "--timeout", "60", "-np", "\(ranks)"]
            + [Self.products + "/mpi-probe"] + arguments
        var environment = MPILauncher.detached(ProcessInfo.processInfo.environment)
        if getuid() == 0 {
            environment["OMPI_ALLOW_RUN_AS_ROOT"] = "1"
            environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
        }
        // A session folder of its own: one mpirun that ends can pull the common one from under another that starts.
        let sessions = TemporaryFolder("mpi")
        environment["OMPI_MCA_orte_tmpdir_base"] = sessions.path
        process.environment = environment
        process.standardOutput = output
        let errorsPath = sessions.file("errors")
        try Data().write(to: URL(fileURLWithPath: errorsPath))
        process.standardError = FileHandle(forWritingAtPath: errorsPath) ?? FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        exitCode = process.terminationStatus
        errors = (try? String(contentsOfFile: errorsPath, encoding: .utf8)) ?? ""
        lines = text.split(separator: "\n").map(String.init).filter { !$0.hasPrefix("---") }
    }
}
