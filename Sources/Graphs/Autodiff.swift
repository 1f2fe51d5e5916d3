import Tensors

/// Adds the gradient of a scalar with respect to named sums. Lives here and not with each operation: the rule of an
/// operation only says what it adds; which gradients meet is decided in one place.
public protocol GradientArithmetic {
    /// The sum of at least two values of one shape.
    static func sum(_ values: [Value]) -> Value
    /// The number 1 in the shape of `value` (a scalar).
    static func one(like value: Value) -> Value
}

extension GraphBuilder {
    /// Reverse-mode differentiation as a graph rewrite: appends the nodes that compute d`loss`/d`parameter` for every
    /// parameter that is not frozen and records them as the graph's parameter gradients. `loss` must be a scalar.
    ///
    /// Gradients of a value that is used several times are summed in order of the uses, last use first: part of the
    /// definition, because it decides bits.
    public func differentiate(
        _ loss: Value, arithmetic: any GradientArithmetic.Type, file: String = #fileID, line: Int = #line
    ) {
        let trained = parameters.filter(\.isTrained)
        let isWhole = !hasProblems
        let gradients = gradients(
            of: loss, cotangent: nil, withRespectTo: trained.map(\.value), arithmetic: arithmetic, file: file,
            line: line)
        for (parameter, gradient) in zip(trained, gradients) {
            guard let gradient else {
                if isWhole { report("the loss does not depend on the parameter \(parameter.name)", file, line) }
                continue
            }
            parameterGradients.append(gradient.id)
        }
    }

    /// The gradients of ⟨`result`, `cotangent`⟩ with respect to `targets`, nil where there is no dependence. A missing
    /// cotangent stands for 1.
    public func gradients(
        of result: Value, cotangent: Value?, withRespectTo targets: [Graph.ValueID],
        arithmetic: any GradientArithmetic.Type, file: String = #fileID, line: Int = #line
    ) -> [Value?] {
        guard !hasProblems else { return targets.map { _ in nil } }
        let forwardNodeCount = nodes.count
        let wanted = dependents(of: Set(targets))
        var arrived: [Graph.ValueID: [Value]] = [:]
        arrived[result.id] = [cotangent ?? arithmetic.one(like: result)]

        func total(_ id: Graph.ValueID) -> Value? {
            guard let parts = arrived[id] else { return nil }
            if parts.count == 1 { return parts[0] }
            let sum = arithmetic.sum(parts)
            arrived[id] = [sum]
            return sum
        }

        for nodeIndex in stride(from: forwardNodeCount - 1, through: 0, by: -1) {
            let node = nodes[nodeIndex]
            guard node.outputs.contains(where: { arrived[$0] != nil }), node.inputs.contains(where: wanted.contains)
            else { continue }
            let gradientPath = "gradient of \(node.path)"
            scopedPath(gradientPath) {
                let site = GradientSite(
                    inputs: node.inputs.map { Value(builder: self, id: $0) },
                    outputs: node.outputs.map { Value(builder: self, id: $0) },
                    outputGradients: node.outputs.map(total),
                    isNeeded: node.inputs.map(wanted.contains))
                do throws(ShapeError) {
                    let inputGradients = try node.operation.inputGradients(site)
                    precondition(inputGradients.count == node.inputs.count, "\(node.operation.name): gradient count")
                    for (input, gradient) in zip(node.inputs, inputGradients) where wanted.contains(input) {
                        guard let gradient else { continue }
                        precondition(
                            gradient.shape == values[input.index].shape,
                            "\(node.operation.name): gradient \(gradient.shape) of \(values[input.index].shape)")
                        arrived[input, default: []].append(gradient)
                    }
                } catch {
                    report("\(node.path): \(error.reason)", file, line)
                }
            }
        }
        return targets.map(total)
    }

    /// Values that depend on `roots`, the roots included.
    private func dependents(of roots: Set<Graph.ValueID>) -> Set<Graph.ValueID> {
        var result = roots
        for node in nodes where node.inputs.contains(where: result.contains) {
            result.formUnion(node.outputs)
        }
        return result
    }

    private func scopedPath(_ path: String, _ body: () -> Void) {
        overridePath = path
        body()
        overridePath = nil
    }
}
