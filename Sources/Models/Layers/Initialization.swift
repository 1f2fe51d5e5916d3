import Graphs

/// What a layer's weights and bias start from.
public enum Initialization: Sendable, Hashable {
    /// Weights uniform in ±√(6 / (fan in + fan out)), bias 0, as Keras does.
    case glorot
    /// Weights and bias uniform in ±1 / √fan in, as PyTorch does (Kaiming uniform with a = √5).
    case torch
    /// Weights normal with variance 2 / fan in, bias 0. **Source:** He et al., ICCV 2015, equation 10.
    case he
    /// Weights normal, bias constant.
    case normal(deviation: Double, bias: Float = 0)
    /// Weights and bias normal, drawn again beyond two deviations.
    case truncatedNormal(deviation: Double)
    /// Weights uniform in ±bound, bias constant.
    case uniform(bound: Double, bias: Float = 0)
    /// Of transposed convolutions: each channel enlarged by itself, linearly; bias 0.
    case bilinear

    /// How many products meet in an output, and how many outputs an input reaches.
    ///
    /// PyTorch takes for a transposed convolution's fan in its outputs x taps.
    public struct Fans: Sendable, Hashable {
        public let into: Int
        public let outOf: Int

        public init(into: Int, outOf: Int) {
            self.into = into
            self.outOf = outOf
        }
    }

    public func weights(_ fans: Fans) -> Initializer {
        switch self {
        case .glorot: .glorotUniform(fanIn: fans.into, fanOut: fans.outOf)
        case .torch: .uniform(bound: 1 / Double(fans.into).squareRoot())
        case .he: .normal(deviation: (2 / Double(fans.into)).squareRoot())
        case .normal(let deviation, _): .normal(deviation: deviation)
        case .truncatedNormal(let deviation): .truncatedNormal(deviation: deviation)
        case .uniform(let bound, _): .uniform(bound: bound)
        case .bilinear: .bilinear
        }
    }

    public func bias(_ fans: Fans) -> Initializer {
        switch self {
        case .glorot, .he, .bilinear: .constant(0)
        case .torch: .uniform(bound: 1 / Double(fans.into).squareRoot())
        case .normal(_, let bias), .uniform(_, let bias): .constant(bias)
        case .truncatedNormal(let deviation): .truncatedNormal(deviation: deviation)
        }
    }
}
