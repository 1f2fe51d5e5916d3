import Basics

/// What a run is to be trained on: a folder, or several, each perhaps with a weight.
public struct DataMixture: Sendable, Equatable {
    public struct Part: Sendable, Equatable {
        public let path: String
        public let weight: Double?
    }

    public let parts: [Part]

    /// Whether sets are read in given proportions. Otherwise all their records are alike.
    public var isWeighted: Bool { parts.contains { $0.weight != nil } }

    /// Reads `films:0.7,kitti:0.3` or `films,kitti`. What exists under the whole text is a folder of that name.
    /// - Throws: `Failure` (usage) for a weight that is none, or that only some have.
    public init(_ text: String) throws {
        if Files.exists(text) || !text.contains(where: { $0 == "," || $0 == ":" }) {
            parts = [Part(path: text, weight: nil)]
            return
        }
        parts = try text.split(separator: ",").map { item in
            guard !Files.exists(String(item)), let colon = item.lastIndex(of: ":") else {
                return Part(path: String(item), weight: nil)
            }
            let after = item[item.index(after: colon)...]
            guard let weight = Double(after), weight > 0, weight <= 1e6 else {
                throw Failure(.usage, "data '\(item)': the weight '\(after)' is no number above 0; give FOLDER:WEIGHT")
            }
            return Part(path: String(item[..<colon]), weight: weight)
        }
        guard !parts.isEmpty else { throw Failure(.usage, "data '\(text)' names no folder; give FOLDER:WEIGHT,…") }
        if isWeighted, let without = parts.first(where: { $0.weight == nil }) {
            throw Failure(.usage, "data '\(text)': \(without.path) has no weight; give all of them one, or none")
        }
        let repeated = Dictionary(grouping: parts, by: \.path).first { $0.value.count > 1 }
        if let repeated { throw Failure(.usage, "data '\(text)': \(repeated.key) is named twice; add up its weights") }
    }
}
