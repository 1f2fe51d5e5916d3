import Foundation

/// The project's documents and the commands in them.
enum Documents {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    /// A line that a document has people type, with its continuations.
    struct Command {
        let document: String
        let line: Int
        let text: String
        /// A whole program in Python instead of a line of shell.
        var isProgram = false

        var place: String { "\(document):\(line)" }

        /// The words of each call of one of the programs in it: after `mpirun …` or `vergence launch … --` as well.
        func calls(of programs: [String]) -> [[String]] {
            var calls: [[String]] = []
            for part in text.split(separator: #/&&|\||;|\$\(|>/#) {
                let words = part.split(whereSeparator: \.isWhitespace).map(String.init)
                for (index, word) in words.enumerated()
                where programs.contains(where: { word == $0 || word.hasSuffix("/" + $0) }) {
                    let name = programs.first { word == $0 || word.hasSuffix("/" + $0) } ?? word
                    let rest = Array(words[(index + 1)...])
                    calls.append([name] + rest)
                    if rest.first == "launch", let dashes = rest.firstIndex(of: "--") {
                        calls.append([name] + rest[(dashes + 1)...])
                    }
                    break
                }
            }
            return calls
        }
    }

    static func names() throws -> [String] {
        let manager = FileManager.default
        let folders = ["", "docs/", "cluster/", "datasets/", "Tests/Peers/"]
        return try folders.flatMap { folder in
            try manager.contentsOfDirectory(atPath: root + "/" + folder).filter { $0.hasSuffix(".md") }
                .filter { $0 != "CHANGELOG.md" && $0 != "options.md" }.map { folder + $0 }.sorted()
        }
    }

    /// Lines of all blocks that are marked as shell.
    static func commands() throws -> [Command] { try names().flatMap(commands(of:)).filter { !$0.isProgram } }

    /// Lines of the blocks that are marked as shell, and whole blocks of Python, in the page's order.
    static func commands(of document: String) throws -> [Command] {
        let text = try String(contentsOfFile: root + "/" + document, encoding: .utf8)
        var commands: [Command] = []
        var isInside = false
        var program: Command?
        var open: (line: Int, text: String)?
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let trimmed = line.trimmingCharacters(in: .whitespaces)
            if trimmed.hasPrefix("```") {
                isInside = !isInside && program == nil && (trimmed == "```sh" || trimmed == "```bash")
                if let finished = program { commands.append(finished) }
                program =
                    trimmed == "```python"
                    ? Command(document: document, line: number + 2, text: "", isProgram: true) : nil
                continue
            }
            if let begun = program {
                program = Command(
                    document: document, line: begun.line, text: begun.text + line + "\n", isProgram: true)
            }
            guard isInside else { continue }
            var code = withoutComment(trimmed)
            let start = open ?? (number + 1, "")
            if code.hasSuffix("\\") {
                code.removeLast()
                open = (start.line, start.text + code)
                continue
            }
            open = nil
            let whole = (start.text + code).trimmingCharacters(in: .whitespaces)
            if !whole.isEmpty { commands.append(Command(document: document, line: start.line, text: whole)) }
        }
        return commands
    }

    /// Without what a shell takes for a comment.
    private static func withoutComment(_ line: String) -> String {
        if line.hasPrefix("#") { return "" }
        guard let range = line.range(of: #"\s#\s.*$"#, options: .regularExpression) else { return line }
        return String(line[..<range.lowerBound])
    }
}
