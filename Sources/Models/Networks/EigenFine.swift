import Basics
import Graphs
import Operators
import Tensors

/// The fine network of Eigen, Puhrsch and Fergus: three convolutions that refine the coarse network's depth beside features
/// of the picture. The coarse network belongs to it, and keeps the weights that it was given by `--init`.
///
/// **Source:** as `EigenCoarse`. The release computes 64 features and drops the first; the paper has 63.
public struct EigenFine: Network {
    public static let name = "eigen-fine"
    public static let summary =
        "depth of a picture, the fine stage of Eigen et al. 2014 on a trained eigen-coarse (--init)"
    public static let settings: [SettingDescription] =
        Eigen.settings + [
            .choice(
                "variant", "released", "64 features of which one is dropped (released), or 63 (paper)", Variant.names),
            .boolean("coarse-dropout", false, "whether training leaves out units of the coarse network, as released"),
        ]

    enum Variant: String, Sendable, CaseIterable {
        case released, paper
        static let names = allCases.map(\.rawValue)
    }

    private let eigen: Eigen
    private let variant: Variant
    private let hasCoarseDropout: Bool

    public init(_ settings: Settings) throws {
        eigen = Eigen(settings)
        variant = Variant(rawValue: settings.choice("variant")) ?? .released
        hasCoarseDropout = settings.boolean("coarse-dropout")
    }

    public let fixedSize: (height: Int, width: Int)? = Eigen.size
    public let fields = Eigen.fields

    public let nameMaps = Eigen.nameMaps

    public let recipe = Recipe(
        Eigen.options,
        groups: [
            .frozen("coarse.*"),
            ParameterGroup("fine.conv2.weight", learningRate: 0.01),
            ParameterGroup("fine.conv2.bias", learningRate: 0.01, weightDecay: 0),
            ParameterGroup("fine.*.weight", learningRate: 0.001),
            ParameterGroup("fine.*.bias", learningRate: 0.001, weightDecay: 0),
        ])

    public func describe(_ fields: FieldValues) -> NetworkResult {
        let picture = fields[FieldName.image]
        let coarse = eigen.coarse(picture, dropout: hasCoarseDropout ? eigen.dropout : 0)
        let depth = picture.affine(1 / Self.deviation, -Self.mean / Self.deviation).scope("fine") { x in
            let count = variant == .released ? 64 : 63
            let features = x.conv2D(
                "conv1", to: count, kernel: 9, stride: 2, padding: 1, activation: .relu,
                initial: .normal(deviation: 0.001)
            ).maxPool2D(3, stride: 2, padding: 0)
            let kept = variant == .released ? features.channelGroups([1, 63])[1] : features
            let initial = Initialization.normal(deviation: 0.01)
            return coarse.concat(kept)
                .conv2D("conv2", to: 64, kernel: 5, activation: .relu, initial: initial)
                .transposedConv2D("conv3", to: 1, kernel: 5, stride: 1, padding: 2, initial: initial)
        }
        return NetworkResult(
            loss: depth.scaleInvariantError(to: fields[FieldName.depth], balance: eigen.balance), terms: [],
            outputs: [("coarse", coarse), ("depth", depth)], maps: [Eigen.map])
    }

    /// Of all values of NYU's training pictures, 0…255.
    private static let mean: Float = 109.31410628
    private static let deviation: Float = 76.18328376
}
