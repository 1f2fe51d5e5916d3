import Tensors

extension Graph {
    /// One line per node: number, operation, place, shapes.
    public func listing() -> String {
        var rows: [[String]] = [["#", "operation", "where", "inputs", "outputs", "attributes"]]
        for (index, node) in nodes.enumerated() {
            rows.append([
                "\(index)", node.operation.name, node.path,
                node.inputs.map { "%\($0.index)" }.joined(separator: " "),
                node.outputs.map { "%\($0.index):\(shape(of: $0))" }.joined(separator: " "),
                node.operation.attributes.map { "\($0.name)=\($0.value)" }.joined(separator: " "),
            ])
        }
        return table(rows)
    }

    /// One line per parameter: name, shape, number of elements, and the total.
    public func parameterListing() -> String {
        var rows: [[String]] = [["parameter", "shape", "elements"]]
        for parameter in parameters {
            rows.append([parameter.name, parameter.shape.description, "\(parameter.shape.count)"])
        }
        rows.append(["total", "", "\(parameterCount)"])
        return table(rows)
    }

    private func table(_ rows: [[String]]) -> String {
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                line += cell
                if column < row.count - 1 { line += String(repeating: " ", count: widths[column] - cell.count + 2) }
            }
            while line.last == " " { line.removeLast() }
            return line
        }.joined(separator: "\n") + "\n"
    }
}
