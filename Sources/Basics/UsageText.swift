/// What both programs make of command lines that their parser does not understand: a parser complains about what is missing
/// before it complains about what it does not know, though the second is often the first one misspelt.
public enum UsageText {
    /// The first of the arguments that looks like an option and is none of a command's, with what may be meant.
    /// - Parameter help: the command's, with the names of all its options.
    public static func unknownOption(in arguments: some Sequence<String>, help: String) -> String? {
        let words = help.split { !($0.isLetter || $0.isNumber || $0 == "-") }.map(String.init)
        let known = Set(words.filter { $0.hasPrefix("--") }.map { String($0.dropFirst(2)) })
        for argument in arguments {
            if argument == "--" { return nil }
            let name = String(argument.prefix { $0 != "=" })
            guard name.count > 2, name.hasPrefix("--"), !known.contains(String(name.dropFirst(2))) else { continue }
            return "unknown option '\(name)'\(meant(String(name.dropFirst(2)), known.sorted()))"
        }
        return nil
    }

    /// Joins options and negative numbers behind them, `--lr -1` to `--lr=-1`: a parser that takes the number for an option
    /// says that a value is missing, where the number is what is wrong.
    public static func joiningNegativeNumbers(_ arguments: some Sequence<String>) -> [String] {
        var result: [String] = []
        var isOver = false
        for argument in arguments {
            if argument == "--" { isOver = true }
            if !isOver, argument.hasPrefix("-"), Double(argument) != nil, let last = result.last, last.hasPrefix("--"),
                !last.contains("=")
            {
                result[result.count - 1] = "\(last)=\(argument)"
            } else {
                result.append(argument)
            }
        }
        return result
    }

    private static func meant(_ name: String, _ known: [String]) -> String {
        if let other = synonyms[name]?.first(where: known.contains) { return ", did you mean '--\(other)'?" }
        let near = suggestion(for: name, among: known)
        return near.replacingFirst("'", with: "'--")
    }

    /// Names that other programs have for the same.
    private static let synonyms = [
        "learning-rate": ["lr"], "batch-size": ["lane-batch", "batch"], "batch": ["lane-batch"], "wd": ["weight-decay"],
        "weights": ["checkpoint", "init"], "model-path": ["checkpoint"], "num-workers": ["workers", "threads"],
        "workers": ["threads"], "jobs": ["workers", "threads"], "out": ["output"], "output-dir": ["output"],
        "name": ["run"], "imgsz": ["size"], "pretrained": ["init"],
    ]

    /// The parser's list of values that an option takes, as a part of a line; other messages as they are.
    public static func inOneLine(_ message: String) -> String {
        let parts = message.split(separator: "\n").map { String($0.drop { $0 == " " }) }
        let values = parts.dropFirst().filter { $0.hasPrefix("- ") }.map { String($0.dropFirst(2)) }
        // The value 'VALUE' is invalid for '--name <name>'. Please provide one of the following:
        let quoted = (parts.first ?? "").split(separator: "'", omittingEmptySubsequences: false).map(String.init)
        guard !values.isEmpty, values.count == parts.count - 1, quoted.count == 5 else {
            return parts.joined(separator: " ")
        }
        let name = quoted[3].prefix { $0 != " " }
        return "the value '\(quoted[1])' is invalid for '\(name)'\(suggestion(for: quoted[1], among: values)); "
            + "choose of \(values.joined(separator: ", "))"
    }
}

extension String {
    /// Without Foundation.
    fileprivate func replacingFirst(_ character: Character, with text: String) -> String {
        guard let index = firstIndex(of: character) else { return self }
        return self[..<index] + text + self[self.index(after: index)...]
    }
}
