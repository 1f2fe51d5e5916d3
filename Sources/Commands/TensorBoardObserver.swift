import Basics
import Telemetry
import Training

/// Tells TensorBoard how a run goes: losses, rates and times of every step, validation and sample pictures of every epoch,
/// the configuration as text. `tensorboard --logdir RUN` shows it, also while the run is under way.
final class TensorBoardObserver: TrainingObserver {
    private let configuration: RunConfiguration
    private let folder: RunFolder
    private let isResumed: Bool
    private var file: EventFile?

    init(_ configuration: RunConfiguration, resume: Bool) {
        self.configuration = configuration
        folder = RunFolder(path: configuration.run)
        isResumed = resume
    }

    func started(at step: Int, of totalSteps: Int, description: [String], losses: [String], validation: [String]) throws
    {
        let file = try EventFile(
            folder: folder.path, host: HostInfo.current().name, resumingAt: isResumed ? step + 1 : 0)
        let yaml = ConfigurationFile.text(configuration).split(separator: "\n", omittingEmptySubsequences: false)
        try file.add(text: "configuration", yaml.map { "    \($0)" }.joined(separator: "\n"), step: step)
        try file.add(text: "run", description.joined(separator: "  \n"), step: step)
        self.file = file
    }

    func finished(_ report: StepReport) throws {
        try file?.add(
            scalars: report.losses.map { ("train/\($0.name)", $0.value) } + [
                ("rates/learning_rate", report.learningRate), ("rates/gradient_norm", report.gradientNorm),
                ("rates/pairs_per_second", Double(report.pairs) / report.seconds),
                ("seconds/step", report.seconds), ("seconds/data_wait", report.dataWaitSeconds),
                ("seconds/communication", report.communicationSeconds),
            ], step: report.step)
    }

    func finished(_ report: EpochReport) throws {
        try file?.add(
            scalars: report.trainingLosses.map { ("epoch/\($0.name)", $0.value) }
                + report.validation.map { ("val/\($0.name)", $0.value) }, step: report.step)
        let path = folder.samplePath(epoch: report.epoch)
        guard !report.validation.isEmpty, Files.exists(path) else { return }
        let png = try Files.read(path)
        guard let size = Self.size(ofPNG: png) else { return }
        try file?.add(picture: "samples", png: png, height: size.height, width: size.width, step: report.step)
    }

    /// The first chunk of a PNG file begins with its width and height.
    private static func size(ofPNG bytes: [UInt8]) -> (height: Int, width: Int)? {
        guard bytes.count >= 24 else { return nil }
        func number(_ start: Int) -> Int { bytes[start..<(start + 4)].reduce(0) { $0 << 8 | Int($1) } }
        return (number(20), number(16))
    }

    func finished(_ report: RanksReport) throws {}
    func remark(_ text: String) {}
    func ended() { file = nil }
}

/// Several observers as one.
final class ObserverGroup: TrainingObserver {
    private let members: [any TrainingObserver]

    init(_ members: [any TrainingObserver]) { self.members = members }

    func started(at step: Int, of totalSteps: Int, description: [String], losses: [String], validation: [String]) throws
    {
        for member in members {
            try member.started(
                at: step, of: totalSteps, description: description, losses: losses, validation: validation)
        }
    }

    func finished(_ report: StepReport) throws { for member in members { try member.finished(report) } }
    func finished(_ report: EpochReport) throws { for member in members { try member.finished(report) } }
    func finished(_ report: RanksReport) throws { for member in members { try member.finished(report) } }
    func remark(_ text: String) { for member in members { member.remark(text) } }
    func note(_ text: String) { for member in members { member.note(text) } }
    func ended() { for member in members { member.ended() } }
}
