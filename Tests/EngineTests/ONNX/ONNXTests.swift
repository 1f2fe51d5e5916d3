import Basics
import Execution
import Exporting
import Foundation
import Graphs
import Kernels
import Models
import Operators
import Tensors
import TestSupport
import Testing

/// Exported files, read back and run by an evaluator that knows only the format's specification, against our own
/// forward pass; and by ONNX Runtime where the environment for it is there.
@Suite struct ONNXTests {
    /// Operations of inference graphs: all of them have to be expressible.
    static let expressible = Examples.all.enumerated().filter { $0.element.operation is any ONNXExpressible }

    /// Every network in small, with every choice that changes its layers.
    static let networks: [(name: String, settings: [(name: String, value: String)])] = NetworkRegistry.all.flatMap {
        type in
        let small = [
            "wnet": [("width", "4"), ("levels", "8")], "wnet-plus": [("width", "4"), ("levels", "8")],
            "deep3d": [("width", "4"), ("fc", "12"), ("input-height", "64"), ("input-width", "96")],
            "densedepth": [("encoder", "small"), ("growth", "4"), ("width", "32")],
            "eigen-coarse": [("hidden", "8")], "eigen-fine": [("hidden", "8")],
        ][type.name, default: []]
        var variants: [(name: String, settings: [(name: String, value: String)])] = [(type.name, small)]
        for setting in type.settings where ["variant", "style", "feed", "corners"].contains(setting.name) {
            guard case .choice(let choices) = setting.kind else { continue }
            for choice in choices where choice != setting.standard {
                variants.append(("\(type.name)-\(choice)", small + [(setting.name, choice)]))
            }
        }
        return variants
    }

    /// Wherever one has a choice of operations, networks at inference use those that can be exported.
    @Test(arguments: networks.map(\.name)) func everyOperationOfANetworkIsExpressible(_ name: String) throws {
        let (network, _) = try Self.network(name)
        let size = network.sampleSize
        let graph = try NetworkGraph(
            network, .inspection, batch: 1, height: size.height, width: size.width, fusing: false)
        for node in graph.graph.nodes {
            #expect(node.operation is any ONNXExpressible, "\(node.path): \(node.operation.name)")
        }
        #expect(Self.expressible.count >= 40)
    }

    @Test func everyOperationAgrees() throws {
        let folder = TemporaryFolder("onnx")
        var worst = 0.0
        for (number, example) in Self.expressible {
            let difference = try Self.difference(try ONNXCase(example, number: number, folder: folder))
            #expect(difference <= 1e-5, "\(example): \(difference)")
            worst = max(worst, difference)
        }
        #expect(worst > 0)
    }

    @Test(arguments: networks.map(\.name)) func everyNetworkAgrees(_ name: String) throws {
        let folder = TemporaryFolder("onnx")
        let (network, batch) = try Self.network(name)
        let exported = try ONNXCase(network, name: name, batch: batch, wanted: .all, folder: folder)
        let difference = try Self.difference(exported)
        #expect(difference <= 1e-4, "\(difference)")
        for (output, tensor) in exported.outputs {
            #expect(Set(tensor.floats).count > 10, "\(output) says nothing")
        }
    }

