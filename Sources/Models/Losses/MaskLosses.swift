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

/// A map in 0…1 beside its truth, and what it is the sigmoid of.
struct RelativeMap {
    let logits: Value
    let probability: Value
    let target: Value
}

/// What a map in 0…1 can be compared by.
enum MapTerm: String, Sendable {
    case crossEntropy = "bce"
    case rootMeanSquare = "rmse"
    case dice
    /// 1 − SSIM with the range 1. The released code leaves it at 255, which makes the loss of any two maps nearly 0.
    case similarity = "ssim"

    func value(_ map: RelativeMap) -> Value {
        switch self {
        case .crossEntropy: map.logits.crossEntropyMean(to: map.target)
        case .rootMeanSquare: map.probability.rootMeanSquareError(to: map.target)
        case .dice: map.probability.diceLoss(to: map.target)
        case .similarity: map.probability.dissimilarity(to: map.target, range: 1).combined(2, with: [])
        }
    }
}

/// A loss of a map in 0…1, by name: one term, or the first and twice the second.
struct MaskLoss: Sendable {
    static let names = ["bce-rmse", "bce-dice", "bce-ssim", "bce", "rmse", "dice", "ssim"]

    let terms: [MapTerm]

    /// - Parameter name: one of `names`.
    init(_ name: String) { terms = name.split(separator: "-").compactMap { MapTerm(rawValue: String($0)) } }

    /// The loss, and its terms before their weights.
    func value(_ map: RelativeMap) -> (loss: Value, terms: [(name: String, value: Value)]) {
        let values = terms.map { (name: $0.rawValue, value: $0.value(map)) }
        if values.count == 1 { return (values[0].value.combined(1, with: []), values) }
        return (values[0].value.combined(1, with: [(2, values[1].value)]), values)
    }
}

/// A loss of a mask and of a depth in 0…1, by name: `MASK-DEPTH` is a term of the mask and twice one of the depth.
///
/// **Source:** rvk007/Monocular-Depth-Estimation, `deepnet/model/losses/loss_combination.py`. `rmse-bce-dice` is twice the
/// mask's root mean square error, and cross-entropy and twice Dice of the depth, in this order as there.
struct OverlayLoss: Sendable {
    private static let masks: [MapTerm] = [.crossEntropy, .similarity, .rootMeanSquare, .dice]
    private static let depths: [MapTerm] = [.rootMeanSquare, .dice, .similarity]
    private static let threefold = "rmse-bce-dice"

    static let names =
        masks.flatMap { mask in depths.map { "\(mask.rawValue)-\($0.rawValue)" } } + [threefold]

    private let terms: [(isMask: Bool, term: MapTerm, weight: Float)]

    /// - Parameter name: one of `names`.
    init(_ name: String) {
        let parts = name.split(separator: "-").compactMap { MapTerm(rawValue: String($0)) }
        terms =
            name == Self.threefold
            ? [(true, parts[0], 2), (false, parts[1], 1), (false, parts[2], 2)]
            : [(true, parts[0], 1), (false, parts[1], 2)]
    }

    /// The loss, and its terms before their weights: `mask.bce`, `depth.rmse`.
    func value(mask: RelativeMap, depth: RelativeMap) -> (loss: Value, terms: [(name: String, value: Value)]) {
        let values = terms.map { isMask, term, _ in
            (name: "\(isMask ? "mask" : "depth").\(term.rawValue)", value: term.value(isMask ? mask : depth))
        }
        let rest = zip(terms, values).dropFirst().map { ($0.weight, $1.value) }
        return (values[0].value.combined(terms[0].weight, with: rest), values)
    }
}
