import ArgumentParser
import Basics
import Foundation
import Models
import Training

/// `vergence train`: alone, under a launcher as one of many ranks, or with all ranks as threads of this process.
struct TrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train", abstract: "Trains a network on a folder of shards.",
        discussion: """
            Examples:
              vergence train data --run runs/first --set width=16 --epochs 20
              mpirun -np 2 --bind-to none vergence train data --run runs/first --lanes 2 --lane-batch 3
              vergence train --data films:0.7 --data kitti:0.3 --run runs/mixed
              vergence train data --run runs/first --resume

            Weights depend on lanes, lane batch and seed, never on the number of ranks or threads.
            """)

    @Argument(help: "Folder of shards, as vergence-shards writes it.", completion: .directory)
    var data: String?
    @Option(
        name: .customLong("data"),
        help: ArgumentHelp("One of several sets to be mixed; may be given several times.", valueName: "folder:weight"))
    var mixed: [String] = []
    @Option(
        name: .customLong("run"),
        help: ArgumentHelp(
            "Folder for everything that the run writes. (default: runs/MODEL-N, the next N)", valueName: "folder"),
        completion: .directory)
    var runFolder: String?
    @Option(
        help: ArgumentHelp(
            "YAML file with the same names as these options; vergence recipe prints one.", valueName: "file"),
        completion: .file(extensions: ["yaml", "yml"]))
    var config: String?
    @Flag(help: "Go on from the run's last checkpoint.")
    var resume = false
    @Flag(name: .customLong("dry-run"), help: "Print the resolved configuration, counts and memory; write nothing.")
    var dryRun = false
    @Option(
        help: ArgumentHelp(
            "Write where all ranks' time went into this file at the end, in Chrome's trace format.", valueName: "file"))
    var trace: String?
    @Option(help: "Run this many ranks as threads of one process (debugging).")
    var ranks = 1
    @OptionGroup var logging: LogOptions

    @OptionGroup(title: "Network") var model: ModelOverrides
    @OptionGroup(title: "Batch and length") var length: LengthOptions
    @OptionGroup(title: "Optimizer") var optimizer: OptimizerOptions
    @OptionGroup(title: "Augmentation") var augmentation: AugmentationOptions
    @OptionGroup(title: "Machine and records") var records: RecordOptions

    struct ModelOverrides: ParsableArguments {
        @Option(
            help: "Kind of network: \(NetworkRegistry.all.map { $0.name }.joined(separator: ", ")). (default: wnet)",
            completion: .list(NetworkRegistry.all.map { $0.name }))
        var model: String?
        @Option(
            name: .customLong("set"),
            help: ArgumentHelp("A setting of the network; may be given several times.", valueName: "name=value"))
        var settings: [String] = []
        @Option(help: help("size")) var size: String?
        @Option(name: .customLong("init"), help: help("init")) var initialWeights: String?
    }

    struct LengthOptions: ParsableArguments {
        @Option(help: help("lanes")) var lanes: String?
        @Option(help: help("lane-batch")) var laneBatch: String?
        @Option(help: help("epochs")) var epochs: String?
        @Option(help: help("steps")) var steps: String?
        @Option(help: help("seed")) var seed: String?

        var given: [(String, String?)] {
            [("lanes", lanes), ("lane-batch", laneBatch), ("epochs", epochs), ("steps", steps), ("seed", seed)]
        }
    }

    struct OptimizerOptions: ParsableArguments {
        @Option(help: help("optimizer")) var optimizer: String?
        @Option(help: help("lr")) var lr: String?
        @Option(help: help("momentum")) var momentum: String?
        @Flag(help: help("nesterov")) var nesterov = false
        @Option(help: help("weight-decay")) var weightDecay: String?
        @Option(help: help("beta1")) var beta1: String?
        @Option(help: help("beta2")) var beta2: String?
        @Option(help: help("epsilon")) var epsilon: String?
        @Flag(help: help("amsgrad")) var amsgrad = false
        @Flag(help: help("absolute-decay")) var absoluteDecay = false
        @Option(help: help("schedule")) var schedule: String?
        @Option(help: help("warmup")) var warmup: String?
        @Option(help: help("schedule-steps")) var scheduleSteps: String?
        @Option(help: help("schedule-gamma")) var scheduleGamma: String?
        @Option(help: help("schedule-power")) var schedulePower: String?
        @Flag(help: help("schedule-by-epoch")) var scheduleByEpoch = false
        @Option(help: help("plateau-patience")) var plateauPatience: String?
        @Option(help: help("plateau-threshold")) var plateauThreshold: String?
        @Option(help: help("final-lr")) var finalLr: String?
        @Option(help: help("clip-norm")) var clipNorm: String?

        var given: [(String, String?)] {
            [
                ("optimizer", optimizer), ("lr", lr), ("momentum", momentum), ("nesterov", nesterov ? "true" : nil),
                ("weight-decay", weightDecay), ("beta1", beta1), ("beta2", beta2), ("epsilon", epsilon),
                ("amsgrad", amsgrad ? "true" : nil), ("schedule", schedule), ("warmup", warmup),
                ("schedule-steps", scheduleSteps), ("schedule-gamma", scheduleGamma),
                ("absolute-decay", absoluteDecay ? "true" : nil),
                ("schedule-by-epoch", scheduleByEpoch ? "true" : nil), ("plateau-patience", plateauPatience),
                ("plateau-threshold", plateauThreshold),
                ("schedule-power", schedulePower), ("final-lr", finalLr), ("clip-norm", clipNorm),
            ]
        }
    }

    struct AugmentationOptions: ParsableArguments {
        @Flag(help: help("mirror")) var mirror = false
        @Option(help: help("scale")) var scale: String?
        @Option(help: help("rotate")) var rotate: String?
        @Option(help: help("brightness")) var brightness: String?
        @Option(help: help("contrast")) var contrast: String?
        @Option(help: help("gamma")) var gamma: String?
        @Option(help: help("saturation")) var saturation: String?
        @Option(help: help("hue")) var hue: String?
        @Option(help: help("channel-gain")) var channelGain: String?
        @Option(help: help("permute-channels")) var permuteChannels: String?
        @Option(help: help("noise")) var noise: String?
        @Option(help: help("eye-colours")) var eyeColours: String?

        var given: [(String, String?)] {
            [
                ("mirror", mirror ? "true" : nil), ("scale", scale), ("rotate", rotate), ("brightness", brightness),
                ("contrast", contrast), ("gamma", gamma), ("saturation", saturation), ("hue", hue),
                ("channel-gain", channelGain), ("permute-channels", permuteChannels), ("noise", noise),
                ("eye-colours", eyeColours),
            ]
        }
    }

    struct RecordOptions: ParsableArguments {
        @Option(help: help("threads")) var threads: String?
        @Option(help: help("precision")) var precision: String?
        @Option(help: help("transport")) var transport: String?
        @Option(help: help("checkpoint-every")) var checkpointEvery: String?
        @Option(help: help("keep-checkpoints")) var keepCheckpoints: String?
        @Option(help: help("validate-every")) var validateEvery: String?
        @Option(help: help("samples")) var samples: String?
        @Option(help: help("max-bad-records")) var maxBadRecords: String?
        @Option(help: help("shuffle-block")) var shuffleBlock: String?
        @Option(help: help("shuffle-window")) var shuffleWindow: String?
        @Option(help: help("cache")) var cache: String?
        @Option(help: help("cache-size")) var cacheSize: String?
        @Flag(name: .customLong("check-nan"), help: help("check-nan")) var checkNaN = false

        var given: [(String, String?)] {
            [
                ("threads", threads), ("precision", precision), ("transport", transport),
                ("checkpoint-every", checkpointEvery),
                ("keep-checkpoints", keepCheckpoints), ("validate-every", validateEvery), ("samples", samples),
                ("max-bad-records", maxBadRecords), ("shuffle-block", shuffleBlock), ("shuffle-window", shuffleWindow),
                ("cache", cache), ("cache-size", cacheSize), ("check-nan", checkNaN ? "true" : nil),
            ]
        }
    }

    /// Help of a configuration field with its default.
    private static func help(_ name: String) -> ArgumentHelp {
        guard let field = RunConfiguration.fields.first(where: { $0.name == name }) else { return "" }
        let text = field.help.prefix(1).uppercased() + field.help.dropFirst()
        return ArgumentHelp("\(text). (default: \(field.format(RunConfiguration())))", valueName: "value")
    }

    /// Defaults, then the network's recipe, then the run's own configuration when resuming, then the file, then the
    /// command line.
    func resolved() throws -> RunConfiguration {
        if ranks > 1, Launcher.current.isUnderLauncher {
            throw Failure(.usage, "--ranks is for one process; under mpirun the launcher decides the number of ranks")
        }
        // Which network it is, and so which recipe, is known when all have spoken.
        let given = try applied(to: RunConfiguration())
        let start = try given.configuration.withRecipe(of: RunConfiguration())
        var (configuration, saved) = try applied(to: start)
        if configuration.data.isEmpty { throw Failure(.usage, "no data given: vergence train DATA") }
        if configuration.run.isEmpty && !dryRun {
            if resume { throw Failure(.usage, "which run shall go on? --resume needs --run DIR") }
            // All ranks look before any of them makes it.
            configuration.run = try RunFolder.numbered(configuration.model).path
        }
        guard (1...1024).contains(ranks) else { throw Failure(.usage, "--ranks \(ranks): give 1…1024") }
        try configuration.validate()
        if resume {
            let differences = saved.differencesThatForbidResume(configuration)
            if !differences.isEmpty {
                throw Failure(
                    .usage,
                    "a resumed run keeps its configuration, but these differ: \(differences.joined(separator: ", ")); "
                        + "leave them out or start a new run")
            }
        }
        return configuration
    }

    /// What the user says, over `start`. `saved`: what the run that is resumed says.
    private func applied(
        to start: RunConfiguration
    ) throws -> (configuration: RunConfiguration, saved: RunConfiguration) {
        var configuration = start
        if resume, let runFolder {
            let path = RunFolder(path: runFolder).configurationPath
            guard Files.exists(path) else {
                throw Failure(.missingInput, "\(path): no run to resume; leave --resume out to start one")
            }
            try ConfigurationFile.apply(path, to: &configuration)
        }
        let saved = configuration
        if let config { try ConfigurationFile.apply(config, to: &configuration) }
        var given = length.given + optimizer.given + augmentation.given + records.given
        if data != nil, !mixed.isEmpty { throw Failure(.usage, "give DATA or --data FOLDER:WEIGHT, not both") }
        given += [
            ("data", data ?? (mixed.isEmpty ? nil : mixed.joined(separator: ","))), ("run", runFolder),
            ("model", model.model), ("size", model.size), ("init", model.initialWeights),
        ]
        for (name, value) in given {
            if let value { try configuration.set(name, to: value, place: "--\(name)") }
        }
        // A choice between steps and epochs on the command line replaces one in a file.
        if length.epochs != nil, length.steps == nil { configuration.steps = 0 }
        for setting in model.settings {
            let (name, value) = try ModelOptions.pair(setting)
            configuration.settings[name] = value
        }
        return (configuration, saved)
    }

    func run() throws {
        if dryRun {
            let launch = Launcher.current
            guard Launcher.current.rank == 0 else { return }
            try DryRun.print(resolved(), ranks: max(ranks, launch.isUnderLauncher ? Launcher.current.worldSize : 1))
            return
        }
        try TrainingRanks.run(self)
    }
}
