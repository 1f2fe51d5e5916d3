import Tensors

extension Graph {
    /// Checks the promises that the rest of the program relies on. Always on: it costs microseconds per node.
    func verify() {
        var defined = Set<ValueID>()
        for (index, value) in values.enumerated() {
            if case .node = value.source { continue }
            defined.insert(ValueID(index))
        }
        for (nodeIndex, node) in nodes.enumerated() {
            for input in node.inputs {
                precondition(
                    defined.contains(input), "node \(nodeIndex) (\(node.path)) reads \(input) before it exists")
            }
            let shapes = try? node.operation.outputShapes(for: node.inputs.map(shape(of:)))
            precondition(
                shapes == node.outputs.map(shape(of:)), "node \(nodeIndex) (\(node.path)): shapes do not follow")
            for (outputIndex, output) in node.outputs.enumerated() {
                precondition(defined.insert(output).inserted, "value \(output) is assigned twice")
                precondition(
                    values[output.index].source == .node(index: nodeIndex, output: outputIndex),
                    "value \(output) names another producer")
            }
        }
        for (name, value) in outputs { precondition(defined.contains(value), "output \(name) is never computed") }
        for gradient in parameterGradients { precondition(defined.contains(gradient), "a gradient is never computed") }
        precondition(parameterGradients.isEmpty || parameterGradients.count == trainedParameters.count)
        for statistic in statistics { precondition(defined.contains(statistic.value), "\(statistic.name) is missing") }
    }

    /// The part of the graph that computes some values; all parameters and buffers keep their places.
    public func computing(_ outputs: [(name: String, value: ValueID)]) -> Graph {
        Graph(
            values: values, nodes: nodes, inputs: inputs, parameters: parameters, buffers: buffers, outputs: outputs,
            parameterGradients: [], statistics: []
        ).withoutDeadNodes()
    }

    /// The graph without nodes whose results nobody uses, and without inputs that nobody reads. Values keep their
    /// numbers; those of removed nodes are orphans that no node mentions.
    func withoutDeadNodes() -> Graph {
        var live = Set(outputs.map(\.value)).union(parameterGradients).union(statistics.map(\.value))
        var keep = [Bool](repeating: false, count: nodes.count)
        for index in stride(from: nodes.count - 1, through: 0, by: -1)
        where nodes[index].outputs.contains(where: live.contains) {
            keep[index] = true
            live.formUnion(nodes[index].inputs)
        }
        let kept = nodes.indices.filter { keep[$0] }
        var values = values
        for (newIndex, oldIndex) in kept.enumerated() {
            for (outputIndex, output) in nodes[oldIndex].outputs.enumerated() {
                let old = values[output.index]
                values[output.index] = ValueInfo(
                    shape: old.shape, source: .node(index: newIndex, output: outputIndex), name: old.name)
            }
        }
        return Graph(
            values: values, nodes: kept.map { nodes[$0] }, inputs: inputs.filter(live.contains),
            parameters: parameters, buffers: buffers, outputs: outputs, parameterGradients: parameterGradients,
            statistics: statistics)
    }
}
