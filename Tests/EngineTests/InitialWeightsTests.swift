import Basics
import Checkpoints
import Models
import Tensors
import TestSupport
import Testing

@testable import Training

/// `--init`: what fits by name and shape is taken, the rest is said.
@Suite struct InitialWeightsTests {
    static func state(_ network: any Network, seed: UInt64) throws -> ModelState {
        let state = try ModelState.empty(for: network)
        state.initialize(seed: seed)
        return state
    }

    static func write(_ tensors: [NamedTensor], _ path: String) throws {
        try SafeTensorsWriter.write(
            path: path, tensors: tensors.map { SafeTensorsWriter.Tensor($0.name, $0.shape, $0.values) }, metadata: [:])
    }

    static func eigen(_ name: String, hidden: Int = 8) throws -> any Network {
        try NetworkRegistry.make(name, settings: [("hidden", "\(hidden)")])
    }

    @Test(arguments: ["coarse.", ""])
    func coarseWeightsGoIntoTheFineNetwork(prefix: String) throws {
        let folder = TemporaryFolder()
        let coarse = try Self.state(Self.eigen("eigen-coarse"), seed: 3)
        let path = folder.path + "/coarse.safetensors"
        let optimizer = NamedTensor("optimizer.momentum.coarse.conv1.bias", [1], [1])
        try Self.write(
            coarse.exported().map { NamedTensor(prefix + $0.name.dropFirst(7), $0.shape, $0.values) } + [optimizer],
            path)
        let network = try Self.eigen("eigen-fine")
        let fine = try Self.state(network, seed: 4)
        let drawn = Dictionary(uniqueKeysWithValues: fine.exported().map { ($0.name, $0.values) })
        let report = try InitialWeights(path: path, into: fine, of: network)
        let given = Dictionary(uniqueKeysWithValues: coarse.exported().map { ($0.name, $0.values) })
        for tensor in fine.exported() {
            #expect(tensor.values == given[tensor.name] ?? drawn[tensor.name], "\(tensor.name)")
        }
        #expect(report.loaded.count == 14 && report.missing.count == 6 && report.unused.isEmpty)
        #expect(report.missing.allSatisfy { $0.hasPrefix("fine.") } && report.misfits.isEmpty)
        #expect((report.nameMap == nil) == (prefix == "coarse."))
        #expect(report.description.count == 2 && report.description[0].contains("14 of 20 tensors taken"))
    }

    @Test func otherShapesAreSaid() throws {
        let folder = TemporaryFolder()
        let path = folder.path + "/other.safetensors"
        let small = try Self.state(Self.eigen("eigen-coarse", hidden: 4), seed: 3)
        try Self.write(small.exported() + [NamedTensor("classifier.weight", [1], [1])], path)
        let network = try Self.eigen("eigen-coarse")
        let report = try InitialWeights(path: path, into: Self.state(network, seed: 1), of: network)
        #expect(report.misfits.count == 3 && report.loaded.count == 11 && report.unused == ["classifier.weight"])
        #expect(report.description.contains { $0.contains("coarse.full1.bias [8] (there [4])") })
        #expect(report.description.contains { $0.hasSuffix("1 in the file, not in the network: classifier.weight") })
    }

    @Test func statisticsComeAlong() throws {
        let folder = TemporaryFolder()
        let path = folder.path + "/mask.safetensors"
        let network = try NetworkRegistry.make("masknet3", settings: [])
        let source = try ModelState.empty(for: network)
        HashingFixtures.fill(source)
        try Self.write(source.exported(), path)
        let target = try Self.state(network, seed: 9)
        let report = try InitialWeights(path: path, into: target, of: network)
        #expect(report.loaded.count == report.tensorCount && report.description.count == 1)
        for (a, b) in zip(source.exported(), target.exported()) { #expect(a.values == b.values, "\(a.name)") }
        #expect(target.trainingStatistics[0..<32].elementsEqual(source.trainingStatistics[0..<32]))
    }

    @Test func nothingThatFitsIsAnError() throws {
        let folder = TemporaryFolder()
        let path = folder.path + "/none.safetensors"
        try Self.write([NamedTensor("layer", [1], [1])], path)
        let network = try NetworkRegistry.make("masknet3", settings: [])
        let state = try Self.state(network, seed: 1)
        #expect(
            throws: Failure(
                .badData,
                "\(path): --init of masknet3 has none of its tensors, such as bg.0.weight; is this a file of another model?")
        ) { try InitialWeights(path: path, into: state, of: network) }
    }
}
