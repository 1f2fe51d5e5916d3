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
    ///   - fields: values as the graph reads them, encoded, [N, C, H, W], by name of the field; NaN = unknown where a
    ///     field has a mask. Without all targets an evaluation gives outputs only.
    ///   - state: weights and stored statistics; in training mode its running statistics take one update.
    /// - Returns: losses and outputs as `eval.*` or `train.*`; in training mode also `grad.*` and `after.*`.
    public static func run(
        network: any Network, state: ModelState, fields: [NamedTensor], mode: Mode, kernels: KernelContext
    ) throws -> [NamedTensor] {
        let isComplete = network.graphFields.allSatisfy { field in fields.contains { $0.name == field.name } }
        let read = mode == .train || isComplete ? network.graphFields : network.inputs
        let size = try FieldTensors.size(of: fields, network)
        let graph = try NetworkGraph(
            network, mode == .train ? .training : isComplete ? .evaluation : .inspection, batch: size.batch,
            height: size.height, width: size.width)
        switch mode {
        case .eval:
            let executor = Executor(
                graph.graph,
                memory: .inference(
                    parameters: state.parameterArena, statistics: state.inferenceStatistics, areConstant: false),
                kernels: kernels)
            try FieldTensors.fill(read, from: fields) { executor.input($0) }
            executor.run(.deterministic)
            return outputs(of: executor, prefix: "eval.")
        case .train:
            let engine = LaneEngine(network: graph, state: state, kernels: kernels)
            try FieldTensors.fill(read, from: fields) { engine.executor.input($0) }
            try engine.run(.deterministic)
            var results = outputs(of: engine.executor, prefix: "train.")
            for parameter in graph.graph.trainedParameters {
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
