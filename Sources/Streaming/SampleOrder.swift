import Basics

/// Which records a step reads: pure functions of (seed, step, lane, sample), never state. Neither ranks nor threads
/// occur here; a rank reads the lanes that it is given.
///
/// Every epoch is a fresh order of the records (`BlockShuffle`), cut into global batches of `lanes × laneBatch`; the
/// remainder is dropped. Of several sets with weights (`SampleMix`) each is passed over in fresh orders of its own, as
/// often as its weight asks, and an epoch is as many samples as the sets have records; nothing is dropped.
public struct SampleOrder: Sendable {
    public let seed: UInt64
    public let recordCount: Int
    public let lanes: Int
    public let laneBatch: Int
    public let shuffling: Shuffling
    /// nil: all records alike.
    public let mix: SampleMix?

    public struct Sample: Sendable, Equatable {
        /// Counts the samples of the run: step × global batch + lane × lane batch + position. Keys dropout.
        public let globalIndex: Int
        /// Pass over the records; of a mix, over those of the record's set. Keys augmentation.
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
    public init(
        seed: UInt64, recordCount: Int, lanes: Int, laneBatch: Int, shuffling: Shuffling = Shuffling(),
        mix: SampleMix? = nil
    ) throws {
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
        self.shuffling = shuffling
        self.mix = mix
    }

    /// Samples per step, over all lanes.
    public var globalBatch: Int { lanes * laneBatch }

    public var stepsPerEpoch: Int { recordCount / globalBatch }

    public func epoch(ofStep step: Int) -> Int { step / stepsPerEpoch }

    /// Record at a position (0 ..< recordCount) of an epoch, without regard to weights.
    public func record(epoch: Int, position: Int) -> Int { order(epoch: epoch)(position) }

    /// The order of an epoch.
    public func order(epoch: Int) -> BlockShuffle {
        BlockShuffle(
            count: recordCount, shuffling: shuffling, random: CounterRandom(seed, "sample order", UInt64(epoch)))
    }

    /// Sample `position` (0 ..< laneBatch) of a lane in a step (from 0, over all epochs).
    public func sample(step: Int, lane: Int, position: Int) -> Sample {
        precondition(
            step >= 0 && (0..<lanes).contains(lane) && (0..<laneBatch).contains(position),
            "step \(step) lane \(lane) sample \(position) of \(lanes) x \(laneBatch)")
        let epoch = epoch(ofStep: step)
        let inBatch = lane * laneBatch + position
        let place = (step - epoch * stepsPerEpoch) * globalBatch + inBatch
        if let mix {
            let index = step * globalBatch + inBatch
            let (number, pass, position) = mix.place(index, seed: seed)
            let source = mix.sources[number]
            let order = BlockShuffle(
                count: source.count, shuffling: shuffling,
                random: CounterRandom(seed, "sample order of a set", UInt64(number), UInt64(pass)))
            return Sample(globalIndex: index, epoch: pass, record: source.start + order(position))
        }
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
        // A rank's part of a window.
        let readAhead = (shuffling.windowRecords * lanes.count + globalBatch - 1) / globalBatch
        return LaneSchedule(
            taskCount: steps.count * lanes.count, largestBatch: laneBatch, readAhead: readAhead
        ) { number in
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
    /// Tasks whose records are worth reading together, in the order of the files; 0 = there is nothing to gain.
    public let readAhead: Int
    public let task: @Sendable (_ number: Int) -> LaneTask

    public init(
        taskCount: Int, largestBatch: Int, readAhead: Int = 0,
        task: @escaping @Sendable (_ number: Int) -> LaneTask
    ) {
        self.taskCount = taskCount
        self.largestBatch = largestBatch
        self.readAhead = readAhead
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

    /// The same of a list of records.
    public static func sequential(of records: [Int], batch: Int, part: Int = 0, of parts: Int = 1) -> LaneSchedule {
        let places = sequential(records: 0..<records.count, batch: batch, part: part, of: parts)
        return LaneSchedule(taskCount: places.taskCount, largestBatch: batch) { number in
            let task = places.task(number)
            return LaneTask(
                step: task.step, lane: 0,
                samples: task.samples.map {
                    SampleOrder.Sample(globalIndex: $0.globalIndex, epoch: 0, record: records[$0.record])
                })
        }
    }
}
