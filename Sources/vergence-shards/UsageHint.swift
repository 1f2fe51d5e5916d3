import ArgumentParser

/// The line for a command line that could not be understood.
enum UsageHint {
    static func line(for error: any Error) -> String {
        let names = VergenceShards.configuration.subcommands.map { ($0._commandName, $0) }
        let meant = names.first { name, _ in CommandLine.arguments.dropFirst().contains(name) }
        let help = "see vergence-shards \(meant.map { $0.0 + " " } ?? "")--help"
        if let meant, let problem = unknownOption(meant.1) { return "\(problem); \(help)" }
        var message = VergenceShards.message(for: error)
        // Usually a sentence; here it is a part of one.
        while message.hasSuffix(".") { message.removeLast() }
        return "\(message.prefix(1).lowercased())\(message.dropFirst()); \(help)"
    }

    /// The parser complains about an option that is missing before it complains about one that it doesn't know, though
    /// the second is often the first one misspelt.
    private static func unknownOption(_ command: any ParsableCommand.Type) -> String? {
        let help = VergenceShards.helpMessage(for: command, includeHidden: true, columns: 200)
        let known = Set(
            help.split { !($0.isLetter || $0.isNumber || $0 == "-") }.map(String.init).filter { $0.hasPrefix("--") })
        for argument in CommandLine.arguments.dropFirst() {
            if argument == "--" { return nil }
            let name = String(argument.prefix { $0 != "=" })
            guard name.hasPrefix("--"), !known.contains(name) else { continue }
            let nearest = known.map { (distance(name, $0), $0) }.min { $0 < $1 }
            let suggestion = nearest.map { $0.0 <= 3 ? ", did you mean \($0.1)?" : "" } ?? ""
            return "unknown option \(name)\(suggestion)"
        }
        return nil
    }

    /// Edits (insert, remove, replace) from one word to another.
    private static func distance(_ one: String, _ other: String) -> Int {
        let (one, other) = (Array(one), Array(other))
        var row = Array(0...other.count)
        for (i, a) in one.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in other.enumerated() {
                let above = row[j + 1]
                row[j + 1] = min(above + 1, row[j] + 1, diagonal + (a == b ? 0 : 1))
                diagonal = above
            }
        }
        return row[other.count]
    }
}
