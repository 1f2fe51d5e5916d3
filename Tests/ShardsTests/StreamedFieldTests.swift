import Basics
import Shards
import TestSupport
import Testing

@testable import Streaming

/// Fields other than two views: names that stand in, crops, grids, masks, and mirroring of single pictures.
@Suite struct StreamedFieldTests {
    static let height = 10
    static let width = 14

    /// Views of a batch do not own its memory.
    private final class Kept {
        var batches: [LaneBatch] = []
    }
    private let kept = Kept()

    /// Pixel values that say where they are: row · 16 + column.
    private func picture() -> PixelArray {
        PixelArray(
            height: Self.height, width: Self.width, channels: 3, element: .uint8,
            bytes: (0..<(Self.height * Self.width)).flatMap { i in
                let value = UInt8(i / Self.width * 16 + i % Self.width)
                return [value, value, value]
            })
    }

    private func depth() -> PixelArray {
        PixelArray(
            height: Self.height, width: Self.width, channels: 1,
            floats: (0..<(Self.height * Self.width)).map { i in
                i % 5 == 0 ? .nan : Float(i / Self.width * 16 + i % Self.width)
            })
    }

    private func mask() -> PixelArray {
        PixelArray(
            height: Self.height, width: Self.width, channels: 1, element: .uint8,
            bytes: (0..<(Self.height * Self.width)).map { UInt8($0) })
    }

    private func load(
        _ fields: [StreamedField], height: Int = Self.height, width: Int = Self.width,
        _ augmentation: AugmentationSettings = .off
    ) throws -> LaneBatch {
        let folder = TemporaryFolder("fields")
        let writer = try DataSetWriter(path: folder.path)
        for number in 0..<4 {
            try writer.append(
                try RecordEncoder(level: 3).encode(
                    Record(
                        key: "\(number)",
                        fields: [.init("left", picture()), .init("depth", depth()), .init("mask", mask())])),
                split: .train)
        }
        try writer.finish()
        var settings = BatchLoader.Settings(height: height, width: width, fields: fields)
        settings.augmentation = augmentation
        let loader = BatchLoader(
            data: try DataSet(path: folder.path), split: .train, schedule: .sequential(records: 0..<4, batch: 4),
            settings: settings)
        let batch = try #require(try loader.nextBatch())
        kept.batches.append(batch)
        return batch
    }

    private let image = StreamedField.picture("image", substitutes: ["left"])

    private func place(_ value: Float) -> (row: Int, column: Int) {
        let byte = Int((value * 255).rounded())
        return (byte / 16, byte % 16)
    }

    @Test func `left stands in for an image, masks are fractions`() throws {
        defer { withExtendedLifetime(kept) {} }
        let batch = try load([image, StreamedField("mask", kind: .map)])
        let (pictures, masks) = (try #require(batch["image"]), try #require(batch["mask"]))
        #expect(pictures.shape == [4, 10, 14, 3] && masks.shape == [4, 10, 14, 1])
        for i in 0..<140 { #expect(masks.base[i] == Float(i) / 255) }
        #expect(place(pictures.base[3 * (14 * 2 + 5)]) == (2, 5))
    }

    @Test func `a single picture is mirrored with its maps, and nothing changes places`() throws {
        defer { withExtendedLifetime(kept) {} }
        let batch = try load(
            [image, StreamedField("depth", kind: .map)], try AugmentationSettings(mirrorProbability: 1))
        let (pictures, depths) = (try #require(batch["image"]), try #require(batch["depth"]))
        for y in 0..<10 {
            for x in 0..<14 {
                #expect(place(pictures.base[3 * (14 * y + x)]) == (y, 13 - x))
                let source = 14 * y + 13 - x
                let found = depths.base[14 * y + x]
                #expect(source % 5 == 0 ? found.isNaN : found == Float(y * 16 + 13 - x))
            }
        }
    }

    @Test(arguments: [false, true])
    func `crops lie inside and take all fields alike`(isMirrored: Bool) throws {
        defer { withExtendedLifetime(kept) {} }
        let settings = try AugmentationSettings(mirrorProbability: isMirrored ? 1 : 0, crop: .random)
        let batch = try load([image, StreamedField("depth", kind: .map)], height: 6, width: 8, settings)
        let (pictures, depths) = (try #require(batch["image"]), try #require(batch["depth"]))
        #expect(pictures.shape == [4, 6, 8, 3] && depths.shape == [4, 6, 8, 1])
        var corners: Set<Int> = []
        for n in 0..<4 {
            let first = place(pictures.base[3 * 48 * n])
            corners.insert(first.row * 16 + first.column)
            for y in 0..<6 {
                for x in 0..<8 {
                    let found = place(pictures.base[3 * (48 * n + 8 * y + x)])
                    let column = isMirrored ? first.column - x : first.column + x
                    #expect(found == (first.row + y, column))
                    let source = 14 * found.row + found.column
                    let depth = depths.base[48 * n + 8 * y + x]
                    #expect(source % 5 == 0 ? depth.isNaN : depth == Float(found.row * 16 + found.column))
                }
            }
        }
        #expect(corners.count > 1, "every sample has the same crop")
        let centered = try #require(try load([image], height: 6, width: 8, .centered)["image"])
        for n in 0..<4 { #expect(place(centered.base[3 * 48 * n]) == (2, 3)) }
    }

    @Test func `grids pick or average`() throws {
        defer { withExtendedLifetime(kept) {} }
        let picked = FieldGrid.picked(step: 3, first: 1, margin: 2)
        #expect(picked.size(height: 10, width: 14) == (2, 3))
        // Eigen's: 4 pixels off each side of 228x304, then every fourth from the second on.
        #expect(FieldGrid.picked(step: 4, first: 1, margin: 4).size(height: 228, width: 304) == (55, 74))
        let maps = try #require(try load([image, StreamedField("depth", kind: .map, grid: picked)])["depth"])
        #expect(maps.shape == [4, 2, 3, 1])
        for y in 0..<2 {
            for x in 0..<3 {
                let (row, column) = (3 + 3 * y, 3 + 3 * x)
                let found = maps.base[3 * y + x]
                #expect((14 * row + column) % 5 == 0 ? found.isNaN : found == Float(row * 16 + column))
            }
        }
        let averaged = try #require(
            try load([image, StreamedField("depth", kind: .map, grid: .averaged(step: 2))])["depth"])
        #expect(averaged.shape == [4, 5, 7, 1])
        for y in 0..<5 {
            for x in 0..<7 {
                let places = [(0, 0), (0, 1), (1, 0), (1, 1)].map { (2 * y + $0.0, 2 * x + $0.1) }
                let known = places.filter { (14 * $0.0 + $0.1) % 5 != 0 }.map { Double($0.0 * 16 + $0.1) }
                #expect(averaged.base[7 * y + x] == Float(known.reduce(0, +) / Double(known.count)))
            }
        }
    }

    @Test func `records that lack a field say so`() throws {
        defer { withExtendedLifetime(kept) {} }
        let error = #expect(throws: ShardError.self) { try load([StreamedField.picture("background")]) }
        #expect("\(try #require(error))".contains("has no field 'background', only left, depth, mask"))
        let maps = try #require(try load([image, StreamedField("truth", kind: .map, isOptional: true)])["truth"])
        #expect(maps.buffer.allSatisfy { $0.isNaN })
    }
}
