import Graphs
import Operators

extension Value {
    /// Cross-entropy of these logits with a target in 0…1, mean; a scalar.
    public func crossEntropyMean(to target: Value, file: String = #fileID, line: Int = #line) -> Value {
        apply(CrossEntropyMean(), [target], file: file, line: line)
    }

    /// √(mean squared difference + 1e-6), a scalar.
    public func rootMeanSquareError(to target: Value, file: String = #fileID, line: Int = #line) -> Value {
        apply(RootMeanSquareError(epsilon: 1e-6), [target], file: file, line: line)
    }

    /// Dice loss of this probability against a mask, over the whole batch; a scalar.
    public func diceLoss(to target: Value, file: String = #fileID, line: Int = #line) -> Value {
        apply(DiceLoss(), [target], file: file, line: line)
    }
}

/// A loss of a map in 0…1, by name: one term, or the first and twice the second.
struct MaskLoss: Sendable {
    enum Term: String, Sendable {
        case crossEntropy = "bce"
        case rootMeanSquare = "rmse"
        case dice

        func value(logits: Value, probability: Value, target: Value) -> Value {
            switch self {
            case .crossEntropy: logits.crossEntropyMean(to: target)
            case .rootMeanSquare: probability.rootMeanSquareError(to: target)
            case .dice: probability.diceLoss(to: target)
            }
        }
    }

    static let names = ["bce-rmse", "bce-dice", "bce", "rmse", "dice"]

    let terms: [Term]

    /// - Parameter name: one of `names`.
    init(_ name: String) { terms = name.split(separator: "-").compactMap { Term(rawValue: String($0)) } }

    /// The loss, and its terms before their weights.
    func value(
        logits: Value, probability: Value, target: Value
    ) -> (loss: Value, terms: [(name: String, value: Value)]) {
        let values = terms.map {
            (name: $0.rawValue, value: $0.value(logits: logits, probability: probability, target: target))
        }
        if values.count == 1 { return (values[0].value.combined(1, with: []), values) }
        return (values[0].value.combined(1, with: [(2, values[1].value)]), values)
    }
}
