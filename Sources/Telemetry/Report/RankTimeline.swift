/// Where the time of each rank went, step by step, as SVG: a strip a rank, as high as its time.
public struct RankTimeline: Sendable {
    /// Seconds of one step of one rank.
    public struct Part: Sendable {
        public var compute: Double
        public var dataWait: Double
        /// Waiting for the slowest rank, and exchanging with all.
        public var waitForSlowest: Double
        public var exchange: Double

        public init(compute: Double, dataWait: Double, waitForSlowest: Double, exchange: Double) {
            (self.compute, self.dataWait) = (compute, dataWait)
            (self.waitForSlowest, self.exchange) = (waitForSlowest, exchange)
        }

        fileprivate var all: [Double] { [compute, dataWait, waitForSlowest, exchange] }
    }

    public struct Strip: Sendable {
        public var name: String
        public var parts: [Part]

        public init(name: String, parts: [Part]) { (self.name, self.parts) = (name, parts) }
    }

    public var strips: [Strip]

    public init(_ strips: [Strip]) { self.strips = strips }

    public static let kinds = ["computing", "waiting for data", "waiting for the slowest rank", "exchanging"]
    private static let columns = 140
    private static let (width, left, stripHeight, gap) = (1140, 150, 30, 6)

    /// A figure with title, picture and legend.
    public func html() -> String {
        let drawn = strips.map { strip in (strip.name, Self.thinned(strip.parts)) }
        // One long pause (a validation, a debugger) may not flatten all the rest: what is higher is cut off.
        let totals = drawn.flatMap { $0.1 }.map { $0.reduce(0, +) }.sorted()
        let most = totals.isEmpty ? 1 : max(1e-9, 1.1 * totals[totals.count * 95 / 100])
        var parts: [String] = []
        for (index, (name, bins)) in drawn.enumerated() {
            let floor = Double((index + 1) * (Self.stripHeight + Self.gap))
            parts.append(
                "<text x=\"\(Self.left - 8)\" y=\"\(Int(floor) - Self.stripHeight / 2 + 4)\" text-anchor=\"end\">"
                    + "\(HTML.escaped(name))</text>")
            let width = Double(Self.width - Self.left) / Double(max(1, bins.count))
            for kind in Self.kinds.indices {
                // One path a colour: thousands of elements would make the page slow.
                var path = ""
                for (column, bin) in bins.enumerated() {
                    let below = min(1, bin[..<kind].reduce(0, +) / most) * Double(Self.stripHeight)
                    let height = min(1, bin[...kind].reduce(0, +) / most) * Double(Self.stripHeight) - below
                    guard height > 0.05 else { continue }
                    let x = Double(Self.left) + Double(column) * width
                    path +=
                        "M\(Self.number(x)) \(Self.number(floor - below))h\(Self.number(width))"
                        + "v\(Self.number(-height))h\(Self.number(-width))z"
                }
                if !path.isEmpty { parts.append("<path class=\"fill c\(kind)\" d=\"\(path)\"/>") }
            }
        }
        let legend = Self.kinds.enumerated().map { "<span><i class=\"c\($0)\"></i>\($1)</span>" }
        let height = strips.count * (Self.stripHeight + Self.gap) + Self.gap
        return """
            <figure class="wide">
            <figcaption>Time of each rank, first to last step; full height \(ChartAxis.text(most)) s</figcaption>
            <svg viewBox="0 0 \(Self.width) \(height)" role="img" aria-label="time of each rank">
            \(parts.joined(separator: "\n"))
            </svg>
            <div class="legend">\(legend.joined(separator: " "))</div>
            </figure>

            """
    }

    private static func thinned(_ parts: [Part]) -> [[Double]] {
        let count = min(columns, parts.count)
        return (0..<count).map { column in
            let part = parts[(column * parts.count / count)..<((column + 1) * parts.count / count)]
            return kinds.indices.map { kind in
                part.reduce(0) { $0 + max(0, $1.all[kind].isFinite ? $1.all[kind] : 0) } / Double(part.count)
            }
        }
    }

    private static func number(_ value: Double) -> String { NumberFormat.text((value * 10).rounded() / 10) }
}
