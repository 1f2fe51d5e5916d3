import Basics
import Collectives
import Foundation
import Glibc
import Kernels
import Supervision
import Synchronization
import Telemetry
import Threads
import Training

/// Runs a training session on every rank that lives in this process.
enum TrainingRanks {
    static func run(_ command: TrainCommand) throws {
        let launch = Launcher.current
        let (configuration, outcome): (RunConfiguration, TrainingSession.Outcome)
        CheckpointSignal.install()
        try RankReporting.installStackDump()
        if launch.isUnderLauncher {
            // Before MPI starts, which can hang as well.
            let board = try RankReporting.begin(rank: launch.rank, worldSize: launch.worldSize)
            let watch = LaunchWatch(isWatching: true)
            watch.expect("MPI did not start", within: 120)
            let communication = try CommunicationThread(board: board, launch.makeCommunicator)
            do {
                watch.expect("no answer from the other ranks", within: 10)
                configuration = try communication.agreeing {
                    let configuration = try command.resolved()
                    _ = try configuration.makeNetwork()
                    return configuration
                }
                InterruptSignal.install()
                outcome = try runOne(
                    configuration, Wishes(command), ranksOnHost: Launcher.current.ranksOnHost, communication,
                    watch)
            } catch {
                // Not by unwinding, which would wait for ranks that wait for this one.
                VergenceCommand.leave(error)
            }
            communication.shutDown()
            RankReporting.end()
        } else {
            configuration = try command.resolved()
            try Doctor.admitAlone()
            InterruptSignal.install()
            outcome = try runInProcess(configuration, Wishes(command), ranks: command.ranks)
            RankReporting.end()
        }
        if outcome == .interrupted {
            // `vergence launch` says how to go on when mpirun, too, has said what it has to say.
            let text =
                Launcher.isSupervised
                ? "stopped, and saved in \(configuration.run)"
                : "stopped; go on with: \(resumeCommand(configuration, ranksInProcess: command.ranks))"
            // Ranks decide together to stop.
            if launch.isUnderLauncher { throw CommonFailure(exitCode: .interrupted, description: text) }
            throw Interrupted(description: text)
        }
    }

    /// The run was asked to stop, saved itself and did.
    struct Interrupted: ExitCoding {
        let description: String
        var exitCode: ExitCode { .interrupted }
    }

    /// What a shell understands, with the program as it was called.
    private static func resumeCommand(_ configuration: RunConfiguration, ranksInProcess: Int) -> String {
        var words = [CommandLine.arguments.first ?? "vergence", "train", "--run", configuration.run, "--resume"]
        if ranksInProcess > 1 { words += ["--ranks", "\(ranksInProcess)"] }
        if Launcher.current.isUnderLauncher {
            words = ["mpirun", "-np", "\(Launcher.current.worldSize)", "--bind-to", "none"] + words
        }
        return ShellWords.quoted(words)
    }

    /// - Parameter watch: of the launch, if there was one; the doctor looks at it first.
    /// What is asked of this execution alone, and not part of the run.
    private struct Wishes: Sendable {
        let resume: Bool
        let trace: String?

        init(_ command: TrainCommand) { (resume, trace) = (command.resume, command.trace) }
    }

    private static func runOne(
        _ configuration: RunConfiguration, _ wishes: Wishes, ranksOnHost: Int, _ communication: CommunicationThread,
        _ watch: LaunchWatch? = nil
    ) throws -> TrainingSession.Outcome {
        let kernels = Machine.kernels(
            threads: configuration.threads, ranksOnHost: ranksOnHost, precision: configuration.precision)
        defer { kernels.pool.shutDown() }
        let isFirst = communication.communicator.rank == 0
        let observer =
            isFirst
            ? ObserverGroup([
                try TrainingConsole(configuration, resume: wishes.resume),
                TensorBoardObserver(configuration, resume: wishes.resume),
            ]) : nil
        if let watch {
            try Doctor.admit(
                .init(
                    configuration: configuration, resume: wishes.resume, kernels: kernels, lanes: configuration.lanes,
                    looksForLauncher: false), communication, watch)
            watch.end()
        } else {
            for warning in Machine.warnings(threads: kernels.pool.threadCount, ranksOnHost: ranksOnHost) {
                observer?.remark(warning)
            }
        }
        let save = { (folder: RunFolder) in
            try AtomicFileWriter.write(ConfigurationFile.text(configuration), to: folder.configurationPath)
        }
        let session = try TrainingSession(
            configuration: configuration, start: wishes.resume ? .resuming : .anew, communication: communication,
            kernels: kernels,
            observer: observer,
            fault: ProcessInfo.processInfo.environment["VERGENCE_INJECT"].map { try FaultInjection($0) },
            tracePath: wishes.trace, writeConfiguration: save, shouldStop: { InterruptSignal.isRequested },
            shouldSave: CheckpointSignal.question(), cacheWarning: { Console.warn("cache: \($0)") })
        // What may change on resuming stays changed, so that the next --resume needs no options.
        try communication.together {
            guard wishes.resume && isFirst else { return }
            let folder = RunFolder(path: configuration.run)
            try save(folder)
            for path in [folder.path, folder.checkpointFolder, folder.sampleFolder] { try removeRemnants(in: path) }
        }
        let outcome = try session.run()
        communication.board?.enter(.finished)
        return outcome
    }

