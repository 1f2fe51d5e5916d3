import Basics
import Collectives
import Kernels
import Models
import Streaming

/// Everything that decides what a training run computes and keeps, as one value: resolved from defaults, a file and the
/// command line, printed, and saved with the run.
public struct RunConfiguration: Sendable, Equatable {
    public enum OptimizerKind: String, Sendable, CaseIterable { case adam, adamw, sgd }
    public enum ScheduleKind: String, Sendable, CaseIterable { case constant, step, polynomial, cosine, plateau }

    public var data = ""
    public var run = ""
    public var model = "wnet"
    /// Settings of the model that were given; the model knows the others.
    public var settings: [String: String] = [:]
    /// Height and width that are cut out of the records; nil is the network's only size, or all of a record.
    public var size: (height: Int, width: Int)?
    /// A file of weights that step 0 starts from; empty: drawn ones.
    public var initialWeights = ""

    /// Lanes of the global batch: micro-batches with statistics of their own. Independent of the number of ranks.
    public var lanes = 2
    public var laneBatch = 3
    public var epochs = 10
    /// Overrides `epochs` when positive.
    public var steps = 0
    public var seed: UInt64 = 1

    public var optimizer = OptimizerKind.adam
    public var learningRate = 1e-3
    public var momentum = 0.9
    public var nesterov = false
    public var weightDecay = 0.0
    public var beta1 = 0.9
    public var beta2 = 0.999
    public var epsilon = 1e-8
    public var amsgrad = false
    public var absoluteDecay = false
    public var schedule = ScheduleKind.constant
    public var warmup = 0
    public var scheduleSteps = 1000
    public var scheduleGamma = 0.1
    public var schedulePower = 0.9
    public var scheduleByEpoch = false
    public var plateauPatience = 2
    public var plateauThreshold = 1e-4
    public var finalLearningRate = 0.0
    public var clipNorm = 0.0

    public var augmentation = AugmentationOptions()

    /// How records of an epoch are mixed.
    public var shuffleBlock = 1
    public var shuffleWindow = 16
    /// Folder for copies of shards; empty = none.
    public var cache = ""
    /// Its largest size, GB.
    public var cacheSize = 100.0

    public var threads = 0
    public var precision = Precision.float32
    public var transport = Transport.float32
    public var checkpointEvery = 200
    public var keepCheckpoints = 2
    public var maxBadRecords = 0
    public var validateEvery = 1
    public var samples = 4
    public var checkNaN = false

    public init() {}

    /// Records of one step over all lanes.
    public var globalBatch: Int { lanes * laneBatch }

    /// `start` with the values of the recipe of this configuration's network.
    /// - Throws: `Failure` or `SettingError` (usage) if there is no such network.
    public func withRecipe(of start: RunConfiguration) throws -> RunConfiguration {
        let network = try makeNetwork()
        var result = start
        for (name, value) in network.recipe.options {
            try result.set(name, to: value, place: "recipe of \(network.name)")
        }
        return result
    }

    public static func == (a: Self, b: Self) -> Bool {
        a.settings == b.settings && fields.allSatisfy { $0.format(a) == $0.format(b) }
    }
}

/// One named value of a configuration: the same name is the long option, the key in the YAML file, and what messages use.
public struct ConfigurationField: Sendable {
    public let name: String
    public let group: String
    public let help: String
    /// Whether a resumed run may have another value: it changes no weight, or only how far the run goes.
    public let mayChangeOnResume: Bool
    /// Whether its default goes without saying in what checkpoints remember: so for options that came after checkpoints
    /// which must still be resumed.
    var isSilentAtDefault = false
    /// - Throws: a reason, e.g. "give a whole number of at least 1".
    let parse: @Sendable (String, inout RunConfiguration) throws(Reason) -> Void
    public let format: @Sendable (RunConfiguration) -> String

    struct Reason: Error { let text: String }
}

