import Basics
import Foundation
import FrameSources
import Shards
import Synchronization
import Threads

/// A data set for `LoaderBenchmark` where the user has none.
public enum LoaderBenchmarkData {
    /// Scenes that are rendered; more records are the same ones, shifted.
    static let sceneCount = 8
    /// What the benchmark reads.
    public static let fields = [StreamedField.picture(FieldName.left), .picture(FieldName.right)]

    /// Opens a synthetic data set of `pairs` training records that leaves nothing behind: it is written to a folder of
    /// its own below the system's temporary one, opened, and removed at once; the open file lives on.
    /// - Throws: `Failure` (usage) for sizes that cannot be rendered; `FileError`.
    public static func open(height: Int, width: Int, pairs: Int, pool: ForkJoinPool) throws -> TrainingData {
        let scenes = try SyntheticScenes(height: height, width: width, count: pairs, seed: 1)
        let records = try records(scenes, pool: pool)
        let path = NSTemporaryDirectory() + "vergence-bench-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let writer = try DataSetWriter(path: path)
        for record in records { try writer.append(record, split: .train) }
        try writer.finish()
        let data = try TrainingData(path: path, fields: fields)
        // Every shard is open before the folder goes.
        var index = 0
        for shard in data.dataSet.manifest.shards {
            _ = try data.dataSet.locate(.train, index)
            index += shard.recordCount
        }
        return data
    }

    private static func records(_ scenes: SyntheticScenes, pool: ForkJoinPool) throws -> [EncodedRecord] {
        let encoded = Mutex<[Int: Swift.Result<EncodedRecord, any Error>]>([:])
        let encoder = RecordEncoder()
        pool.forEachChunk(min(sceneCount, scenes.count)) { scene, _ in
            let rendered = scenes.record(scene)
            for index in stride(from: scene, to: scenes.count, by: sceneCount) {
                let fields = [FieldName.left, FieldName.right].compactMap { name in
                    rendered[name].map { Record.Field(name, shifted($0, rows: index / sceneCount * 7)) }
                }
                let result = Swift.Result { try encoder.encode(Record(key: scenes.key(index), fields: fields)) }
                encoded.withLock { $0[index] = result }
            }
        }
        let all = encoded.withLock { $0 }
        return try (0..<scenes.count).compactMap { try all[$0]?.get() }
    }

    /// The picture with its rows moved up, those that leave it coming back below.
    private static func shifted(_ picture: PixelArray, rows: Int) -> PixelArray {
        let cut = rows % picture.height * picture.width * picture.channels * picture.element.byteCount
        return PixelArray(
            height: picture.height, width: picture.width, channels: picture.channels, element: picture.element,
            bytes: Array(picture.bytes[cut...] + picture.bytes[..<cut]))
    }
}
