import Basics

/// A named value that changes a network.
public struct SettingDescription: Sendable {
    public enum Kind: Sendable {
        case integer(ClosedRange<Int>)
        case number(ClosedRange<Double>)
        case choice([String])
        case boolean
    }

    public let name: String
    public let kind: Kind
    public let standard: String
    public let help: String

    public static func integer(_ name: String, _ standard: Int, _ help: String, _ range: ClosedRange<Int>) -> Self {
        .init(name: name, kind: .integer(range), standard: "\(standard)", help: help)
    }

    public static func number(
        _ name: String, _ standard: Double, _ help: String, _ range: ClosedRange<Double>
    ) -> Self {
        .init(name: name, kind: .number(range), standard: "\(standard)", help: help)
    }

    public static func choice(_ name: String, _ standard: String, _ help: String, _ choices: [String]) -> Self {
        .init(name: name, kind: .choice(choices), standard: standard, help: help)
    }

    public static func boolean(_ name: String, _ standard: Bool, _ help: String) -> Self {
        .init(name: name, kind: .boolean, standard: "\(standard)", help: help)
    }
}

/// A setting that does not fit, with the remedy.
public struct SettingError: ExitCoding, Equatable {
    public let name: String
    public let value: String
    public let reason: String

    public init(_ name: String, _ value: String, _ reason: String) {
        self.name = name
        self.value = value
        self.reason = reason
    }

    public var exitCode: ExitCode { .usage }
    public var description: String { "setting \(name)=\(value): \(reason)" }
}

/// Checked values of a network's settings, defaults filled in.
public struct Settings: Sendable {
    /// Every setting in the order of its description.
    public let values: [(name: String, value: String)]

    /// - Throws: `SettingError` for a value of the wrong type or out of range, `Failure` (usage) for an unknown name.
    public init(
        _ descriptions: [SettingDescription], _ given: [(name: String, value: String)], owner: String
    ) throws {
        var chosen: [String: String] = [:]
        for (name, value) in given {
            guard let description = descriptions.first(where: { $0.name == name }) else {
                let names = descriptions.map(\.name)
                throw Failure(
                    .usage,
                    "unknown setting '\(name)' of \(owner)\(suggestion(for: name, among: names)); settings: "
                        + names.joined(separator: ", "))
            }
            switch description.kind {
            case .integer(let range):
                guard let number = Int(value), range.contains(number) else {
                    throw SettingError(name, value, "give a whole number in \(range.lowerBound)…\(range.upperBound)")
                }
                chosen[name] = "\(number)"
            case .number(let range):
                guard let number = Double(value), range.contains(number) else {
                    throw SettingError(name, value, "give a number in \(range.lowerBound)…\(range.upperBound)")
                }
                chosen[name] = "\(number)"
            case .choice(let choices):
                guard choices.contains(value) else {
                    throw SettingError(
                        name, value,
                        "choose one of \(choices.joined(separator: ", "))\(suggestion(for: value, among: choices))")
                }
                chosen[name] = value
            case .boolean:
                guard let truth = Bool(value) else { throw SettingError(name, value, "give true or false") }
                chosen[name] = "\(truth)"
            }
        }
        values = descriptions.map { ($0.name, chosen[$0.name] ?? $0.standard) }
    }

    public subscript(_ name: String) -> String {
        guard let entry = values.first(where: { $0.name == name }) else {
            preconditionFailure("the network asks for an undeclared setting \(name)")
        }
        return entry.value
    }

    public func integer(_ name: String) -> Int {
        guard let value = Int(self[name]) else { preconditionFailure("\(name) is not an integer setting") }
        return value
    }

    public func number(_ name: String) -> Double {
        guard let value = Double(self[name]) else { preconditionFailure("\(name) is not a number setting") }
        return value
    }

    public func boolean(_ name: String) -> Bool {
        guard let value = Bool(self[name]) else { preconditionFailure("\(name) is not a boolean setting") }
        return value
    }

    public func choice(_ name: String) -> String { self[name] }
}
