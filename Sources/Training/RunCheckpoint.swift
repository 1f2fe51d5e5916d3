import Basics
import Checkpoints
import Models
import Optimizers
import Tensors

/// What a checkpoint holds beside weights: all that a resumed run needs to compute the same bits.
public struct RunPosition: Sendable, Equatable {
    /// Steps done.
    public var step = 0
    /// Step at which the inference statistics were estimated; −1 if they never were.
    public var statisticsStep = -1
    /// Sums over the steps of the current epoch, in the order of the loss names.
    public var epochSums: [Double] = []
    /// The smallest validation loss so far.
    public var bestLoss = Double.infinity
    /// What a schedule that follows the loss has seen.
    public var plateau = Plateau.State()

    public init() {}
}

/// The identity of a run: what a checkpoint must agree on before its state is used.
public struct CheckpointIdentity: Sendable, Equatable {
    public let model: String
    public let settings: [(name: String, value: String)]
    public let height: Int
    public let width: Int
    /// Fields of the configuration that a resumed run must share, as `name=value` lines.
    public let configuration: String
    /// Root hash of the data set.
    public let data: String

    public static func == (a: Self, b: Self) -> Bool {
        a.model == b.model && a.settingsText == b.settingsText && a.height == b.height && a.width == b.width
            && a.configuration == b.configuration && a.data == b.data
    }

    var settingsText: String { settings.map { "\($0.name)=\($0.value)" }.joined(separator: " ") }
}

/// Reading and writing of checkpoints: safetensors with PyTorch's names and layout for the network, `optimizer.*` and
/// `training.*` for the rest of the state, the position in the metadata. The bytes hold no time, host, path or number of
/// ranks, so that equal states are equal files.
public enum RunCheckpoint {
    static let format = "vergence checkpoint 1"

    /// - Parameter snapshot: the arenas of `state` and its optimizer at one moment.
    static func write(
        path: String, snapshot: StateSnapshot, state: ModelState, identity: CheckpointIdentity, kernelSet: String
    ) throws {
        var tensors = state.exported(snapshot.parameters, prefix: "")
        tensors += state.exported(statistics: snapshot.inferenceStatistics, prefix: "")
        tensors += state.exported(statistics: snapshot.trainingStatistics, prefix: "training.")
        for (name, arena) in snapshot.optimizer { tensors += state.exported(arena, prefix: "optimizer.\(name).") }
        let position = snapshot.position
        var metadata = [
            "format": format, "model": identity.model, "settings": identity.settingsText,
            "height": "\(identity.height)", "width": "\(identity.width)",
            "configuration": identity.configuration, "data": identity.data, "kernels": kernelSet,
            "step": "\(position.step)", "optimizer_step": "\(snapshot.optimizerStep)",
            "statistics_step": "\(position.statisticsStep)",
            "epoch_sums": position.epochSums.map { Hash.hexadecimal($0.bitPattern) }.joined(separator: " "),
            "best_loss": Hash.hexadecimal(position.bestLoss.bitPattern),
        ]
        let plateau = position.plateau
        if plateau != Plateau.State() {
            metadata["plateau"] =
                [plateau.scale, plateau.best, Double(plateau.waiting)].map { Hash.hexadecimal($0.bitPattern) }
                .joined(separator: " ")
        }
        try SafeTensorsWriter.write(
            path: path, tensors: tensors.map { SafeTensorsWriter.Tensor($0.name, $0.shape, $0.values) },
            metadata: metadata)
    }

    /// Restores from the newest checkpoint that is whole: `last`, or one that was kept if that is broken.
    /// - Returns: nil if there is none; else what it held, and a remark about those that were passed over.
    /// - Throws: the first checkpoint's error if none is whole; what `read` throws for one of another run.
    static func restore(
        from folder: CheckpointFolder, state: ModelState, optimizer: any Optimizer, identity: CheckpointIdentity,
        lossCount: Int, notAfter lastStep: Int = .max
    ) throws -> (position: RunPosition, kernelSet: String, remark: String?)? {
        var first: (any Error)?
        for path in try folder.resumable() {
            do {
                if lastStep < .max, let step = try SafeTensorsFile(path: path).metadata["step"].flatMap(Int.init),
                    step > lastStep
                {
                    continue
                }
                let restored = try read(
                    path: path, state: state, optimizer: optimizer, identity: identity, lossCount: lossCount)
                let remark = first.map { "\($0); going on from \(path), step \(restored.position.step)" }
                return (restored.position, restored.kernelSet, remark)
            } catch let error as any ExitCoding where error.exitCode == .badData {
                first = first ?? error
            }
        }
        if let first { throw first }
        return nil
    }

