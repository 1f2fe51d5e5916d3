import ArgumentParser
import Basics
import Checkpoints
import Exporting
import Training

/// `vergence export`: trained networks for other programs.
struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Writes a checkpoint's network for other programs.",
        discussion: """
            onnx: the network as it predicts, opset 13, for ONNX Runtime and others: pictures in (RGB 0…1, normalised \
            inside), maps out, for one size of pictures and any batch. The file's metadata says what is what.
            safetensors: weights under PyTorch's names and in its layout, loadable by load_state_dict(strict=True) of a \
            module with the same attribute names.
            Examples:
              vergence export --checkpoint run/checkpoints/best.safetensors --output wnet.onnx
              vergence export --checkpoint run/checkpoints/best.safetensors --output wnet.safetensors
            docs/export.md shows how to use both.
            """)

    enum Format: String, CaseIterable, ExpressibleByArgument { case onnx, safetensors }

    @OptionGroup var network: CheckpointOptions
    @Option(help: "onnx or safetensors. (default: by the ending of --output)")
    var format: Format?
    @Option(help: ArgumentHelp("File to write.", valueName: "file"))
    var output: String
    @Option(help: "Height x width of the pictures that an ONNX file takes. (default: that of training)")
    var size: PixelSize?
    @Option(
        help: ArgumentHelp(
            "What an ONNX file gives: maps, or all (also probabilities, logits and views that are among the inputs).",
            valueName: "maps|all"))
    var outputs: ONNXExport.Outputs?

    func run() throws {
        switch try format ?? Self.format(of: output) {
        case .onnx: try writeONNX()
        case .safetensors:
            for (option, isGiven) in [("--size", size != nil), ("--outputs", outputs != nil)] where isGiven {
                throw Failure(.usage, "\(option) is for --format onnx; weights have no size: leave it out")
            }
            try writeSafeTensors()
        }
    }

    private static func format(of path: String) throws -> Format {
        guard let format = Format.allCases.first(where: { path.lowercased().hasSuffix(".\($0.rawValue)") }) else {
            throw Failure(
                .usage, "\(path): its ending does not say the format; give --format onnx or --format safetensors")
        }
        return format
    }

    private func writeSafeTensors() throws {
        let trained = try network.load()
        var tensors = trained.state.exported().map { SafeTensorsWriter.Tensor($0.name, $0.shape, $0.values) }
        // PyTorch's strict loading asks for the counter of every normalisation layer.
        for slot in trained.state.statisticSlots where slot.name.hasSuffix(".running_mean") {
            let layer = slot.name.dropLast(".running_mean".count)
            tensors.append(.init("\(layer).num_batches_tracked", [], .integers([0])))
        }
        try SafeTensorsWriter.write(path: output, tensors: tensors, metadata: ["format": "pt"], checksums: false)
        print("\(tensors.count) tensors in \(output)")
    }

    private func writeONNX() throws {
        let trained = try network.load()
        let given = size.map { (height: $0.height, width: $0.width) }
        guard let size = given ?? trained.network.fixedSize ?? trained.trainingSize else {
            throw Failure(.usage, "the weights do not say at which size they were trained; give --size HxW")
        }
        let export = try ONNXExport(
            trained.network, height: size.height, width: size.width, outputs: outputs ?? .maps,
            origin: .init(
                settings: trained.settings, version: VergenceCommand.version, checkpoint: trained.metadata))
        try export.write(
            path: output, parameters: trained.state.parameterArena, statistics: trained.state.inferenceStatistics)
        print("\(output): \(trained.network.name) for pictures of \(size.height)x\(size.width), batches of any size")
        for (role, ports) in [("takes", export.inputs), ("gives", export.outputs)] {
            for port in ports {
                let shape = (["batch"] + port.dimensions.dropFirst().map { "\($0)" }).joined(separator: ", ")
                print("  \(role) \(port.name) [\(shape)]: \(port.meaning)")
            }
        }
    }
}

extension ONNXExport.Outputs: ExpressibleByArgument {}

/// Options that name a trained network.
struct CheckpointOptions: ParsableArguments {
    @Option(help: ArgumentHelp("A run, a checkpoint of one, or weights under PyTorch's names.", valueName: "run|file"))
    var checkpoint: String
    @Option(help: "Kind of network, for files that do not say.")
    var model = "wnet"
    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("A setting of the network, for files that do not say.", valueName: "name=value"))
    var settings: [String] = []

    func load() throws -> TrainedNetwork {
        let file = try CheckpointPath.file(checkpoint)
        let trained = try TrainedNetwork(path: file, model: model, settings: settings.map(ModelOptions.pair))
        for remark in trained.remarks { Console.warn("\(file): \(remark)") }
        return trained
    }
}
