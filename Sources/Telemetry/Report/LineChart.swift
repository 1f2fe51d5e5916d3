import Glibc

/// Lines over steps as SVG, in the colours of the page that it stands in.
public struct LineChart: Sendable {
    public struct Line: Sendable {
        public var name: String
        /// In ascending x. NaN breaks the line.
        public var points: [(x: Double, y: Double)]
        /// Number of the colour.
        public var color: Int
        /// Points as well as lines: for few points that are far apart.
        public var hasDots: Bool

        public init(_ name: String, _ points: [(x: Double, y: Double)], color: Int, hasDots: Bool = false) {
            self.name = name
            self.points = points
            self.color = color
            self.hasDots = hasDots
        }
    }

    public var title: String
    public var lines: [Line]
    /// Whether the vertical axis begins at zero.
    public var isFromZero: Bool
    public var isLogarithmic: Bool

    public init(_ title: String, _ lines: [Line], isFromZero: Bool = false, isLogarithmic: Bool = false) {
        self.title = title
        self.lines = lines.filter { $0.points.contains { $0.y.isFinite } }
        self.isFromZero = isFromZero
        self.isLogarithmic = isLogarithmic
    }

    public var isEmpty: Bool { lines.isEmpty }

    /// Columns of the picture beyond which more points would not show.
    private static let columns = 480
    private static let (width, height) = (560.0, 260.0)
    private static let (left, right, top, bottom) = (58.0, 548.0, 14.0, 226.0)

    /// A figure with title, picture and legend.
    public func html() -> String {
        let drawn = lines.map { line in (line: line, bins: Self.thinned(line.points)) }
        let ys = drawn.flatMap { $0.bins.map(\.mean) }
        // Of a noisy line the band counts, but not an outlier in it.
        let horizontal = ChartAxis(drawn.flatMap { $0.bins.map(\.x) })
        let vertical = ChartAxis(ys, fromZero: isFromZero, logarithmic: isLogarithmic)
        func x(_ value: Double) -> Double { Self.left + (Self.right - Self.left) * horizontal.place(value) }
        func y(_ value: Double) -> Double {
            Self.bottom - (Self.bottom - Self.top) * min(1, max(0, vertical.place(value)))
        }
        var parts: [String] = []
        for mark in vertical.marks(5) {
            let height = Self.number(y(mark))
            parts.append("<path class=\"grid\" d=\"M\(Self.number(Self.left)) \(height)H\(Self.number(Self.right))\"/>")
            parts.append(
                "<text x=\"\(Self.number(Self.left - 6))\" y=\"\(height)\" dy=\"4\" text-anchor=\"end\">\(ChartAxis.text(mark))</text>"
            )
        }
        for mark in horizontal.marks(6) where mark == mark.rounded() {
            let place = Self.number(x(mark))
            parts.append("<path class=\"grid\" d=\"M\(place) \(Self.number(Self.bottom))v4\"/>")
            parts.append(
                "<text x=\"\(place)\" y=\"\(Self.number(Self.bottom + 18))\" text-anchor=\"middle\">\(ChartAxis.text(mark))</text>"
            )
        }
        for (line, bins) in drawn {
            if bins.contains(where: { $0.least < $0.most }) {
                let upper = bins.map { "\(Self.number(x($0.x))) \(Self.number(y($0.most)))" }
                let lower = bins.reversed().map { "\(Self.number(x($0.x))) \(Self.number(y($0.least)))" }
                parts.append(
                    "<path class=\"band c\(line.color % 8)\" d=\"M\((upper + lower).joined(separator: "L"))Z\"/>")
            }
            var path = ""
            var isOpen = false
            for bin in bins {
                guard bin.mean.isFinite else {
                    isOpen = false
                    continue
                }
                path += "\(isOpen ? "L" : "M")\(Self.number(x(bin.x))) \(Self.number(y(bin.mean)))"
                isOpen = true
            }
            parts.append("<path class=\"line c\(line.color % 8)\" d=\"\(path)\"/>")
            if line.hasDots || bins.count == 1 {
                for bin in bins where bin.mean.isFinite {
                    parts.append(
                        "<circle class=\"dot c\(line.color % 8)\" cx=\"\(Self.number(x(bin.x)))\" "
                            + "cy=\"\(Self.number(y(bin.mean)))\" r=\"2.5\"><title>\(HTML.escaped(line.name)), "
                            + "step \(ChartAxis.text(bin.x)): \(ChartAxis.text(bin.mean))</title></circle>")
                }
            }
        }
        let legend = lines.map { line in
            let last = line.points.last { $0.y.isFinite }.map { " <b>\(ChartAxis.text($0.y))</b>" } ?? ""
            return "<span><i class=\"c\(line.color % 8)\"></i>\(HTML.escaped(line.name))\(last)</span>"
        }
        return """
            <figure>
            <figcaption>\(HTML.escaped(title))</figcaption>
            <svg viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" role="img" aria-label="\(HTML.escaped(title))">
            \(parts.joined(separator: "\n"))
            </svg>
            <div class="legend">\(legend.joined(separator: " "))</div>
            </figure>

            """
    }

    struct Bin: Equatable {
        var x: Double
        var mean: Double
        var least: Double
        var most: Double
    }

    /// At most as many points as the picture can show: means of neighbours, with their spread.
    static func thinned(_ points: [(x: Double, y: Double)], columns: Int = columns) -> [Bin] {
        guard points.count > columns else { return points.map { Bin(x: $0.x, mean: $0.y, least: $0.y, most: $0.y) } }
        return (0..<columns).map { column in
            let part = points[(column * points.count / columns)..<((column + 1) * points.count / columns)]
            let known = part.map(\.y).filter(\.isFinite)
            guard let least = known.min(), let most = known.max() else {
                return Bin(x: part[part.startIndex].x, mean: .nan, least: .nan, most: .nan)
            }
            return Bin(
                x: part.reduce(0) { $0 + $1.x } / Double(part.count), mean: known.reduce(0, +) / Double(known.count),
                least: least, most: most)
        }
    }

    private static func number(_ value: Double) -> String { NumberFormat.text((value * 10).rounded() / 10) }
}
