import Basics
import Checkpoints
import Collectives
import Execution
import Heartbeats
import Kernels
import Models
import Optimizers
import Shards
import Streaming
import Tensors

/// One rank's part of a training run, from start or checkpoint to the last step.
public final class TrainingSession {
    public enum Outcome: Sendable { case finished, interrupted }

    public enum Start: Sendable, Equatable {
        /// In a folder that is new or empty.
        case anew
        /// From the newest whole checkpoint.
        case resuming
        /// From the newest checkpoint of at most so many steps, touching nothing.
        case replaying(after: Int)
    }

    let configuration: RunConfiguration
    private let folder: RunFolder
    private let lock: RunLock
    let network: any Network
    let data: TrainingData
    let order: SampleOrder
    let state: ModelState
    let optimizer: any Optimizer
    private let schedule: LearningRateSchedule
    let engine: LaneEngine
    let exchange: LaneExchange
    let feed: NetworkFeed
    let digest: StateDigest
    let journal: StepJournal
    let fault: FaultInjection?
    let trace: (recorder: TraceRecorder, path: String)?
    let communication: CommunicationThread
    let kernels: KernelContext
    private let identity: CheckpointIdentity
    private let evaluator: EpochEvaluator
    private let writer: CheckpointWriter
    let observer: (any TrainingObserver)?
    let shouldStop: @Sendable () -> Bool
    let shouldSave: @Sendable () -> Bool
    let board: StatusBoard?
    var position = RunPosition()
    private var remarks: [String] = []
    /// Damaged training records that any rank has come upon. The same on all ranks.
    private var damaged: Set<Int> = []
    public let totalSteps: Int

    private var isFirst: Bool { communication.communicator.rank == 0 }

    /// Sets everything up; nothing is written yet. Trouble on one rank throws on all.
    /// - Parameters:
    ///   - writeConfiguration: called on rank 0 once the run's folder exists.
    ///   - observer: on rank 0 only.
    ///   - shouldStop: whether this rank was asked to stop.
    ///   - cacheWarning: is told on rank 0, by another thread, that shards are not copied into the cache, and why.
    ///   - shouldSave: whether this rank was asked for a checkpoint since the last call.
    public init(
        configuration: RunConfiguration, start: Start, communication: CommunicationThread, kernels: KernelContext,
        observer: (any TrainingObserver)?, fault: FaultInjection? = nil, tracePath: String? = nil,
        writeConfiguration: (RunFolder) throws -> Void, shouldStop: @escaping @Sendable () -> Bool,
        shouldSave: @escaping @Sendable () -> Bool = { false },
        cacheWarning: @escaping @Sendable (String) -> Void = { _ in }
    ) throws {
        self.configuration = configuration
        self.communication = communication
        self.kernels = kernels
        self.observer = observer
        self.shouldStop = shouldStop
        self.shouldSave = shouldSave
        board = communication.board
        self.fault = fault
        trace = try tracePath.map { (try TraceRecorder(communication: communication), $0) }
        folder = RunFolder(path: configuration.run)
        lock = RunLock(folder: configuration.run)
        let isFirst = communication.communicator.rank == 0
        let folder = folder
        struct Parts: @unchecked Sendable {
            let network: any Network
            let data: TrainingData
            let order: SampleOrder
            let state: ModelState
            let optimizer: any Optimizer
            let graph: NetworkGraph
        }
        let parts = try communication.together {
            let network = try configuration.makeNetwork()
            let data = try configuration.openData(for: network, warning: isFirst ? cacheWarning : { _ in })
            try configuration.augmentation.check(fields: data.trainingFields)
            let order = try configuration.sampleOrder(of: data)
            let graph = try NetworkGraph(
                network, .training, batch: configuration.laneBatch, height: data.height, width: data.width,
                keepOutputs: false)
            let state = try ModelState.empty(for: network)
            let optimizer = try configuration.makeOptimizer(state: state)
            return Parts(
                network: network, data: data, order: order, state: state, optimizer: optimizer, graph: graph)
        }
        network = parts.network
        data = parts.data
        order = parts.order
        state = parts.state
        optimizer = parts.optimizer
        totalSteps = configuration.steps > 0 ? configuration.steps : configuration.epochs * parts.order.stepsPerEpoch
        schedule = try configuration.makeSchedule(totalSteps: totalSteps)
        let engine = LaneEngine(network: parts.graph, state: parts.state, kernels: kernels)
        self.engine = engine
        feed = NetworkFeed(parts.network) { engine.executor.input($0) }
        exchange = try LaneExchange(
            engine: engine, lanes: configuration.lanes, communication: communication, kernels: kernels,
            trace: trace?.recorder, transport: configuration.transport)
        digest = parts.state.digest(with: parts.optimizer)
        journal = try StepJournal(
            communication: communication, digest: digest, firstLane: exchange.share.lowerBound)
        identity = CheckpointIdentity(
            model: parts.network.name, settings: try configuration.resolvedSettings(of: parts.network),
            height: parts.data.height, width: parts.data.width, configuration: configuration.identityText,
            data: parts.data.rootHash)
        writer = CheckpointWriter(
            folder: folder, identity: identity, kernelSet: kernels.setName, keep: configuration.keepCheckpoints,
            trace: trace?.recorder, board: communication.board)
        evaluator = EpochEvaluator(
            network: parts.network, state: parts.state, data: parts.data, configuration: configuration,
            communication: communication, kernels: kernels, folder: folder)
        let (identity, state, optimizer, lock) = (identity, state, optimizer, lock)
        let lossCount = engine.layout.lossNames.count
        var initial: InitialWeights?
        let restored = try communication.together {
            () -> (position: RunPosition, kernelSet: String, remark: String?)? in
            // It is written at the end; that it cannot be is said now.
            if isFirst, let tracePath { try AtomicFileWriter(path: tracePath).abandon() }
            if start != .anew {
                if isFirst && start == .resuming {
                    try folder.createFolders()
                    try lock.take()
                    // What a killed writer left.
                    _ = try CheckpointFolder(path: folder.checkpointFolder).removeStalePartials()
                }
                if Files.exists(folder.checkpointFolder) {
                    let restored = try RunCheckpoint.restore(
                        from: CheckpointFolder(path: folder.checkpointFolder), state: state, optimizer: optimizer,
                        identity: identity, lossCount: lossCount, notAfter: start.lastStep)
                    if let restored { return restored }
                }
            }
            // A run that ended before its first checkpoint starts again at step 0.
            state.initialize(seed: configuration.seed)
            if !configuration.initialWeights.isEmpty {
                initial = try InitialWeights(
                    path: configuration.initialWeights, into: state, of: parts.network)
            }
            if isFirst && start == .anew {
                try folder.create()
                try lock.take()
                try writeConfiguration(folder)
            }
            return nil
        }
        if let restored {
            position = restored.position
            if let remark = restored.remark { remarks.append(remark) }
            if restored.kernelSet != kernels.setName {
                remarks.append(
                    "the checkpoint was written with kernels \(restored.kernelSet), this machine uses \(kernels.setName): "
                        + "last bits may differ from an undisturbed run")
            }
        } else {
            position.epochSums = [Double](repeating: 0, count: engine.layout.lossNames.count)
            remarks += initial?.description ?? []
            let frozen = parts.state.parameters.filter { !$0.isTrained }.map(\.name)
            let random = Set(frozen).subtracting(initial?.loaded ?? [])
            if let first = frozen.first(where: random.contains) {
                remarks.append(
                    "\(random.count) tensors are frozen as they were drawn, \(first) among them; --init gives trained ones"
                )
            }
        }
        digest.reset(kernels)
    }

