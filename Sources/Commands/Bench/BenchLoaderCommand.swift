import ArgumentParser
import Basics
import Foundation
import FrameSources
import Kernels
import Streaming
import Training

struct BenchLoaderCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "loader", abstract: "How fast stored records become pictures of a batch.",
        discussion: """
            Records are read from the system's cache, verified, decompressed, unfiltered, augmented and turned into \
            floats, by the loader that training uses, with nobody who computes. Without DATA a synthetic data set is \
            made in the temporary folder and removed again.
            Examples:
              vergence bench loader
              vergence bench loader data --threads 2 --json -
            """)

    @Argument(help: "Folder of shards. (default: a synthetic data set)")
    var data: String?
    @Option(help: "Decoding threads.")
    var threads = 1
    @Option(help: "Pairs of a batch.")
    var batch = 6
    @Option(help: "Measurements, of at least one epoch and a fifth of a second each.")
    var repetitions = 5
    @Flag(inversion: .prefixedNo, help: "Mirror half of the pairs, eyes swapped.")
    var mirror = true
    @Option(help: "Random brightness factor 1 ± this.")
    var brightness = 0.0
    @Option(help: "Random gamma 1 ± this.")
    var gamma = 0.0
    @Option(help: ArgumentHelp("More of it, as vergence-shards show --augment takes it.", valueName: "name=value,…"))
    var augment: String?
    @Option(help: "Synthetic data: height x width.")
    var size = PixelSize(height: 192, width: 336)
    @Option(help: "Synthetic data: pairs.")
    var pairs = 48
    @OptionGroup var output: BenchOutputOptions

    func run() throws {
        guard (0...0.9).contains(brightness), (0...0.9).contains(gamma) else {
            throw Failure(.usage, "--brightness \(brightness), --gamma \(gamma): give 0…0.9")
        }
        var options = LoaderBenchmark.Options()
        options.threads = threads
        options.batch = batch
        options.repetitions = repetitions
        var augmentation = try AugmentationOptions(text: augment ?? "", place: "--augment")
        if mirror { augmentation.mirror = true }
        if brightness > 0 { augmentation.brightness = brightness }
        if gamma > 0 { augmentation.gamma = gamma }
        try augmentation.check(fields: LoaderBenchmarkData.fields)
        options.augmentation = try augmentation.settings(crop: .none)
        try options.check()
        let result = try LoaderBenchmark.run(try opened(), options)
        let ratio = result.decodedBytesPerRecord / max(1, result.storedBytesPerRecord)
        let perCore = result.decodedBytesPerSecond / Double(threads)
        let sum = result.stages.reduce(0) { $0 + $1.seconds }
        try output.write(
            [
                "benchmark": "loader", "data": data ?? "synthetic", "height": result.height, "width": result.width,
                "batch": batch, "threads": threads, "records": result.recordCount,
                "records_per_repetition": result.recordsPerRepetition, "median_seconds": result.medianSeconds,
                "minimum_seconds": result.minimumSeconds, "records_per_second": result.recordsPerSecond,
                "records_per_second_per_core": result.recordsPerSecond / Double(threads),
                "decoded_bytes_per_second": result.decodedBytesPerSecond,
                "decoded_bytes_per_second_per_core": perCore, "float_bytes_per_second": result.floatBytesPerSecond,
                "decoded_bytes_per_record": result.decodedBytesPerRecord, "compression_ratio": ratio,
                "stages": result.stages.map {
                    ["name": $0.name, "seconds_per_record": $0.seconds, "share": $0.seconds / max(sum, 1e-12)]
                        as [String: Any]
                },
            ],
            [
                "loader, \(data ?? "synthetic data"), \(result.height)x\(result.width), \(threads) decoding "
                    + "thread\(threads == 1 ? "" : "s"): \(BenchText.rounded(result.recordsPerSecond)) records/s, "
                    + "\(BenchText.rounded(result.decodedBytesPerSecond / 1e9)) GB/s decoded "
                    + "(\(BenchText.rounded(perCore / 1e9)) per core), "
                    + "\(BenchText.rounded(result.floatBytesPerSecond / 1e9)) GB/s of floats, "
                    + "compressed \(BenchText.rounded(ratio)) times",
                "one thread, per record: "
                    + result.stages.map { "\($0.name) \(BenchText.milliseconds($0.seconds))" }.joined(separator: ", "),
            ])
    }

    private func opened() throws -> TrainingData {
        if let data {
            let path = data.hasSuffix("/") && data.count > 1 ? String(data.dropLast()) : data
            return try TrainingData(path: path, fields: LoaderBenchmarkData.fields)
        }
        guard (batch...4096).contains(pairs) else {
            throw Failure(.usage, "--pairs \(pairs): give \(batch)…4096, at least one batch")
        }
        let kernels = Machine.kernels(threads: 0, ranksOnHost: 1, precision: .float32)
        defer { kernels.pool.shutDown() }
        return try LoaderBenchmarkData.open(
            height: size.height, width: size.width, pairs: pairs, pool: kernels.pool)
    }
}
