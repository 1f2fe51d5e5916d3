import Basics
import Graphs

/// A field of the records that a network has to do with.
public struct NetworkField: Sendable, Hashable {
    public enum Role: Sendable, Hashable {
        /// What the layers read. The loss may read it too.
        case input
        /// What only the loss reads: needed for training, not for prediction.
        case target
        /// What only measurements read, where records have it.
        case truth
    }

    public let role: Role
    public let streamed: StreamedField
    public let encoding: FieldEncoding
    /// Whether the loss asks where values are known: `fields.known(name)` is then 1 there and 0 elsewhere, and unknown
    /// values are 0. Without it an unknown value makes the loss NaN.
    public let hasMask: Bool

    public var name: String { streamed.name }
    public var channels: Int { streamed.channels }
    /// Name of the graph's input that says where values are known.
    public var knownName: String { name + ".known" }

    /// A picture [N, H, W, 3] that the layers read, 0…1 before its encoding.
    /// - Parameter substitutes: fields of records that stand in: `left` where there is no `image`.
    public static func picture(
        _ name: String, substitutes: [String] = [], encoding: FieldEncoding = .plain
    ) -> Self {
        .init(
            role: .input, streamed: .picture(name, substitutes: substitutes), encoding: encoding, hasMask: false)
    }

    /// A picture that only the loss reads.
    public static func targetPicture(_ name: String, encoding: FieldEncoding = .plain) -> Self {
        .init(role: .target, streamed: .picture(name), encoding: encoding, hasMask: false)
    }

    /// A map [N, h, w, 1] that the loss reads.
    public static func target(
        _ name: String, encoding: FieldEncoding = .plain, grid: FieldGrid = .full, hasMask: Bool = false
    ) -> Self {
        .init(
            role: .target, streamed: StreamedField(name, kind: .map, grid: grid), encoding: encoding, hasMask: hasMask)
    }

    /// A map that the network's own is measured against where records have it.
    public static func truth(_ name: String, grid: FieldGrid = .full) -> Self {
        .init(
            role: .truth, streamed: StreamedField(name, kind: .map, grid: grid, isOptional: true), encoding: .plain,
            hasMask: false)
    }
}

/// The inputs of a graph that is being described, by field.
public struct FieldValues {
    let values: [String: Value]

    /// A field's value, encoded.
    public subscript(_ name: String) -> Value {
        guard let value = values[name] else { preconditionFailure("the network declares no input or target \(name)") }
        return value
    }

    /// 1 where a field with a mask is known, 0 elsewhere; [N, h, w, 1].
    public func known(_ name: String) -> Value {
        guard let value = values[name + ".known"] else { preconditionFailure("the field \(name) has no mask") }
        return value
    }
}
