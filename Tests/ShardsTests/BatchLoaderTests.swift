import Basics
import Foundation
import Shards
import Streaming
import TestSupport
import Testing

@Suite struct BatchLoaderTests {
    private func data(_ folder: TemporaryFolder, _ records: [Record]) throws -> DataSet {
        let writer = try DataSetWriter(path: folder.path, targetShardByteCount: 3000)
        for record in records { try writer.append(try RecordEncoder(level: 3).encode(record), split: .train) }
        try writer.finish()
        return try DataSet(path: folder.path)
    }

    private func floats(_ array: PixelArray) -> [Float] {
        let values: [Float] =
            array.element == .uint8
            ? array.bytes.map { Float(Double($0) / 255) } : array.withUInt16s { $0.map { Float(Double($0) / 65535) } }
        return array.channels == 3 ? values : values.flatMap { [$0, $0, $0] }
    }

    private var settings: BatchLoader.Settings { BatchLoader.Settings(height: 8, width: 12, fields: stereoFields) }

    @Test(arguments: [1, 3])
    func `batches come in order with the right pixels`(threadCount: Int) throws {
        let folder = TemporaryFolder("loader")
        let records = (0..<23).map { pair($0) }
        let data = try data(folder, records)
        let order = try SampleOrder(seed: 3, recordCount: 23, lanes: 4, laneBatch: 2)
        var settings = settings
        settings.threadCount = threadCount
        settings.prefetch = 3
        let loader = BatchLoader(
            data: data, split: .train, schedule: order.schedule(lanes: [1, 2], steps: 1..<6), settings: settings)
        for step in 1..<6 {
            // Slow at times, so that the loader comes to the end of what it may load ahead.
            if step % 2 == 1 { usleep(30_000) }
            for lane in 1...2 {
                let batch = try #require(try loader.nextBatch())
                #expect(batch.step == step && batch.lane == lane && batch.count == 2)
                #expect(batch.samples == order.task(step: step, lane: lane).samples)
                let (left, right) = (try #require(batch["left"]), try #require(batch["right"]))
                #expect(left.shape == [2, 8, 12, 3] && batch["disparity"] == nil)
                #expect(Int(bitPattern: left.base) % 64 == 0 && Int(bitPattern: right.base) % 64 == 0)
                let expected = batch.samples.map { records[$0.record] }
                #expect(try Array(left.buffer) == expected.flatMap { floats(try #require($0["left"])) })
                #expect(try Array(right.buffer) == expected.flatMap { floats(try #require($0["right"])) })
                loader.recycle(batch)
            }
        }
        #expect(try loader.nextBatch() == nil)
        #expect(try loader.nextBatch() == nil)
        #expect(loader.waitSeconds >= 0)
        loader.shutDown()
        loader.shutDown()
    }

    @Test func `gray, 16 bits and disparities`() throws {
        let folder = TemporaryFolder("loader")
        var draws = CounterDraws()
        var deep = PixelArray(zerosOf: 8, 12, 1, .uint16)
        deep.withMutableUInt16s { for i in $0.indices { $0[i] = UInt16(truncatingIfNeeded: draws.next()) } }
        deep.withMutableUInt16s { $0[0] = 65535 }
        let gray = PixelArray(
            height: 8, width: 12, channels: 1, element: .uint8, bytes: (0..<96).map { $0 == 0 ? 255 : UInt8($0) })
        let disparity = PixelArray(
            height: 8, width: 12, channels: 1, floats: (0..<96).map { $0 % 7 == 0 ? .nan : Float($0) - 40 })
        let data = try data(
            folder,
            [
                Record(key: "a", fields: [.init("left", deep), .init("right", gray), .init("disparity", disparity)]),
                pair(1),
            ])
        var settings = settings
        settings.fields.append(disparityField)
        let loader = BatchLoader(
            data: data, split: .train, schedule: .sequential(records: 0..<2, batch: 2), settings: settings)
        let batch = try #require(try loader.nextBatch())
        // Views do not own the memory.
        defer { withExtendedLifetime(batch) {} }
        let (left, right) = (try #require(batch["left"]), try #require(batch["right"]))
        #expect(Array(left.buffer.prefix(288)) == floats(deep) && left.base[0] == 1)
        #expect(Array(right.buffer.prefix(288)) == floats(gray) && right.base[2] == 1)
        let maps = try #require(batch["disparity"])
        #expect(maps.shape == [2, 8, 12, 1])
        #expect(disparity.withFloats { $0.map(\.bitPattern) } == maps.buffer.prefix(96).map(\.bitPattern))
        #expect(maps.buffer.suffix(96).allSatisfy { $0.isNaN })
    }

    @Test func `an error comes at its step and stays`() throws {
        let folder = TemporaryFolder("loader")
        var records = (0..<6).map { pair($0) }
        records[3] = pair(3, height: 8, width: 13)
        let data = try data(folder, records)
        for threadCount in 1...3 {
            var settings = settings
            settings.threadCount = threadCount
            let loader = BatchLoader(
                data: data, split: .train, schedule: .sequential(records: 0..<6, batch: 1), settings: settings)
            for step in 0..<3 { #expect(try loader.nextBatch()?.step == step) }
            for _ in 0..<2 {
                let error = #expect(throws: ShardError.self) { try loader.nextBatch() }
                #expect(error?.exitCode == .badData)
                #expect(
                    error?.description.contains(
                        "record 3 (pair 3): of split train field 'left' is 8x13, this run works on 8x12") == true)
            }
        }
    }

    @Test func `damage is found while loading`() throws {
        let folder = TemporaryFolder("loader")
        let data = try data(folder, (0..<3).map { pair($0) })
        let path = folder.file(data.manifest.shards[0].name)
        var bytes = try Files.read(path)
        bytes[200] ^= 1
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        let loader = BatchLoader(
            data: data, split: .train, schedule: .sequential(records: 0..<3, batch: 3), settings: settings)
        #expect(throws: ShardError.self) { try loader.nextBatch() }
    }

    @Test func `records without pictures are refused`() throws {
        let folder = TemporaryFolder("loader")
        let four = PixelArray(zerosOf: 8, 12, 4, .uint8)
        let data = try data(
            folder,
            [
                Record(key: "one eye", fields: [pair(0).fields[0]]),
                Record(key: "four", fields: [.init("left", four), .init("right", four)]),
            ])
        for (record, text) in [(0, "has no field 'right', only left"), (1, "is uint8 with 4 channels")] {
            let loader = BatchLoader(
                data: data, split: .train, schedule: .sequential(records: record..<(record + 1), batch: 1),
                settings: settings)
            let error = #expect(throws: ShardError.self) { try loader.nextBatch() }
            #expect(error?.problem.contains(text) == true)
        }
    }

    @Test(.timeLimit(.minutes(1))) func `the consumer may stop at any time and leaves no thread`() throws {
        let folder = TemporaryFolder("loader")
        let data = try data(folder, (0..<10).map { pair($0) })
        let order = try SampleOrder(seed: 1, recordCount: 10, lanes: 1, laneBatch: 2)
        for taken in 0..<8 {
            for threadCount in 1...3 {
                var settings = settings
                settings.prefetch = 2
                settings.threadCount = threadCount
                var loader: BatchLoader? = BatchLoader(
                    data: data, split: .train, schedule: order.schedule(lanes: [0], steps: 0..<1_000_000),
                    settings: settings)
                // Kept, not recycled: the loader must not wait for them.
                var held: [LaneBatch] = []
                for _ in 0..<taken { held.append(try #require(try loader?.nextBatch())) }
                #expect(Set(held.map { ObjectIdentifier($0) }).count == taken)
                if taken % 2 == 0 { loader?.shutDown() }
                loader = nil
            }
        }
        // Every thread was joined: none bears a loader's name. (Other tests' loaders may be alive for a moment.)
        var left = 1
        for _ in 0..<200 where left > 0 {
            left = try loaderThreadCount()
            if left > 0 { usleep(20_000) }
        }
        #expect(left == 0)
    }

    private func loaderThreadCount() throws -> Int {
        guard Files.isFolder("/proc/self/task") else { return 0 }
        return try Files.list("/proc/self/task").filter { task in
            let name = (try? String(contentsOfFile: "/proc/self/task/\(task)/comm", encoding: .utf8)) ?? ""
            return name.hasPrefix("loader ")
        }.count
    }

    @Test func `buffers are used again`() throws {
        let folder = TemporaryFolder("loader")
        let data = try data(folder, (0..<4).map { pair($0) })
        let order = try SampleOrder(seed: 1, recordCount: 4, lanes: 1, laneBatch: 2)
        let loader = BatchLoader(
            data: data, split: .train, schedule: order.schedule(lanes: [0], steps: 0..<200), settings: settings)
        var seen: Set<ObjectIdentifier> = []
        var all: [LaneBatch] = []
        while let batch = try loader.nextBatch() {
            if seen.insert(ObjectIdentifier(batch)).inserted { all.append(batch) }
            loader.recycle(batch)
        }
        #expect(all.count <= 6)
    }
}

struct CounterDraws {
    private var index: UInt64 = 0
    mutating func next() -> UInt64 {
        index += 1
        return CounterRandom(key: 9).bits(index)
    }
}
