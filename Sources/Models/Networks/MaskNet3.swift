import Basics
import Graphs
import Operators
import Tensors

/// MaskNet3: a picture, and the same scene without its foreground → the foreground's mask.
///
/// **Source:** rvk007/Monocular-Depth-Estimation, `deepnet/model/models/masknet.py` (DepthNet). Its training loss sums
/// cross-entropy of the mask and twice the root mean square error of a depth; this network has a mask only, on which
/// both terms are taken.
public struct MaskNet3: Network {
    public static let name = "masknet3"
    public static let summary = "foreground mask of a picture beside its background (MaskNet3)"
    public static let settings: [SettingDescription] = [
        .choice(
            "loss", "bce-rmse",
            "cross-entropy (bce), root mean square error (rmse), dice, 1 − SSIM (ssim), or bce + 2 · another",
            MaskLoss.names)
    ]

    private let loss: MaskLoss

    public init(_ settings: Settings) throws { loss = MaskLoss(settings.choice("loss")) }

    public let fields = [
        NetworkField.picture(FieldName.background, encoding: OverlayStatistics.background),
        .picture(FieldName.image, encoding: OverlayStatistics.image),
        .target(FieldName.mask),
    ]

    /// Stochastic gradient descent on batches of 128, as published.
    public let recipe = Recipe([
        ("optimizer", "sgd"), ("lr", "0.1"), ("momentum", "0.9"), ("weight-decay", "1e-8"), ("epochs", "12"),
        ("lanes", "16"), ("lane-batch", "8"),
    ])

    public func describe(_ fields: FieldValues) -> NetworkResult {
        let background = fields[FieldName.background].scope("bg") { $0.convNormReLU("0", "1", to: 32) }
        let image = fields[FieldName.image].scope("bg_fg") { $0.convNormReLU("0", "1", to: 32) }
        let logits = background.concat(image).scope("body") {
            $0.convNormReLU("0", "1", to: 64).convNormReLU("3", "4", to: 64)
                .conv2D("6", to: 1, kernel: 1, activation: .none, initial: .torch)
        }
        let mask = logits.sigmoid()
        let (value, terms) = loss.value(
            .init(logits: logits, probability: mask, target: fields[FieldName.mask]))
        return NetworkResult(
            loss: value, terms: terms, outputs: [("mask.logits", logits), ("mask", mask)],
            maps: [.init(.mask, "mask", truth: FieldName.mask)])
    }
}

/// Mean and deviation of the pictures that DepthNet's data set consists of, by channel, in 0…1.
enum OverlayStatistics {
    static let background = FieldEncoding.standardized(
        scale: 1, mean: [0.40086, 0.46599, 0.53281], deviation: [0.25451, 0.24249, 0.23615])
    static let image = FieldEncoding.standardized(
        scale: 1, mean: [0.41221, 0.47368, 0.53431], deviation: [0.25699, 0.24577, 0.24217])
}

extension Value {
    /// 3x3 convolution, normalisation with PyTorch's defaults, ReLU: modules `conv` and `norm` of a sequence.
    func convNormReLU(_ conv: String, _ norm: String, to channels: Int) -> Value {
        conv2D(conv, to: channels, kernel: 3, activation: .none, initial: .torch)
            .batchNorm(norm, epsilon: 1e-5, momentum: 0.1).relu()
    }
}