    /// What a user should know before step 0, one line each.
    public var description: [String] {
        func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
        let ranks = counted(communication.communicator.worldSize, "rank")
        let threads = counted(kernels.pool.threadCount, "thread")
        let lines = [
            "\(network.name) \(identity.settingsText): \(state.parameterCount) parameters, \(data.height)x\(data.width)",
            "\(data.dataSet.count(.train)) training and \(data.dataSet.count(.val)) validation records, "
                + "\(order.stepsPerEpoch) steps per epoch, \(configuration.lanes) lanes of \(configuration.laneBatch)",
            "\(ranks) of \(threads), kernels \(kernels.setName), "
                + "\(engine.executor.arenaByteCount >> 20) MB of activations per rank",
        ]
        return lines + remarks
    }

    /// Trains to the end, or until somebody asks to stop.
    /// - Throws: whatever stops this rank; the caller must see to it that the other ranks end too.
    public func run() throws -> Outcome {
        try observer?.started(
            at: position.step, of: totalSteps, description: description, losses: engine.layout.lossNames,
            validation: evaluator.columns())
        defer { observer?.ended() }
        if position.step >= totalSteps {
            observer?.remark("the run has its \(totalSteps) steps already; give more --epochs or --steps to go on")
            return .finished
        }
        let lanes = Array(exchange.share)
        let loader = try loader(lanes: lanes, steps: position.step..<totalSteps)
        defer { loader.shutDown() }

        var epochStart = monotonicSeconds()
        var wishedAt = -Double.infinity
        while position.step < totalSteps {
            let wishes = try step(loader, lanes: lanes)
            let mustStop = wishes.stop
            let isEpochEnd = position.step % order.stepsPerEpoch == 0
            let isEnd = position.step == totalSteps
            var isBest = false
            var mustSave = mustStop || position.step % configuration.checkpointEvery == 0
            // A launcher's signal reaches ranks in different steps; it is one wish all the same.
            if isFirst && wishes.save && monotonicSeconds() - wishedAt > 1 {
                mustSave = true
                wishedAt = monotonicSeconds()
                observer?.note("saving a checkpoint of step \(position.step), as SIGUSR1 asked")
            }
            if isEpochEnd || isEnd {
                let epoch = (position.step + order.stepsPerEpoch - 1) / order.stepsPerEpoch
                let validates = isEnd || epoch % configuration.validateEvery == 0
                mustSave = mustSave || validates
                isBest = try finishEpoch(epoch, validates: validates, seconds: monotonicSeconds() - epochStart)
                epochStart = monotonicSeconds()
            }
            // After the end of an epoch, so that a resumed run starts the next one at zero.
            if mustSave { try save(asBest: isBest) }
            if mustStop && !isEnd || isEnd {
                board?.enter(.checkpoint)
                try writer.finish()
                // What was said about the last step.
                journal.send()
                try communication.waitForAll()
                if let report = try journal.collect() { try take(report) }
                try writeTrace()
                return isEnd ? .finished : .interrupted
            }
        }
        return .finished
    }

