import ArgumentParser
import Basics
import Checkpoints
import Foundation
import Graphs
import Kernels
import Models
import Tensors
import Threads
import Training

/// `vergence debug …`: one process, no launcher.
struct DebugCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "debug",
        abstract: "Looks inside: one step, a trajectory, gradients, the graph, a run's past. One process.",
        subcommands: [
            DebugStepCommand.self, TrajectoryCommand.self, GradientCheckCommand.self, DebugReplayCommand.self,
            DebugCompareCommand.self, GraphCommand.self,
        ])
}

/// Options that name a network.
struct ModelOptions: ParsableArguments {
    @Option(help: "Kind of network: \(NetworkRegistry.all.map { $0.name }.joined(separator: ", ")).")
    var model = "wnet"

    @Option(name: .customLong("set"), help: "A setting of the network, name=value; may be given several times.")
    var settings: [String] = []

    func network() throws -> any Network {
        try NetworkRegistry.make(model, settings: settings.map(Self.pair))
    }

    static func pair(_ text: String) throws -> (name: String, value: String) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty else {
            throw Failure(.usage, "--set \(text): write name=value, e.g. --set width=16")
        }
        return (String(parts[0]), String(parts[1]))
    }
}

/// Options about the machine.
struct MachineOptions: ParsableArguments {
    @Option(help: "Compute threads; 0 = the cores this process may use.")
    var threads = 0
    @Option(help: "Operands of convolutions: float32 or bf16.")
    var precision = Precision.float32

    func kernels() throws -> KernelContext {
        guard (0...4096).contains(threads) else { throw Failure(.usage, "--threads \(threads): give 0…4096") }
        return Machine.kernels(threads: threads, ranksOnHost: 1, precision: precision)
    }
}

struct DebugStepCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "step", abstract: "Runs one forward (and backward) pass and dumps every tensor.",
        discussion: """
            Example: vergence debug step --set width=8 --set levels=8 --set dropout=0 --weights w.safetensors \
            --batch b.safetensors --mode train --dump out.safetensors
            """)

    @OptionGroup var model: ModelOptions
    @OptionGroup var machine: MachineOptions
    @Option(help: "Safetensors file with the network's tensors under PyTorch's names and layout.")
    var weights: String
    @Option(
        help: """
            Safetensors file with input.FIELD and target.FIELD, [batch, channels, height, width], as the layers and the \
            loss take them.
            """)
    var batch: String
    @Option(help: "eval: stored statistics; train: batch statistics, dropout, gradients.")
    var mode: DebugStep.Mode = .eval
    @Option(help: "Safetensors file to write.")
    var dump: String

    func run() throws {
        let network = try model.network()
        let state = try ModelState.empty(for: network)
        try state.load(try SafeTensorsFile(path: weights))
        let batchFile = try SafeTensorsFile(path: batch)
        var fields: [NamedTensor] = []
        for field in network.graphFields {
            let name = "\(field.role == .input ? "input" : "target").\(field.name)"
            // An evaluation does without targets.
            if field.role == .target, mode == .eval, !batchFile.names.contains(name) { continue }
            fields.append(try batchFile.tensor(name, named: field.name))
        }
        let results = try DebugStep.run(
            network: network, state: state, fields: fields, mode: mode, kernels: machine.kernels())
        try SafeTensorsWriter.write(
            path: dump,
            tensors: (fields.map { field in
                let isInput = network.inputs.contains { $0.name == field.name }
                return NamedTensor("\(isInput ? "input" : "target").\(field.name)", field.shape, field.values)
            } + results)
            .map { SafeTensorsWriter.Tensor($0.name, $0.shape, $0.values) },
            metadata: ["model": network.name, "mode": mode.rawValue])
        for result in results where result.shape.rank == 0 { print("\(result.name) \(result.values[0])") }
        print("\(results.count) tensors in \(dump)")
    }
}

extension DebugStep.Mode: ExpressibleByArgument {}
extension Precision: ExpressibleByArgument {}

struct TrajectoryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trajectory", abstract: "Runs one training step per batch of a file and prints the losses.",
        discussion: """
            Example: vergence debug trajectory --set width=8 --set levels=8 --set dropout=0 --weights w.safetensors \
            --batches b.safetensors --optimizer adam --lr 0.001 --json -
            """)

    @OptionGroup var model: ModelOptions
    @OptionGroup var machine: MachineOptions
    @Option(help: "Safetensors file with the network's tensors.")
    var weights: String
    @Option(help: "Safetensors file with one tensor per input and target, [steps, batch, channels, height, width].")
    var batches: String
    @Option(help: "adam, adamw or sgd.")
    var optimizer = "adam"
    @Option(help: "Learning rate.")
    var lr = 0.001
    @Option(help: "sgd: momentum.")
    var momentum = 0.9
    @Flag(help: "sgd: Nesterov's momentum.")
    var nesterov = false
    @Option(help: "Weight decay.")
    var weightDecay = 0.0
    @Option(help: "Write the result as JSON to this file; - for standard output.")
    var json: String?

    func run() throws {
        var configuration = RunConfiguration()
        try configuration.set("optimizer", to: optimizer, place: "--optimizer")
        configuration.learningRate = lr
        configuration.momentum = momentum
        configuration.nesterov = nesterov
        configuration.weightDecay = weightDecay
        let network = try model.network()
        let state = try ModelState.empty(for: network)
        try state.load(try SafeTensorsFile(path: weights))
        let file = try SafeTensorsFile(path: batches)
        let fields = try network.graphFields.map { try file.tensor($0.name, named: $0.name) }
        let losses = try Trajectory.run(
            network: network, state: state, fields: fields, configuration: configuration, kernels: machine.kernels())
        if let json {
            try JSONOutput.write(["optimizer": optimizer, "lr": lr, "loss": losses.map(Double.init)], to: json)
        } else {
            for (step, loss) in losses.enumerated() { print("\(step) \(loss)") }
        }
    }
}

