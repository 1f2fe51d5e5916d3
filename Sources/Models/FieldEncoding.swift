import Basics
import Glibc

/// How values of records become what a network computes with, and back. Records have pictures and masks in 0…1, depth
/// in metres.
public enum FieldEncoding: Sendable, Hashable {
    case plain
    /// (value · scale − mean) / deviation, with a mean and a deviation for each channel or one for all.
    case standardized(scale: Float, mean: [Float], deviation: [Float])
    /// ln(value) / unit; what is not positive is unknown.
    case logarithm(unit: Float)
    /// numerator / value, the value limited to the range first; what is not positive is unknown.
    case reciprocal(numerator: Float, range: ClosedRange<Float>)

    /// Whether a value of a record is one: NaN never is.
    public func isKnown(_ value: Float) -> Bool {
        switch self {
        case .plain, .standardized: value.isFinite
        case .logarithm, .reciprocal: value.isFinite && value > 0
        }
    }

    public func encoded(_ value: Float, channel: Int) -> Float {
        switch self {
        case .plain: value
        case .standardized(let scale, let mean, let deviation):
            (value * scale - Self.entry(mean, channel)) / Self.entry(deviation, channel)
        case .logarithm(let unit): Float(log(Double(value))) / unit
        case .reciprocal(let numerator, let range):
            value > 0 ? numerator / min(max(value, range.lowerBound), range.upperBound) : .nan
        }
    }

    /// The value of a record that this number of a network stands for. Where a reciprocal is not positive: the far end
    /// of the range.
    public func decoded(_ value: Float, channel: Int) -> Float {
        switch self {
        case .plain: return value
        case .standardized(let scale, let mean, let deviation):
            return (value * Self.entry(deviation, channel) + Self.entry(mean, channel)) / scale
        case .logarithm(let unit): return Float(exp(Double(value * unit)))
        case .reciprocal(let numerator, let range):
            if value <= 0 { return range.upperBound }
            let decoded = numerator / value
            // Written so that NaN stays.
            return decoded < range.lowerBound
                ? range.lowerBound : decoded > range.upperBound ? range.upperBound : decoded
        }
    }

    private static func entry(_ values: [Float], _ channel: Int) -> Float {
        values.count == 1 ? values[0] : values[channel]
    }
}
