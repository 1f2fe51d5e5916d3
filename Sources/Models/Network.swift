import Basics
import Graphs
import Tensors

/// A kind of network: named settings, inputs, layers and a loss. Training, evaluation, prediction and debugging work on
/// this protocol and know no network by name.
public protocol Network: Sendable {
    /// The name on the command line and in checkpoints.
    static var name: String { get }
    /// One line for `--help`.
    static var summary: String { get }
    static var settings: [SettingDescription] { get }

    /// - Throws: `SettingError` for values that do not fit together. Types and ranges were checked before.
    init(_ settings: Settings) throws

    /// Height and width must be multiples of this.
    var sizeMultiple: Int { get }
    var inputs: [NetworkInput] { get }
    /// The layers and the loss for these inputs, in the order of `inputs`.
    func describe(_ inputs: [Value]) -> NetworkResult
}

extension Network {
    public var name: String { Self.name }

    /// - Throws: `Failure` (bad data) if a picture of this size cannot be used.
    public func check(height: Int, width: Int) throws {
        guard height % sizeMultiple != 0 || width % sizeMultiple != 0 || height <= 0 || width <= 0 else { return }
        let fitting = [height, width].map { max(sizeMultiple, ($0 + sizeMultiple / 2) / sizeMultiple * sizeMultiple) }
        throw Failure(
            .badData,
            "\(name) needs a height and width that are multiples of \(sizeMultiple), not \(height)x\(width); "
                + "convert with --size \(fitting[0])x\(fitting[1])")
    }
}

/// A picture that a network reads: a field of the records.
public struct NetworkInput: Sendable, Hashable {
    public let field: String
    public let channels: Int

    public static func picture(_ field: String) -> NetworkInput { .init(field: field, channels: 3) }
}

/// One of the two views of a stereo pair.
public enum Eye: String, Sendable { case left, right }

/// What a network computes.
public struct NetworkResult {
    /// A dense map that prediction writes and evaluation measures, named by the eye whose pixels it lives in.
    public struct Map: Sendable, Hashable {
        public enum Kind: Sendable { case disparity }
        public let kind: Kind
        public let eye: Eye
        /// Name of the output that holds it, [N, H, W, 1].
        public let output: String

        public static func disparity(of eye: Eye, _ output: String) -> Map {
            .init(kind: .disparity, eye: eye, output: output)
        }
    }

    /// A view that the network rebuilds.
    public struct Reconstruction: Sendable, Hashable {
        public let eye: Eye
        /// Name of the output that holds it, [N, H, W, 3], values about 0…1.
        public let output: String

        public init(of eye: Eye, _ output: String) {
            self.eye = eye
            self.output = output
        }
    }

    public let loss: Value
    /// Parts of the loss, before their weights.
    public let terms: [(name: String, value: Value)]
    public let outputs: [(name: String, value: Value)]
    public let maps: [Map]
    public let reconstructions: [Reconstruction]
}

/// All networks by name.
public enum NetworkRegistry {
    public static let all: [any Network.Type] = [WNet.self]

    /// - Throws: `SettingError` if there is no such network or a setting is unknown, of the wrong type or out of range.
    public static func make(_ name: String, settings values: [(name: String, value: String)]) throws -> any Network {
        // Closures, not key paths: the compiler crashes on key paths to static members of metatypes.
        let names = all.map { $0.name }
        guard let type = all.first(where: { $0.name == name }) else {
            throw Failure(
                .usage,
                "unknown model '\(name)'\(suggestion(for: name, among: names)); known models: "
                    + names.joined(separator: ", "))
        }
        return try type.init(Settings(type.settings, values, owner: name))
    }
}
