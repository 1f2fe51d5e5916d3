import Foundation
import Kernels
import Telemetry
import Training

/// Kinds of operations below the machine's limits, as SVG on a light ground: operations per byte against operations per
/// second, both logarithmic, a dot for each kind, its area the share of the run's time.
struct RooflinePicture {
    /// Network, what was run, size, batch.
    let title: String
    let operations: [OperationTiming]
    let limits: MachinePeak.Limits
    /// Cores and instruction level.
    let machine: String

    /// Kinds with a greater share of the time have their name beside them.
    static let labelledShare = 0.015
    /// Kinds with less of the time, or fewer operations per byte (moves and sums), are left out.
    static let shownShare = 0.0005
    static let shownIntensity = 0.03

    private static let (width, height) = (860.0, 648.0)
    private static let plot = Box(left: 76, top: 62, right: 840, bottom: 530)
    private static let colors = (products: "#1f6feb", rest: "#d9730d", roof: "#222222", grid: "#e4e4e4")

    struct Box {
        var left: Double
        var top: Double
        var right: Double
        var bottom: Double

        func overlap(_ other: Box) -> Double {
            max(0, min(right, other.right) - max(left, other.left))
                * max(0, min(bottom, other.bottom) - max(top, other.top))
        }
    }

    struct Dot {
        let x: Double
        let y: Double
        let radius: Double
        let name: String
        let share: Double
        let isProduct: Bool

        var box: Box { Box(left: x - radius, top: y - radius, right: x + radius, bottom: y + radius) }
    }

    /// Where values lie on paper.
    private struct Axes {
        let intensities: ClosedRange<Double>
        let rates: ClosedRange<Double>

        func x(_ intensity: Double) -> Double { place(intensity, intensities, plot.left, plot.right) }
        func y(_ rate: Double) -> Double { place(rate, rates, plot.bottom, plot.top) }

        private func place(_ value: Double, _ range: ClosedRange<Double>, _ low: Double, _ high: Double) -> Double {
            let share = log10(value / range.lowerBound) / log10(range.upperBound / range.lowerBound)
            return low + (high - low) * share
        }
    }

    func svg() -> String {
        let shown = operations.filter {
            $0.share >= Self.shownShare && $0.bytes > 0 && $0.floatOperations / $0.bytes >= Self.shownIntensity
        }
        let ridge = limits.operationRate / limits.byteRate
        let axes = Axes(
            // Room on the right for names.
            intensities: Self.decades(shown.map { 2 * $0.floatOperations / $0.bytes } + [0.03, ridge, ridge * 10]),
            rates: Self.decades(shown.map(\.floatOperationRate) + [limits.operationRate * 2]))
        let dots = shown.map { timing in
            Dot(
                x: axes.x(timing.floatOperations / timing.bytes), y: axes.y(timing.floatOperationRate),
                radius: max(2, 42 * timing.share.squareRoot()), name: timing.name, share: timing.share,
                isProduct: timing.name.contains("Conv2D") || timing.name.contains("Upsample"))
        }
        var lines = [
            """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" \
            width="\(Int(Self.width))" height="\(Int(Self.height))" font-family="Helvetica, Arial, sans-serif" \
            font-size="13" fill="#222222">
            """,
            "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>",
            text(Self.plot.left, 26, title, "font-size=\"17\" font-weight=\"bold\""),
            text(Self.plot.left, 47, "\(machine); measured limits: \(roofText)"),
        ]
        lines += grid(axes)
        lines += roofs(axes, ridge: ridge)
        // Large ones first, so that small ones lie on top.
        lines += dots.sorted { $0.radius > $1.radius }.map(circle)
        lines += labels(dots, axes, ridge: ridge)
        lines += legend(leftOutShare: max(0, 1 - shown.reduce(0) { $0 + $1.share }))
        return lines.joined(separator: "\n") + "\n</svg>\n"
    }

    private var roofText: String {
        "\(BenchText.giga(limits.operationRate)) GFLOP/s of multiply-adds, "
            + "\(BenchText.giga(limits.byteRate)) GB/s of memory"
    }

    /// The decades, or halves of them, that hold all values.
    private static func decades(_ values: [Double]) -> ClosedRange<Double> {
        let logs = values.map { log10($0) }
        let low = ((logs.min() ?? 0) * 2 - 0.2).rounded(.down) / 2
        let high = ((logs.max() ?? 1) * 2 + 0.2).rounded(.up) / 2
        return pow(10, low)...pow(10, max(high, low + 1))
    }

    // MARK: Parts

