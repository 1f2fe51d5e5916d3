import Glibc

/// Where values of one axis lie, and which of them are marked.
struct ChartAxis {
    let isLogarithmic: Bool
    private let lower: Double
    private let upper: Double

    /// - Parameter values: NaN and infinite ones do not count.
    init(_ values: some Sequence<Double>, fromZero: Bool = false, logarithmic: Bool = false) {
        var (least, most) = (Double.infinity, -Double.infinity)
        for value in values where value.isFinite { (least, most) = (min(least, value), max(most, value)) }
        if least > most { (least, most) = (0, 1) }
        isLogarithmic = logarithmic && least > 0
        if isLogarithmic { (least, most) = (log10(least), log10(most)) } else if fromZero { least = min(0, least) }
        // A line without height is drawn in the middle.
        if most - least <= abs(most) * 1e-12 {
            let margin = most == 0 ? 1 : abs(most) / 2
            (least, most) = (least - margin, most + margin)
        }
        let margin = (most - least) * 0.04
        (lower, upper) = (fromZero && least == 0 ? 0 : least - margin, most + margin)
    }

    /// 0…1 from the lower end to the upper.
    func place(_ value: Double) -> Double { ((isLogarithmic ? log10(value) : value) - lower) / (upper - lower) }

    /// Round values within the axis, some `count` of them.
    func marks(_ count: Int) -> [Double] {
        if isLogarithmic, upper - lower >= 1 {
            let decades = Int(ceil(lower))...Int(max(ceil(lower), floor(upper)))
            let few = decades.count < 3 ? [1.0, 2, 5] : [1.0]
            return decades.flatMap { decade in few.map { $0 * pow(10, Double(decade)) } }
                .filter { (lower...upper).contains(log10($0)) }
        }
        let (first, last) = isLogarithmic ? (pow(10, lower), pow(10, upper)) : (lower, upper)
        let rough = (last - first) / Double(max(1, count))
        let unit = pow(10, floor(log10(rough)))
        let step = [1, 2, 5, 10].map { $0 * unit }.first { $0 >= rough } ?? rough
        let start = ceil(first / step)
        return (0...(2 * count + 2)).map { (start + Double($0)) * step }.filter { $0 <= last }
    }

    /// Short, but telling neighbouring marks apart.
    static func text(_ value: Double) -> String {
        if value == 0 { return "0" }
        let magnitude = abs(value)
        if magnitude >= 1e5 || magnitude < 1e-4 {
            let exponent = Int(floor(log10(magnitude)))
            let mantissa = value / pow(10, Double(exponent))
            let digits = NumberFormat.text((mantissa * 100).rounded() / 100)
            return digits == "1" ? "1e\(exponent)" : "\(digits)e\(exponent)"
        }
        let scale = pow(10, 4 - ceil(log10(magnitude)))
        return NumberFormat.text((value * scale).rounded() / scale)
    }
}
