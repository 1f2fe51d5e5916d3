import ArgumentParser
import Basics
import Checkpoints

/// `vergence import`: weights of others as `train --init` reads them.
struct ImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Turns a file of torch.save (.pth) into safetensors, for train --init.",
        discussion: """
            Reads dictionaries of tensors, such as torchvision's weights; executes nothing that stands in them.
            Example: vergence import vgg16-397923af.pth --output vgg16.safetensors
            """)

    @Argument(help: ArgumentHelp("File that torch.save wrote.", valueName: "file"))
    var file: String
    @Option(help: ArgumentHelp("Safetensors file to write.", valueName: "file"))
    var output: String

    func run() throws {
        let content = try TorchFile(path: file)
        var names: Set<String> = []
        let tensors = try content.tensors.map { tensor in
            let name = Self.modernName(tensor.name)
            guard names.insert(name).inserted else {
                throw Failure(.badData, "\(file): has the tensor \(name) twice; check the path")
            }
            return SafeTensorsWriter.Tensor(name, tensor.shape, tensor.values)
        }
        try SafeTensorsWriter.write(path: output, tensors: tensors, metadata: ["format": "pt"], checksums: false)
        print("\(tensors.count) tensors in \(output)")
    }

    /// torchvision's oldest DenseNets say `denselayer1.norm.1.weight` where its modules are called `denselayer1.norm1`.
    static func modernName(_ name: String) -> String {
        var parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard let index = parts.firstIndex(where: { $0.hasPrefix("denselayer") }), parts.count > index + 2,
            ["norm", "conv"].contains(parts[index + 1]), ["1", "2"].contains(parts[index + 2])
        else { return name }
        parts.replaceSubrange((index + 1)...(index + 2), with: [parts[index + 1] + parts[index + 2]])
        return parts.joined(separator: ".")
    }
}
