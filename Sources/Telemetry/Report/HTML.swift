/// Text as it may stand in HTML and SVG, in elements and in quoted attributes.
public enum HTML {
    public static func escaped(_ text: String) -> String {
        var result = ""
        result.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            // Characters that no document may hold.
            case "\0"..."\u{8}", "\u{B}"..."\u{C}", "\u{E}"..."\u{1F}", "\u{7F}": result += "\u{FFFD}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// - Parameter rows: of cells, escaped here. Cells that hold numbers stand on the right.
    public static func table(_ header: [String], _ rows: [[String]]) -> String {
        func cell(_ text: String, _ tag: String) -> String {
            let isNumber = Double(text.prefix { $0 != " " }) != nil
            return "<\(tag)\(isNumber ? " class=\"number\"" : "")>\(escaped(text))</\(tag)>"
        }
        let head = header.isEmpty ? "" : "<tr>\(header.map { cell($0, "th") }.joined())</tr>\n"
        let body = rows.map { "<tr>\($0.map { cell($0, "td") }.joined())</tr>" }.joined(separator: "\n")
        return "<div class=\"scroll\"><table>\n\(head)\(body)\n</table></div>\n"
    }
}
