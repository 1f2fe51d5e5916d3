import Basics

/// A table that `MetricsCSV` wrote, or one that looks like it: a header, then a line a row.
public struct CSVTable: Sendable {
    public let path: String
    public let columns: [String]
    public let rows: [[String]]

    /// A last line without a line break is left out: its writer was killed, or is still writing.
    /// - Throws: `FileError`; `Failure` (bad data) naming the line whose cells are not those of the header.
    public init(path: String) throws {
        self.path = path
        var lines = try Files.read(path).split(separator: 10, omittingEmptySubsequences: false)
        lines.removeLast()
        guard let header = lines.first else {
            throw Failure(.badData, "\(path): is empty; a table begins with the names of its columns")
        }
        columns = Self.cells(header)
        var rows: [[String]] = []
        rows.reserveCapacity(lines.count)
        for (number, line) in lines.enumerated().dropFirst() where !line.isEmpty {
            let cells = Self.cells(line)
            guard cells.count == columns.count else {
                throw Failure(
                    .badData,
                    "\(path): line \(number + 1) has \(cells.count) cells, the header \(columns.count); remove that line"
                )
            }
            rows.append(cells)
        }
        self.rows = rows
    }

    private static func cells(_ line: ArraySlice<UInt8>) -> [String] {
        let quote = UInt8(ascii: "\"")
        var cells: [String] = []
        var cell: [UInt8] = []
        var isQuoted = false
        for byte in line where byte != 13 {
            if byte == quote {
                isQuoted.toggle()
                // Two quotes within quotes stand for one.
                if isQuoted && !cell.isEmpty { cell.append(quote) }
            } else if byte == UInt8(ascii: ","), !isQuoted {
                cells.append(String(decoding: cell, as: UTF8.self))
                cell = []
            } else {
                cell.append(byte)
            }
        }
        return cells + [String(decoding: cell, as: UTF8.self)]
    }

    /// nil if there is no such column.
    public func texts(_ column: String) -> [String]? {
        columns.firstIndex(of: column).map { place in rows.map { $0[place] } }
    }

    /// Empty cells, and those that hold no number, are NaN; nil if there is no such column.
    public func numbers(_ column: String) -> [Double]? { texts(column)?.map { Double($0) ?? .nan } }
}
