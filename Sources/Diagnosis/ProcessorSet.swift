/// Logical processors, as the kernel lists them: `0-3,8`.
public struct ProcessorSet: Codable, Sendable, Equatable {
    public private(set) var members: Set<Int>

    public init(_ members: Set<Int>) { self.members = members }

    /// - Parameter list: `0-3,8`; nil if it is no such list, or one of absurd length.
    public init?(list: some StringProtocol) {
        var members: Set<Int> = []
        for part in list.split(separator: ",") {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false).map {
                Int(String($0.filter { !$0.isWhitespace }))
            }
            guard (1...2).contains(ends.count), let first = ends.first ?? nil, let last = ends.last ?? nil, first >= 0,
                first <= last, last < 1 << 16
            else { return nil }
            members.formUnion(first...last)
        }
        guard !members.isEmpty else { return nil }
        self.members = members
    }

    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        self = ProcessorSet(list: text) ?? ProcessorSet([])
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(list)
    }

    public var count: Int { members.count }

    public func union(_ other: ProcessorSet) -> ProcessorSet { .init(members.union(other.members)) }
    public func subtracting(_ other: ProcessorSet) -> ProcessorSet { .init(members.subtracting(other.members)) }
    public func overlaps(_ other: ProcessorSet) -> Bool { !members.isDisjoint(with: other.members) }

    /// `0-3,8`.
    public var list: String {
        var parts: [String] = []
        var start: Int?
        var last = 0
        func close() {
            if let start { parts.append(start == last ? "\(start)" : "\(start)-\(last)") }
        }
        for member in members.sorted() {
            if start != nil && member == last + 1 {
                last = member
            } else {
                close()
                (start, last) = (member, member)
            }
        }
        close()
        return parts.joined(separator: ",")
    }
}
