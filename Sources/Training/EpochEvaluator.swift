import Basics
import Collectives
import Kernels
import Models
import Shards
import Streaming

/// What happens at the end of an epoch: estimates the statistics that inference uses, validates, draws. Ranks share the
/// work and all end with the same numbers.
struct EpochEvaluator {
    let network: any Network
    let state: ModelState
    let data: TrainingData
    let configuration: RunConfiguration
    let communication: CommunicationThread
    let kernels: KernelContext
    let folder: RunFolder

    /// What validations of this run measure.
    func columns() throws -> [String] {
        guard data.dataSet.count(.val) > 0 else { return [] }
        let graph = try NetworkGraph(network, .evaluation, batch: 1, height: data.height, width: data.width)
        return Validator.columns(of: graph, data)
    }

    /// Statistics for inference from the first training records in fixed lanes; ranks share the lanes.
    func calibrate() throws {
        if state.statisticSlots.isEmpty { return }
        let communicator = communication.communicator
        let records = data.statisticsRecords(limit: Calibrator.recordLimit)
        let count = records.count
        // A lane as in training, unless that is more than all the records that take part.
        let batch = min(configuration.laneBatch, count)
        let laneCount = count / batch
        let calibrator = try Calibrator(
            network: network, state: state, batch: batch, height: data.height, width: data.width,
            kernels: kernels)
        let feed = NetworkFeed(network) { calibrator.input($0) }
        // As in training, damage costs a record there, not the run.
        var settings = data.loaderSettings(data.inputFields, board: communication.board)
        settings.seed = configuration.seed
        settings.replacesDamaged = configuration.maxBadRecords > 0
        let loader = BatchLoader(
            data: data.dataSet, split: .train,
            schedule: .sequential(
                of: Array(records[..<(laneCount * batch)]), batch: batch,
                part: communicator.rank, of: communicator.worldSize),
            settings: settings)
        defer { loader.shutDown() }
        var rows: [(index: Int, values: [Double])] = []
        while let batch = try loader.nextBatch() {
            communication.board?.advance()
            feed.fill(batch)
            rows.append((batch.step, calibrator.run().map(Double.init)))
            loader.recycle(batch)
        }
        calibrator.store(try RowExchange.gather(rows, communication).map { $0.map { Float($0) } })
    }

    /// Means over the validation records of everything that is measured, and a sheet of pictures.
    func validate(_ epoch: Int) throws -> [(name: String, value: Double)] {
        let count = data.dataSet.count(.val)
        guard count > 0 else { return [] }
        let communicator = communication.communicator
        let validator = try Validator(
            network: network, state: state, data: data, kernels: kernels)
        let settings = data.loaderSettings(data.validationFields, board: communication.board)
        let loader = BatchLoader(
            data: data.dataSet, split: .val,
            schedule: .sequential(
                records: 0..<count, batch: 1, part: communicator.rank, of: communicator.worldSize), settings: settings)
        defer { loader.shutDown() }
        var rows: [(index: Int, values: [Double])] = []
        while let batch = try loader.nextBatch() {
            communication.board?.advance()
            validator.run(batch, position: 0)
            rows.append((batch.step, validator.measure(batch, position: 0)))
            loader.recycle(batch)
        }
        let all = try RowExchange.gather(rows, communication)
        if communicator.rank == 0 { try drawSamples(epoch, validator, settings, count: count) }
        let means = Validator.mean(all, columns: validator.columns.count)
        return zip(validator.columns, means).filter { !$0.1.isNaN }.map { ($0, $1) }
    }

    /// Always the same records, spread over the validation set.
    private func drawSamples(
        _ epoch: Int, _ validator: Validator, _ settings: BatchLoader.Settings, count: Int
    ) throws {
        let chosen = min(configuration.samples, count)
        guard chosen > 0 else { return }
        let schedule = LaneSchedule(taskCount: chosen, largestBatch: 1) { number in
            let record = number * count / chosen
            return LaneTask(
                step: number, lane: 0, samples: [SampleOrder.Sample(globalIndex: record, epoch: 0, record: record)])
        }
        let loader = BatchLoader(data: data.dataSet, split: .val, schedule: schedule, settings: settings)
        defer { loader.shutDown() }
        let pictures = SamplePictures()
        while let batch = try loader.nextBatch() {
            validator.run(batch, position: 0)
            pictures.add(network, validator, batch, position: 0)
            loader.recycle(batch)
        }
        try pictures.write(to: folder.samplePath(epoch: epoch))
    }
}
