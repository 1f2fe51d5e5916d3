/// What a network's tensors are called in files of others, so that `--init` can read them.
public struct NameMap: Sendable {
    /// Whose names they are: `torchvision's VGG-16`.
    public let source: String
    /// Beginnings of names, of this network and of the other, e.g. `encoder.conv1_1.` and `features.0.`. The first pair
    /// that fits decides.
    public let prefixes: [(own: String, other: String)]

    public init(_ source: String, _ prefixes: [(own: String, other: String)]) {
        self.source = source
        self.prefixes = prefixes
    }

    /// The other's name of a tensor of this network; nil if it has none.
    public func name(of own: String) -> String? {
        guard let pair = prefixes.first(where: { own.hasPrefix($0.own) }) else { return nil }
        return pair.other + own.dropFirst(pair.own.count)
    }
}
