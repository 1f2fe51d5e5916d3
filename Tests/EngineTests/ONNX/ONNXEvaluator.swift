/// Runs an ONNX file as the specification of operator set 13 says, slowly: values and shapes of all nodes.
///
/// **Source:** onnx/docs/Operators.md. It shares no code with what exports.
struct ONNXEvaluator {
    typealias Tensor = ONNXModel.Tensor
    typealias Problem = ONNXModel.Problem

    let model: ONNXModel

    func run(_ inputs: [String: Tensor]) throws -> [String: Tensor] {
        var values = model.constants
        for (name, tensor) in inputs { values[name] = tensor }
        for node in model.nodes {
            let arguments = try node.inputs.map { name -> Tensor? in
                if name.isEmpty { return nil }
                guard let value = values[name] else {
                    throw Problem(description: "\(node.name): \(name) is not there yet")
                }
                return value
            }
            let results = try ONNXStep(node: node, inputs: arguments).run()
            guard results.count == node.outputs.count else {
                throw Problem(description: "\(node.name): \(results.count) results for \(node.outputs.count) outputs")
            }
            for (name, result) in zip(node.outputs, results) {
                guard result.count == (result.integers?.count ?? result.floats.count) else {
                    throw Problem(description: "\(node.name): \(result.floats.count) values for \(result.shape)")
                }
                guard values.updateValue(result, forKey: name) == nil else {
                    throw Problem(description: "\(name) is computed twice")
                }
            }
        }
        return values
    }
}

/// One node with its inputs.
struct ONNXStep {
    typealias Tensor = ONNXModel.Tensor
    typealias Problem = ONNXModel.Problem

    let node: ONNXModel.Node
    let inputs: [Tensor?]

    func problem(_ text: String) -> Problem { Problem(description: "\(node.name) (\(node.type)): \(text)") }

    func input(_ index: Int) throws -> Tensor {
        guard index < inputs.count, let tensor = inputs[index] else { throw problem("has no input \(index)") }
        return tensor
    }

    func integers(_ index: Int) throws -> [Int] {
        guard let integers = try input(index).integers else { throw problem("input \(index) is no list of integers") }
        return integers
    }

    func integer(_ name: String, _ standard: Int? = nil) throws -> Int {
        if case .integer(let value)? = node.attributes[name] { return value }
        guard let standard, node.attributes[name] == nil else { throw problem("no integer \(name)") }
        return standard
    }

    func number(_ name: String) throws -> Float {
        guard case .number(let value)? = node.attributes[name] else { throw problem("no number \(name)") }
        return value
    }

    func list(_ name: String, _ standard: [Int]) throws -> [Int] {
        if case .integers(let values)? = node.attributes[name] { return values }
        guard node.attributes[name] == nil else { throw problem("\(name) is no list") }
        return standard
    }

    func text(_ name: String) -> String? {
        if case .text(let value)? = node.attributes[name] { return value }
        return nil
    }

    /// Attributes that an operator does not have make a file invalid.
    func allow(_ names: String...) throws {
        for name in node.attributes.keys where !names.contains(name) { throw problem("unknown attribute \(name)") }
    }

