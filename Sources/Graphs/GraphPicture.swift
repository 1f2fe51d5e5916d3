import Tensors

/// A drawing of a graph as SVG: one box per layer (the nodes of one place), rows in order of computation, arrows from
/// where a value is made to where it is read; boxes are tinted by the kind of their last operation.
public struct GraphPicture {
    private struct Box {
        var path: String
        var operations: [String]
        var shape: Shape
        var row: Int
        var column: Int
    }

    private var boxes: [Box] = []
    private var arrows: Set<[Int]> = []

    public init(_ graph: Graph) {
        var boxOfValue: [Int: Int] = [:]
        for input in graph.inputs {
            let value = graph.values[input.index]
            boxes.append(Box(path: value.name, operations: ["input"], shape: value.shape, row: 0, column: 0))
            boxOfValue[input.index] = boxes.count - 1
        }
        for node in graph.nodes {
            let sources = Set(node.inputs.compactMap { boxOfValue[$0.index] })
            let index: Int
            // A chain inside one place is one box.
            if let last = boxes.indices.last, boxes[last].path == node.path, sources == [last] {
                boxes[last].operations.append(node.operation.name)
                index = last
            } else {
                boxes.append(
                    Box(path: node.path, operations: [node.operation.name], shape: [], row: 0, column: 0))
                index = boxes.count - 1
                for source in sources { arrows.insert([source, index]) }
            }
            boxes[index].shape = graph.shape(of: node.outputs[0])
            for output in node.outputs { boxOfValue[output.index] = index }
        }
        // Row: one below the lowest source. Column: the first free one of the row.
        var used: [Int: Int] = [:]
        for index in boxes.indices {
            let sources = arrows.filter { $0[1] == index }.map { boxes[$0[0]].row }
            boxes[index].row = (sources.max() ?? -1) + 1
            boxes[index].column = used[boxes[index].row, default: 0]
            used[boxes[index].row, default: 0] += 1
        }
    }

    public func svg() -> String {
        let (width, height, gapX, gapY) = (260, 44, 40, 26)
        let columns = (boxes.map(\.column).max() ?? 0) + 1
        let rows = (boxes.map(\.row).max() ?? 0) + 1
        func x(_ box: Box) -> Int { 20 + box.column * (width + gapX) }
        func y(_ box: Box) -> Int { 20 + box.row * (height + gapY) }
        var text = """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(40 + columns * (width + gapX))" \
            height="\(40 + rows * (height + gapY))" font-family="sans-serif" font-size="12">
            <rect width="100%" height="100%" fill="#ffffff"/>

            """
        for arrow in arrows.sorted(by: { ($0[0], $0[1]) < ($1[0], $1[1]) }) {
            let (a, b) = (boxes[arrow[0]], boxes[arrow[1]])
            let (x1, y1, x2, y2) = (x(a) + width / 2, y(a) + height, x(b) + width / 2, y(b))
            let bend = b.row - a.row > 1 && a.column == b.column ? width / 2 + 12 : 0
            let control = gapY + (b.row - a.row) * 4
            text += "<path d=\"M\(x1) \(y1) C\(x1 + bend) \(y1 + control) \(x2 + bend) \(y2 - control) \(x2) \(y2)\" "
            text += "fill=\"none\" stroke=\"#6b7a8f\" stroke-width=\"1.2\"/>\n"
        }
        for box in boxes {
            text += "<rect x=\"\(x(box))\" y=\"\(y(box))\" width=\"\(width)\" height=\"\(height)\" rx=\"6\" "
            text += "fill=\"\(tint(box.operations.last ?? ""))\" stroke=\"#44546a\"/>\n"
            text += "<text x=\"\(x(box) + 8)\" y=\"\(y(box) + 17)\" font-weight=\"bold\">\(escaped(box.path))</text>\n"
            let operations = box.operations.joined(separator: " · ")
            text += "<text x=\"\(x(box) + 8)\" y=\"\(y(box) + 34)\">\(escaped(operations)) → \(box.shape)</text>\n"
        }
        return text + "</svg>\n"
    }

    private func tint(_ operation: String) -> String {
        switch operation {
        case "input": "#e8eef7"
        case let name where name.contains("Gradient"): "#fbe3df"
        case let name where name.contains("Conv"): "#dcecdc"
        case "BatchNorm", "BatchNormInference": "#f4efd9"
        case "Selection", "ChannelDot", "Softmax": "#e9dff2"
        case let name where name.hasSuffix("Mean") || name == "Smoothness": "#f7dfe9"
        default: "#f2f2f2"
        }
    }

    private func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    }
}

extension String {
    /// Without Foundation.
    fileprivate func replacing(_ character: Character, with text: String) -> String {
        reduce(into: "") { $0 += $1 == character ? text : String($1) }
    }
}
