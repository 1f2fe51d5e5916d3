import ArgumentParser
import Basics
import Foundation
import Metrics
import Models
import Shards
import Telemetry
import Training

/// `vergence evaluate`: the field's numbers, beside the trivial baselines.
struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate", abstract: "Measures a checkpoint or finished predictions on a data set.",
        discussion: """
            Values are means over images of per-image values. Disparity metrics are those of the left view's pixels.
            Stereo pairs are matched by a semi-global matcher too (gaps filled), so that one sees what learning adds.
            Examples:
              vergence evaluate data --checkpoint run/checkpoints/best.safetensors
              vergence evaluate kitti --predictions constant:32 --json -
              vergence evaluate kitti --checkpoint run --error-maps errors
              vergence evaluate kitti --predictions maps --focal 718.856 --baseline 0.54 --crop garg --cap 80
            """)

    enum SplitChoice: String, CaseIterable, ExpressibleByArgument { case train, val, test, all }

    @Argument(help: "Folder of shards.")
    var data: String
    @Option(help: ArgumentHelp("A run, a checkpoint of one, or weights under PyTorch's names.", valueName: "run|file"))
    var checkpoint: String?
    @Option(
        help: ArgumentHelp(
            "Folder of maps named by record (.pfm, .npy, .png), or constant:D.", valueName: "folder|constant:D"))
    var predictions: String?
    @Option(help: "Encoding of 16-bit PNG predictions: signed, (d + 128) · 256, or kitti, d · 256.")
    var png: DisparityFiles.PNGEncoding = .signed
    @Option(help: "Records: train, val, test or all. (default: val if there are any, else all)")
    var split: SplitChoice?
    @Option(help: "Only the record with this key.")
    var record: String?
    @Option(help: "Kind of network, for weights that do not say.")
    var model = "wnet"
    @Option(name: .customLong("set"), help: "A setting of the network, for weights that do not say.")
    var settings: [String] = []
    @Option(help: "Height x width at which the network runs. (default: that of its training)")
    var size: PixelSize?
    @Flag(help: "Average each map with that of the mirrored picture.")
    var flip = false
    @Option(help: "Pixels that count: \(Crop.allCases.map(\.rawValue).joined(separator: ", ")).")
    var crop: Crop = .none
    @Option(help: "Largest depth in metres.")
    var cap = 80.0
    @Option(
        help: """
            Focal length in pixels of the records' width; with --baseline, depth is measured too. (default: the records' own \
            calibration, where they have one)
            """)
    var focal: Double?
    @Option(help: "Distance of the cameras in metres.")
    var baseline: Double?
    @Flag(help: "Scale each depth map by the ratio of medians (for networks without a known scale).")
    var medianScaling = false
    @Option(
        help: ArgumentHelp(
            "Write KEY_error.png of each record into this folder: errors on KITTI's logarithmic scale, red where a pixel "
                + "counts as wrong.", valueName: "folder"))
    var errorMaps: String?
    @Option(
        help: ArgumentHelp(
            "What stands beside: none, simple (copy, global shift, constants) or all (and semi-global matching).",
            valueName: "none|simple|all"))
    var baselines = Evaluation.BaselineChoice.all
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Disparities that semi-global matching tries, in pixels of the records' width. (default: −w/16 … w/5)",
            valueName: "lowest:highest"))
    var matcherRange: DisparityRange?
    @OptionGroup var machine: MachineOptions
    @OptionGroup var logging: LogOptions
    @Option(
        help: "Write the result, every record's too, as JSON to this file; - for standard output instead of tables.")
    var json: String?

    func run() throws {
        let dataSet = try DataSet(path: data)
        let records = try chosen(of: dataSet)
        var options = Evaluation.Options()
        options.crop = crop
        options.capMetres = cap
        options.scalesByMedian = medianScaling
        options.baselines = baselines
        options.matcher = matcherRange?.options
        guard cap > 0.001, cap.isFinite else { throw Failure(.usage, "--cap \(cap): give metres above 0.001") }
        if focal != nil || baseline != nil {
            guard let focal, let baseline, focal > 0, baseline > 0 else {
                throw Failure(.usage, "depth needs both --focal and --baseline, above 0")
            }
            options.geometry = StereoGeometry(focalPixels: focal, baselineMetres: baseline)
        }
        options.errorMaps = errorMaps
        let source = try source()
        let report = try withProgress(records.count) { progress in
            try Evaluation(source, options: options).run(dataSet, records, progress: progress)
        }
        if let json { try JSONOutput.write(object(report), to: json) }
        if json != "-" { for table in report.tables { print(text(table)) } }
    }

    private func source() throws -> Evaluation.Source {
        switch (checkpoint, predictions) {
        case (let checkpoint?, nil):
            let checkpoint = try CheckpointPath.file(checkpoint)
            let trained = try TrainedNetwork(
                path: checkpoint, model: model, settings: settings.map(ModelOptions.pair))
            for remark in trained.remarks { Console.warn("\(checkpoint): \(remark)") }
            return .network(
                try Predictor(
                    trained, size: size.map { ($0.height, $0.width) }, averagesMirrored: flip,
                    kernels: machine.kernels()))
        case (nil, let predictions?):
            if flip { throw Failure(.usage, "--flip needs a network; give --checkpoint, or leave --flip out") }
            if predictions.hasPrefix("constant:") {
                guard let value = Double(predictions.dropFirst("constant:".count)), value.isFinite else {
                    throw Failure(.usage, "--predictions \(predictions): write constant:D, e.g. constant:32")
                }
                return .constant(value)
            }
            guard Files.isFolder(predictions) else {
                throw Failure(.missingInput, "\(predictions): no such folder of predictions")
            }
            return .folder(predictions, png)
        default:
            throw Failure(.usage, "give either --checkpoint or --predictions")
        }
    }

    private func chosen(of dataSet: DataSet) throws -> [(split: Split, index: Int)] {
        let splits: [Split] =
            switch split {
            case .train: [.train]
            case .val: [.val]
            case .test: [.test]
            case .all: Split.allCases
            case nil: dataSet.count(.val) > 0 ? [.val] : Split.allCases
            }
        var records = splits.flatMap { split in (0..<dataSet.count(split)).map { (split: split, index: $0) } }
        if let record {
            records = try records.filter { try dataSet.key($0.split, $0.index) == record }
            guard !records.isEmpty else {
                throw Failure(
                    .missingInput, "\(data): has no record \(record) in these splits; see vergence-shards info")
            }
        }
        guard !records.isEmpty else {
            throw Failure(
                .badData, "\(data): has no records in split \(split?.rawValue ?? "all"); choose another --split")
        }
        return records
    }

    private func withProgress<Result>(_ count: Int, _ body: ((Int) -> Void) throws -> Result) rethrows -> Result {
        let reporter = ProgressReporter(task: "evaluate", unit: "record", items: "records", total: count)
        defer { reporter.finish() }
        return try body { reporter.update(position: $0) }
    }

    private func text(_ table: Evaluation.Table) -> String {
        let names = table.rows.first?.values.map(\.name) ?? []
        var rows = [["\(table.title) (\(table.imageCount) images)"] + names]
        for row in table.rows { rows.append(["  " + row.name] + row.values.map { ProgressFormat.loss($0.value) }) }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            row.enumerated().map { column, cell in
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                return column == 0 ? cell + padding : padding + cell
            }.joined(separator: "  ")
        }.joined(separator: "\n") + "\n"
    }

    private func object(_ report: Evaluation.Report) -> [String: Any] {
        func object(_ row: Evaluation.Row) -> [String: Any] {
            // JSON has no NaN.
            Dictionary(
                uniqueKeysWithValues: row.values.map { ($0.name, $0.value.isFinite ? $0.value as Any : NSNull()) })
        }
        return [
            "records": report.recordCount, "crop": crop.rawValue, "cap_metres": cap,
            "flip": flip, "averaging": "mean over images of per-image values",
            "tables": report.tables.map { table in
                [
                    "title": table.title, "images": table.imageCount,
                    "rows": table.rows.map { ["name": $0.name, "values": object($0)] as [String: Any] },
                ] as [String: Any]
            },
            "per_record": report.records.map { ["key": $0.name, "values": object($0)] as [String: Any] },
        ]
    }
}

extension DisparityFiles.PNGEncoding: ExpressibleByArgument {}
extension Crop: ExpressibleByArgument {}
extension Evaluation.BaselineChoice: ExpressibleByArgument {}

/// `lowest:highest`, whole pixels.
struct DisparityRange: ExpressibleByArgument {
    let options: SemiGlobalMatcher.Options

    init?(argument: String) {
        let parts = argument.split(separator: ":", omittingEmptySubsequences: false).map { Int($0) }
        guard parts.count == 2, let lowest = parts[0], let highest = parts[1], lowest < highest,
            abs(lowest) <= 1 << 12, highest - lowest < 1 << 12
        else { return nil }
        options = .init(lowest: lowest, levels: (highest - lowest + 16) / 16 * 16)
    }
}
