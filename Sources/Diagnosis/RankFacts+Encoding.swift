import Basics
import Foundation

/// How facts travel: a head that every version of the program can read, then JSON.
///
/// | bytes | content |
/// |---|---|
/// | 4 | `VRFA` |
/// | 2 | version of the JSON |
/// | 3 × (1 + n) | length and UTF-8 bytes of host, program version and program hash |
/// | 4 + n | length and bytes of the JSON, at most `byteLimit` |
extension RankFacts {
    static let magic = Array("VRFA".utf8)
    static let encodingVersion: UInt16 = 1
    /// JSON of one rank.
    static let byteLimit = 256 << 10
    private static let textLimit = 4096
    private static let listLimit = 64

    func encoded() -> [UInt8] {
        var bytes = Self.magic
        bytes.appendLittleEndian(Self.encodingVersion)
        for text in [host, program.version, program.hash ?? ""] {
            let short = text.utf8.prefix(255)
            bytes.append(UInt8(short.count))
            bytes += short
        }
        let json = (try? JSONEncoder().encode(bounded())) ?? Data()
        let content = json.count <= Self.byteLimit ? Array(json) : []
        bytes.appendLittleEndian(UInt32(content.count))
        return bytes + content
    }

    /// Facts of a rank; if it speaks another version, only what the head holds, and no launch.
    /// - Returns: nil if these are no facts at all.
    static func decoded(_ bytes: [UInt8], rank: Int) -> (facts: RankFacts, isWhole: Bool)? {
        bytes.withUnsafeBytes { bytes in
            var cursor = ByteCursor(bytes)
            guard let start = try? cursor.take(magic.count), start.elementsEqual(magic),
                let version = try? cursor.integer(UInt16.self)
            else { return nil }
            var texts: [String] = []
            for _ in 0..<3 {
                guard let count = try? cursor.integer(UInt8.self), let text = try? cursor.take(Int(count)) else {
                    return nil
                }
                texts.append(String(decoding: text, as: UTF8.self))
            }
            var facts = RankFacts()
            if version == encodingVersion, let count = try? cursor.integer(UInt32.self), count <= byteLimit,
                let content = try? cursor.take(Int(count)), cursor.remaining == 0,
                let read = try? JSONDecoder().decode(RankFacts.self, from: Data(content))
            {
                facts = read
                facts.rank = rank
                return (facts, true)
            }
            facts.rank = rank
            facts.host = texts[0]
            facts.program.version = texts[1]
            facts.program.hash = texts[2].isEmpty ? nil : texts[2]
            return (facts, false)
        }
    }

    /// Lists and texts cut to what a report can use.
    private func bounded() -> RankFacts {
        func cut(_ text: String) -> String {
            text.utf8.count <= Self.textLimit ? text : String(text.prefix(Self.textLimit / 4)) + "…"
        }
        var facts = self
        facts.configuration = configuration.prefix(2 * Self.listLimit).map {
            .init(name: cut($0.name), value: String(cut($0.value).prefix(256)))
        }
        facts.network.interfaces = Array(network.interfaces.prefix(Self.listLimit))
        facts.network.ports = Array(network.ports.prefix(Self.listLimit))
        facts.failedProbes = Array(failedProbes.prefix(Self.listLimit))
        facts.data?.problem = data?.problem.map(cut)
        facts.run?.problem = run?.problem.map(cut)
        facts.launch.mpirun = launch.mpirun.map(cut)
        return facts
    }
}
