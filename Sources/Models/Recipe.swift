/// How a network is trained where the user says nothing else.
public struct Recipe: Sendable {
    /// Values of options of `vergence train`, by the options' names.
    public let options: [(name: String, value: String)]
    /// Which parameters are updated otherwise than the rest. The first group that a name fits decides.
    public let groups: [ParameterGroup]

    public init(_ options: [(name: String, value: String)] = [], groups: [ParameterGroup] = []) {
        self.options = options
        self.groups = groups
    }

    /// The program's own defaults, all parameters alike.
    public static let standard = Recipe()

    public func group(of parameter: String) -> ParameterGroup? { groups.first { $0.matches(parameter) } }

    public func isFrozen(_ parameter: String) -> Bool { group(of: parameter)?.isFrozen ?? false }
}

/// Parameters with rates of their own.
public struct ParameterGroup: Sendable, Hashable {
    /// Names of parameters; `*` stands for any text: `coarse.conv*.weight`.
    public let pattern: String
    /// Multiplies the learning rate.
    public let learningRate: Float
    /// Multiplies the weight decay.
    public let weightDecay: Float
    /// Keeps its values: no gradient, no update.
    public let isFrozen: Bool

    public init(_ pattern: String, learningRate: Float = 1, weightDecay: Float = 1) {
        self.pattern = pattern
        self.learningRate = learningRate
        self.weightDecay = weightDecay
        isFrozen = false
    }

    private init(frozen pattern: String) {
        self.pattern = pattern
        learningRate = 0
        weightDecay = 0
        isFrozen = true
    }

    public static func frozen(_ pattern: String) -> ParameterGroup { .init(frozen: pattern) }

    public func matches(_ name: String) -> Bool {
        let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
        guard parts.count > 1 else { return name == pattern }
        guard name.hasPrefix(parts[0]), name.count >= parts[0].count + parts[parts.count - 1].count,
            name.hasSuffix(parts[parts.count - 1])
        else { return false }
        // What stands between, as early as it goes.
        var rest = name.dropFirst(parts[0].count).dropLast(parts[parts.count - 1].count)
        for part in parts[1..<(parts.count - 1)] {
            guard let found = rest.firstRange(of: part) else { return false }
            rest = rest[found.upperBound...]
        }
        return true
    }
}
