import Basics
import Execution
import Kernels
import Models
import Optimizers
import Tensors

/// Training steps on given batches, one lane, solo: for comparing learning curves with other implementations.
public enum Trajectory {
    /// - Parameter inputs: one tensor per input of the network, [steps, batch, channels, height, width].
    /// - Returns: the loss of each step, before its update.
    public static func run(
        network: any Network, state: ModelState, inputs: [NamedTensor], configuration: RunConfiguration,
        kernels: KernelContext
    ) throws -> [Float] {
        guard let first = inputs.first, first.shape.rank == 5,
            inputs.allSatisfy({ $0.shape.dimensions.prefix(2) == first.shape.dimensions.prefix(2) })
        else { throw Failure(.badData, "batches must be steps x batch x channels x height x width") }
        let d = first.shape.dimensions
        for (input, tensor) in zip(network.inputs, inputs)
        where tensor.shape != [d[0], d[1], input.channels, d[3], d[4]] {
            throw Failure(
                .badData, "\(input.field) is \(tensor.shape), expected \(input.channels) channels like the others")
        }
        let graph = try NetworkGraph(
            network, .training, batch: d[1], height: d[3], width: d[4], keepOutputs: false)
        let engine = LaneEngine(network: graph, state: state, kernels: kernels)
        let optimizer = try configuration.makeOptimizer(state: state)
        return try (0..<d[0]).map { step in
            for (input, tensor) in zip(network.inputs, inputs) {
                let count = d[1] * input.channels * d[3] * d[4]
                tensor.values.withUnsafeBufferPointer {
                    PictureOrder.channelsLast(
                        $0.baseAddress! + step * count, d[1], input.channels, d[3], d[4],
                        into: engine.input(input.field).base)
                }
            }
            try engine.run(.deterministic)
            let loss = engine.loss("loss")
            optimizer.update(
                parameters: state.parameterArena, gradients: engine.result,
                learningRate: configuration.learningRate, context: kernels)
            return loss
        }
    }
}