extension RunConfiguration {
    /// All fields but `set`, in the order in which they are printed and saved.
    public static let fields: [ConfigurationField] =
        [
            text("data", "data", "folder of shards, or several: FOLDER:WEIGHT,FOLDER:WEIGHT", \.data, mayChange: true),
            silent(
                integer(
                    "shuffle-block", "data", "neighbouring records that are read together; 1 = any order",
                    \.shuffleBlock, 1...1_000_000)),
            silent(
                integer(
                    "shuffle-window", "data", "blocks whose records are mixed with one another", \.shuffleWindow,
                    1...1_000_000)),
            text(
                "cache", "data", "folder on this machine for copies of shards that lie far away", \.cache,
                mayChange: true),
            number("cache-size", "data", "largest size of the cache, GB", \.cacheSize, 0.001...1e9, mayChange: true),
            text("run", "run", "folder for everything that the run writes", \.run, mayChange: true),
            text("model", "model", "kind of network", \.model),
            sizeField,
            text(
                "init", "model", "safetensors file of weights to start from; what fits by name and shape is taken",
                \.initialWeights, mayChange: true),
            integer("lanes", "batch", "micro-batches of a step, with statistics of their own", \.lanes, 1...65_536),
            integer("lane-batch", "batch", "records of a lane", \.laneBatch, 1...65_536),
            integer("epochs", "length", "passes over the training records", \.epochs, 1...1_000_000, mayChange: true),
            integer(
                "steps", "length", "steps in all; overrides epochs", \.steps, 0...1_000_000_000_000, mayChange: true),
            seedField,
            choice("optimizer", "optimizer", "adam, adamw or sgd", \.optimizer),
            number("lr", "optimizer", "learning rate", \.learningRate, 0...1e6),
            number("momentum", "optimizer", "sgd: momentum", \.momentum, 0...1),
            boolean("nesterov", "optimizer", "sgd: Nesterov's momentum", \.nesterov),
            number("weight-decay", "optimizer", "weight decay", \.weightDecay, 0...1e6),
            number("beta1", "optimizer", "adam: decay of the first moment", \.beta1, 0...0.999999),
            number("beta2", "optimizer", "adam: decay of the second moment", \.beta2, 0...0.9999999),
            number("epsilon", "optimizer", "adam: added to the root", \.epsilon, 0...1),
            boolean("amsgrad", "optimizer", "adam: largest second moment so far", \.amsgrad),
            boolean(
                "absolute-decay", "optimizer", "adamw: decay by itself, not times the learning rate", \.absoluteDecay),
            choice(
                "schedule", "optimizer", "learning rate over steps: constant, step, polynomial, cosine or plateau",
                \.schedule),
            integer("warmup", "optimizer", "steps of linear warm-up", \.warmup, 0...Int.max),
            integer("schedule-steps", "optimizer", "step schedule: steps between drops", \.scheduleSteps, 1...Int.max),
            number(
                "schedule-gamma", "optimizer", "step and plateau schedule: factor of a drop", \.scheduleGamma, 0...1),
            number("schedule-power", "optimizer", "polynomial schedule: exponent", \.schedulePower, 0...100),
            boolean(
                "schedule-by-epoch", "optimizer", "the rate changes at the start of epochs only", \.scheduleByEpoch),
            integer(
                "plateau-patience", "optimizer", "plateau schedule: validations without progress that are borne",
                \.plateauPatience, 0...1_000_000),
            number(
                "plateau-threshold", "optimizer", "plateau schedule: part of the best loss that counts as progress",
                \.plateauThreshold, 0...1),
            number(
                "final-lr", "optimizer", "polynomial, cosine and plateau: rate at the end", \.finalLearningRate, 0...1e6
            ),
            number("clip-norm", "optimizer", "largest norm of the gradient; 0 = no clipping", \.clipNorm, 0...1e30),
        ] + augmentationFields + [
            integer(
                "threads", "machine", "compute threads per rank; 0 = the cores this rank may use", \.threads, 0...4096,
                mayChange: true),
            choice("precision", "machine", "operands of convolutions: float32 or bf16", \.precision),
            choice("transport", "machine", "gradients between lanes and ranks: float32 or bf16", \.transport),
            integer(
                "checkpoint-every", "records", "steps between checkpoints", \.checkpointEvery, 1...Int.max,
                mayChange: true),
            integer(
                "keep-checkpoints", "records", "checkpoints kept by step, the last one among them", \.keepCheckpoints,
                0...1_000_000, mayChange: true),
            integer(
                "validate-every", "records", "epochs between validations", \.validateEvery, 1...Int.max, mayChange: true
            ),
            integer("samples", "records", "validation pairs drawn as pictures", \.samples, 0...64, mayChange: true),
            integer(
                "max-bad-records", "records", "damaged training records that others may stand in for", \.maxBadRecords,
                0...1_000_000_000, mayChange: true),
            boolean(
                "check-nan", "debugging", "look at every result; name the first bad node", \.checkNaN, mayChange: true),
        ]

    /// Sets a field from text.
    /// - Throws: `Failure` (usage) for an unknown name or a value that does not fit; `place` says where it stood.
    public mutating func set(_ name: String, to value: String, place: String) throws {
        guard let field = Self.fields.first(where: { $0.name == name }) else {
            let names = Self.fields.map(\.name) + ["set"]
            throw Failure(.usage, "\(place): unknown setting '\(name)'\(suggestion(for: name, among: names))")
        }
        do throws(ConfigurationField.Reason) {
            try field.parse(value, &self)
        } catch {
            throw Failure(.usage, "\(place): \(name) is '\(value)'; \(error.text)")
        }
    }

    /// Checks that need more than one field.
    public func validate() throws {
        if nesterov && momentum == 0 { throw Failure(.usage, "nesterov needs a momentum above 0") }
    }

    /// What the other configuration changes of what may not change when a run is resumed.
    public func differencesThatForbidResume(_ other: RunConfiguration) -> [String] {
        var result = Self.fields.filter { !$0.mayChangeOnResume && $0.format(self) != $0.format(other) }
            .map { "\($0.name) \($0.format(self)) → \($0.format(other))" }
        if settings != other.settings { result.append("set") }
        return result
    }

