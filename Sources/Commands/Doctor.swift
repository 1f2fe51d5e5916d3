import Basics
import Collectives
import Diagnosis
import Foundation
import Kernels
import Models
import Shards
import Streaming
import Telemetry
import Training

/// Looks at a launch before step 0: gathers what each rank knows, and says what is wrong.
enum Doctor {
    /// What a rank is asked about. Without data or run folder, what depends on them is left out.
    struct Subject {
        let configuration: RunConfiguration
        let resume: Bool
        /// Compute threads and kernels of this rank.
        let kernels: KernelContext
        /// Lanes of the run; nil if nobody has said yet.
        let lanes: Int?
        /// Also look for mpirun: only when somebody asks, alone.
        let looksForLauncher: Bool
    }

    /// Before a run under a launcher writes anything. Warnings are said once, errors end all ranks. Collective.
    /// - Throws: `CommonFailure` with the first error's line and exit code.
    static func admit(_ subject: Subject, _ communication: CommunicationThread, _ watch: LaunchWatch) throws {
        let (_, findings) = try examine(subject, communication, watch, within: 30)
        try report(findings, isFirst: communication.communicator.rank == 0)
    }

    /// Processes that were started together but do not know of each other end before they write the same run.
    /// - Throws: `CommonFailure` on one of them, `EchoedFailure` on the others.
    static func admitAlone() throws {
        let launch = Launcher.current
        var facts = RankFacts()
        facts.host = HostName.current
        facts.launch = launchFacts(worldSize: 1)
        let findings = findings(of: [facts])
        guard let error = findings.first(where: { $0.severity == .error }) else { return }
        let code = ExitCode(rawValue: error.exitCode) ?? .usage
        if let task = launch.unrelatedTasks?.number, task != 0 { throw EchoedFailure(exitCode: code) }
        throw CommonFailure(exitCode: code, description: error.line)
    }

    private static func report(_ findings: [Finding], isFirst: Bool) throws {
        let errors = findings.filter { $0.severity == .error }
        if isFirst {
            for error in errors.dropFirst() { Console.note("error: \(Log.singleLine(error.line))") }
            for warning in findings where warning.severity == .warning { Console.warn(Log.singleLine(warning.line)) }
        }
        guard let first = errors.first else { return }
        throw CommonFailure(exitCode: ExitCode(rawValue: first.exitCode) ?? .usage, description: first.line)
    }

    /// Everybody's facts (on rank 0 only) and what is wrong with them (on every rank). Collective.
    static func examine(
        _ subject: Subject, _ communication: CommunicationThread, _ watch: LaunchWatch, within seconds: Double
    ) throws -> (facts: [RankFacts], findings: [Finding]) {
        watch.expect("no answer from the other ranks", within: seconds)
        defer { watch.relax() }
        let own = facts(subject, communication.communicator)
        let (facts, strangers) = try Examination.meet(
            own, environment: ProcessInfo.processInfo.environment, communication)
        return (facts, try Examination.findings(of: facts, strangers: strangers, communication))
    }

    private static func launchFacts(worldSize: Int) -> RankFacts.Launch {
        let launch = Launcher.current
        return LaunchFacts.gather(
            environment: ProcessInfo.processInfo.environment, isUnderLauncher: launch.isUnderLauncher,
            launcherWorldSize: launch.statedWorldSize, unrelatedTasks: launch.unrelatedTasks?.count,
            worldSize: worldSize, library: launch.communicationLibrary())
    }

    private static func facts(_ subject: Subject, _ communicator: any Communicator) -> RankFacts {
        let configuration = subject.configuration
        var facts = RankFacts()
        facts.rank = communicator.rank
        facts.host = communicator.hostName
        facts.machine = SystemFiles.bootIdentifier()
        facts.processIdentifier = Int(ProcessInfo.processInfo.processIdentifier)
        facts.localRank = Launcher.current.localRank
        facts.launch = launchFacts(worldSize: communicator.worldSize)
        let environment = ProcessInfo.processInfo.environment
        if subject.looksForLauncher { facts.launch.mpirun = LaunchFacts.mpirunVersion(environment: environment) }
        facts.program = LaunchFacts.program(version: VergenceCommand.version)
        facts.kernels = RankFacts.KernelSet(
            name: subject.kernels.setName, openBLAS: BlasInfo.config, slowdown: BlasInfo.warning)
        let agreement = (try? configuration.agreement(resume: subject.resume)) ?? []
        facts.configuration = agreement.map { .init(name: $0.name, value: $0.value) }
        facts.lanes = subject.lanes
        facts.cores = SystemFiles.cores(
            threads: subject.kernels.pool.threadCount, threadsAsked: configuration.threads)
        // Left, right, disparity, rebuilt view and its error, before compression.
        var plan: (byteCount: Int, checkpointByteCount: Int)?
        var pictureByteCount = 0
        if !configuration.data.isEmpty {
            facts.data = dataFacts(configuration.data) {
                let network = try configuration.makeNetwork()
                let data = try configuration.openData(for: network)
                pictureByteCount = configuration.samples * data.height * data.width * 3 * 5
                // One rank of a host plans for all.
                if Launcher.current.localRank ?? 0 == 0 {
                    plan = try MemoryEstimate.planned(
                        network: network, data: data, ranks: communicator.worldSize, kernels: subject.kernels,
                        configuration: configuration)
                } else {
                    try network.check(height: data.height, width: data.width)
                }
                if subject.lanes != nil {
                    _ = try configuration.sampleOrder(of: data)
                }
                return (data, "\(data.height)x\(data.width)")
            }
        }
        facts.memory = SystemFiles.memory(neededByteCount: plan?.byteCount)
        facts.limits = SystemFiles.limits()
        if !configuration.run.isEmpty {
            let folder = RunFolder(path: configuration.run)
            // What exists is replaced, one file at a time.
            let checkpoints = subject.resume ? 1 : 2
            facts.run = DiskFacts.run(
                path: configuration.run, checkpoint: subject.resume ? folder.lastCheckpoint : nil,
                neededByteCount: plan.map { checkpoints * $0.checkpointByteCount + pictureByteCount })
        }
        facts.network = NetworkFacts.gather(environment: environment)
        return facts
    }

    /// Opens the data set and looks for its shards, for two seconds at most.
    private static func dataFacts(
        _ path: String, open: () throws -> (data: TrainingData, size: String)
    ) -> RankFacts.DataFolder {
        var facts = RankFacts.DataFolder()
        facts.path = path
        do {
            let (data, size) = try open()
            facts.rootHash = data.rootHash
            facts.size = size
            let shards = data.dataSet.manifest.shards
            facts.shardCount = shards.count
            let deadline = monotonicSeconds() + 2
            for (number, shard) in shards.enumerated() where monotonicSeconds() < deadline {
                guard let byteCount = DiskFacts.byteCount(data.dataSet.shardPath(number)) else {
                    facts.missingCount += 1
                    facts.firstMissing = facts.firstMissing ?? shard.name
                    continue
                }
                guard byteCount != shard.byteCount else { continue }
                facts.wrongSizeCount += 1
                facts.firstWrongSize = facts.firstWrongSize ?? shard.name
            }
        } catch {
            facts.problem = "\(error)"
            facts.problemCode = ((error as? any ExitCoding)?.exitCode ?? .badData).rawValue
        }
        return facts
    }
}
