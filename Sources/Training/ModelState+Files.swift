import Basics
import Checkpoints
import Graphs
import Kernels
import Models
import Tensors

extension ModelState {
    /// Memory for a network's numbers, parameters zero.
    public static func empty(for network: any Network) throws -> ModelState {
        ModelState(inferenceGraph: try inferenceGraph(of: network), recipe: network.recipe)
    }

    /// Lengths of the arenas, without the memory.
    static func counts(for network: any Network) throws -> (parameters: Int, statistics: Int) {
        counts(inferenceGraph: try inferenceGraph(of: network))
    }

    private static func inferenceGraph(of network: any Network) throws -> Graph {
        let size = network.sampleSize
        return try NetworkGraph(network, .inspection, batch: 1, height: size.height, width: size.width).graph
    }

    /// Reads parameters and inference statistics under PyTorch's names. Training's statistics start from the same values.
    /// Tensors with other names (optimizer state, counters) are left alone.
    /// - Throws: `Failure` (bad data) naming the tensor that is missing or has another shape.
    public func load(_ file: SafeTensorsFile) throws {
        for parameter in parameters {
            let tensor = try file.tensor(parameter.name, named: parameter.name)
            guard tensor.shape == parameter.externalShape else {
                throw Failure(
                    .badData,
                    "\(file.path): \(parameter.name) is \(tensor.shape), the model needs \(parameter.externalShape); "
                        + "is this a checkpoint of another model or of other settings?")
            }
            parameter.import(tensor.values, to: parameterArena.base)
        }
        for slot in statisticSlots {
            let tensor = try file.tensor(slot.name, named: slot.name)
            guard tensor.shape == [slot.count] else {
                throw Failure(
                    .badData,
                    "\(file.path): \(slot.name) is \(tensor.shape), the model needs \(slot.count); "
                        + "is this a checkpoint of another model or of other settings?")
            }
            for arena in [trainingStatistics, inferenceStatistics] {
                (arena.base + slot.offset).update(from: tensor.values, count: slot.count)
            }
        }
    }

    /// Parameters and inference statistics under PyTorch's names and in its order.
    public func exported() -> [NamedTensor] {
        exported(parameterArena, prefix: "") + exported(statistics: inferenceStatistics, prefix: "")
    }

    /// What an arena holds for each parameter.
    func exported(_ arena: FloatArena, prefix: String) -> [NamedTensor] {
        parameters.map { NamedTensor(prefix + $0.name, $0.externalShape, $0.exported(from: arena.base)) }
    }

    func exported(statistics arena: FloatArena, prefix: String) -> [NamedTensor] {
        statisticSlots.map {
            NamedTensor(prefix + $0.name, [$0.count], Array(arena[$0.offset..<($0.offset + $0.count)]))
        }
    }
}

extension SafeTensorsFile {
    /// A tensor of the file under another name.
    /// - Throws: `Failure` (bad data) if there is none.
    public func tensor(_ name: String, named newName: String) throws -> NamedTensor {
        guard let shape = shape(of: name) else {
            throw Failure(
                .badData,
                "\(path): has no tensor \(name)\(suggestion(for: name, among: names)); is this a file of another model?"
            )
        }
        return NamedTensor(newName, shape, try floats(of: name))
    }
}
