import Basics
import Foundation
import FoundationXML
import TestSupport
import Testing

@testable import Telemetry

@Suite struct TelemetryReportTests {
    let folder = TemporaryFolder("report")

    private func table(_ text: String) throws -> CSVTable {
        let path = folder.file("table.csv")
        try AtomicFileWriter.write(text, to: path)
        return try CSVTable(path: path)
    }

    @Test func tablesAsTheyAreWritten() throws {
        let path = folder.file("metrics.csv")
        let writer = try MetricsCSV(path: path, columns: ["step", "loss", "host"])
        try writer.append([1, 0.5, "a \"b\", c"])
        try writer.append([2, nil, ""])
        let table = try CSVTable(path: path)
        #expect(table.columns == ["step", "loss", "host"])
        #expect(table.texts("host") == ["a \"b\", c", ""])
        let losses = try #require(table.numbers("loss"))
        #expect(losses[0] == 0.5 && losses[1].isNaN)
        #expect(table.numbers("epoch") == nil)
    }

    @Test func tornLastLine() throws {
        #expect(try table("step,loss\n1,2\n2,3.").rows == [["1", "2"]])
        #expect(try table("step,loss\r\n1,2\r\n").rows == [["1", "2"]])
        #expect(try table("step\n").rows.isEmpty)
    }

    @Test func brokenTables() throws {
        let error = #expect(throws: Failure.self) { try table("step,loss\n1,2\n3\n4,5\n") }
        #expect(error?.description.contains("line 3 has 1 cells, the header 2") == true)
        #expect(throws: Failure.self) { try table("") }
    }

    @Test func marksAreRoundAndInside() {
        #expect(ChartAxis([0, 1], fromZero: true).marks(5).map(ChartAxis.text) == ["0", "0.5", "1"])
        #expect(ChartAxis([1e-3, 1], logarithmic: true).marks(5).map(ChartAxis.text) == ["0.001", "0.01", "0.1", "1"])
        // A logarithm of nothing is no axis.
        #expect(!ChartAxis([0, 1], logarithmic: true).isLogarithmic)
        for values in [[5.0], [0], [.nan], [], [-3, 1e9], [1, 1 + 1e-15]] {
            let axis = ChartAxis(values)
            for mark in axis.marks(5) { #expect((-0.001...1.001).contains(axis.place(mark)), "\(values)") }
            for value in values where value.isFinite { #expect((0...1).contains(axis.place(value)), "\(values)") }
        }
    }

    @Test func numbersOfAxes() {
        let texts = [0, 0.25, 1234.5678, 250_000, 1e-6, -0.5, 3.3e-5].map(ChartAxis.text)
        #expect(texts == ["0", "0.25", "1235", "2.5e5", "1e-6", "-0.5", "3.3e-5"])
    }

    @Test func manyPointsBecomeMeansWithTheirSpread() {
        let points = (0..<1000).map { (x: Double($0), y: $0 == 500 ? Double.nan : Double($0 % 10)) }
        let bins = LineChart.thinned(points, columns: 100)
        #expect(bins.count == 100)
        #expect(bins[0] == LineChart.Bin(x: 4.5, mean: 4.5, least: 0, most: 9))
        #expect(bins[50].mean == 5 && bins[50].least == 1)
        #expect(LineChart.thinned(Array(points[..<100]), columns: 100).count == 100)
    }

    /// Names come from outside: hosts, settings, folders.
    @Test func pagesHoldNoOneElsesMarkup() throws {
        let hostile = "<script>alert(\"1\")</script>&'\u{1}"
        var page = ReportPage(title: hostile)
        page.heading(hostile)
        page.table([hostile], [[hostile]])
        page.tiles([(hostile, hostile)])
        page.charts([LineChart(hostile, [.init(hostile, [(1, 2), (2, .nan), (3, 1)], color: 9, hasDots: true)])])
        page.timeline(
            RankTimeline([
                .init(name: hostile, parts: [.init(compute: 1, dataWait: .nan, waitForSlowest: -1, exchange: 0)])
            ]))
        page.picture(hostile, png: [1, 2])
        page.folded(hostile, text: hostile)
        let html = page.html()
        #expect(!html.contains("<script"))
        #expect(!html.contains("\u{1}"))
        #expect(html.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;\u{FFFD}"))
        // Nothing is fetched.
        for word in ["http:", "https:", "src=\"/", "href=", "@import", "url("] {
            #expect(!html.contains(word), "\(word)")
        }
        for svg in html.matches(of: #/<svg[\s\S]*?<\/svg>/#) {
            #expect(XMLParser(data: Data(svg.0.utf8)).parse())
            #expect(!svg.0.contains("nan"))
        }
    }

    @Test func emptyChartsAreLeftOut() {
        #expect(LineChart("a", [.init("b", [(1, .nan)], color: 0)]).isEmpty)
        var page = ReportPage(title: "t")
        page.charts([LineChart("a", [])])
        #expect(!page.html().contains("<figure"))
    }
}
