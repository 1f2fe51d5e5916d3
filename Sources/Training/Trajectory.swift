import Basics
import Execution
import Kernels
import Models
import Optimizers
import Tensors

/// Training steps on given batches, one lane, solo: for comparing learning curves with other implementations.
public enum Trajectory {
    /// - Parameter fields: one tensor per input and target of the network, [steps, N, C, H, W], encoded.
    /// - Returns: the loss of each step, before its update.
    public static func run(
        network: any Network, state: ModelState, fields: [NamedTensor], configuration: RunConfiguration,
        kernels: KernelContext
    ) throws -> [Float] {
        guard let first = fields.first, fields.allSatisfy({ $0.shape.rank == 5 && $0.shape[0] == first.shape[0] })
        else {
            throw Failure(.badData, "batches must be steps x batch x channels x height x width")
        }
        func step(_ number: Int) -> [NamedTensor] {
            fields.map { tensor in
                let d = tensor.shape.dimensions
                let count = d[1...].reduce(1, *)
                return NamedTensor(
                    tensor.name, Shape(Array(d[1...])), Array(tensor.values[(number * count)..<((number + 1) * count)]))
            }
        }
        let size = try FieldTensors.size(of: step(0), network)
        let graph = try NetworkGraph(
            network, .training, batch: size.batch, height: size.height, width: size.width, keepOutputs: false)
        let engine = LaneEngine(network: graph, state: state, kernels: kernels)
        let optimizer = try configuration.makeOptimizer(state: state)
        return try (0..<first.shape[0]).map { number in
            try FieldTensors.fill(network.graphFields, from: step(number)) { engine.executor.input($0) }
            try engine.run(.deterministic)
            let loss = engine.loss("loss")
            optimizer.update(
                parameters: state.parameterArena, gradients: engine.result,
                learningRate: configuration.learningRate, context: kernels)
            return loss
        }
    }
}