    func run() throws -> [Tensor] {
        switch node.type {
        case "Conv": return [try convolution()]
        case "ConvTranspose": return [try transposedConvolution()]
        case "BatchNormalization": return [try batchNormalization()]
        case "MaxPool": return [try pool(isMaximum: true)]
        case "AveragePool": return [try pool(isMaximum: false)]
        case "LRN": return [try responseNormalization()]
        case "Resize": return [try resize()]
        case "Softmax": return [try softmax()]
        case "Gemm": return [try gemm()]
        case "MatMul": return [try matrixProduct()]
        case "ReduceSum": return [try reduceSum()]
        case "Concat": return [try concatenation()]
        case "Split": return try split()
        case "Slice": return [try slice()]
        case "Pad": return [try pad()]
        case "Reshape", "Flatten", "Unsqueeze", "Identity": return [try reshaped()]
        case "Relu": return [try each { $0 < 0 ? 0 : $0 }]
        case "Sigmoid": return [try each { Float(1 / (1 + exponential(-Double($0)))) }]
        case "Exp": return [try each { Float(exponential(Double($0))) }]
        case "Log": return [try each { Float(logarithm(Double($0))) }]
        case "LeakyRelu":
            let slope = try number("alpha")
            return [try each { $0 < 0 ? slope * $0 : $0 }]
        case "Clip":
            let (lower, upper) = (try input(1).floats[0], try input(2).floats[0])
            return [try each { min(max($0, lower), upper) }]
        case "Add": return [try pairwise(+)]
        case "Sub": return [try pairwise(-)]
        case "Mul": return [try pairwise(*)]
        case "Div": return [try pairwise(/)]
        case "Min": return [try pairwise { $0.isNaN || $1.isNaN ? .nan : min($0, $1) }]
        case "ArgMax": return [try largest()]
        case "Cast":
            // All numbers are floats here.
            try allow("to")
            return [try input(0)]
        case "Abs": return [try each { abs($0) }]
        case "Greater": return [try pairwise { $0 > $1 ? 1 : 0 }]
        case "LessOrEqual": return [try pairwise { $0 <= $1 ? 1 : 0 }]
        case "Where":
            let (condition, yes, no) = (try input(0), try input(1), try input(2))
            let both = try broadcast(yes, no) { yes, _ in yes }
            let mask = try broadcast(condition, both) { condition, _ in condition }
            let (first, second) = (try broadcast(mask, yes) { $1 }, try broadcast(mask, no) { $1 })
            return [
                Tensor(
                    shape: mask.shape,
                    floats: mask.floats.indices.map { mask.floats[$0] == 0 ? second.floats[$0] : first.floats[$0] })
            ]
        case "Sum":
            var sum = try input(0)
            for index in inputs.indices.dropFirst() {
                let term = try input(index)
                guard term.shape == sum.shape else { throw problem("\(term.shape) and \(sum.shape)") }
                for i in sum.floats.indices { sum.floats[i] += term.floats[i] }
            }
            return [sum]
        default: throw problem("is unknown in operator set 13, or not written down here")
        }
    }

    private func each(_ body: (Float) -> Float) throws -> Tensor {
        try allow("alpha")
        let x = try input(0)
        return Tensor(shape: x.shape, floats: x.floats.map(body))
    }

    private func pairwise(_ body: (Float, Float) -> Float) throws -> Tensor {
        try allow()
        guard inputs.count == 2 else { throw problem("takes \(inputs.count) inputs") }
        return try broadcast(try input(0), try input(1), body)
    }

    /// Element by element, as numpy extends shapes.
    private func broadcast(_ a: Tensor, _ b: Tensor, _ body: (Float, Float) -> Float) throws -> Tensor {
        let rank = max(a.shape.count, b.shape.count)
        func padded(_ shape: [Int]) -> [Int] { [Int](repeating: 1, count: rank - shape.count) + shape }
        let (left, right) = (padded(a.shape), padded(b.shape))
        let shape = try zip(left, right).map { pair in
            guard pair.0 == pair.1 || pair.0 == 1 || pair.1 == 1 else { throw problem("\(a.shape) and \(b.shape)") }
            return max(pair.0, pair.1)
        }
        func strides(_ extents: [Int]) -> [Int] {
            var (result, stride) = ([Int](repeating: 0, count: rank), 1)
            for axis in (0..<rank).reversed() {
                result[axis] = extents[axis] == 1 ? 0 : stride
                stride *= extents[axis]
            }
            return result
        }
        let (leftStrides, rightStrides) = (strides(left), strides(right))
        var floats: [Float] = []
        for index in 0..<shape.reduce(1, *) {
            var (rest, i, j) = (index, 0, 0)
            for axis in (0..<rank).reversed() {
                let position = rest % shape[axis]
                rest /= shape[axis]
                i += position * leftStrides[axis]
                j += position * rightStrides[axis]
            }
            floats.append(body(a.floats[i], b.floats[j]))
        }
        return Tensor(shape: shape, floats: floats)
    }
}
