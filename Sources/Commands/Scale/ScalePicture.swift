import Foundation
import Telemetry
import Training

/// Efficiency by the number of ranks, as SVG on a light ground: a colour for each network, whole lines where lanes
/// grow with the ranks, broken ones where they are fixed.
struct ScalePicture {
    let title: String
    let step: StepProfile
    let curves: [ScaleCommand.Curves]
    /// Where they are fixed.
    let lanes: Int

    private static let (width, left, top, right, bottom) = (860.0, 70.0, 66.0, 836.0, 440.0)
    private static let colors = ["#1f6feb", "#d9730d", "#2da44e", "#8250df", "#cf222e", "#57606a"]
    private static let grid = "#e4e4e4"

    func svg() -> String {
        let height = Self.bottom + 78 + Double(curves.count) * 19
        var lines = [
            """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(Self.width)) \(Int(height))" \
            width="\(Int(Self.width))" height="\(Int(height))" font-family="Helvetica, Arial, sans-serif" \
            font-size="13" fill="#222222">
            """,
            "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>",
            text(Self.left, 26, "Predicted efficiency: \(title)", "font-size=\"17\" font-weight=\"bold\""),
            text(
                Self.left, 48,
                "\(BenchText.milliseconds(step.laneSeconds)) a lane, "
                    + "\(BenchText.rounded(Double(step.byteCount) / 1e6)) MB exchanged in a step, a rank on each host"),
        ]
        lines += axes()
        for (index, curves) in curves.enumerated() {
            let color = Self.colors[index % Self.colors.count]
            lines += line(curves.weak, color, "")
            lines += line(curves.strong, color, " stroke-dasharray=\"6 4\"")
        }
        return (lines + legend()).joined(separator: "\n") + "\n</svg>\n"
    }

    // MARK: Parts

    private var most: Double { Double(max(2, curves.flatMap { $0.weak + $0.strong }.map(\.ranks).max() ?? 2)) }
    private func x(_ ranks: Int) -> Double {
        Self.left + (Self.right - Self.left) * log2(Double(ranks)) / log2(most)
    }
    private func y(_ efficiency: Double) -> Double {
        Self.bottom - (Self.bottom - Self.top) * min(max(efficiency, 0), 1.05) / 1.05
    }

    private func axes() -> [String] {
        var lines: [String] = []
        for tenth in stride(from: 0, through: 10, by: 2) {
            let height = y(Double(tenth) / 10)
            lines.append(
                "<path d=\"M\(Self.left) \(number(height))H\(Self.right)\" stroke=\"\(Self.grid)\"/>")
            lines.append(text(Self.left - 8, height + 4, "\(tenth * 10) %", "text-anchor=\"end\""))
        }
        var ranks = 1
        while Double(ranks) <= most {
            lines.append(
                "<path d=\"M\(number(x(ranks))) \(Self.top)V\(Self.bottom)\" stroke=\"\(Self.grid)\"/>")
            lines.append(text(x(ranks), Self.bottom + 18, "\(ranks)", "text-anchor=\"middle\""))
            ranks *= 2
        }
        return lines + [
            "<rect x=\"\(Self.left)\" y=\"\(Self.top)\" width=\"\(Self.right - Self.left)\" "
                + "height=\"\(Self.bottom - Self.top)\" fill=\"none\" stroke=\"#999999\"/>",
            text((Self.left + Self.right) / 2, Self.bottom + 38, "ranks", "text-anchor=\"middle\""),
        ]
    }

    private func line(_ predictions: [ScaleModel.Prediction], _ color: String, _ style: String) -> [String] {
        guard !predictions.isEmpty else { return [] }
        let points = predictions.map { "\(number(x($0.ranks))),\(number(y($0.efficiency)))" }
        return [
            "<polyline points=\"\(points.joined(separator: " "))\" fill=\"none\" stroke=\"\(color)\" "
                + "stroke-width=\"2\"\(style)/>"
        ]
            + predictions.map {
                "<circle cx=\"\(number(x($0.ranks)))\" cy=\"\(number(y($0.efficiency)))\" r=\"3\" "
                    + "fill=\"\(color)\"><title>\($0.ranks) ranks, \($0.lanes) lanes: "
                    + "\(BenchText.percent($0.efficiency))</title></circle>"
            }
    }

    private func legend() -> [String] {
        let first = Self.bottom + 62
        let lanesPerRank = curves.first?.weak.first?.lanesPerRank ?? 1
        var lines: [String] = []
        for (index, curves) in curves.enumerated() {
            let height = first + 19 * Double(index)
            lines.append(
                "<path d=\"M\(Self.left) \(number(height - 4))h26\" "
                    + "stroke=\"\(Self.colors[index % Self.colors.count])\" stroke-width=\"2\"/>")
            lines.append(text(Self.left + 34, height, curves.link.name))
        }
        lines.append(
            text(
                Self.left + 290, first,
                "whole lines: \(lanesPerRank) lane\(lanesPerRank == 1 ? "" : "s") a rank; "
                    + "broken lines: \(lanes) lanes in all",
                "fill=\"#444444\""))
        return lines
    }

    // MARK: Text

    private func number(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

    private func text(_ x: Double, _ y: Double, _ content: String, _ style: String = "") -> String {
        "<text x=\"\(number(x))\" y=\"\(number(y))\"\(style.isEmpty ? "" : " " + style)>"
            + HTML.escaped(content) + "</text>"
    }
}