    private func grid(_ axes: Axes) -> [String] {
        let plot = Self.plot
        var lines: [String] = []
        for tick in Self.ticks(axes.intensities) {
            let x = axes.x(tick)
            lines.append(line(x, plot.top, x, plot.bottom, "stroke=\"\(Self.colors.grid)\""))
            lines.append(text(x, plot.bottom + 18, Self.plain(tick), "text-anchor=\"middle\""))
        }
        for tick in Self.ticks(axes.rates) {
            let y = axes.y(tick)
            lines.append(line(plot.left, y, plot.right, y, "stroke=\"\(Self.colors.grid)\""))
            lines.append(text(plot.left - 8, y + 4, Self.plain(tick / 1e9), "text-anchor=\"end\""))
        }
        let (middle, centre) = ((plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2)
        return lines + [
            "<rect x=\"\(plot.left)\" y=\"\(plot.top)\" width=\"\(plot.right - plot.left)\" "
                + "height=\"\(plot.bottom - plot.top)\" fill=\"none\" stroke=\"#999999\"/>",
            text(middle, plot.bottom + 40, "operations per byte", "text-anchor=\"middle\""),
            text(20, centre, "GFLOP/s", "text-anchor=\"middle\" transform=\"rotate(-90 20 \(Self.number(centre)))\""),
        ]
    }

    private func roofs(_ axes: Axes, ridge: Double) -> [String] {
        let plot = Self.plot
        let style = "stroke=\"\(Self.colors.roof)\" stroke-width=\"2\""
        let start = max(axes.intensities.lowerBound, axes.rates.lowerBound / limits.byteRate)
        let roofY = axes.y(limits.operationRate)
        let (startX, startY) = (axes.x(start), axes.y(start * limits.byteRate))
        let angle = atan2(roofY - startY, axes.x(ridge) - startX) * 180 / .pi
        let (x, y) = (startX + 0.3 * (axes.x(ridge) - startX), startY + 0.3 * (roofY - startY) - 8)
        return [
            line(startX, startY, axes.x(ridge), roofY, style), line(axes.x(ridge), roofY, plot.right, roofY, style),
            text(
                axes.x(ridge) + 6, roofY - 7, "\(BenchText.giga(limits.operationRate)) GFLOP/s",
                "font-weight=\"bold\""),
            text(
                x, y, "\(BenchText.giga(limits.byteRate)) GB/s",
                "font-weight=\"bold\" transform=\"rotate(\(Self.number(angle)) \(Self.number(x)) \(Self.number(y)))\""),
        ]
    }

    private func circle(_ dot: Dot) -> String {
        let color = dot.isProduct ? Self.colors.products : Self.colors.rest
        return "<circle cx=\"\(Self.number(dot.x))\" cy=\"\(Self.number(dot.y))\" r=\"\(Self.number(dot.radius))\" "
            + "fill=\"\(color)\" fill-opacity=\"0.55\" stroke=\"\(color)\"><title>\(HTML.escaped(dot.name)): "
            + "\(BenchText.percent(dot.share))</title></circle>"
    }

    private func labels(_ dots: [Dot], _ axes: Axes, ridge: Double) -> [String] {
        let roofY = axes.y(limits.operationRate)
        // Figures of the roofs.
        var taken = [Box(left: axes.x(ridge), top: roofY - 24, right: axes.x(ridge) + 130, bottom: roofY)]
        let named = dots.filter { $0.share > Self.labelledShare }.sorted { $0.share > $1.share }
        /// How far a box lies over the roof lines, in pixels of line.
        func roofOverlap(_ box: Box) -> Double {
            var sum = 0.0
            for step in stride(from: box.left, through: box.right, by: 4) {
                let share = (step - Self.plot.left) / (Self.plot.right - Self.plot.left)
                let intensity =
                    axes.intensities.lowerBound
                    * pow(axes.intensities.upperBound / axes.intensities.lowerBound, share)
                let y = axes.y(min(limits.operationRate, max(axes.rates.lowerBound, intensity * limits.byteRate)))
                if y > box.top - 2 && y < box.bottom + 2 { sum += 4 }
            }
            return sum
        }
        var lines: [String] = []
        for dot in named {
            let label = "\(dot.name) \(BenchText.percent(dot.share))"
            let length = Double(label.count) * 6.9 + 6
            let places = Self.places(around: dot, width: length, height: 15)
            let best = places.min { first, second in
                cost(first, dot, dots, taken, roofOverlap) < cost(second, dot, dots, taken, roofOverlap)
            }
            guard let best else { continue }
            taken.append(best)
            let (nearX, nearY) = (
                min(max(dot.x, best.left), best.right), min(max(dot.y, best.top), best.bottom)
            )
            let distance = hypot(nearX - dot.x, nearY - dot.y)
            if distance > dot.radius + 6 {
                let share = dot.radius / distance
                lines.append(
                    line(
                        dot.x + share * (nearX - dot.x), dot.y + share * (nearY - dot.y), nearX, nearY,
                        "stroke=\"#666666\" stroke-width=\"0.8\""))
            }
            lines.append(text(best.left + 2, best.bottom - 4, label, "font-size=\"12\""))
        }
        return lines
    }

    /// Boxes around a dot on rings of growing size.
    private static func places(around dot: Dot, width: Double, height: Double) -> [Box] {
        var result: [Box] = []
        for gap in stride(from: 3.0, through: 150, by: 7) {
            for step in 0..<24 {
                let angle = Double(step) * .pi / 12
                let (x, y) = (dot.x + (dot.radius + gap) * cos(angle), dot.y + (dot.radius + gap) * sin(angle))
                // The box touches the ring with the side that faces the dot.
                let left = x - width * (1 - cos(angle)) / 2
                let top = y - height * (1 - sin(angle)) / 2
                result.append(Box(left: left, top: top, right: left + width, bottom: top + height))
            }
        }
        return result
    }

    private func cost(
        _ box: Box, _ dot: Dot, _ dots: [Dot], _ taken: [Box], _ roofOverlap: (Box) -> Double
    ) -> Double {
        let plot = Self.plot
        let outside =
            max(0, plot.left + 2 - box.left) + max(0, box.right + 2 - plot.right) + max(0, plot.top + 2 - box.top)
            + max(0, box.bottom + 2 - plot.bottom)
        let labels = taken.reduce(0) { $0 + $1.overlap(box) }
        let circles = dots.reduce(0) { $0 + $1.box.overlap(box) }
        let (x, y) = (min(max(dot.x, box.left), box.right), min(max(dot.y, box.top), box.bottom))
        return outside * 1000 + labels * 100 + circles * 2 + roofOverlap(box) * 8 + hypot(x - dot.x, y - dot.y)
    }

    private func legend(leftOutShare: Double) -> [String] {
        let (x, y) = (Self.plot.left, Self.plot.bottom + 62)
        func swatch(_ x: Double, _ color: String) -> String {
            "<circle cx=\"\(x)\" cy=\"\(y - 4)\" r=\"6\" fill=\"\(color)\" fill-opacity=\"0.55\" stroke=\"\(color)\"/>"
        }
        let small = "font-size=\"11\" fill=\"#444444\""
        let leftOut =
            leftOutShare >= Self.shownShare
            ? " Kinds with few operations or little time are left out: \(BenchText.percent(leftOutShare)) of it." : ""
        return [
            swatch(x + 6, Self.colors.products), text(x + 18, y, "convolutions"),
            swatch(x + 116, Self.colors.rest), text(x + 128, y, "other kinds of operation"),
            text(
                x + 300, y, "Names: kinds with more than \(BenchText.percent(Self.labelledShare)) of the time.", small),
            text(
                x, y + 21,
                "Area of a dot: share of the run's time. Bytes: inputs and outputs, each once." + leftOut, small),
            text(
                x, y + 38,
                "3x3 convolutions count direct operations: Winograd's algorithm needs a quarter of the products, and "
                    + "lifts them above the roof.", small),
        ]
    }

    // MARK: Text

    private static func ticks(_ range: ClosedRange<Double>) -> [Double] {
        let low = Int(log10(range.lowerBound).rounded(.down))
        let high = Int(log10(range.upperBound).rounded(.up))
        return (low...high).flatMap { power in [1, 3].map { Double($0) * pow(10, Double(power)) } }
            .filter { $0 >= range.lowerBound * 0.999 && $0 <= range.upperBound * 1.001 }
    }

    private static func plain(_ value: Double) -> String {
        value >= 1 ? "\(Int(value.rounded()))" : "\((value * 1e4).rounded() / 1e4)"
    }

    private static func number(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

    private func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ style: String) -> String {
        let ends = [("x1", x1), ("y1", y1), ("x2", x2), ("y2", y2)].map { "\($0)=\"\(Self.number($1))\"" }
        return "<line \(ends.joined(separator: " ")) \(style)/>"
    }

    private func text(_ x: Double, _ y: Double, _ content: String, _ style: String = "") -> String {
        "<text x=\"\(Self.number(x))\" y=\"\(Self.number(y))\"\(style.isEmpty ? "" : " " + style)>"
            + HTML.escaped(content) + "</text>"
    }
}
