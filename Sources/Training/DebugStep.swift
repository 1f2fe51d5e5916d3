import Basics
import Execution
import Graphs
import Kernels
import Models
import Tensors

/// One forward pass (and backward in training mode) on given weights and pictures, with everything it computed: for
/// comparing with other implementations tensor by tensor.
public enum DebugStep {
    public enum Mode: String, Sendable, CaseIterable { case eval, train }

    /// - Parameters:
    ///   - inputs: pictures [N, C, H, W] by input name.
    ///   - state: weights and stored statistics; in training mode its running statistics take one update.
    /// - Returns: losses and outputs as `eval.*` or `train.*`; in training mode also `grad.*` and `after.*`.
    public static func run(
        network: any Network, state: ModelState, inputs: [NamedTensor], mode: Mode, kernels: KernelContext
    ) throws -> [NamedTensor] {
        let pictures = try network.inputs.map { input in
            guard let tensor = inputs.first(where: { $0.name == input.field }) else {
                throw Failure(.badData, "the batch has no tensor input.\(input.field)")
            }
            guard tensor.shape.rank == 4, tensor.shape[1] == input.channels, tensor.shape[0] > 0 else {
                throw Failure(
                    .badData,
                    "input.\(input.field) is \(tensor.shape), expected batch x \(input.channels) x height x width"
                )
            }
            return tensor
        }
        let d = pictures[0].shape.dimensions
        for picture in pictures where picture.shape.dimensions != d {
            throw Failure(.badData, "inputs differ in shape: \(pictures.map { "\($0.shape)" }.joined(separator: ", "))")
        }
        let graph = try NetworkGraph(
            network, mode == .train ? .training : .evaluation, batch: d[0], height: d[2], width: d[3])
        func fill(_ view: TensorView?, _ picture: NamedTensor) {
            guard let view else { return }
            PictureOrder.channelsLast(picture.values, d[0], d[1], d[2], d[3], into: view.base)
        }
        switch mode {
        case .eval:
            let executor = Executor(
                graph.graph,
                memory: .inference(parameters: state.parameterArena, statistics: state.inferenceStatistics, areConstant: false),
                kernels: kernels)
            for (input, picture) in zip(network.inputs, pictures) { fill(executor.input(input.field), picture) }
            executor.run(.deterministic)
            return outputs(of: executor, prefix: "eval.")
        case .train:
            let engine = LaneEngine(network: graph, state: state, kernels: kernels)
            for (input, picture) in zip(network.inputs, pictures) { fill(engine.input(input.field), picture) }
            try engine.run(.deterministic)
            var results = outputs(of: engine.executor, prefix: "train.")
            for parameter in graph.graph.parameters {
                results.append(
                    NamedTensor(
                        "grad.\(parameter.name)", parameter.externalShape, parameter.exported(from: engine.result.base))
                )
            }
            RunningStatistics.update(
                state.trainingStatistics, from: engine.result.base + engine.layout.statisticOffset,
                statistics: graph.graph.statistics)
            for slot in state.statisticSlots {
                results.append(
                    NamedTensor(
                        "after.\(slot.name)", [slot.count],
                        Array(state.trainingStatistics[slot.offset..<(slot.offset + slot.count)])))
            }
            return results
        }
    }

    private static func outputs(of executor: Executor, prefix: String) -> [NamedTensor] {
        executor.graph.outputs.compactMap { name, _ in
            executor.output(name).map { PictureOrder.channelsFirst(prefix + name, $0) }
        }
    }
}
