import Basics
import Collectives
import Execution
import Heartbeats
import Kernels
import Optimizers
import Streaming
import Tensors

/// One step of a run on one rank.
extension TrainingSession {
    /// Computes this rank's lanes, combines all lanes, updates. Returns whether any rank was asked to stop, or to save.
    func step(_ loader: BatchLoader, lanes: [Int]) throws -> (stop: Bool, save: Bool) {
        let start = monotonicSeconds()
        let waitBefore = loader.waitSeconds
        exchange.step = position.step + 1
        journal.send()
        var replaced: [ReplacedRecord] = []
        for _ in lanes {
            let batch = try compute(loader) { exchange.nodeFinished($0) }
            replaced += batch.replaced
            loader.recycle(batch)
            exchange.laneFinished()
        }
        let computed = monotonicSeconds()
        board?.enter(.exchange)
        try traced(.waitForExchange, step: position.step + 1) { try exchange.finish() }
        let communicated = monotonicSeconds()
        board?.enter(.update)
        if let report = try journal.collect() { try take(report) }

        let layout = engine.layout
        let mean = exchange.mean
        let losses = layout.lossNames.indices.map { Double(mean.base[layout.lossOffset + $0]) }
        let rate = learningRate(at: position.step)
        let norm = configuration.clipping.apply(to: mean[0..<layout.gradientCount], context: kernels)
        // The mean is the same on every rank, so every rank decides the same.
        guard norm.isFinite, losses.allSatisfy(\.isFinite) else {
            throw Failure(
                .badData,
                "step \(position.step): the loss is \(losses[0]) and the gradient's norm \(norm); "
                    + "lower --lr, add --clip-norm, or find the first bad operation with --check-nan")
        }
        fault?.strike(
            rank: communication.communicator.rank, step: position.step + 1, state: state, digest: digest,
            kernels: kernels)
        digest.begin()
        traced(.update, step: position.step + 1) {
            optimizer.update(
                parameters: state.parameterArena, gradients: mean, learningRate: rate, context: kernels, digest: digest)
        }
        if let entry = digest.changedEntry {
            throw Failure(
                .tryAgain,
                "step \(position.step + 1): \(digest.name(ofEntry: entry)) changed in memory since the last update; "
                    + "resume from the last checkpoint, without this host if it happens again")
        }
        RunningStatistics.update(
            state.trainingStatistics, from: mean.base + layout.statisticOffset,
            statistics: engine.network.graph.statistics)
        position.step += 1
        for (index, loss) in losses.enumerated() { position.epochSums[index] += loss }
        let dataWait = loader.waitSeconds - waitBefore
        journal.record(
            step: position.step, computeSeconds: computed - start - dataWait, dataWaitSeconds: dataWait,
            communicationSeconds: communicated - computed, laneHashes: exchange.laneHashes,
            replaced: replaced)
        try observer?.finished(
            StepReport(
                step: position.step, totalSteps: totalSteps, stepsPerEpoch: order.stepsPerEpoch,
                losses: Array(zip(layout.lossNames, losses)), learningRate: rate, gradientNorm: norm,
                pairs: order.globalBatch, seconds: monotonicSeconds() - start,
                dataWaitSeconds: dataWait, communicationSeconds: communicated - computed))
        return (mean.base[layout.stopOffset] > 0, mean.base[layout.saveOffset] > 0)
    }

    /// Computes the next lane of the loader into the engine's result.
    func compute(_ loader: BatchLoader, finished: (Int) -> Void) throws -> LaneBatch {
        board?.enter(.read, step: position.step + 1)
        let asked = monotonicSeconds()
        guard let batch = try loader.nextBatch() else { preconditionFailure("the schedule is too short") }
        let started = monotonicSeconds()
        var lossKnown = started
        precondition(batch.step == position.step)
        board?.enter(.forward, step: position.step + 1, lane: batch.lane)
        feed.fill(batch)
        engine.result.base[engine.layout.stopOffset] = shouldStop() ? 1 : 0
        engine.result.base[engine.layout.saveOffset] = shouldSave() ? 1 : 0
        let indices = batch.samples.map { UInt64($0.globalIndex) }
        try indices.withUnsafeBufferPointer { indices in
            let runState = RunState(
                seed: configuration.seed, step: UInt64(position.step),
                sampleIndices: SampleIndices(base: indices.baseAddress, count: indices.count))
            do {
                func passed(_ node: Int) {
                    if node == engine.lossNode {
                        lossKnown = monotonicSeconds()
                        board?.enter(.backward, step: position.step + 1, lane: batch.lane)
                    } else {
                        board?.advance()
                    }
                }
                try engine.run(runState, checkNaN: configuration.checkNaN, finished: finished, passed: passed)
            } catch let error as Executor.NonFinite {
                throw Failure(
                    .badData,
                    "step \(position.step), lane \(batch.lane): \(error.path) (\(error.operation)) gave \(error.value) at "
                        + "element \(error.element); lower --lr or look at records \(batch.samples.map(\.record))")
            }
        }
        if let recorder = trace?.recorder {
            let step = position.step + 1
            recorder.record(.dataWait, step: step, detail: batch.lane, from: asked, to: started)
            recorder.record(.forward, step: step, detail: batch.lane, from: started, to: lossKnown)
            recorder.record(.backward, step: step, detail: batch.lane, from: lossKnown)
        }
        return batch
    }

    func traced<Value>(_ kind: TraceRecorder.Kind, step: Int? = nil, _ body: () throws -> Value) rethrows -> Value {
        let start = monotonicSeconds()
        defer { trace?.recorder.record(kind, step: step ?? position.step, from: start) }
        return try body()
    }
}