    /// A field that came after checkpoints which must still be resumed.
    private static func silent(_ field: ConfigurationField) -> ConfigurationField {
        var field = field
        field.isSilentAtDefault = true
        return field
    }

    private static func text(
        _ name: String, _ group: String, _ help: String, _ path: WritableKeyPath<RunConfiguration, String> & Sendable,
        mayChange: Bool = false
    ) -> ConfigurationField {
        .init(
            name: name, group: group, help: help, mayChangeOnResume: mayChange,
            parse: { text, configuration throws(ConfigurationField.Reason) in configuration[keyPath: path] = text },
            format: { $0[keyPath: path] })
    }

    private static func integer(
        _ name: String, _ group: String, _ help: String, _ path: WritableKeyPath<RunConfiguration, Int> & Sendable,
        _ range: ClosedRange<Int>, mayChange: Bool = false
    ) -> ConfigurationField {
        .init(
            name: name, group: group, help: help, mayChangeOnResume: mayChange,
            parse: { text, configuration throws(ConfigurationField.Reason) in
                guard let value = Int(text), range.contains(value) else {
                    let limits =
                        range.upperBound == .max
                        ? "of at least \(range.lowerBound)" : "in \(range.lowerBound)…\(range.upperBound)"
                    throw .init(text: "give a whole number \(limits)")
                }
                configuration[keyPath: path] = value
            }, format: { "\($0[keyPath: path])" })
    }

    private static func number(
        _ name: String, _ group: String, _ help: String, _ path: WritableKeyPath<RunConfiguration, Double> & Sendable,
        _ range: ClosedRange<Double>, mayChange: Bool = false
    ) -> ConfigurationField {
        .init(
            name: name, group: group, help: help, mayChangeOnResume: mayChange,
            parse: { text, configuration throws(ConfigurationField.Reason) in
                guard let value = Double(text), range.contains(value) else {
                    throw .init(text: "give a number in \(range.lowerBound)…\(range.upperBound)")
                }
                configuration[keyPath: path] = value
            }, format: { "\($0[keyPath: path])" })
    }

    private static func boolean(
        _ name: String, _ group: String, _ help: String, _ path: WritableKeyPath<RunConfiguration, Bool> & Sendable,
        mayChange: Bool = false
    ) -> ConfigurationField {
        .init(
            name: name, group: group, help: help, mayChangeOnResume: mayChange,
            parse: { text, configuration throws(ConfigurationField.Reason) in
                guard let value = Bool(text) else { throw .init(text: "give true or false") }
                configuration[keyPath: path] = value
            }, format: { "\($0[keyPath: path])" })
    }

    private static func choice<Choice: RawRepresentable & CaseIterable & Sendable>(
        _ name: String, _ group: String, _ help: String, _ path: WritableKeyPath<RunConfiguration, Choice> & Sendable
    ) -> ConfigurationField where Choice.RawValue == String {
        .init(
            name: name, group: group, help: help, mayChangeOnResume: false,
            parse: { text, configuration throws(ConfigurationField.Reason) in
                guard let value = Choice(rawValue: text) else {
                    let names = Choice.allCases.map(\.rawValue)
                    throw .init(
                        text: "choose one of \(names.joined(separator: ", "))\(suggestion(for: text, among: names))")
                }
                configuration[keyPath: path] = value
            }, format: { $0[keyPath: path].rawValue })
    }

    private static let augmentationFields = AugmentationOptions.fields.map { field in
        ConfigurationField(
            name: field.name, group: "augmentation", help: field.help, mayChangeOnResume: false,
            isSilentAtDefault: !["mirror", "brightness", "gamma"].contains(field.name),
            parse: { text, configuration throws(ConfigurationField.Reason) in
                if let problem = field.parse(text, &configuration.augmentation) { throw .init(text: problem) }
            }, format: { field.format($0.augmentation) })
    }

    private static let sizeField = ConfigurationField(
        name: "size", group: "model", help: "height x width that is cut out of larger records, at random; empty = all",
        mayChangeOnResume: false,
        parse: { text, configuration throws(ConfigurationField.Reason) in
            if text.isEmpty {
                configuration.size = nil
                return
            }
            let parts = text.lowercased().split(separator: "x").map { Int($0) }
            guard parts.count == 2, let height = parts[0], let width = parts[1], (1...65_536).contains(height),
                (1...65_536).contains(width)
            else { throw .init(text: "give height x width, e.g. 224x224") }
            configuration.size = (height, width)
        }, format: { $0.size.map { "\($0.height)x\($0.width)" } ?? "" })

    private static let seedField = ConfigurationField(
        name: "seed", group: "length", help: "seed of every random number", mayChangeOnResume: false,
        parse: { text, configuration throws(ConfigurationField.Reason) in
            guard let value = UInt64(text) else { throw .init(text: "give a whole number of at least 0") }
            configuration.seed = value
        }, format: { "\($0.seed)" })
}
