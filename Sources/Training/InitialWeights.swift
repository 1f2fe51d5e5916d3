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
    /// Tensors of the network that were taken, whole or as the first part of larger ones, and all that it has.
    public let loaded: [String]
    public let parts: [String]
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
        let map = Self.map(for: file, among: network.nameMaps, own: own)
        let picture = try PictureChange(file, map, network: own)
        var used: Set<String> = []
        var (loaded, parts, missing, misfits): ([String], [String], [String], [String]) = ([], [], [], [])
        /// Gives the numbers for a tensor that has others now.
        func take(_ name: String, _ shape: Shape, _ current: () -> [Float], _ store: ([Float]) -> Void) throws {
            guard let other = map == nil ? name : map?.name(of: name), file.contains(other) else {
                missing.append(name)
                return
            }
            used.insert(other)
            let tensor = picture.changed(try file.tensor(other, named: name))
            if tensor.shape == shape {
                store(tensor.values)
                loaded.append(name)
            } else if map?.takesParts == true, let values = Self.placing(tensor, in: current(), shape) {
                store(values)
                loaded.append(name)
                parts.append("\(name) \(shape) (\(tensor.shape))")
            } else {
                misfits.append("\(name) \(shape) (there \(tensor.shape))")
            }
        }
        for parameter in state.parameters {
            let base = state.parameterArena.base
            try take(parameter.name, parameter.externalShape, { parameter.exported(from: base) }) {
                parameter.import($0, to: base)
            }
        }
        for slot in state.statisticSlots {
            let arenas = [state.trainingStatistics, state.inferenceStatistics]
            let range = slot.offset..<(slot.offset + slot.count)
            try take(slot.name, [slot.count], { Array(arenas[0][range]) }) { values in
                for arena in arenas { (arena.base + slot.offset).update(from: values, count: slot.count) }
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
        self.parts = parts
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
            ("as the first part of larger ones, the rest drawn at random", parts),
            ("not in the file, drawn at random", missing), ("of another shape, drawn at random", misfits),
            ("in the file, not in the network", unused),
        ] where !names.isEmpty {
            let more = names.count > 6 ? " and \(names.count - 6) more" : ""
            lines.append("\(path): \(names.count) \(what): \(names.prefix(6).joined(separator: ", "))\(more)")
        }
        return lines
    }

    /// The map by which most tensors are found; nil, the network's own names, where no other finds more.
    private static func map(for file: SafeTensorsFile, among maps: [NameMap], own: [String]) -> NameMap? {
        var best: (map: NameMap?, found: Int) = (nil, own.count { file.contains($0) })
        for map in maps {
            let found = own.count { map.name(of: $0).map(file.contains) ?? false }
            if found > best.found { best = (map, found) }
        }
        return best.map
    }

    /// The larger tensor's numbers with those of the smaller at the beginning of every axis; nil if it is none.
    static func placing(_ tensor: NamedTensor, in current: [Float], _ shape: Shape) -> [Float]? {
        guard tensor.shape.rank == shape.rank, shape.rank > 0 else { return nil }
        let axes = 0..<shape.rank
        guard axes.allSatisfy({ tensor.shape[$0] <= shape[$0] }) else { return nil }
        var result = current
        for index in 0..<tensor.shape.count {
            var (rest, stride, offset) = (index, 1, 0)
            for axis in axes.reversed() {
                offset += rest % tensor.shape[axis] * stride
                rest /= tensor.shape[axis]
                stride *= shape[axis]
            }
            result[offset] = tensor.values[index]
        }
        return result
    }
}

/// Changes the layer that reads the picture so that it sees the picture as in its training: exactly, but for borders, where
/// padding with 0 means another colour.
private struct PictureChange {
    private var layer: NameMap.PictureLayer?
    private var hasBias = true
    /// What the offsets add to each of its results.
    private var shift: [Float] = []

    init(_ file: SafeTensorsFile, _ map: NameMap?, network own: [String]) throws {
        guard let layer = map?.pictureLayer, let name = map?.name(of: layer.name + ".weight"), file.contains(name)
        else { return }
        let weight = try file.tensor(name, named: name)
        guard weight.shape.rank == 4, weight.shape[1] == 3 else { return }
        self.layer = layer
        hasBias = own.contains(layer.name + ".bias")
        let taps = weight.shape[2] * weight.shape[3]
        shift = (0..<weight.shape[0]).map { output in
            (0..<(3 * taps)).reduce(0) {
                $0 + weight.values[output * 3 * taps + $1] * layer.change(channel: $1 / taps).offset
            }
        }
    }

    func changed(_ tensor: NamedTensor) -> NamedTensor {
        guard let layer else { return tensor }
        let values: [Float]
        if tensor.name == layer.name + ".weight" {
            let taps = tensor.shape[2] * tensor.shape[3]
            values = tensor.values.enumerated().map { $1 * layer.change(channel: $0 / taps % 3).scale }
        } else if tensor.shape.count != shift.count {
            return tensor
        } else if tensor.name == layer.name + ".bias" {
            values = zip(tensor.values, shift).map { $0 + $1 }
        } else if !hasBias, let norm = layer.norm, tensor.name == norm + ".running_mean" {
            // What is not added is not taken off.
            values = zip(tensor.values, shift).map { $0 - $1 }
        } else {
            return tensor
        }
        return NamedTensor(tensor.name, tensor.shape, values)
    }
}
