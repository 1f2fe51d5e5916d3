import ArgumentParser
import Basics

/// The line for a command line that could not be understood.
enum UsageHint {
    static func line(for error: any Error) -> String {
        let arguments = CommandLine.arguments.dropFirst()
        let commands = VergenceShards.configuration.subcommands
        guard let word = arguments.first, !word.hasPrefix("-") else { return line(VergenceShards.message(for: error)) }
        guard let meant = commands.first(where: { $0._commandName == word }) else {
            return line("unknown command '\(word)'\(suggestion(for: word, among: commands.map { $0._commandName }))")
        }
        let help = VergenceShards.helpMessage(for: meant, includeHidden: true, columns: 200)
        return line(
            UsageText.unknownOption(in: arguments, help: help) ?? VergenceShards.message(for: error),
            word + " ")
    }

    private static func line(_ message: String, _ command: String = "") -> String {
        var message = UsageText.inOneLine(message)
        // Usually a sentence; here it is a part of one.
        while message.hasSuffix(".") { message.removeLast() }
        return "\(message.prefix(1).lowercased())\(message.dropFirst()); see 'vergence-shards \(command)--help'"
    }
}
