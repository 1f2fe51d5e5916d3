import Basics
import Foundation
import Shards
import Telemetry
import Training

/// What the folder of a run says, for people. A run that is under way, or that was killed, says less.
struct RunSummary {
    let folder: RunFolder
    let name: String
    let configuration: RunConfiguration
    let steps: CSVTable?
    let epochs: CSVTable?
    let ranks: CSVTable?
    let machine: String
    /// Events of `vergence launch`, oldest first.
    let launches: [[(name: String, value: String)]]
    /// Sheets of samples, by epoch.
    let samples: [(epoch: Int, path: String)]
    let checkpoints: [(name: String, byteCount: Int)]

    private static let textLimit = 1 << 20

    /// - Throws: `FileError`; `Failure` for a folder that is no run, or tables that cannot be read.
    init(path: String) throws {
        folder = RunFolder(path: path)
        name = URL(fileURLWithPath: path).standardizedFileURL.lastPathComponent
        guard Files.exists(folder.configurationPath) else {
            throw Failure(.missingInput, "\(path): no run here (config.yaml is missing); give the folder of a run")
        }
        var configuration = RunConfiguration()
        try ConfigurationFile.apply(folder.configurationPath, to: &configuration)
        self.configuration = configuration
        func table(_ path: String) throws -> CSVTable? {
            guard Files.exists(path), (try? Files.read(path))?.contains(10) == true else { return nil }
            return try CSVTable(path: path)
        }
        steps = try table(folder.stepsPath)
        epochs = try table(folder.metricsPath)
        ranks = try table(folder.ranksPath)
        func text(_ path: String) -> String {
            (try? Files.read(path, limit: Self.textLimit)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        }
        machine = text(folder.machinePath)
        launches = text(folder.path + "/launch.jsonl").split(separator: "\n").compactMap(Self.event)
        samples = ((try? Files.list(folder.sampleFolder)) ?? []).compactMap { name in
            guard let match = name.wholeMatch(of: #/epoch_(\d{1,9})\.png/#), let epoch = Int(match.1) else {
                return nil
            }
            return (epoch, "\(path)/samples/\(name)")
        }.sorted { $0.epoch < $1.epoch }
        checkpoints = ((try? Files.list(folder.checkpointFolder)) ?? []).filter { $0.hasSuffix(".safetensors") }
            .sorted().map { [folder] name in
                let attributes = try? FileManager.default.attributesOfItem(atPath: "\(folder.checkpointFolder)/\(name)")
                return (name, attributes?[.size] as? Int ?? 0)
            }
    }

    private static func event(_ line: Substring) -> [(name: String, value: String)]? {
        guard let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] else {
            return nil
        }
        let first = ["time", "event"]
        let names = first + object.keys.filter { !first.contains($0) }.sorted()
        return names.compactMap { name in
            object[name].map { (name, ($0 as? [Any])?.map { "\($0)" }.joined(separator: ", ") ?? "\($0)") }
        }
    }

    /// A line over steps, of the rows that have a value; empty if there is no such column.
    func line(_ table: CSVTable?, _ column: String, color: Int, name: String? = nil, dots: Bool = false)
        -> LineChart.Line
    {
        let values = table?.numbers(column) ?? []
        let steps = table?.numbers("step") ?? []
        return LineChart.Line(
            name ?? column, zip(steps, values).map { (x: $0, y: $1) }.filter { !dots || $0.y.isFinite }, color: color,
            hasDots: dots)
    }

    func last(_ table: CSVTable?, _ column: String) -> Double? { table?.numbers(column)?.last { $0.isFinite } }
    func best(_ table: CSVTable?, _ column: String) -> Double? { table?.numbers(column)?.filter(\.isFinite).min() }

    /// Names of what was measured at validations.
    var validations: [String] { epochs?.columns.filter { $0.hasPrefix("val_") } ?? [] }
    /// Names of the losses of every step.
    var losses: [String] {
        guard let columns = steps?.columns, let end = columns.firstIndex(of: "lr"), end > 2 else { return [] }
        return Array(columns[2..<end])
    }

    var lastStep: Int { last(steps, "step").map { Int($0) } ?? 0 }
    var seconds: Double { steps?.numbers("seconds")?.filter(\.isFinite).reduce(0, +) ?? 0 }
    var globalBatch: Int { configuration.lanes * configuration.laneBatch }

    /// Pairs a second at each step.
    var rates: LineChart.Line {
        var line = line(steps, "seconds", color: 0, name: "pairs per second")
        line.points = line.points.map { ($0.x, Double(globalBatch) / $0.y) }
        return line
    }

    var medianRate: Double? {
        let rates = rates.points.map(\.y).filter(\.isFinite).sorted()
        return rates.isEmpty ? nil : rates[rates.count / 2]
    }

    /// A strip for each rank, in rank order; of many ranks those that computed longest.
    func timeline(limit: Int = 32) -> RankTimeline? {
        guard let ranks, let numbers = ranks.numbers("rank"), let hosts = ranks.texts("host"),
            let compute = ranks.numbers("compute_seconds"), let data = ranks.numbers("data_wait_seconds"),
            let all = ranks.numbers("communication_seconds"), let wait = ranks.numbers("wait_for_slowest_seconds")
        else { return nil }
        var parts: [Int: [RankTimeline.Part]] = [:]
        var names: [Int: String] = [:]
        for row in numbers.indices {
            guard let rank = Int(exactly: numbers[row]) else { continue }
            parts[rank, default: []].append(
                .init(
                    compute: compute[row], dataWait: data[row], waitForSlowest: wait[row],
                    exchange: all[row] - wait[row]))
            names[rank] = "rank \(rank) (\(hosts[row]))"
        }
        var shown = parts.keys.sorted()
        if shown.count > limit {
            let busy = parts.mapValues { $0.reduce(0) { $0 + $1.compute } }
            shown = Array(shown.sorted { busy[$0] ?? 0 > busy[$1] ?? 0 }.prefix(limit)).sorted()
        }
        if shown.isEmpty { return nil }
        return RankTimeline(shown.map { .init(name: names[$0] ?? "", parts: parts[$0] ?? []) })
    }

    /// Every configured value, settings of the network last.
    var values: [(name: String, value: String)] {
        RunConfiguration.fields.map { ($0.name, $0.format(configuration)) }
            + configuration.settings.sorted { $0.key < $1.key }.map { ("set \($0.key)", $0.value) }
    }

    /// Rows about the data set, if it is where the run says.
    var dataRows: [[String]] {
        let folders = (try? DataMixture(configuration.data).parts.map(\.path)) ?? [configuration.data]
        guard let data = try? DataSet(paths: folders) else {
            return [["folder", configuration.data], ["", "not readable here any more"]]
        }
        let manifest = data.manifest
        var rows = [["folder", configuration.data], ["root hash", data.rootHash]]
        for split in Split.allCases where manifest.recordCount(split) > 0 {
            rows.append(["\(split.rawValue) records", "\(manifest.recordCount(split))"])
        }
        rows += manifest.fields.map { ["field \($0.name)", "\($0.heights.lowerBound)x\($0.widths.lowerBound)"] }
        return rows + manifest.provenance.sorted { $0.key < $1.key }.map { [$0.key, $0.value] }
    }
}
