import ArgumentParser
import Basics
import Checkpoints
import Training

/// `vergence export`: weights for other tools.
struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Writes a checkpoint's network for other tools.",
        discussion: """
            safetensors: PyTorch's names and layout, loadable by load_state_dict(strict=True) of a module with the same \
            attribute names.
            Example: vergence export --checkpoint run/checkpoints/best.safetensors --format safetensors --output wnet.safetensors
            """)

    enum Format: String, CaseIterable, ExpressibleByArgument { case safetensors }

    @OptionGroup var network: CheckpointOptions
    @Option(help: "safetensors.")
    var format: Format = .safetensors
    @Option(help: ArgumentHelp("File to write.", valueName: "file"))
    var output: String

    func run() throws {
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
}

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
