import Basics
import Collectives
import Foundation
import Streaming
import Telemetry
import Training

/// Tells a person, and `metrics.csv` and `steps.csv`, how a run goes.
final class TrainingConsole: TrainingObserver {
    private let configuration: RunConfiguration
    private let folder: RunFolder
    private let isResumed: Bool
    private var progress: ProgressReporter?
    private var stepTable: MetricsCSV?
    private var epochTable: MetricsCSV?
    private var rankTable: MetricsCSV?
    private var laneTable: MetricsCSV?
    private var badTable: MetricsCSV?
    private var badRecords: Set<Int> = []
    private var resumeBelow: Int?
    private var stragglers = StragglerWatch()
    private var validationColumns: [String] = []

    init(_ configuration: RunConfiguration, resume: Bool) throws {
        self.configuration = configuration
        folder = RunFolder(path: configuration.run)
        isResumed = resume
    }

    func started(at step: Int, of totalSteps: Int, description: [String], losses: [String], validation: [String]) throws
    {
        for line in description { Console.note(line) }
        Console.note(
            step == 0 ? "\(totalSteps) steps into \(folder.path)" : "going on at step \(step) of \(totalSteps)")
        progress = ProgressReporter(task: "train", position: step, total: totalSteps)
        let host = HostInfo.current()
        var text = "\(host.summary)\nstarted at step \(step): \(ISO8601DateFormatter().string(from: Date()))\n"
        text += "Vergence \(VergenceCommand.version)\n"
        for (name, value) in Self.telling(ProcessInfo.processInfo.environment) { text += "\(name)=\(value)\n" }
        let old =
            (try? Files.read(folder.machinePath, limit: 1 << 20)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        try AtomicFileWriter.write(old + text, to: folder.machinePath)
        resumeBelow = isResumed ? step + 1 : nil
        stepTable = try MetricsCSV(
            path: folder.stepsPath,
            columns: ["step", "epoch"] + losses
                + ["lr", "gradient_norm", "seconds", "data_wait_seconds", "communication_seconds"],
            resumeBelow: resumeBelow)
        epochTable = try MetricsCSV(
            path: folder.metricsPath,
            columns: ["step", "epoch"] + losses.map { "train_\($0)" } + validation.map { "val_\($0)" }
                + ["lr", "seconds"], resumeBelow: resumeBelow)
        rankTable = try MetricsCSV(
            path: folder.ranksPath,
            columns: [
                "step", "rank", "host", "compute_seconds", "data_wait_seconds", "communication_seconds", "slowest_rank",
                "wait_for_slowest_seconds",
            ], resumeBelow: resumeBelow)
        laneTable = try MetricsCSV(
            path: folder.lanesPath, columns: ["step", "lane", "rank", "hash"], resumeBelow: resumeBelow)
        validationColumns = validation
        // Most runs need none, but one that is resumed may have one.
        if isResumed && Files.exists(folder.badRecordsPath) { try openBadTable() }
    }

    private func openBadTable() throws {
        badTable = try MetricsCSV(
            path: folder.badRecordsPath, columns: ["step", "epoch", "rank", "record", "replacement", "problem"],
            resumeBelow: resumeBelow)
    }

    /// Each is named once on the console, and in the table whenever its turn comes.
    private func tell(_ record: ReplacedRecord, _ rank: Int, _ step: Int) throws {
        if badTable == nil { try openBadTable() }
        try badTable?.append([
            CSVCell(step), CSVCell(record.epoch + 1), CSVCell(rank), CSVCell(record.record),
            CSVCell(record.replacement), CSVCell(record.problem),
        ])
        if badRecords.insert(record.record).inserted {
            remark(
                "step \(step): bad record \(badRecords.count) of at most \(configuration.maxBadRecords), record "
                    + "\(record.replacement) stands in for it: \(record.problem)")
        }
    }

    /// What of the environment may be written down: what changes speed or bits, and whose job it was. No more, because
    /// environments hold secrets.
    static func telling(_ environment: [String: String]) -> [(name: String, value: String)] {
        let names: Set = [
            "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OPENBLAS_L2_SIZE", "OMP_NUM_THREADS", "MALLOC_ARENA_MAX",
            "OMPI_COMM_WORLD_SIZE", "OMPI_MCA_pml", "OMPI_MCA_btl", "OMPI_MCA_btl_tcp_if_include",
            "OMPI_MCA_hwloc_base_binding_policy", "OMPI_MCA_mpi_yield_when_idle", "SLURM_JOB_ID", "SLURM_JOB_NODELIST",
            "SLURM_CPUS_PER_TASK", "SLURM_RESTART_COUNT", "VERGENCE_INJECT",
        ]
        return environment.filter { names.contains($0.key) }.sorted { $0.key < $1.key }.map {
            ($0.key, $0.value.replacing("\n", with: " "))
        }
    }

    func finished(_ report: StepReport) throws {
        progress?.update(
            position: report.step, items: report.pairs, loss: report.losses.first?.value,
            dataWaitSeconds: report.dataWaitSeconds, communicationSeconds: report.communicationSeconds)
        let epoch = (report.step - 1) / report.stepsPerEpoch + 1
        try stepTable?.append(
            [CSVCell(report.step), CSVCell(epoch)] + report.losses.map { CSVCell($0.value) }
                + [
                    CSVCell(report.learningRate), CSVCell(report.gradientNorm), CSVCell(seconds: report.seconds),
                    CSVCell(seconds: report.dataWaitSeconds), CSVCell(seconds: report.communicationSeconds),
                ])
    }

    func finished(_ report: EpochReport) throws {
        let validation = validationColumns.map { name in CSVCell(report.validation.first { $0.name == name }?.value) }
        try epochTable?.append(
            [CSVCell(report.step), CSVCell(report.epoch)] + report.trainingLosses.map { CSVCell($0.value) }
                + validation + [CSVCell(report.learningRate), CSVCell(seconds: report.seconds)])
        var line = "epoch \(report.epoch), step \(report.step): "
        line += report.trainingLosses.map { "\($0.name) \(ProgressFormat.loss($0.value))" }.joined(separator: ", ")
        if !report.validation.isEmpty {
            let values = report.validation.map { "\($0.name) \(ProgressFormat.loss($0.value))" }
            line += " | validation " + values.joined(separator: ", ") + (report.isBest ? " (best)" : "")
        }
        progress?.print(line)
    }

    func finished(_ report: RanksReport) throws {
        let slowest = report.slowest
        for rank in report.ranks {
            // Nobody can wait for the slowest longer than until it was done, nor longer than it waited.
            let wait = min(rank.communicationSeconds, slowest.busySeconds - rank.busySeconds)
            try rankTable?.append([
                CSVCell(report.step), CSVCell(rank.rank), CSVCell(rank.host), CSVCell(seconds: rank.computeSeconds),
                CSVCell(seconds: rank.dataWaitSeconds), CSVCell(seconds: rank.communicationSeconds),
                CSVCell(slowest.rank), CSVCell(seconds: wait),
            ])
            for (index, hash) in rank.laneHashes.enumerated() {
                try laneTable?.append([
                    CSVCell(report.step), CSVCell(rank.firstLane + index), CSVCell(rank.rank),
                    CSVCell(Hash.hexadecimal(hash)),
                ])
            }
        }
        for rank in report.ranks {
            for record in rank.replaced { try tell(record, rank.rank, report.step) }
        }
        if let line = stragglers.line(after: report) { remark(line) }
    }

    func remark(_ text: String) {
        if let progress { progress.print(text, .warning) } else { Console.warn(text) }
    }

    func note(_ text: String) {
        if let progress { progress.print(text) } else { Console.note(text) }
    }

    func ended() {
        if !badRecords.isEmpty {
            remark("\(badRecords.count) damaged training records were replaced; see \(folder.badRecordsPath)")
        }
        progress?.finish()
    }
}
