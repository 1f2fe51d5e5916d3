import Basics
import Shards
import TestSupport
import Testing

@testable import Streaming

@Suite struct AugmentationTests {
    private func data(_ folder: TemporaryFolder) throws -> DataSet {
        let writer = try DataSetWriter(path: folder.path)
        for number in 0..<6 {
            let disparity = PixelArray(height: 8, width: 12, channels: 1, floats: (0..<96).map { Float($0 + number) })
            let other = PixelArray(height: 8, width: 12, channels: 1, floats: (0..<96).map { Float(-$0 - number) })
            let fields = pair(number).fields + [.init("disparity", disparity), .init("disparity_right", other)]
            try writer.append(
                try RecordEncoder(level: 3).encode(Record(key: "\(number)", fields: fields)), split: .train)
        }
        try writer.finish()
        return try DataSet(path: folder.path)
    }

    private func load(_ data: DataSet, _ augmentation: AugmentationSettings, seed: UInt64 = 1) throws -> LaneBatch {
        var settings = BatchLoader.Settings(height: 8, width: 12, fields: stereoFields + [disparityField])
        settings.augmentation = augmentation
        settings.seed = seed
        let loader = BatchLoader(
            data: data, split: .train, schedule: .sequential(records: 0..<6, batch: 6), settings: settings)
        return try #require(try loader.nextBatch())
    }

    @Test func `mirroring swaps the eyes and keeps the sign of disparities`() throws {
        let folder = TemporaryFolder("augment")
        let data = try data(folder)
        let plain = try load(data, .off)
        let mirrored = try load(data, try AugmentationSettings(mirrorProbability: 1))
        // Views do not own the memory.
        defer { withExtendedLifetime((plain, mirrored)) {} }
        let maps = try #require(mirrored["disparity"])
        for n in 0..<6 {
            for y in 0..<8 {
                for x in 0..<12 {
                    let (here, there) = ((n * 8 + y) * 12 + x, (n * 8 + y) * 12 + 11 - x)
                    for c in 0..<3 {
                        #expect(mirrored["left"]!.base[here * 3 + c] == plain["right"]!.base[there * 3 + c])
                        #expect(mirrored["right"]!.base[here * 3 + c] == plain["left"]!.base[there * 3 + c])
                    }
                    // disparity_right, mirrored.
                    #expect(maps.base[here] == Float(-(y * 12 + 11 - x) - n))
                }
            }
        }
    }

    @Test func `light changes follow the formula and stay in range`() throws {
        let folder = TemporaryFolder("augment")
        let data = try data(folder)
        let plain = try load(data, .off)
        let changed = try load(data, try AugmentationSettings(brightness: 1.5...1.5, gamma: 2...2))
        defer { withExtendedLifetime((plain, changed)) {} }
        for index in 0..<plain["left"]!.count {
            let expected = min(1, 1.5 * plain["left"]!.base[index] * plain["left"]!.base[index])
            #expect(abs(changed["left"]!.base[index] - expected) < 1e-6)
        }
        let half = try load(
            data, try AugmentationSettings(mirrorProbability: 0.5, brightness: 0.5...2, gamma: 0.8...1.2))
        defer { withExtendedLifetime(half) {} }
        #expect(half["left"]!.buffer.allSatisfy { (0...1).contains($0) })
    }

    @Test func `draws depend on seed, epoch and record only`() throws {
        let settings = try AugmentationSettings(mirrorProbability: 0.5, brightness: 0.5...2, gamma: 0.8...1.2)
        func draw(_ seed: UInt64, _ epoch: Int, _ record: Int) -> Augmentation {
            Augmentation(settings, seed: seed, epoch: epoch, record: record)
        }
        #expect(draw(1, 2, 3) == draw(1, 2, 3))
        #expect(draw(1, 2, 3) != draw(2, 2, 3) && draw(1, 2, 3) != draw(1, 3, 3) && draw(1, 2, 3) != draw(1, 2, 4))
        let mirrored = (0..<2000).filter { draw(1, 0, $0).isMirrored }.count
        #expect((880...1120).contains(mirrored))
        #expect((0..<2000).allSatisfy { (0.5...2).contains(draw(1, 0, $0).colours.left.brightness) })
        // Runs that were started stay as they are.
        #expect((0..<8).map { draw(1, 0, $0).isMirrored } == pinned)
    }

    private let pinned = [false, true, false, true, true, true, false, false]

    @Test func `settings out of range are refused`() {
        #expect(throws: Failure.self) { try AugmentationSettings(mirrorProbability: 1.5) }
        #expect(throws: Failure.self) { try AugmentationSettings(mirrorProbability: .nan) }
        #expect(throws: Failure.self) { try AugmentationSettings(brightness: 0...1) }
    }
}
