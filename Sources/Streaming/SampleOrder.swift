import Basics

/// Which records a step reads: pure functions of (seed, step, lane, sample), never state. Neither ranks nor threads
/// occur here; a rank reads the lanes that it is given.
///
/// Every epoch is a fresh permutation of the records, cut into global batches of `lanes × laneBatch`; the remainder is
/// dropped.
public struct SampleOrder: Sendable {
    public let seed: UInt64
    public let recordCount: Int
    public let lanes: Int
    public let laneBatch: Int

    public struct Sample: Sendable, Equatable {
        /// Counts the samples of the run: step × global batch + lane × lane batch + position. Keys dropout.
        public let globalIndex: Int
        public let epoch: Int
        /// Index within the split.
        public let record: Int

        public init(globalIndex: Int, epoch: Int, record: Int) {
            self.globalIndex = globalIndex
            self.epoch = epoch
            self.record = record
        }
    }

    /// - Throws: `Failure` (65) if there are fewer records than one global batch, (64) if a count is
    ///   not positive.
    public init(seed: UInt64, recordCount: Int, lanes: Int, laneBatch: Int) throws {
        guard lanes > 0, laneBatch > 0, lanes <= 1 << 20, laneBatch <= 1 << 20 else {
            throw Failure(.usage, "\(lanes) lanes of \(laneBatch) samples make no batch; give at least 1 of each")
        }
        guard recordCount >= lanes * laneBatch else {
            throw Failure(
                .badData,
                "the split has \(recordCount) records, one global batch of \(lanes) lanes x \(laneBatch) needs "
                    + "\(lanes * laneBatch); add records or lower --lanes or --lane-batch")
        }
        self.seed = seed
        self.recordCount = recordCount
        self.lanes = lanes
        self.laneBatch = laneBatch
    }

    /// Samples per step, over all lanes.
    public var globalBatch: Int { lanes * laneBatch }

    public var stepsPerEpoch: Int { recordCount / globalBatch }

    public func epoch(ofStep step: Int) -> Int { step / stepsPerEpoch }

    /// Record at a position (0 ..< recordCount) of an epoch.
    public func record(epoch: Int, position: Int) -> Int {
        permutation(epoch: epoch)(position)
    }

    /// The order of an epoch.
    public func permutation(epoch: Int) -> Permutation {
        Permutation(count: recordCount, random: CounterRandom(seed, "sample order", UInt64(epoch)))
    }

    /// Sample `position` (0 ..< laneBatch) of a lane in a step (from 0, over all epochs).
    public func sample(step: Int, lane: Int, position: Int) -> Sample {
        precondition(
            step >= 0 && (0..<lanes).contains(lane) && (0..<laneBatch).contains(position),
            "step \(step) lane \(lane) sample \(position) of \(lanes) x \(laneBatch)")
        let epoch = epoch(ofStep: step)
        let inBatch = lane * laneBatch + position
        let place = (step - epoch * stepsPerEpoch) * globalBatch + inBatch
        return Sample(
            globalIndex: step * globalBatch + inBatch, epoch: epoch, record: record(epoch: epoch, position: place))
    }

    /// One lane's batch.
    public func task(step: Int, lane: Int) -> LaneTask {
        LaneTask(step: step, lane: lane, samples: (0..<laneBatch).map { sample(step: step, lane: lane, position: $0) })
    }

    /// What a rank that holds `lanes` reads in `steps`: step by step, lanes in the given order.
    public func schedule(lanes: [Int], steps: Range<Int>) -> LaneSchedule {
        let order = self
        return LaneSchedule(taskCount: steps.count * lanes.count, largestBatch: laneBatch) { number in
            order.task(step: steps.lowerBound + number / lanes.count, lane: lanes[number % lanes.count])
        }
    }
}

/// One micro-batch to load.
public struct LaneTask: Sendable, Equatable {
    public let step: Int
    public let lane: Int
    public let samples: [SampleOrder.Sample]

    public init(step: Int, lane: Int, samples: [SampleOrder.Sample]) {
        self.step = step
        self.lane = lane
        self.samples = samples
    }
}

/// The tasks of a loader: task `number` is a pure function of `number`.
public struct LaneSchedule: Sendable {
    public let taskCount: Int
    /// No task has more samples.
    public let largestBatch: Int
    public let task: @Sendable (_ number: Int) -> LaneTask

    public init(taskCount: Int, largestBatch: Int, task: @escaping @Sendable (_ number: Int) -> LaneTask) {
        self.taskCount = taskCount
        self.largestBatch = largestBatch
        self.task = task
    }

    /// Records of a split in index order, `batch` at a time; the last task may have fewer. Task number = step, lane 0.
    /// For evaluation and the statistics of normalisation. `parts`/`part`: every `parts`-th task from `part`, so that
    /// ranks can share the work.
    public static func sequential(records: Range<Int>, batch: Int, part: Int = 0, of parts: Int = 1) -> LaneSchedule {
        precondition(batch > 0 && parts > 0 && (0..<parts).contains(part))
        let all = (records.count + batch - 1) / batch
        return LaneSchedule(taskCount: max(0, (all - part + parts - 1) / parts), largestBatch: batch) { number in
            let step = part + number * parts
            let start = records.lowerBound + step * batch
            let samples = (start..<min(records.upperBound, start + batch)).map {
                SampleOrder.Sample(globalIndex: $0 - records.lowerBound, epoch: 0, record: $0)
            }
            return LaneTask(step: step, lane: 0, samples: samples)
        }
    }
}
