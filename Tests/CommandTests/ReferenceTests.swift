import Foundation
import TestSupport
import Testing

/// The reference of every option, and what the documents say the programs can do.
extension CommandTests {
    @Suite struct ReferenceTests {
        /// `docs/options.md` is what the programs say of themselves.
        @Test func everyOptionIsInTheReference() throws {
            let text =
                try "# Every option\n\nMade from the programs' own descriptions; a test compares the two.\n"
                + ["vergence", "vergence-shards"].map { try Self.tool($0).markdown(under: []) }.joined()
            let path = Documents.root + "/docs/options.md"
            if ProcessInfo.processInfo.environment["VERGENCE_WRITE_REFERENCE"] == "1" {
                try text.write(toFile: path, atomically: true, encoding: .utf8)
            }
            let written = try String(contentsOfFile: path, encoding: .utf8)
            // Whole texts would bury the difference.
            let differences = text.split(separator: "\n").difference(from: written.split(separator: "\n"))
            #expect(
                differences.isEmpty,
                """
                docs/options.md is not what the programs say (\(differences.count) lines); write it anew: \
                VERGENCE_WRITE_REFERENCE=1 launch/test --filter everyOptionIsInTheReference
                """)
        }

        /// Whatever a document has people type exists: the commands and each of their options.
        @Test func documentedCommandsExist() throws {
            let tools = try ["vergence", "vergence-shards"].map(Self.tool)
            var count = 0
            for command in try Documents.commands() {
                for words in command.calls(of: tools.map(\.commandName)) {
                    guard let tool = tools.first(where: { $0.commandName == words[0] }) else { continue }
                    count += 1
                    for problem in tool.problems(in: Array(words.dropFirst())) {
                        Issue.record("\(command.place): \(problem) in '\(command.text)'")
                    }
                }
            }
            #expect(count > 90, "\(count) calls in all documents")
        }

        /// Each level says what it takes, what that means and, for commands that do something, how it is called.
        @Test(arguments: ["vergence", "vergence-shards"])
        func everyCommandHasHelpAndAnExample(program: String) throws {
            for (path, command) in try Self.tool(program).all(under: []) {
                let outcome = try ProcessRunner.run(
                    ProcessRunner.product(program), Array(path.dropFirst()) + ["--help"], in: NSTemporaryDirectory())
                let name = path.joined(separator: " ")
                #expect(outcome.exitCode == 0 && outcome.errors.isEmpty, "\(name): \(outcome.errors)")
                for argument in command.visibleArguments {
                    #expect(outcome.output.contains(argument.label), "\(name): \(argument.label)")
                    #expect(argument.abstract?.isEmpty == false, "\(name): \(argument.label) is not explained")
                }
                if command.realSubcommands.isEmpty {
                    #expect(command.discussion?.contains(name) == true, "\(name): no example")
                }
            }
        }

        static func tool(_ program: String) throws -> ToolDescription {
            let outcome = try ProcessRunner.run(
                ProcessRunner.product(program), ["--experimental-dump-help"], in: NSTemporaryDirectory())
            try #require(outcome.exitCode == 0, "\(outcome.errors)")
            struct Dump: Decodable { let command: ToolDescription }
            return try JSONDecoder().decode(Dump.self, from: Data(outcome.output.utf8)).command
        }
    }
}

/// A command as it describes itself by `--experimental-dump-help`.
struct ToolDescription: Decodable {
    struct Argument: Decodable {
        struct Name: Decodable {
            let kind: String
            let name: String

            var text: String { (kind == "long" ? "--" : "-") + name }
        }

        let kind: String
        let shouldDisplay: Bool
        let isOptional: Bool
        let isRepeating: Bool
        let names: [Name]?
        let valueName: String?
        let defaultValue: String?
        let allValueStrings: [String]?
        let sectionTitle: String?
        let abstract: String?

        /// Long names first.
        var spellings: [String] {
            let names = names ?? []
            return (names.filter { $0.kind == "long" } + names.filter { $0.kind != "long" }).map(\.text)
        }
        var takesValue: Bool { kind != "flag" }
        /// As help shows it.
        var label: String { spellings.first ?? "<\(valueName ?? "")>" }
    }

    let commandName: String
    let abstract: String?
    let discussion: String?
    let subcommands: [ToolDescription]?
    let arguments: [Argument]?

    var realSubcommands: [ToolDescription] { (subcommands ?? []).filter { $0.commandName != "help" } }
    var visibleArguments: [Argument] {
        (arguments ?? []).filter { $0.shouldDisplay && !["--help", "--version"].contains($0.label) }
    }

    func all(under path: [String]) -> [(path: [String], command: ToolDescription)] {
        let path = path + [commandName]
        return [(path, self)] + realSubcommands.flatMap { $0.all(under: path) }
    }

    func markdown(under path: [String]) -> String {
        let path = path + [commandName]
        var text = "\n\(path.count == 1 ? "##" : "###") \(path.joined(separator: " "))\n"
        if let abstract { text += "\n\(abstract)\n" }
        if let discussion { text += "\n```\n\(discussion)\n```\n" }
        let arguments = visibleArguments
        if !arguments.isEmpty {
            text += "\n| | what | default |\n|---|---|---|\n"
            var section: String?
            for argument in arguments {
                if argument.sectionTitle != section {
                    section = argument.sectionTitle
                    if let section { text += "| **\(section)** | | |\n" }
                }
                text += argument.row
            }
        }
        return text + realSubcommands.map { $0.markdown(under: path) }.joined()
    }

    /// What is wrong with words that stand behind this command's name.
    func problems(in words: [String]) -> [String] {
        var words = words[...]
        if !realSubcommands.isEmpty {
            guard let first = words.first, !first.hasPrefix("-") else { return [] }
            guard let next = realSubcommands.first(where: { $0.commandName == first }) else {
                return ["no command '\(first)' of \(commandName)"]
            }
            return next.problems(in: Array(words.dropFirst()))
        }
        var problems: [String] = []
        let known = (arguments ?? []).flatMap(\.spellings)
        while let word = words.popFirst() {
            if word == "--" { break }
            guard word.hasPrefix("-"), word.count > 1, !word.dropFirst().allSatisfy(\.isNumber) else { continue }
            let name = String(word.split(separator: "=")[0])
            if !known.contains(name) { problems.append("no option '\(name)' of \(commandName)") }
        }
        return problems
    }
}

extension ToolDescription.Argument {
    fileprivate var row: String {
        let value = takesValue && names != nil ? " <\(valueName ?? "value")>" : ""
        var what = abstract ?? ""
        var standard = defaultValue ?? ""
        // Help of options whose default depends says it in words.
        if standard.isEmpty, let range = what.range(of: " (default: ", options: .backwards), what.hasSuffix(")") {
            standard = String(what[range.upperBound...].dropLast())
            what = String(what[..<range.lowerBound])
        }
        if let values = allValueStrings, !values.isEmpty { what += " One of: \(values.joined(separator: ", "))." }
        if isRepeating { what += what.contains("several times") || what.contains("epeatable") ? "" : " Repeatable." }
        let names = spellings.isEmpty ? [label] : spellings
        func cell(_ text: String) -> String {
            text.replacing("|", with: "\\|").replacing("\n", with: " ").replacing("<", with: "&lt;")
        }
        let labels = names.map { "`\($0)\(value)`" }.joined(separator: ", ").replacing("|", with: "\\|")
        return "| \(labels) | \(cell(what)) | \(cell(standard)) |\n"
    }
}
