import Basics
import Collectives
import Glibc
import Kernels
import Synchronization
import Telemetry
import Threads
import Training

/// Runs a training session on every rank that lives in this process.
enum TrainingRanks {
    static func run(
        _ configuration: RunConfiguration, resume: Bool, ranksInProcess: Int, launch: LaunchEnvironment
    ) throws {
        let outcome =
            ranksInProcess > 1
            ? try runInProcess(configuration, resume: resume, ranks: ranksInProcess)
            : try runOne(
                configuration, resume: resume, ranksOnHost: launch.ranksOnHost, make: launch.makeCommunicator)
        if outcome == .interrupted {
            throw Interrupted(
                description: "stopped; go on with: \(resumeCommand(configuration, ranksInProcess: ranksInProcess))")
        }
    }

    /// The run was asked to stop, saved itself and did.
    struct Interrupted: ExitCoding {
        let description: String
        var exitCode: ExitCode { .interrupted }
    }

    private static func resumeCommand(_ configuration: RunConfiguration, ranksInProcess: Int) -> String {
        let ranks = ranksInProcess > 1 ? " --ranks \(ranksInProcess)" : ""
        let launcher = Launcher.current.isUnderLauncher ? "mpirun -np \(Launcher.current.worldSize) --bind-to none " : ""
        return "\(launcher)vergence train --run \(configuration.run) --resume\(ranks)"
    }

    private static func runOne(
        _ configuration: RunConfiguration, resume: Bool, ranksOnHost: Int,
        make: @escaping @Sendable () throws -> any Communicator
    ) throws -> TrainingSession.Outcome {
        let communication = try CommunicationThread(make)
        defer { communication.shutDown() }
        let kernels = Machine.kernels(threads: configuration.threads, ranksOnHost: ranksOnHost)
        defer { kernels.pool.shutDown() }
        let isFirst = communication.communicator.rank == 0
        let console = isFirst ? try TrainingConsole(configuration, resume: resume) : nil
        for warning in Machine.warnings(threads: kernels.pool.threadCount, ranksOnHost: ranksOnHost) {
            console?.remark(warning)
        }
        if let warning = Launcher.current.warning { console?.remark(warning) }
        let session = try TrainingSession(
            configuration: configuration, resume: resume, communication: communication, kernels: kernels,
            observer: console,
            writeConfiguration: { folder in
                try AtomicFileWriter.write(ConfigurationFile.text(configuration), to: folder.configurationPath)
            }, shouldStop: { InterruptSignal.isRequested })
        return try session.run()
    }

    /// Ranks as threads. One that fails poisons the others' communication, so that all end; the first error is reported.
    private static func runInProcess(
        _ configuration: RunConfiguration, resume: Bool, ranks: Int
    ) throws -> TrainingSession.Outcome {
        struct Results: Sendable {
            var outcomes: [TrainingSession.Outcome] = []
            var failure: (rank: Int, error: any Error)?
        }
        let results = Mutex(Results())
        let world = InProcessCommunicator.world(size: ranks)
        let threads = world.map { communicator in
            WorkerThread(name: "rank \(communicator.rank)") {
                do {
                    let outcome = try runOne(configuration, resume: resume, ranksOnHost: ranks) { communicator }
                    results.withLock { $0.outcomes.append(outcome) }
                } catch {
                    results.withLock {
                        // What another rank's failure does to this one is no news.
                        let isEcho = error is PeerFailure || error is CommunicationError
                        if $0.failure == nil || ($0.failure?.error is CommunicationError && !isEcho) {
                            $0.failure = (communicator.rank, error)
                        }
                    }
                    communicator.poison(error)
                }
            }
        }
        for thread in threads { thread.join() }
        let final = results.withLock { $0 }
        if let failure = final.failure {
            if let peer = failure.error as? PeerFailure {
                throw Failure(peer.exitCode, "rank \(peer.rank): \(peer.reason)")
            }
            let code = (failure.error as? any ExitCoding)?.exitCode ?? .internalFault
            throw Failure(code, "rank \(failure.rank): \(failure.error)")
        }
        return final.outcomes.contains(.interrupted) ? .interrupted : .finished
    }
}
