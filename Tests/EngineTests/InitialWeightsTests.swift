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
        #expect(report.description.contains { $0.contains("coarse.full1.bias 8 (there 4)") })
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
                "\(path): --init of masknet3 has none of its tensors, such as bg.0.weight; is this a file of another model?"
            )
        ) { try InitialWeights(path: path, into: state, of: network) }
    }

    /// torchvision's AlexNet, by its names and shapes: narrower than Eigen's.
    static func alexNet() -> [(name: String, shape: Shape)] {
        let weights: [(String, Shape)] = [
            ("features.0", [64, 3, 11, 11]), ("features.3", [192, 64, 5, 5]), ("features.6", [384, 192, 3, 3]),
            ("features.8", [256, 384, 3, 3]), ("features.10", [256, 256, 3, 3]), ("classifier.1", [4, 9216]),
            ("classifier.4", [4, 4]), ("classifier.6", [1000, 4]),
        ]
        var result: [(name: String, shape: Shape)] = []
        for (name, shape) in weights {
            result.append((name + ".weight", shape))
            result.append((name + ".bias", Shape([shape[0]])))
        }
        return result
    }

    static func random(_ tensors: [(name: String, shape: Shape)]) -> [NamedTensor] {
        tensors.map { tensor in
            NamedTensor(
                tensor.name, tensor.shape, HashingFixtures.input(tensor.name, tensor.shape.count).map { $0 - 0.5 })
        }
    }

    @Test func alexNetBecomesTheFirstFilters() throws {
        let folder = TemporaryFolder()
        let path = folder.path + "/alexnet.safetensors"
        let tensors = Self.random(Self.alexNet())
        try Self.write(tensors, path)
        let network = try Self.eigen("eigen-coarse")
        let state = try Self.state(network, seed: 5)
        let drawn = Dictionary(uniqueKeysWithValues: state.exported().map { ($0.name, $0.values) })
        let report = try InitialWeights(path: path, into: state, of: network)
        #expect(report.nameMap == "torchvision's AlexNet" && report.loaded.count == 10 && report.missing.count == 4)
        // The biases of the third and the fifth layer have our length; all weights and the other biases are parts.
        #expect(report.parts.count == 8 && report.misfits.isEmpty && report.unused.count == 6)
        let found = Dictionary(uniqueKeysWithValues: state.exported().map { ($0.name, $0.values) })
        // [192, 64, 5, 5] in [256, 96, 5, 5], element by element.
        let (weight, before, given) = (
            try #require(found["coarse.conv2.weight"]), try #require(drawn["coarse.conv2.weight"]), tensors[2].values
        )
        var wrong = 0
        for o in 0..<256 {
            for i in 0..<96 {
                for tap in 0..<25 {
                    let index = (o * 96 + i) * 25 + tap
                    let expected = o < 192 && i < 64 ? given[(o * 64 + i) * 25 + tap] : before[index]
                    if weight[index] != expected { wrong += 1 }
                }
            }
        }
        #expect(wrong == 0)
        #expect(
            found["coarse.conv3.bias"] == tensors[5].values
                && found["coarse.full1.weight"] == drawn["coarse.full1.weight"])

        // What the first layer says of a picture is what AlexNet says of it, standardised: 11 x 11 values in 0…1.
        let picture = HashingFixtures.input("picture", 3 * 121).map(Double.init)
        let (mean, deviation) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        let (first, bias) = (try #require(found["coarse.conv1.weight"]), try #require(found["coarse.conv1.bias"]))
        for filter in [0, 17, 63] {
            var theirs = Double(tensors[1].values[filter])
            var ours = Double(bias[filter])
            for index in 0..<363 {
                let channel = index / 121
                let seen = (picture[index] - mean[channel]) / deviation[channel]
                theirs += Double(tensors[0].values[filter * 363 + index]) * seen
                ours += Double(first[filter * 363 + index]) * (picture[index] * 255 - 128)
            }
            #expect(abs(theirs - ours) < 1e-4 * max(1, abs(theirs)), "filter \(filter): \(ours) instead of \(theirs)")
        }
    }
}
