// Stands for the module Training when the reader of configurations is fuzzed: takes any name and value.

public struct ConfigurationField: Sendable {
    public let name: String
    public let help: String
    public let format: @Sendable (RunConfiguration) -> String
}

public struct RunConfiguration: Sendable {
    public var settings: [String: String] = [:]
    public var values: [String: String] = [:]
    public static let fields: [ConfigurationField] = []

    public init() {}

    public mutating func set(_ name: String, to value: String, place: String) throws { values[name] = value }
}
