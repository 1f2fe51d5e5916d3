import Basics
import Checkpoints
import Execution
import Exporting
import Graphs
import Kernels
import Models
import Operators
import Tensors
import TestSupport
import Testing
import Threads
import Training

/// An exported file, inputs for it, and what it has to make of them: what our own forward pass gives.
struct ONNXCase {
    typealias Tensor = ONNXModel.Tensor

    let name: String
    let path: String
    var inputs: [String: Tensor] = [:]
    var outputs: [String: Tensor] = [:]

    static let pool = ForkJoinPool(threadCount: 1)

    /// An operation on the numbers of its example. What an operation wants as weights is stored in the file.
    init(_ example: OperationExample, number: Int, folder: TemporaryFolder) throws {
        name = "operation_\(number)_\(example.operation.name)"
        path = folder.file(name + ".onnx")
        let values = example.inputValues(seed: 7)
        let stored = Self.weightIndices(example)
        let builder = GraphBuilder(mode: .inference)
        let arguments = example.shapes.enumerated().map { index, shape in
            stored.contains(index)
                ? builder.parameter("weights\(index)", shape, layout: .plain, initializer: .constant(0))
                : builder.input("input\(index)", shape)
        }
        for (index, result) in builder.add(example.operation, arguments).enumerated() {
            builder.output("output\(index)", result)
        }
        let graph = try builder.build()
        let parameters = FloatArena(count: graph.parameters.reduce(16) { $0 + $1.shape.count + 16 })
        for parameter in graph.parameters {
            guard let index = Int(parameter.name.dropFirst("weights".count)) else { continue }
            (parameters.base + parameter.offset).update(from: values[index], count: values[index].count)
        }
        let statistics = FloatArena(count: 16)
        let executor = Executor(
            graph, memory: .inference(parameters: parameters, statistics: statistics, areConstant: true),
            kernels: KernelContext(pool: Self.pool))
        for (index, shape) in example.shapes.enumerated() where !stored.contains(index) {
            executor.input("input\(index)")?.base.update(from: values[index], count: values[index].count)
            inputs["input\(index)"] = Tensor(values[index], channelsFirst: shape)
        }
        executor.run(.deterministic)
        for (output, _) in graph.outputs {
            guard let view = executor.output(output) else { continue }
            outputs[output] = Tensor(Array(view.buffer), channelsFirst: view.shape)
        }
        let export = try ONNXExport(graph, name: name, version: "test")
        try export.write(path: path, parameters: parameters, statistics: statistics)
    }

    /// Inputs of an operation that are its weights, wherever it stands in a network.
    private static func weightIndices(_ example: OperationExample) -> Range<Int> {
        let count = example.shapes.count
        return switch example.operation {
        case is Conv2D, is TransposedConv2D, is DepthwiseConv2D, is Linear, is BatchNormInference: 1..<count
        case is NormReLUInference: (count - 4)..<count
        default: 0..<0
        }
    }

    /// A network with weights drawn at random, normalisations that do something, and random pictures.
    init(_ network: any Network, name: String, batch: Int, wanted: ONNXExport.Outputs, folder: TemporaryFolder) throws {
        self.name = name
        path = folder.file(name + ".onnx")
        let state = try Self.state(of: network)
        let (height, width) = network.sampleSize
        let export = try ONNXExport(
            network, height: height, width: width, outputs: wanted,
            origin: .init(
                settings: [("of", "this test")], version: "test", checkpoint: ["step": "3", "path": "secret"]))
        try export.write(path: path, parameters: state.parameterArena, statistics: state.inferenceStatistics)

        let graph = try NetworkGraph(network, .inspection, batch: batch, height: height, width: width)
        let executor = Executor(
            graph.graph,
            memory: .inference(
                parameters: state.parameterArena, statistics: state.inferenceStatistics, areConstant: true),
            kernels: KernelContext(pool: Self.pool))
        for field in network.inputs {
            guard let view = executor.input(field.name) else { continue }
            let random = CounterRandom(11, "picture " + field.name)
            let values = (0..<view.count).map { Float(random.uniform(UInt64($0))) }
            inputs[field.name] = Tensor(values, channelsFirst: view.shape)
            for i in 0..<view.count { view.base[i] = field.encoding.encoded(values[i], channel: i % field.channels) }
        }
        executor.run(.deterministic)
        for port in export.outputs {
            let view = try #require(executor.output(port.graphName), "\(port.graphName)")
            let encoding = graph.maps.first { $0.name == port.name }?.encoding ?? .plain
            let channels = view.shape[view.shape.rank - 1]
            outputs[port.name] = Tensor(
                (0..<view.count).map { encoding.decoded(view.base[$0], channel: $0 % channels) },
                channelsFirst: view.shape)
        }
    }

    static func state(of network: any Network) throws -> ModelState {
        let state = try ModelState.empty(for: network)
        state.initialize(seed: 5)
        for parameter in state.parameters where parameter.shape.rank == 1 {
            let random = CounterRandom(9, parameter.name)
            for i in 0..<parameter.shape.count {
                state.parameterArena.base[parameter.offset + i] += Float(random.uniform(UInt64(i), in: -0.2..<0.2))
            }
        }
        // A reciprocal has to be positive, or the map is the far end everywhere and says nothing.
        let isReciprocal = network.fields.contains { field in
            if case .reciprocal = field.encoding { true } else { false }
        }
        if isReciprocal, let bias = state.parameters.last(where: { $0.name.hasSuffix(".bias") }) {
            for i in 0..<bias.shape.count { state.parameterArena.base[bias.offset + i] = 5 }
        }
        for slot in state.statisticSlots {
            let random = CounterRandom(10, slot.name)
            let range = slot.initial == 0 ? -0.3..<0.3 : 0.5..<1.5
            for i in 0..<slot.count {
                state.inferenceStatistics.base[slot.offset + i] = Float(random.uniform(UInt64(i), in: range))
            }
        }
        return state
    }

    /// Inputs and outputs beside the file, for other programs.
    func writeTensors() throws {
        func tensors(_ values: [String: Tensor], _ prefix: String) -> [SafeTensorsWriter.Tensor] {
            values.sorted { $0.key < $1.key }.map { .init(prefix + $0.key, Shape($0.value.shape), $0.value.floats) }
        }
        try SafeTensorsWriter.write(
            path: String(path.dropLast(".onnx".count)) + ".safetensors",
            tensors: tensors(inputs, "input.") + tensors(outputs, "output."), metadata: [:])
    }
}

extension ONNXModel.Tensor {
    /// Values of ours as ONNX has them: [N, H, W, C] becomes [N, C, H, W].
    init(_ values: [Float], channelsFirst shape: Shape) {
        let d = shape.dimensions
        guard d.count == 4 else {
            self.init(shape: d, floats: values)
            return
        }
        var floats: [Float] = []
        for n in 0..<d[0] {
            for c in 0..<d[3] {
                for i in 0..<(d[1] * d[2]) { floats.append(values[(n * d[1] * d[2] + i) * d[3] + c]) }
            }
        }
        self.init(shape: [d[0], d[3], d[1], d[2]], floats: floats)
    }
}