    static func network(_ name: String) throws -> (any Network, batch: Int) {
        let entry = try #require(networks.first { $0.name == name })
        let type = try #require(
            NetworkRegistry.all.filter { name.hasPrefix($0.name) }.max { $0.name.count < $1.name.count })
        let network = try NetworkRegistry.make(type.name, settings: entry.settings)
        // Those of a large fixed size take seconds a picture here.
        return (network, network.fixedSize.map { $0.height * $0.width > 10_000 } == true ? 1 : 2)
    }

    /// Largest difference from our own forward pass, relative to max(1, |value|).
    static func difference(_ exported: ONNXCase) throws -> Double {
        let model = try ONNXModel(path: exported.path)
        try expectSound(model, batch: exported.inputs.values.first?.shape[0])
        let values = try ONNXEvaluator(model: model).run(exported.inputs)
        var worst = 0.0
        for port in model.outputs {
            let (found, expected) = (try #require(values[port.name]), try #require(exported.outputs[port.name]))
            #expect(found.shape == expected.shape, "\(exported.name), \(port.name)")
            #expect(port.shape.dropFirst().map { $0 ?? -1 } == Array(found.shape.dropFirst()))
            for (a, b) in zip(found.floats, expected.floats) where !(a.isNaN && b.isNaN) && a != b {
                let difference = Double(abs(a - b)) / Double(max(1, abs(b)))
                worst = max(worst, difference.isNaN ? .infinity : difference)
            }
        }
        return worst
    }

    /// What any reader relies on: versions, unique names, nodes in an order in which they can be run, no transposes.
    static func expectSound(_ model: ONNXModel, batch: Int?) throws {
        #expect(model.intermediateRepresentation == 8 && model.operatorSets == ["": 13] && model.producer == "vergence")
        var known = Set(model.constants.keys)
        for input in model.inputs {
            #expect(known.insert(input.name).inserted, "\(input.name) twice")
            #expect(input.elementType == 1 && input.shape.first == .some(nil), "\(input)")
        }
        var names: Set<String> = []
        for node in model.nodes {
            #expect(names.insert(node.name).inserted, "two nodes are called \(node.name)")
            for input in node.inputs where !input.isEmpty { #expect(known.contains(input), "\(node.name): \(input)") }
            for output in node.outputs { #expect(known.insert(output).inserted, "\(output) twice") }
            #expect(node.type != "Transpose", "\(node.name)")
        }
        for output in model.outputs {
            #expect(known.contains(output.name) && output.elementType == 1 && output.shape.first == .some(nil))
        }
        let used = Set(model.nodes.flatMap(\.inputs) + model.outputs.map(\.name))
        for name in model.constants.keys { #expect(used.contains(name), "nobody needs \(name)") }
    }

    @Test func normalisationsThatAreFreeAreGone() throws {
        let folder = TemporaryFolder("onnx")
        let network = try NetworkRegistry.make("masknet3", settings: [])
        let model = try ONNXModel(
            path: try ONNXCase(network, name: "masknet3", batch: 1, wanted: .maps, folder: folder).path)
        #expect(!model.nodes.contains { $0.type == "BatchNormalization" })
        #expect(model.nodes.filter { $0.type == "Conv" }.count == 5)
        // W-net normalises behind its activations, before zero padding: all of its eighteen stay.
        let (wnet, _) = try Self.network("wnet")
        let other = try ONNXModel(path: try ONNXCase(wnet, name: "wnet", batch: 1, wanted: .maps, folder: folder).path)
        #expect(other.nodes.filter { $0.type == "BatchNormalization" }.count == 18)
    }

    @Test func outputsAndMetadata() throws {
        let folder = TemporaryFolder("onnx")
        let (network, _) = try Self.network("wnet")
        let maps = try ONNXModel(
            path: try ONNXCase(network, name: "maps", batch: 1, wanted: .maps, folder: folder).path)
        #expect(maps.outputs.map(\.name) == ["disparity_right", "disparity_left"])
        #expect(maps.inputs.map(\.name) == ["left", "right"] && maps.inputs[0].shape == [nil, 3, 32, 32])
        let expected = [
            "model": "wnet", "settings": "of=this test", "version": "test", "height": "32", "width": "32", "step": "3",
            "levels": "-4.0 -3.0 -2.0 -1.0 0.0 1.0 2.0 3.0", "input.left": "RGB, 0…1",
        ]
        for (key, value) in expected { #expect(maps.metadata[key] == value, "\(key)") }
        #expect(maps.metadata["path"] == nil, "only what concerns the network is passed on")
        #expect(maps.metadata["output.disparity_left"]?.contains("left view's pixels") == true)
        #expect(maps.metadata["normalisation"] != nil)
        let all = try ONNXModel(path: try ONNXCase(network, name: "all", batch: 1, wanted: .all, folder: folder).path)
        // Named by the eye whose pixels they are, not by the view that they are computed from.
        #expect(
            all.outputs.map(\.name) == [
                "disparity_right", "disparity_left", "right_rebuilt", "left_rebuilt", "prob_right", "prob_left",
            ])
        let used = Set(maps.nodes.flatMap(\.inputs))
        #expect(used.contains("left") && used.contains("right"))
    }

    @Test func theSameFileForTheSameWeights() throws {
        let folder = TemporaryFolder("onnx")
        let (network, _) = try Self.network("wnet")
        let files = try ["a", "b"].map { name in
            try Data(
                contentsOf: URL(
                    fileURLWithPath: try ONNXCase(network, name: name, batch: 1, wanted: .all, folder: folder).path))
        }
        #expect(files[0] == files[1])
    }

    @Test func whatHasNoCounterpartIsNamed() throws {
        let builder = GraphBuilder(mode: .training)
        let picture = builder.input("picture", [1, 4, 4, 2])
        builder.output("result", builder.scope("stage") { picture.dropout(0.5) })
        let graph = try builder.build()
        #expect {
            try ONNXExport(graph, name: "dropout", version: "test")
        } throws: { error in
            "\(error)".contains("stage: Dropout has no counterpart") && (error as? any ExitCoding)?.exitCode == .usage
        }
        // Weights that are computed.
        let other = GraphBuilder(mode: .inference)
        let (input, weights) = (other.input("picture", [1, 4, 4, 2]), other.input("weights", [1, 1, 2, 3]))
        other.output(
            "result",
            input.apply(
                Conv2D(
                    geometry: ConvolutionGeometry(kernelHeight: 1, kernelWidth: 1, stride: 1, padding: 0),
                    activation: .none), [weights]))
        let computed = try other.build()
        #expect {
            try ONNXExport(computed, name: "computed", version: "test")
        } throws: { error in
            "\(error)".contains("Conv2D cannot be exported to ONNX: input 1 is computed")
        }
    }

    /// The same cases in ONNX Runtime, if `Tests/Peers/readers` has made its environment.
    @Test(.enabled(if: Readers.python != nil, Comment(rawValue: Readers.hint)), .timeLimit(.minutes(5)))
    func onnxRuntimeAgrees() throws {
        let folder = TemporaryFolder("onnx")
        for (number, example) in Self.expressible {
            try ONNXCase(example, number: number, folder: folder).writeTensors()
        }
        for (name, _) in Self.networks {
            let (network, batch) = try Self.network(name)
            try ONNXCase(network, name: name, batch: batch, wanted: .all, folder: folder).writeTensors()
        }
        let outcome = try ProcessRunner.run(
            try #require(Readers.python), [Readers.script, "onnx-cases", folder.path], in: folder.path,
            timeoutSeconds: 240)
        #expect(outcome.exitCode == 0, "\(outcome.output)\(outcome.errors)")
        #expect(outcome.output.contains("\(Self.expressible.count + Self.networks.count) files agree"))
    }
}
