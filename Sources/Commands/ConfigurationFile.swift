import Basics
import Glibc
import Training
import Yams

/// Configurations as YAML: the same names as the options, and `set:` with the network's settings.
enum ConfigurationFile {
    /// A configuration has some dozen lines; nobody's file may cost memory.
    static let byteLimit = 1 << 16

    /// Sets what the file names.
    /// - Throws: `Failure` (usage) with file and line for anything that is not a known name with a fitting value.
    static func apply(_ path: String, to configuration: inout RunConfiguration) throws {
        let bytes: [UInt8]
        do {
            bytes = try Files.read(path, limit: byteLimit)
        } catch let error as FileError where error.code == EFBIG {
            throw Failure(.usage, "\(path): larger than \(byteLimit) bytes, which is no configuration")
        }
        try apply(text: String(decoding: bytes, as: UTF8.self), path: path, to: &configuration)
    }

    static func apply(text: String, path: String, to configuration: inout RunConfiguration) throws {
        let parser: Parser
        let node: Node?
        do {
            parser = try Parser(yaml: text)
            node = try parser.singleRoot()
        } catch {
            let reason = "\(error)".split(separator: "\n").first.map(String.init) ?? "not YAML"
            throw Failure(.usage, "\(path): cannot be read as YAML: \(reason)")
        }
        guard let node else { return }
        // Nodes hold their anchors weakly: the parser owns them.
        try withExtendedLifetime(parser) { try apply(node, path: path, to: &configuration) }
    }

    private static func apply(_ node: Node, path: String, to configuration: inout RunConfiguration) throws {
        try refuseAnchor(node, path: path)
        guard case .mapping(let mapping) = node else {
            throw Failure(.usage, "\(path): expected lines like 'lanes: 4'")
        }
        for (key, value) in mapping {
            try refuseAnchor(key, value, path: path)
            let place = "\(path):\(key.mark?.line ?? 0)"
            guard let name = key.scalar?.string else { throw Failure(.usage, "\(place): a name must be a word") }
            if name == "set" {
                guard case .mapping(let settings) = value else {
                    throw Failure(.usage, "\(place): set must hold lines like '  width: 16'")
                }
                for (key, value) in settings {
                    try refuseAnchor(key, value, path: path)
                    guard let name = key.scalar?.string, let text = value.scalar?.string else {
                        throw Failure(.usage, "\(path):\(key.mark?.line ?? 0): a setting must be one value")
                    }
                    configuration.settings[name] = text
                }
                continue
            }
            guard let text = value.scalar?.string else { throw Failure(.usage, "\(place): \(name) must be one value") }
            try configuration.set(name, to: text, place: place)
        }
    }

    /// An alias can grow a small file without bound, and a configuration has no use for one. What is nested deeper than a
    /// setting is refused anyway.
    private static func refuseAnchor(_ nodes: Node..., path: String) throws {
        if let node = nodes.first(where: { $0.anchor != nil }) {
            throw Failure(
                .usage, "\(path):\(node.mark?.line ?? 0): anchors and aliases are not allowed; write the value out")
        }
    }

    /// The whole configuration with a comment per line.
    static func text(
        _ configuration: RunConfiguration, leavingOut: Set<String> = [], settingHelp: [String: String] = [:]
    ) -> String {
        var lines = ["# Resolved configuration of a Vergence run. Every line is also an option of vergence train."]
        for field in RunConfiguration.fields where !leavingOut.contains(field.name) {
            lines.append("\(field.name): \(quoted(field.format(configuration)))  # \(field.help)")
        }
        if !configuration.settings.isEmpty {
            lines.append("set:")
            for (name, value) in configuration.settings.sorted(by: { $0.key < $1.key }) {
                let help = settingHelp[name].map { "  # \($0)" } ?? ""
                lines.append("  \(name): \(quoted(value))\(help)")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func quoted(_ text: String) -> String {
        let isPlain =
            !text.isEmpty && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "./-_+".contains($0)) }
        if isPlain && !text.hasPrefix("-") { return text }
        let escaped = text.map { character -> String in
            switch character {
            case "\"": "\\\""
            case "\\": "\\\\"
            case "\n": "\\n"
            default: String(character)
            }
        }.joined()
        return "\"\(escaped)\""
    }
}
