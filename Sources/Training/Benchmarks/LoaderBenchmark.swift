import Basics
import Shards
import Streaming
import Threads

/// How fast records become floats: the loader of the trainer, with nobody who computes.
public enum LoaderBenchmark {
    public struct Options: Sendable {
        public var threads = 1
        public var batch = 6
        public var repetitions = 5
        public var augmentation = AugmentationSettings.off

        public init() {}

        /// - Throws: `Failure` (usage) for counts out of range.
        public func check() throws {
            try Benchmark.check(batch: batch, repetitions: repetitions)
            guard (1...1024).contains(threads) else { throw Failure(.usage, "\(threads) threads: give 1…1024") }
        }
    }

    public struct Result: Sendable {
        public let height: Int
        public let width: Int
        /// Different records in the data; each is read many times.
        public let recordCount: Int
        /// Records of one repetition.
        public let recordsPerRepetition: Int
        public let medianSeconds: Double
        public let minimumSeconds: Double
        /// Bytes of one record's pictures as decoded, and as stored.
        public let decodedBytesPerRecord: Double
        public let storedBytesPerRecord: Double
        /// Bytes of the floats that one record gives.
        public let floatBytesPerRecord: Double
        /// Seconds per record of each stage, measured apart on one thread, in order.
        public let stages: [(name: String, seconds: Double)]

        public var recordsPerSecond: Double { Double(recordsPerRepetition) / medianSeconds }
        public var decodedBytesPerSecond: Double { recordsPerSecond * decodedBytesPerRecord }
        public var floatBytesPerSecond: Double { recordsPerSecond * floatBytesPerRecord }
    }

    /// Reads `left` and `right` of the training records in the order of training, from the system's cache.
    /// - Throws: `Failure` (usage) for counts out of range, (bad data) for fewer records than a batch; what reading throws.
    public static func run(_ data: TrainingData, _ options: Options) throws -> Result {
        try options.check()
        let recordCount = data.dataSet.count(.train)
        guard recordCount >= options.batch else {
            throw Failure(
                .badData,
                "\(data.dataSet.path): has \(recordCount) training records, a batch needs \(options.batch); lower --batch"
            )
        }
        let order = try SampleOrder(seed: 1, recordCount: recordCount, lanes: 1, laneBatch: options.batch)
        var settings = BatchLoader.Settings(
            height: data.height, width: data.width, fields: data.trainingFields)
        settings.threadCount = options.threads
        settings.prefetch = max(settings.prefetch, 2 * options.threads)
        settings.augmentation = options.augmentation
        // The loader stops when it is told; the schedule has no end.
        let loader = BatchLoader(
            data: data.dataSet, split: .train, schedule: order.schedule(lanes: [0], steps: 0..<(1 << 40)),
            settings: settings)
        defer { loader.shutDown() }
        func load(_ batches: Int) throws -> Double {
            let start = monotonicSeconds()
            for _ in 0..<batches {
                guard let batch = try loader.nextBatch() else { preconditionFailure("the schedule is too short") }
                loader.recycle(batch)
            }
            return monotonicSeconds() - start
        }
        // The first epoch fills the system's cache. Then so many batches that those loaded ahead count for little say how
        // many epochs make a fifth of a second.
        _ = try load(order.stepsPerEpoch)
        let probe = max(order.stepsPerEpoch, 8 * settings.prefetch)
        let epoch = try load(probe) * Double(order.stepsPerEpoch) / Double(probe)
        let batches = order.stepsPerEpoch * max(1, Int((0.2 / max(epoch, 1e-6)).rounded(.up)))
        var times: [Double] = []
        for _ in 0..<options.repetitions { times.append(try load(batches)) }
        loader.shutDown()
        let stages = try stages(data, records: min(recordCount, 256))
        return Result(
            height: data.height, width: data.width, recordCount: recordCount,
            recordsPerRepetition: batches * options.batch, medianSeconds: Benchmark.median(times),
            minimumSeconds: times.min() ?? 0, decodedBytesPerRecord: stages.decodedBytes,
            storedBytesPerRecord: stages.storedBytes,
            floatBytesPerRecord: Double(2 * data.height * data.width * 3 * MemoryLayout<Float>.stride),
            stages: stages.seconds)
    }

    /// One thread decodes records as `SampleDecoder` does, without augmentation, and looks at the clock.
    private static func stages(
        _ data: TrainingData, records: Int
    ) throws -> (seconds: [(name: String, seconds: Double)], decodedBytes: Double, storedBytes: Double) {
        let decoder = RecordDecoder()
        let floats = UnsafeMutableBufferPointer<Float>.allocate(capacity: 3 * data.height * data.width)
        defer { floats.deallocate() }
        floats.initialize(repeating: 0)
        var (decoded, stored, floatSeconds) = (0, 0, 0.0)
        // The first pass warms up.
        for pass in 0..<2 {
            (decoded, stored, floatSeconds) = (0, 0, 0)
            decoder.times = pass == 0 ? nil : DecodeTimes()
            for record in 0..<records {
                let (shard, number) = try data.dataSet.locate(.train, record)
                try decoder.load(shard, number)
                for name in [FieldName.left, FieldName.right] {
                    guard let index = decoder.index(ofField: name) else { continue }
                    let field = decoder.fields[index]
                    // The loader may have left this record out, and has said what is wrong with those it read.
                    guard field.height == data.height, field.width == data.width, field.element != .float32,
                        field.channels == 1 || field.channels == 3
                    else { continue }
                    let bytes = try decoder.fieldBytes(index)
                    let start = monotonicSeconds()
                    PictureFloats.expand(bytes, field.element, channels: field.channels, into: floats)
                    floatSeconds += monotonicSeconds() - start
                    decoded += field.byteCount
                    stored += field.storedByteCount
                }
            }
        }
        let (times, count) = (decoder.times ?? DecodeTimes(), Double(records))
        let seconds = [
            ("read", times.read), ("hash", times.hash), ("lz4", times.decompress), ("unfilter", times.unfilter),
            ("floats", floatSeconds),
        ]
        return (
            seconds.map { (name: $0.0, seconds: $0.1 / count) }, Double(decoded) / count, Double(stored) / count
        )
    }
}
