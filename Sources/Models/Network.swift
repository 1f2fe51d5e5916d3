import Basics
import Graphs
import Tensors

/// A kind of network: named settings, fields, layers, a loss and a recipe. Training, evaluation, prediction and
/// debugging work on this protocol and know no network by name.
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
    /// The only size that fits, where layers fix it (fully connected ones do).
    var fixedSize: (height: Int, width: Int)? { get }
    /// Fields of the records: what the layers read, what the loss reads, what measurements read.
    var fields: [NetworkField] { get }
    /// Names that its tensors have in files of others, for `--init`.
    var nameMaps: [NameMap] { get }
    /// How it is trained where the user says nothing else.
    var recipe: Recipe { get }
    /// The layers and the loss. It has to declare the same parameters whatever the builder's mode.
    func describe(_ fields: FieldValues) -> NetworkResult
}

extension Network {
    public var name: String { Self.name }
    public var sizeMultiple: Int { 1 }
    public var fixedSize: (height: Int, width: Int)? { nil }
    public var recipe: Recipe { .standard }
    public var nameMaps: [NameMap] { [] }

    /// What the layers read.
    public var inputs: [NetworkField] { fields.filter { $0.role == .input } }
    /// What the graph of a training step reads.
    public var graphFields: [NetworkField] { fields.filter { $0.role != .truth } }

    /// A size at which the network can be built, for what does not depend on it.
    public var sampleSize: (height: Int, width: Int) {
        fixedSize ?? (max(32, 2 * sizeMultiple), max(32, 2 * sizeMultiple))
    }

    /// - Throws: `Failure` (bad data) if a picture of this size cannot be used.
    public func check(height: Int, width: Int) throws {
        if let fixedSize {
            if (height, width) == fixedSize { return }
            throw Failure(
                .badData,
                "\(name) works on \(fixedSize.height)x\(fixedSize.width) only, not \(height)x\(width); "
                    + "give --size \(fixedSize.height)x\(fixedSize.width), here or where records are converted")
        }
        guard height % sizeMultiple != 0 || width % sizeMultiple != 0 || height <= 0 || width <= 0 else { return }
        let fitting = [height, width].map { max(sizeMultiple, ($0 + sizeMultiple / 2) / sizeMultiple * sizeMultiple) }
        throw Failure(
            .badData,
            "\(name) needs a height and width that are multiples of \(sizeMultiple), not \(height)x\(width); "
                + "give --size \(fitting[0])x\(fitting[1]), here or where records are converted")
    }
}

/// All networks by name.
public enum NetworkRegistry {
    public static let all: [any Network.Type] = [
        WNet.self, WNetPlus.self, Deep3D.self, DenseDepth.self, MaskNet3.self, DepthMaskNet8.self, EigenCoarse.self,
        EigenFine.self,
    ]

    /// - Throws: `SettingError` if there is no such network or a setting is unknown, of the wrong type or out of range.
    public static func make(_ name: String, settings values: [(name: String, value: String)]) throws -> any Network {
        let type = try kind(name)
        return try type.init(Settings(type.settings, values, owner: name))
    }

    /// - Throws: `Failure` (usage) if there is no such network.
    public static func kind(_ name: String) throws -> any Network.Type {
        // Closures, not key paths: the compiler crashes on key paths to static members of metatypes.
        let names = all.map { $0.name }
        guard let type = all.first(where: { $0.name == name }) else {
            throw Failure(
                .usage,
                "unknown model '\(name)'\(suggestion(for: name, among: names)); known models: "
                    + names.joined(separator: ", "))
        }
        return type
    }
}
