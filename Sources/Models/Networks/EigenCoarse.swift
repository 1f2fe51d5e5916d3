import Basics
import Graphs
import Operators
import Tensors

/// The coarse network of Eigen, Puhrsch and Fergus: a picture → depth at 55 x 74 places, seen as a whole by two fully
/// connected layers.
///
/// **Source:** "Depth map prediction from a single image using a multi-scale deep network", NIPS 2014, and the authors'
/// release. As released, and unlike the paper: response normalisation behind the first two layers, and padding that makes
/// the sizes fit. The last bias starts at the mean logarithm of the data set's depths, as a comment there wants it.
public struct EigenCoarse: Network {
    public static let name = "eigen-coarse"
    public static let summary = "depth of a picture, the coarse stage of Eigen et al. 2014"
    public static let settings: [SettingDescription] = Eigen.settings

    private let eigen: Eigen

    public init(_ settings: Settings) throws { eigen = Eigen(settings) }

    public let fixedSize: (height: Int, width: Int)? = Eigen.size
    public let fields = Eigen.fields

    public let nameMaps = Eigen.nameMaps

    /// Batches of 32, with rates of their own for convolutions and fully connected layers; biases don't decay.
    public let recipe = Recipe(
        Eigen.options,
        groups: [
            ParameterGroup("coarse.conv*.weight", learningRate: 0.001, weightDecay: 5),
            ParameterGroup("coarse.conv*.bias", learningRate: 0.001, weightDecay: 0),
            ParameterGroup("coarse.full*.weight", learningRate: 0.1),
            ParameterGroup("coarse.full*.bias", learningRate: 0.1, weightDecay: 0),
        ])

    public func describe(_ fields: FieldValues) -> NetworkResult {
        let depth = eigen.coarse(fields[FieldName.image], dropout: eigen.dropout)
        return NetworkResult(
            loss: depth.scaleInvariantError(to: fields[FieldName.depth], balance: eigen.balance), terms: [],
            outputs: [("depth", depth)], maps: [Eigen.map])
    }
}

/// What both stages have in common.
struct Eigen {
    static let size: (height: Int, width: Int)? = (228, 304)
    /// Standard deviation of ln(metres) over NYU's training set: the unit of what the networks compute with.
    static let unit: Float = 0.45723134
    static let encoding = FieldEncoding.logarithm(unit: unit)

    static let settings: [SettingDescription] = [
        .integer("hidden", 4096, "units of the first fully connected layer", 1...65_536),
        .number("dropout", 0.5, "part of those units that a training step leaves out", 0...0.99),
        .number("balance", 0.5, "0: squared error of logarithms; 1: a common factor of all depths is free", 0...1),
    ]

    /// Pictures in 0…255; depth every fourth pixel, without four on each side.
    static let fields = [
        NetworkField.picture(
            FieldName.image, substitutes: [FieldName.left],
            encoding: .standardized(scale: 255, mean: [0], deviation: [1])),
        .target(FieldName.depth, encoding: encoding, grid: .picked(step: 4, first: 1, margin: 4)),
    ]

    /// torchvision's AlexNet is narrower than that of the article, which has 96, 256, 384, 384 and 256 filters: its numbers
    /// become the first of each layer.
    static let nameMaps = [
        NameMap("the coarse network by itself", [("coarse.", "")]),
        NameMap(
            "torchvision's AlexNet",
            zip(1...5, [0, 3, 6, 8, 10]).map { ("coarse.conv\($0).", "features.\($1).") },
            pictureLayer: .init("coarse.conv1", encoding: .standardized(scale: 255, mean: [128], deviation: [1])),
            takesParts: true),
    ]

    static let map = NetworkResult.Map(.depth, "depth", truth: FieldName.depth, encoding: encoding, margin: 4)

    /// The groups' rates are the published ones, of a common rate 1. Samples are cut at random, mirrored, enlarged with
    /// depth divided, turned, and their channels get factors.
    static let options: [(name: String, value: String)] = [
        ("optimizer", "sgd"), ("lr", "1"), ("momentum", "0.9"), ("weight-decay", "1e-4"), ("epochs", "151"),
        ("lanes", "4"), ("lane-batch", "8"), ("mirror", "true"), ("scale", "1.5"), ("rotate", "5.0"),
        ("channel-gain", "0.2"),
    ]

    let hidden: Int
    let dropout: Float
    let balance: Float

    init(_ settings: Settings) {
        hidden = settings.integer("hidden")
        dropout = Float(settings.number("dropout"))
        balance = Float(settings.number("balance"))
    }

    /// Picture [N, 228, 304, 3] in 0…255 → [N, 55, 74, 1].
    /// - Parameter dropout: part that is left out in training. What remains is not scaled then; inference is, by 1 − the
    ///   setting, whatever this is.
    func coarse(_ picture: Value, dropout rate: Float) -> Value {
        picture.affine(1, -128).scope("coarse") { x in
            let initial = Initialization.normal(deviation: 0.01)
            let first = x.conv2D(
                "conv1", to: 96, kernel: 11, stride: 4, padding: 2, activation: .none, initial: initial
            )
            .pooledReLU().mapNorm()
            let second = first.conv2D(
                "conv2", to: 256, kernel: 5, stride: 1, padding: 2, activation: .none, initial: initial
            ).pooledReLU().mapNorm()
            let fifth = second.conv2D("conv3", to: 384, kernel: 3, activation: .relu, initial: initial)
                .conv2D("conv4", to: 384, kernel: 3, activation: .relu, initial: initial)
                .conv2D("conv5", to: 256, kernel: 3, activation: .none, initial: initial)
                .pooledReLU().affine(0.01, 0)
            return fifth.linear("full1", to: [hidden], activation: .relu, initial: initial)
                // Dropout divides what it keeps by 1 − rate.
                .affine(1 - dropout, 0).dropout(rate)
                .linear(
                    "full2", to: [55, 74, 1], activation: .none,
                    initial: .uniform(bound: 0.005, bias: 0.82473954 / Self.unit))
        }
    }
}

extension Value {
    /// Maximum over overlapping 3x3 windows, and ReLU.
    func pooledReLU() -> Value { maxPool2D(3, stride: 2, padding: 0).relu() }

    fileprivate func mapNorm() -> Value { responseNorm(radius: 2, bias: 2, scale: 1e-4) }
}