    /// What a killed run was writing when it died.
    private static func removeRemnants(in folder: String) throws {
        for name in try Files.list(folder) where name.hasSuffix(".partial") {
            _ = AtomicFileWriter.removeIfAbandoned(folder + "/" + name)
        }
    }

    /// Ranks as threads. One that fails poisons the others' communication, so that all end; what is reported is the failure
    /// of the lowest rank that has one of its own.
    private static func runInProcess(
        _ configuration: RunConfiguration, _ wishes: Wishes, ranks: Int
    ) throws -> TrainingSession.Outcome {
        struct Results: Sendable {
            var outcomes: [TrainingSession.Outcome] = []
            var failures: [(rank: Int, error: any Error)] = []
        }
        if ranks == 1 {
            let board = try RankReporting.begin(rank: 0, worldSize: 1)
            let communication = try CommunicationThread(board: board) { SoloCommunicator() }
            defer { communication.shutDown() }
            return try runOne(configuration, wishes, ranksOnHost: 1, communication)
        }
        let results = Mutex(Results())
        let world = InProcessCommunicator.world(size: ranks)
        let threads = world.map { communicator in
            WorkerThread(name: "rank \(communicator.rank)") {
                do {
                    let board = try RankReporting.begin(rank: communicator.rank, worldSize: ranks)
                    let communication = try CommunicationThread(board: board) { communicator }
                    defer { communication.shutDown() }
                    do {
                        let outcome = try runOne(configuration, wishes, ranksOnHost: ranks, communication)
                        results.withLock { $0.outcomes.append(outcome) }
                    } catch {
                        // Before the communication thread is waited for, which may be waiting for this rank.
                        communicator.poison(error)
                        throw error
                    }
                } catch {
                    results.withLock { $0.failures.append((communicator.rank, error)) }
                    communicator.poison(error)
                }
            }
        }
        for thread in threads { thread.join() }
        let final = results.withLock { $0 }
        // What another rank's failure does to this one is no news.
        let failures = final.failures.sorted { $0.rank < $1.rank }
        let own = failures.filter { !($0.error is PeerFailure || $0.error is CommunicationError) }
        if let failure = own.first ?? failures.first {
            let code = (failure.error as? any ExitCoding)?.exitCode ?? .internalFault
            let isCommon = own.count == ranks && own.allSatisfy { "\($0.error)" == "\(failure.error)" }
            throw Failure(code, isCommon ? "\(failure.error)" : "rank \(failure.rank): \(failure.error)")
        }
        return final.outcomes.contains(.interrupted) ? .interrupted : .finished
    }
}

extension CommunicationThread {
    /// Runs `body`, which does not communicate, on every rank, and has them all fail if one does.
    /// - Throws: `CommonFailure` if all ranks failed in the same words; else the rank's own error, or `EchoedFailure`.
    func agreeing<Value>(_ body: () throws -> Value) throws -> Value {
        let result = Result { try body() }
        var report: [UInt8] = []
        var code = ExitCode.done
        if case .failure(let error) = result {
            code = (error as? any ExitCoding)?.exitCode ?? .internalFault
            report = [UInt8(truncatingIfNeeded: code.rawValue)] + Array("\(error)".utf8.prefix(4096))
        }
        let mine = report
        let all = try run { try $0.allGather(mine) }
        if case .failure(let error) = result {
            throw all.allSatisfy { $0 == mine } ? CommonFailure(exitCode: code, description: "\(error)") : error
        }
        if let other = all.first(where: { !$0.isEmpty }) {
            throw EchoedFailure(exitCode: ExitCode(rawValue: Int32(other[0])) ?? .internalFault)
        }
        return try result.get()
    }
}
