import Basics

/// A machine that ranks may run on.
public struct LaunchHost: Equatable, Sendable {
    /// As ssh takes it: a name or an address.
    public var name: String
    /// Ranks that fit.
    public var slots: Int
    public var user: String?
    public var port: Int?

    public init(name: String, slots: Int, user: String? = nil, port: Int? = nil) {
        self.name = name
        self.slots = slots
        self.user = user
        self.port = port
    }

    /// Its line in a hostfile.
    var line: String {
        var result = "\(name) slots=\(slots)"
        if let user { result += " username=\(user)" }
        if let port { result += " port=\(port)" }
        return result
    }
}

/// Hostfiles in Open MPI's syntax.
///
/// `[user@]host [slots=N] [max_slots=N] [username=U] [port=P]`, a machine a line, `#` for comments. A machine that is
/// named several times has as many slots as its lines say together. A line without `slots=` is one slot, where Open MPI
/// would count the machine's cores: one rank uses all of them by its threads. `^host` leaves one out.
public enum Hostfile {
    static let byteLimit = 1 << 20
    static let hostLimit = 65_536

    /// - Throws: `FileError`, `Failure` (usage) with file and line.
    public static func read(_ path: String) throws -> [LaunchHost] {
        try parse(String(decoding: Files.read(path, limit: byteLimit), as: UTF8.self), path: path)
    }

    public static func parse(_ text: String, path: String) throws -> [LaunchHost] {
        var hosts: [LaunchHost] = []
        var excluded: Set<String> = []
        // To Swift, CR LF is one character.
        let lines = text.replacing("\r\n", with: "\n").split(separator: "\n", omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            let place = "\(path):\(index + 1)"
            let code = line.prefix { $0 != "#" }
            // `slots = 2` is as good as `slots=2`.
            let words = code.replacing(#/\s*=\s*/#, with: "=").split(whereSeparator: \.isWhitespace)
            guard let first = words.first else { continue }
            if first.hasPrefix("^") {
                excluded.insert(String(first.dropFirst()))
                continue
            }
            let host = try host(first, words.dropFirst(), place)
            if let known = hosts.firstIndex(where: { $0.name == host.name }) {
                hosts[known].slots += host.slots
                hosts[known].user = host.user ?? hosts[known].user
                hosts[known].port = host.port ?? hosts[known].port
            } else {
                hosts.append(host)
            }
            if hosts.count > hostLimit { throw Failure(.usage, "\(place): more than \(hostLimit) machines") }
        }
        hosts.removeAll { excluded.contains($0.name) }
        if hosts.isEmpty { throw Failure(.usage, "\(path): names no machine; write lines like 'node1 slots=2'") }
        return hosts
    }

    private static func host(
        _ first: Substring, _ settings: ArraySlice<Substring>, _ place: String
    ) throws -> LaunchHost {
        let parts = first.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        var host = LaunchHost(name: String(parts[parts.count - 1]), slots: 1)
        if parts.count == 2 { host.user = String(parts[0]) }
        if first.contains(#/^[^:]+:\d+$/#) {
            let (name, count) = (first.prefix { $0 != ":" }, first.drop { $0 != ":" }.dropFirst())
            throw Failure(.usage, "\(place): '\(first)' is no name; write '\(name) slots=\(count)'")
        }
        try require(host.name, "name of a machine", place)
        var maximum: Int?
        for setting in settings {
            let pair = setting.split(separator: "=", maxSplits: 1).map(String.init)
            guard pair.count == 2 else {
                throw Failure(.usage, "\(place): '\(setting)' is no setting; write slots=N")
            }
            switch pair[0].lowercased().replacing("-", with: "_") {
            case "slots", "count", "cpu": host.slots = try number(pair[1], 0...65_536, String(setting), place)
            case "max_slots", "slots_max", "cpu_max", "count_max":
                maximum = try number(pair[1], 0...65_536, String(setting), place)
            case "port": host.port = try number(pair[1], 1...65_535, String(setting), place)
            case "username", "user_name":
                host.user = pair[1].replacing("\"", with: "")
            case "sockets", "boards", "cores", "rank": continue
            default:
                throw Failure(
                    .usage, "\(place): unknown setting '\(setting)'; known are slots, max_slots, port, username")
            }
        }
        if let user = host.user { try require(user, "user", place) }
        if let maximum, host.slots > maximum {
            throw Failure(.usage, "\(place): slots=\(host.slots) is more than max_slots=\(maximum)")
        }
        return host
    }

    /// Names become words of a command: no options, no surprises.
    static func require(_ name: String, _ what: String, _ place: String) throws {
        let isFine =
            !name.isEmpty && name.utf8.count <= 255 && !name.hasPrefix("-")
            && name.utf8.allSatisfy {
                (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || "._-:%".utf8.contains($0)
            }
        if !isFine { throw Failure(.usage, "\(place): '\(name)' is no \(what)") }
    }

    private static func number(
        _ text: String, _ range: ClosedRange<Int>, _ setting: String, _ place: String
    ) throws -> Int {
        guard let value = Int(text), range.contains(value) else {
            throw Failure(.usage, "\(place): \(setting): give \(range.lowerBound)…\(range.upperBound)")
        }
        return value
    }
}