struct GradientCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gradcheck",
        abstract: "Compares each parameter's gradient with finite differences along its direction.",
        discussion: "Example: vergence debug gradcheck --set width=4 --set levels=8 --size 32x48")

    @OptionGroup var model: ModelOptions
    @OptionGroup var machine: MachineOptions
    @Option(help: "Height x width.")
    var size = PixelSize(height: 32, width: 48)
    @Option(help: "Samples.")
    var batch = 2
    @Option(help: "Seed of weights, pictures and directions.")
    var seed: UInt64 = 1
    @Option(help: "Largest relative difference that passes.")
    var tolerance = 0.02

    func run() throws {
        guard batch > 0 else { throw Failure(.usage, "--batch \(batch): give at least 1") }
        guard tolerance > 0 else { throw Failure(.usage, "--tolerance \(tolerance): give more than 0") }
        let report = try GradientCheck.run(
            network: model.network(), batch: batch, height: size.height, width: size.width, seed: seed,
            tolerance: tolerance, kernels: machine.kernels())
        for row in report.rows {
            print(
                "\(row.verdict) \(row.parameter): analytic \(row.analytic), finite difference \(row.measured), "
                    + "rounding \(row.noise)" + (row.note.isEmpty ? "" : " (\(row.note))"))
        }
        func count(_ verdict: GradientCheck.Verdict) -> Int { report.rows.filter { $0.verdict == verdict }.count }
        print("\(count(.agrees)) agree, \(count(.disagrees)) disagree, \(count(.hidden)) hidden by rounding")
        if count(.agrees) == 0 {
            throw Failure(
                .internalFault, "no gradient stands out of the rounding; give a larger --size or another --seed")
        }
        if let first = report.rows.first(where: { $0.verdict == .disagrees }) {
            throw Failure(.internalFault, "the gradient of \(first.parameter) disagrees with finite differences")
        }
    }
}

struct GraphCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "graph", abstract: "Prints the network's graph, or draws it.",
        discussion: """
            Examples:
              vergence debug graph --summary
              vergence debug graph --purpose prediction --size 64x96 --svg wnet.svg
            """)

    enum Purpose: String, CaseIterable, ExpressibleByArgument { case training, calibration, evaluation, prediction }

    @OptionGroup var model: ModelOptions
    @Option(help: "Height x width. (default: the network's only size, or 192x336)")
    var size: PixelSize?
    @Option(help: "Samples.")
    var batch = 1
    @Option(help: "training (with gradients), calibration, evaluation or prediction.")
    var purpose: Purpose = .evaluation
    @Flag(help: "The layers: type, output shape, number of parameters.")
    var summary = false
    @Flag(help: "The parameters: name, shape, number of elements.")
    var parameters = false
    @Option(help: "Draw the graph into this SVG file.")
    var svg: String?

    func run() throws {
        let purpose: NetworkGraph.Purpose =
            switch purpose {
            case .training: .training
            case .calibration: .calibration
            case .evaluation: .evaluation
            case .prediction: .prediction
            }
        guard batch > 0 else { throw Failure(.usage, "--batch \(batch): give at least 1") }
        let network = try model.network()
        let own = size.map { ($0.height, $0.width) } ?? network.fixedSize ?? (192, 336)
        let built = try NetworkGraph(network, purpose, batch: batch, height: own.0, width: own.1)
        let graph = built.graph
        if let svg {
            try AtomicFileWriter.write(GraphPicture(graph).svg(), to: svg)
            print("drawn in \(svg)")
        }
        if summary {
            print(built.summary(), terminator: "")
        }
        if parameters { print(graph.parameterListing(), terminator: "") }
        if !summary, !parameters, svg == nil {
            print(graph.listing(), terminator: "")
        }
    }
}

/// `HxW` on the command line.
extension PixelSize: ExpressibleByArgument {
    public init?(argument: String) { self.init(text: argument) }

    public var defaultValueDescription: String { description }
}

/// Results for programs.
enum JSONOutput {
    static func write(_ object: [String: Any], to path: String) throws {
        let data = try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .prettyPrinted])
        var text = String(decoding: data, as: UTF8.self)
        text += "\n"
        if path == "-" {
            print(text, terminator: "")
        } else {
            try AtomicFileWriter.write(text, to: path)
        }
    }
}
