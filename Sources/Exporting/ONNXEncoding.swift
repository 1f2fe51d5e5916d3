import Basics
import Graphs
import Models

/// Encodings as nodes, so that an exported network takes and gives values as records have them.
extension ONNXDescription {
    /// Name of an input's values, encoded: [N, channels, H, W].
    func encoded(_ input: String, by encoding: FieldEncoding) -> String {
        let at = input + ".encoding"
        func scalar(_ value: Float) -> String { constant([value], [], at: at) }
        func perChannel(_ values: [Float]) -> String { constant(values, [1, values.count, 1, 1], at: at) }
        switch encoding {
        case .plain: return input
        case .standardized(let scale, let mean, let deviation):
            let scaled = scale == 1 ? input : node("Mul", at: at, [input, scalar(scale)])
            return node("Div", at: at, [node("Sub", at: at, [scaled, perChannel(mean)]), perChannel(deviation)])
        case .logarithm(let unit):
            return node("Div", at: at, [node("Log", at: at, [input]), scalar(unit)])
        case .reciprocal(let numerator, let range):
            let limited = node("Clip", at: at, [input, scalar(range.lowerBound), scalar(range.upperBound)])
            return node("Div", at: at, [scalar(numerator), limited])
        }
    }

    /// Emits nodes that turn a network's values into those of records, under the name `output`.
    func decode(_ value: String, by encoding: FieldEncoding, to output: String) {
        let at = output + ".decoding"
        func scalar(_ value: Float) -> String { constant([value], [], at: at) }
        func perChannel(_ values: [Float]) -> String { constant(values, [1, values.count, 1, 1], at: at) }
        func emit(_ type: String, _ inputs: [String]) {
            add(type, name: unused(at + "/" + type), inputs, to: [output], [:])
        }
        switch encoding {
        case .plain: emit("Identity", [value])
        case .standardized(let scale, let mean, let deviation):
            let scaled = node(
                "Add", at: at, [node("Mul", at: at, [value, perChannel(deviation)]), perChannel(mean)])
            emit("Div", [scaled, scalar(scale)])
        case .logarithm(let unit): emit("Exp", [node("Mul", at: at, [value, scalar(unit)])])
        case .reciprocal(let numerator, let range):
            let limited = node(
                "Clip", at: at,
                [node("Div", at: at, [scalar(numerator), value]), scalar(range.lowerBound), scalar(range.upperBound)])
            // What is not positive lies at the far end.
            emit("Where", [node("LessOrEqual", at: at, [value, scalar(0)]), scalar(range.upperBound), limited])
        }
    }
}
