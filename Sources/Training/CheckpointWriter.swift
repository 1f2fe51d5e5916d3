import Basics
import Checkpoints
import Heartbeats
import Kernels
import Optimizers
import Synchronization
import Tensors
import Threads

/// A copy of all that a checkpoint holds, of one moment. Memory is taken once.
final class StateSnapshot: @unchecked Sendable {
    let parameters: FloatArena
    let trainingStatistics: FloatArena
    let inferenceStatistics: FloatArena
    let optimizer: [(name: String, arena: FloatArena)]
    private(set) var optimizerStep = 0
    private(set) var position = RunPosition()
    private let digest: StateDigest

    init(state: ModelState, optimizer: any Optimizer) {
        parameters = FloatArena(count: state.parameterArena.count)
        trainingStatistics = FloatArena(count: state.trainingStatistics.count)
        inferenceStatistics = FloatArena(count: state.inferenceStatistics.count)
        self.optimizer = optimizer.stateArenas.map { ($0.name, FloatArena(count: $0.arena.count)) }
        digest = StateDigest(arenas: [("", parameters)] + self.optimizer, tensors: state.digestedTensors)
    }

    /// - Throws: `Failure` (try again) if the state is not what the last update left: memory that changed by itself must
    ///   not become a checkpoint.
    func take(
        _ position: RunPosition, state: ModelState, optimizer: any Optimizer, digest known: StateDigest,
        kernels: KernelContext
    ) throws {
        var pairs = [
            (parameters, state.parameterArena), (trainingStatistics, state.trainingStatistics),
            (inferenceStatistics, state.inferenceStatistics),
        ]
        pairs += zip(self.optimizer, optimizer.stateArenas).map { ($0.arena, $1.arena) }
        for (copy, source) in pairs { kernels.copy(source, to: copy) }
        digest.reset(kernels)
        if digest.total != known.total {
            let table = known.table
            let entry = digest.table.indices.first { digest.table[$0] != table[$0] } ?? 0
            throw Failure(
                .tryAgain,
                "step \(position.step): \(known.name(ofEntry: entry)) changed in memory since the last update; nothing was "
                    + "saved: resume from the last checkpoint, without this host if it happens again")
        }
        (optimizerStep, self.position) = (optimizer.stepCount, position)
    }
}

/// Writes checkpoints on a thread of its own, one at a time, while training goes on.
final class CheckpointWriter {
    private let folder: RunFolder
    private let identity: CheckpointIdentity
    private let kernelSet: String
    private let keep: Int
    private let trace: TraceRecorder?
    private let board: StatusBoard?
    private var snapshot: StateSnapshot?
    private var thread: WorkerThread?
    private let failure = Outcome()

    private final class Outcome: Sendable {
        let error = Mutex<(any Error)?>(nil)
    }

    /// - Parameter keep: how many checkpoints stay under their steps' names.
    init(
        folder: RunFolder, identity: CheckpointIdentity, kernelSet: String, keep: Int, trace: TraceRecorder?,
        board: StatusBoard?
    ) {
        self.folder = folder
        self.identity = identity
        self.kernelSet = kernelSet
        self.keep = keep
        self.trace = trace
        self.board = board
    }

    deinit { thread?.join() }

    /// Copies the state, once the checkpoint before is written, and begins to write it.
    /// - Throws: what the writing of the checkpoint before met; `Failure` (try again) if the state is not sound.
    func save(
        _ position: RunPosition, state: ModelState, optimizer: any Optimizer, digest: StateDigest,
        kernels: KernelContext, asBest: Bool
    ) throws {
        try finish()
        let snapshot = self.snapshot ?? StateSnapshot(state: state, optimizer: optimizer)
        self.snapshot = snapshot
        try snapshot.take(position, state: state, optimizer: optimizer, digest: digest, kernels: kernels)
        let (folder, identity, kernelSet, keep, trace, outcome) = (folder, identity, kernelSet, keep, trace, failure)
        thread = WorkerThread(name: "checkpoint") { [board] in
            let start = monotonicSeconds()
            board?.writingCheckpoint(true)
            defer {
                board?.writingCheckpoint(false)
                trace?.record(.writeCheckpoint, step: position.step, from: start)
            }
            do {
                let checkpoints = try CheckpointFolder(path: folder.checkpointFolder)
                try RunCheckpoint.write(
                    path: folder.lastCheckpoint, snapshot: snapshot, state: state, identity: identity,
                    kernelSet: kernelSet)
                try checkpoints.keepLast(step: position.step, count: keep)
                if asBest { try checkpoints.repeatFile(folder.lastCheckpoint, as: folder.bestCheckpoint) }
            } catch {
                outcome.error.withLock { $0 = error }
            }
        }
    }

    /// Waits until what was saved is on disk.
    /// - Throws: what went wrong.
    func finish() throws {
        thread?.join()
        thread = nil
        if let error = failure.error.withLock({ $0 }) { throw error }
    }
}
