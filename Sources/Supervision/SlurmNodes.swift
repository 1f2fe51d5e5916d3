import Basics

/// What Slurm says about an allocation, in its own shorthand.
public enum SlurmNodes {
    static let limit = 65_536

    /// `n[1-3,07],m5,r[1-2]c[1-2]-ib` → names in that order; numbers keep their leading zeros.
    /// - Throws: `Failure` (usage).
    public static func expand(_ list: String) throws -> [String] {
        var names: [String] = []
        for part in try split(list) {
            names += try expandOne(part, list)
            if names.count > limit { throw Failure(.usage, "SLURM_JOB_NODELIST names more than \(limit) nodes") }
        }
        if names.isEmpty { throw bad(list) }
        for name in names { try Hostfile.require(name, "name of a node", "SLURM_JOB_NODELIST") }
        return names
    }

    /// `2(x3),1` → 2, 2, 2, 1.
    /// - Throws: `Failure` (usage).
    public static func counts(_ text: String) throws -> [Int] {
        var result: [Int] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let match = part.wholeMatch(of: #/(\d{1,6})(?:\(x(\d{1,6})\))?/#), let count = Int(match.1) else {
                throw Failure(.usage, "SLURM_TASKS_PER_NODE is '\(text)', which is no list like 2(x3),1")
            }
            let times = match.2.flatMap { Int($0) } ?? 1
            if result.count + times > limit {
                throw Failure(.usage, "SLURM_TASKS_PER_NODE: more than \(limit) nodes")
            }
            result += [Int](repeating: count, count: times)
        }
        return result
    }

    private static func bad(_ list: String) -> Failure {
        Failure(.usage, "SLURM_JOB_NODELIST is '\(list.prefix(200))', which is no list of nodes like n[1-3],m5")
    }

    /// At commas outside brackets.
    private static func split(_ list: String) throws -> [String] {
        var parts: [String] = [""]
        var isInside = false
        for character in list {
            switch character {
            case "[" where isInside, "]" where !isInside: throw bad(list)
            case "[", "]":
                isInside.toggle()
                parts[parts.count - 1].append(character)
            case "," where !isInside: parts.append("")
            default: parts[parts.count - 1].append(character)
            }
        }
        if isInside || parts.contains("") { throw bad(list) }
        return parts
    }

    private static func expandOne(_ part: String, _ list: String) throws -> [String] {
        guard let open = part.firstIndex(of: "["), let close = part.firstIndex(of: "]") else { return [part] }
        let prefix = part[..<open]
        let suffixes = try expandOne(String(part[part.index(after: close)...]), list)
        var names: [String] = []
        for range in part[part.index(after: open)..<close].split(separator: ",", omittingEmptySubsequences: false) {
            guard let match = range.wholeMatch(of: #/(\d{1,9})(?:-(\d{1,9}))?/#), let first = Int(match.1),
                let last = Int(match.2 ?? match.1), first <= last
            else { throw bad(list) }
            if names.count + (last - first + 1) * suffixes.count > limit {
                throw Failure(.usage, "SLURM_JOB_NODELIST names more than \(limit) nodes")
            }
            for number in first...last {
                let digits = String(number)
                let zeros = String(repeating: "0", count: max(0, match.1.count - digits.count))
                names += suffixes.map { "\(prefix)\(zeros)\(digits)\($0)" }
            }
        }
        return names
    }
}