    /// The rate of a step, counted from 0, given what was measured so far.
    func learningRate(at step: Int) -> Double {
        let start = configuration.scheduleByEpoch ? step / order.stepsPerEpoch * order.stepsPerEpoch : step
        let rate = schedule.learningRate(at: start, base: configuration.learningRate)
        guard position.plateau.scale < 1 else { return rate }
        return max(rate * position.plateau.scale, min(rate, configuration.finalLearningRate))
    }

    func loader(lanes: [Int], steps: Range<Int>) throws -> BatchLoader {
        var settings = data.loaderSettings(data.trainingFields, board: board)
        settings.augmentation = try configuration.augmentation.settings(crop: .random)
        settings.seed = configuration.seed
        settings.replacesDamaged = configuration.maxBadRecords > 0
        return BatchLoader(
            data: data.dataSet, split: .train, schedule: order.schedule(lanes: lanes, steps: steps), settings: settings)
    }

    /// What all ranks say about a step, one step late.
    /// - Throws: `Failure` (bad data) on every rank if there is more damage than allowed.
    func take(_ report: RanksReport) throws {
        try observer?.finished(report)
        for record in report.ranks.flatMap(\.replaced) where damaged.insert(record.record).inserted {
            guard damaged.count <= configuration.maxBadRecords else {
                throw Failure(
                    .badData,
                    "step \(report.step): \(damaged.count) damaged training records, \(configuration.maxBadRecords) "
                        + "allowed, the last one: \(record.problem), or raise --max-bad-records")
            }
        }
    }

    private func writeTrace() throws {
        guard let trace else { return }
        let dropped = try trace.recorder.write(to: trace.path, communication: communication)
        if dropped > 0 { observer?.remark("\(trace.path): the last \(dropped) events did not fit") }
    }

    /// Ends an epoch: estimates statistics, validates and draws (if it is time), and reports. Returns whether this state is
    /// the best so far.
    private func finishEpoch(_ epoch: Int, validates: Bool, seconds: Double) throws -> Bool {
        let means = epochMeans()
        let rate = learningRate(at: max(0, position.step - 1))
        // Checkpoints from here on belong to the next epoch, unless the run ends within this one: it may be extended.
        if position.step % order.stepsPerEpoch == 0 { position.epochSums = position.epochSums.map { _ in 0 } }
        var validation: [(name: String, value: Double)] = []
        var isBest = false
        if validates {
            board?.enter(.calibrate)
            try traced(.calibrate) { try evaluator.calibrate() }
            position.statisticsStep = position.step
            board?.enter(.validate)
            validation = try traced(.validate) { try evaluator.validate(epoch) }
            let judged = validation.first { $0.name == "loss" }?.value ?? means.first?.value ?? .infinity
            isBest = judged < position.bestLoss
            if isBest { position.bestLoss = judged }
            // The same on every rank: the losses were gathered.
            configuration.plateau?.update(&position.plateau, loss: judged)
        }
        try observer?.finished(
            EpochReport(
                epoch: epoch, step: position.step, trainingLosses: means, validation: validation,
                learningRate: rate,
                seconds: seconds, isBest: isBest))
        return isBest
    }

    private func epochMeans() -> [(name: String, value: Double)] {
        // The last epoch may be cut short.
        let steps = (position.step - 1) % order.stepsPerEpoch + 1
        return zip(engine.layout.lossNames, position.epochSums).map { ($0, $1 / Double(steps)) }
    }

    /// Rank 0 writes, while training goes on; the bytes are the same whoever does.
    private func save(asBest: Bool = false) throws {
        guard isFirst else { return }
        board?.enter(.checkpoint)
        try traced(.snapshot) {
            try writer.save(
                position, state: state, optimizer: optimizer, digest: digest, kernels: kernels, asBest: asBest)
        }
    }
}
