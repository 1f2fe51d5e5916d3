import Foundation

/// One HTML page that needs nothing but itself: no network, no script.
public struct ReportPage: Sendable {
    public let title: String
    private var body = ""

    public init(title: String) { self.title = title }

    public mutating func heading(_ text: String) { body += "<h2>\(HTML.escaped(text))</h2>\n" }

    public mutating func paragraph(_ text: String) { body += "<p>\(HTML.escaped(text))</p>\n" }

    /// Numbers that matter most, each with its name.
    public mutating func tiles(_ tiles: [(name: String, value: String)]) {
        let parts = tiles.map { "<div><b>\(HTML.escaped($0.value))</b>\(HTML.escaped($0.name))</div>" }
        body += "<div class=\"tiles\">\(parts.joined())</div>\n"
    }

    public mutating func table(_ header: [String], _ rows: [[String]]) { body += HTML.table(header, rows) }

    public mutating func charts(_ charts: [LineChart]) {
        let drawn = charts.filter { !$0.isEmpty }
        if !drawn.isEmpty { body += "<div class=\"charts\">\n\(drawn.map { $0.html() }.joined())</div>\n" }
    }

    public mutating func timeline(_ timeline: RankTimeline) { body += timeline.html() }

    /// - Parameter png: a whole file; it becomes part of the page.
    public mutating func picture(_ caption: String, png: [UInt8]) {
        body += """
            <figure class="wide"><figcaption>\(HTML.escaped(caption))</figcaption>
            <img alt="\(HTML.escaped(caption))" src="data:image/png;base64,\(Data(png).base64EncodedString())"></figure>

            """
    }

    /// Something long, folded away.
    public mutating func folded(_ caption: String, text: String) {
        body += "<details><summary>\(HTML.escaped(caption))</summary><pre>\(HTML.escaped(text))</pre></details>\n"
    }

    public func html() -> String {
        """
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
        <title>\(HTML.escaped(title))</title>
        <style>\(Self.style)</style>
        </head>
        <body>
        <main>
        <h1>\(HTML.escaped(title))</h1>
        \(body)</main>
        </body>
        </html>

        """
    }

    /// The colours can be told apart by the colour-blind (after Okabe and Ito).
    private static let style = """
        :root{--ground:#fff;--ink:#1b1f24;--soft:#57606a;--rule:#d8dee4;--tile:#f6f8fa;--c0:#0072b2;--c1:#d55e00;\
        --c2:#009e73;--c3:#cc79a7;--c4:#e69f00;--c5:#56b4e9;--c6:#7a6f00;--c7:#555}
        @media (prefers-color-scheme:dark){:root{--ground:#0d1117;--ink:#e6edf3;--soft:#9198a1;--rule:#30363d;\
        --tile:#161b22;--c0:#58a6ff;--c1:#f0883e;--c2:#3fb68b;--c3:#d993bd;--c4:#e3b341;--c5:#79c0ff;--c6:#c9bf4a;--c7:#aaa}}
        body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,Helvetica,Arial,sans-serif}
        main{max-width:1180px;margin:0 auto;padding:24px 20px 60px}
        h1{font-size:26px;margin:.2em 0 .6em;overflow-wrap:anywhere}h2{font-size:19px;margin:1.8em 0 .6em;\
        border-bottom:1px solid var(--rule);padding-bottom:.2em}
        .tiles{display:flex;flex-wrap:wrap;gap:10px}.tiles div{background:var(--tile);border:1px solid var(--rule);\
        border-radius:8px;padding:8px 14px;color:var(--soft);font-size:13px}.tiles b{display:block;color:var(--ink);font-size:20px}
        .charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(480px,100%),1fr));gap:18px}
        figure{margin:0}figure.wide{margin:12px 0}figcaption{font-weight:600;margin-bottom:4px}
        svg{width:100%;height:auto;display:block;font-size:12px}svg text{fill:var(--soft)}
        .grid{stroke:var(--rule);fill:none}.line{fill:none;stroke-width:1.6;stroke-linejoin:round}.band{stroke:none;opacity:.18}
        .legend{font-size:13px;color:var(--soft);display:flex;flex-wrap:wrap;gap:4px 16px}
        .legend i{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:5px;vertical-align:-1px}
        .legend b{color:var(--ink);font-weight:600}
        \((0..<8).map { ".line.c\($0){stroke:var(--c\($0))}.band.c\($0),.dot.c\($0),.fill.c\($0){fill:var(--c\($0))}i.c\($0){background:var(--c\($0))}" }.joined())
        .scroll{overflow-x:auto}table{border-collapse:collapse;font-size:14px}
        th,td{text-align:left;padding:3px 12px 3px 0;border-bottom:1px solid var(--rule);vertical-align:top;overflow-wrap:anywhere}
        .number{text-align:right;font-variant-numeric:tabular-nums}
        img{max-width:100%;height:auto}details{margin:10px 0}summary{cursor:pointer}
        pre{overflow-x:auto;background:var(--tile);padding:10px 14px;border-radius:8px;font-size:13px}
        """
}
