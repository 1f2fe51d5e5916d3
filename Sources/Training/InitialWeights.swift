import Basics
import Checkpoints
import Models
import Tensors

/// Weights of a file that a new run starts from (`--init`), in the place of drawn ones: a checkpoint of any network here, or
/// weights of others as safetensors. What fits by name and shape is taken, everything else keeps what was drawn.
public struct InitialWeights: Sendable {
    public let path: String
    /// Whose names the file has; nil: the network's own.
    public let nameMap: String?
    /// Tensors of the network that were taken, and all that it has.
    public let loaded: [String]
    public let tensorCount: Int
    /// Tensors of the network that the file lacks.
    public let missing: [String]
    /// Tensors that are there in another shape.
    public let misfits: [String]
    /// Tensors of the file that the network does not have. What a run keeps beside weights is none of them.
    public let unused: [String]

    /// Reads what fits into a network's state.
    /// - Throws: `Failure` (missing input, bad data) if the file is none or nothing fits.
    public init(path: String, into state: ModelState, of network: any Network) throws {
        let file = try SafeTensorsFile(path: path)
        let own = state.parameters.map(\.name) + state.statisticSlots.map(\.name)
        // The map by which most tensors are found; the network's own names where no other finds more.
        var map: NameMap?
        var found = own.count { file.contains($0) }
        for candidate in type(of: network).nameMaps {
            let count = own.count { candidate.name(of: $0).map(file.contains) ?? false }
            if count > found { (map, found) = (candidate, count) }
        }
        func source(_ name: String) -> String? {
            let other = map.map { $0.name(of: name) } ?? name
            return other.flatMap { file.contains($0) ? $0 : nil }
        }
        var used: Set<String> = []
        var (loaded, missing, misfits): ([String], [String], [String]) = ([], [], [])
        func take(_ name: String, _ shape: Shape, _ body: ([Float]) -> Void) throws {
            guard let other = source(name) else {
                missing.append(name)
                return
            }
            used.insert(other)
            let tensor = try file.tensor(other, named: name)
            guard tensor.shape == shape else {
                misfits.append("\(name) \(shape) (there \(tensor.shape))")
                return
            }
            body(tensor.values)
            loaded.append(name)
        }
        for parameter in state.parameters {
            try take(parameter.name, parameter.externalShape) { parameter.import($0, to: state.parameterArena.base) }
        }
        for slot in state.statisticSlots {
            try take(slot.name, [slot.count]) { values in
                for arena in [state.trainingStatistics, state.inferenceStatistics] {
                    (arena.base + slot.offset).update(from: values, count: slot.count)
                }
            }
        }
        guard !loaded.isEmpty else {
            let reason =
                misfits.first.map { "has no tensor of a shape that fits: \($0)" }
                ?? "has none of its tensors, such as \(own.first ?? "any")"
            throw Failure(.badData, "\(path): --init of \(network.name) \(reason); is this a file of another model?")
        }
        self.path = path
        nameMap = map?.source
        self.loaded = loaded
        tensorCount = own.count
        self.missing = missing
        self.misfits = misfits
        unused = file.names.filter {
            !used.contains($0) && !$0.hasPrefix("optimizer.") && !$0.hasPrefix("training.")
                && !$0.hasSuffix(".num_batches_tracked")
        }
    }

    /// What a user should know, one line each.
    public var description: [String] {
        var lines = [
            "\(path): \(loaded.count) of \(tensorCount) tensors taken" + (nameMap.map { ", named as in \($0)" } ?? "")
        ]
        for (what, names) in [
            ("not in the file, drawn at random", missing), ("of another shape, drawn at random", misfits),
            ("in the file, not in the network", unused),
        ] where !names.isEmpty {
            let more = names.count > 6 ? " and \(names.count - 6) more" : ""
            lines.append("\(path): \(names.count) \(what): \(names.prefix(6).joined(separator: ", "))\(more)")
        }
        return lines
    }
}