    /// Restores everything.
    /// - Returns: the position, and the kernel set that wrote the file.
    /// - Throws: `Failure` (usage) if the checkpoint belongs to another run, (bad data) if it is no checkpoint.
    public static func read(
        path: String, state: ModelState, optimizer: any Optimizer, identity: CheckpointIdentity,
        lossCount: Int
    ) throws -> (position: RunPosition, kernelSet: String) {
        let file = try SafeTensorsFile(path: path)
        let metadata = file.metadata
        guard metadata["format"] == format else {
            throw Failure(.badData, "\(path): is no checkpoint of a run; train anew or give another file")
        }
        func agree(_ key: String, _ expected: String, _ what: String) throws {
            guard metadata[key] == expected else {
                throw Failure(
                    .usage,
                    "\(path): was written with \(what) '\(metadata[key] ?? "?")', this run has '\(expected)'; "
                        + "start a new run folder for it")
            }
        }
        try agree("model", identity.model, "model")
        try agree("settings", identity.settingsText, "settings")
        try agree("height", "\(identity.height)", "height")
        try agree("width", "\(identity.width)", "width")
        try agree("configuration", identity.configuration, "configuration")
        try agree("data", identity.data, "data set")
        try state.load(file)
        for slot in state.statisticSlots {
            let tensor = try file.tensor("training.\(slot.name)", named: slot.name)
            guard tensor.shape == [slot.count] else { throw unfit(path, "training.\(slot.name)") }
            (state.trainingStatistics.base + slot.offset).update(from: tensor.values, count: slot.count)
        }
        for (name, arena) in optimizer.stateArenas {
            for parameter in state.parameters {
                let tensor = try file.tensor("optimizer.\(name).\(parameter.name)", named: parameter.name)
                guard tensor.shape == parameter.externalShape else {
                    throw unfit(path, "optimizer.\(name).\(parameter.name)")
                }
                parameter.import(tensor.values, to: arena.base)
            }
        }
        func number(_ key: String) throws -> Int {
            guard let value = metadata[key].flatMap(Int.init) else { throw unfit(path, key) }
            return value
        }
        func double(_ text: String?) throws -> Double {
            guard let text, let bits = UInt64(text, radix: 16) else { throw unfit(path, "best_loss or epoch_sums") }
            return Double(bitPattern: bits)
        }
        var position = RunPosition()
        position.step = try number("step")
        position.statisticsStep = try number("statistics_step")
        position.epochSums = try (metadata["epoch_sums"] ?? "").split(separator: " ").map { try double(String($0)) }
        position.bestLoss = try double(metadata["best_loss"])
        if let text = metadata["plateau"] {
            let numbers = try text.split(separator: " ").map { try double(String($0)) }
            guard numbers.count == 3, let waiting = Int(exactly: numbers[2]), (0...1_000_000).contains(waiting) else {
                throw unfit(path, "plateau")
            }
            (position.plateau.scale, position.plateau.best) = (numbers[0], numbers[1])
            position.plateau.waiting = waiting
        }
        optimizer.stepCount = try number("optimizer_step")
        guard (0...1_000_000_000_000).contains(position.step), (0...1_000_000_000_000).contains(optimizer.stepCount)
        else { throw unfit(path, "step") }
        guard position.epochSums.count == lossCount else { throw unfit(path, "epoch_sums") }
        return (position, metadata["kernels"] ?? "unknown")
    }

    private static func unfit(_ path: String, _ what: String) -> Failure {
        Failure(.badData, "\(path): \(what) is missing or unfit; use another checkpoint")
    }
}

/// A network as a checkpoint describes it, for using it without its run.
public struct TrainedNetwork {
    public let network: any Network
    public let state: ModelState
    /// Size of the pictures it was trained on; nil in files of other tools.
    public let trainingSize: (height: Int, width: Int)?
    /// All of the network's settings, in its order.
    public private(set) var settings: [(name: String, value: String)] = []
    /// Of the file: run checkpoints say step, data set and more.
    public private(set) var metadata: [String: String] = [:]
    /// What a user should know about the file, one line each.
    public let remarks: [String]

    /// A network in memory.
    public init(network: any Network, state: ModelState, trainingSize: (height: Int, width: Int)?) {
        self.network = network
        self.state = state
        self.trainingSize = trainingSize
        remarks = []
    }

    /// - Parameters:
    ///   - model: name of the network for files that do not say; ignored otherwise.
    ///   - settings: settings for such files; ones given for a file that does say must agree with it.
    /// - Throws: `Failure` naming the file and the remedy.
    public init(
        path: String, model: String, settings given: [(name: String, value: String)]
    ) throws {
        let file = try SafeTensorsFile(path: path)
        metadata = file.metadata
        var settings = given
        var name = model
        var remarks: [String] = []
        if let stored = metadata["model"] {
            name = stored
            settings = (metadata["settings"] ?? "").split(separator: " ").compactMap {
                let parts = $0.split(separator: "=", maxSplits: 1)
                return parts.count == 2 ? (String(parts[0]), String(parts[1])) : nil
            }
            guard let type = NetworkRegistry.all.first(where: { $0.name == stored }) else {
                throw Failure(
                    .badData, "\(path): is of a model '\(stored)' that this program does not know; use a newer one")
            }
            let wanted = try Settings(type.settings, given, owner: stored)
            for (name, _) in given where settings.first(where: { $0.name == name })?.value != wanted[name] {
                let value = wanted[name]
                throw Failure(
                    .usage,
                    "--set \(name)=\(value): \(path) was trained with "
                        + "\(settings.first { $0.name == name }.map { "\(name)=\($0.value)" } ?? "no such setting"); leave it out"
                )
            }
            let step = metadata["step"].flatMap(Int.init)
            let statisticsStep = metadata["statistics_step"].flatMap(Int.init)
            if let step, let statisticsStep, statisticsStep < step {
                remarks.append(
                    statisticsStep < 0
                        ? "normalisation statistics were never estimated in this checkpoint; "
                            + "results will be poor until the run's first validation"
                        : "normalisation statistics are of step \(statisticsStep), weights of step \(step); "
                            + "best.safetensors or a finished run has both of one step")
            }
        }
        network = try NetworkRegistry.make(name, settings: settings)
        self.settings = try Settings(type(of: network).settings, settings, owner: name).values
        state = try ModelState.empty(for: network)
        try state.load(file)
        if let height = metadata["height"].flatMap(Int.init), let width = metadata["width"].flatMap(Int.init),
            height > 0, width > 0
        {
            trainingSize = (height, width)
        } else {
            trainingSize = nil
        }
        self.remarks = remarks
    }
}
