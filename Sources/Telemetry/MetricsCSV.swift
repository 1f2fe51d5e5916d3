import Basics
import Glibc

/// One cell of a table.
public struct CSVCell: Sendable, Equatable, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByStringLiteral, ExpressibleByNilLiteral
{
    /// As it stands in the file.
    public let text: String

    public init(_ value: Int) { text = String(value) }
    /// Shortest text that reads back as the same number.
    public init(_ value: Double) { text = NumberFormat.text(value) }
    public init(_ value: Float) { text = NumberFormat.text(value) }
    /// Whole microseconds: clocks know no more.
    public init(seconds: Double) { self.init((seconds * 1e6).rounded() / 1e6) }
    /// Quoted where needed; line breaks become spaces, so that one row is always one line.
    public init(_ value: String) {
        // Scalars, not characters: a comma with a combining mark is still a comma to other programs.
        var line = String.UnicodeScalarView()
        for scalar in value.unicodeScalars {
            if scalar == "\"" { line.append(scalar) }
            line.append(scalar == "\n" || scalar == "\r" ? " " : scalar)
        }
        let needsQuotes = line.contains { $0 == "," || $0 == "\"" }
        text = needsQuotes ? "\"\(String(line))\"" : String(line)
    }
    /// An empty cell for nil.
    public init(_ value: Double?) { self = value.map { CSVCell($0) } ?? .empty }

    public init(integerLiteral value: Int) { self.init(value) }
    public init(floatLiteral value: Double) { self.init(value) }
    public init(stringLiteral value: String) { self.init(value) }
    public init(nilLiteral: ()) { self = .empty }

    public static let empty = CSVCell("")
}

/// What can be wrong with a table that is to be continued.
public enum MetricsCSVError: ExitCoding, Equatable {
    /// A new run would overwrite rows.
    case exists(path: String)
    case headerDiffers(path: String, found: String, expected: String)
    case badRow(path: String, line: Int, reason: String)

    public var exitCode: ExitCode {
        switch self {
        case .exists: .usage
        case .headerDiffers, .badRow: .badData
        }
    }

    public var description: String {
        switch self {
        case .exists(let path):
            "\(path): already holds rows; resume that run or choose another folder"
        case .headerDiffers(let path, let found, let expected):
            "\(path): its columns are '\(Log.singleLine(String(found.prefix(200))))', but this run writes "
                + "'\(expected)'; move the file away to start a new one"
        case .badRow(let path, let line, let reason):
            "\(path): line \(line) \(reason); mend or remove that line"
        }
    }
}

/// A table of metrics that grows by a row per step or epoch, and survives kills and resumed runs.
///
/// The first column holds a whole number, the step or epoch. Each row is written by one system call and is in the file
/// when `append` returns (not necessarily on the disk: a power failure may cost the last rows, never earlier ones).
/// Not for use from several threads at once.
public final class MetricsCSV {
    public let path: String
    public let columns: [String]
    private let descriptor: Int32
    private var byteOffset: Int

    /// Opens a table.
    /// - Parameters:
    ///   - columns: names, written once as the header.
    ///   - resumeBelow: nil starts a new table and refuses a file that holds rows. Else rows whose first column is at
    ///     or above this position are dropped (the resumed run writes them again), and so is a last line that a killed
    ///     writer left unfinished; the file is replaced atomically. A missing file is started anew.
    /// - Throws: `MetricsCSVError`, `FileError`.
    public init(path: String, columns: [String], resumeBelow: Int? = nil) throws {
        precondition(!columns.isEmpty, "MetricsCSV \(path): no columns")
        for column in columns {
            precondition(
                !column.isEmpty && !column.unicodeScalars.contains { ",\"\r\n".unicodeScalars.contains($0) },
                "MetricsCSV \(path): column '\(column)'")
        }
        self.path = path
        self.columns = columns
        let header = columns.joined(separator: ",")
        var old: [UInt8] = []
        do {
            old = try Files.read(path)
        } catch let error as FileError where error.isMissing {}
        let kept = try Self.keptText(old, path: path, header: header, columnCount: columns.count, below: resumeBelow)
        if kept != old {
            let writer = try AtomicFileWriter(path: path)
            try writer.write(kept)
            try writer.publish()
        }
        byteOffset = kept.count
        descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
        if descriptor < 0 { throw FileError(path: path, action: "open for appending", code: errno) }
    }

    deinit { close(descriptor) }

    /// Adds a row; the first cell is the step or epoch. If the disk is full the file keeps its whole rows only.
    /// - Throws: `FileError`.
    public func append(_ cells: [CSVCell]) throws {
        precondition(
            cells.count == columns.count, "MetricsCSV \(path): \(cells.count) cells for \(columns.count) columns")
        precondition(Int(cells[0].text) != nil, "MetricsCSV \(path): first cell '\(cells[0].text)' is no whole number")
        var line = cells[0].text
        for cell in cells.dropFirst() { line += "," + cell.text }
        let bytes = Array((line + "\n").utf8)
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress! + written, $0.count - written)
            }
            if count < 0 {
                if errno == EINTR { continue }
                let code = errno
                _ = ftruncate(descriptor, off_t(byteOffset))
                throw FileError(path: path, action: "append", code: code)
            }
            written += count
        }
        byteOffset += bytes.count
    }

    /// What a file keeps when it is opened: the header, and the rows below the position.
    static func keptText(
        _ old: [UInt8], path: String, header: String, columnCount: Int, below: Int?
    ) throws(MetricsCSVError) -> [UInt8] {
        let newline = UInt8(ascii: "\n")
        let fresh = Array((header + "\n").utf8)
        // What follows the last line break was never finished.
        guard let end = old.lastIndex(of: newline) else { return fresh }
        var lines = old[..<end].split(separator: newline, omittingEmptySubsequences: false)
        let found = lines.removeFirst()
        guard let below else {
            if lines.isEmpty { return fresh }
            throw .exists(path: path)
        }
        if !found.elementsEqual(header.utf8) {
            throw .headerDiffers(path: path, found: String(decoding: found, as: UTF8.self), expected: header)
        }
        var kept = fresh
        for (index, line) in lines.enumerated() {
            let first = line.prefix { $0 != UInt8(ascii: ",") }
            guard let position = Int(String(decoding: first, as: UTF8.self)), cellCount(line) == columnCount else {
                // A power failure can leave the last line as zeros or cut off before a later line break.
                if index == lines.count - 1 { break }
                throw .badRow(
                    path: path, line: index + 2,
                    reason: "is not a row of \(columnCount) cells that starts with a whole number")
            }
            if position < below { kept += line + [newline] }
        }
        return kept
    }

    /// Cells of a line; commas inside quotes do not count.
    private static func cellCount(_ line: ArraySlice<UInt8>) -> Int {
        var count = 1
        var isQuoted = false
        for byte in line {
            if byte == UInt8(ascii: "\"") { isQuoted.toggle() }
            if byte == UInt8(ascii: ",") && !isQuoted { count += 1 }
        }
        return isQuoted ? 0 : count
    }
}
