import Basics
import Graphs
import Operators
import Tensors

/// DepthMaskNet8: a picture, and the same scene without its foreground → the foreground's mask and the scene's depth in
/// 0…1. Residual encoders with shared features, one decoder for each map; the decoder of depth adds what that of the mask
/// found.
///
/// **Source:** rvk007/Monocular-Depth-Estimation, `deepnet/model/models/depthnet.py` (DepthNet). Its code adds the half-size
/// features twice and never feeds the mask's last two stages into depth, as its diagram does: `feed` chooses.
public struct DepthMaskNet8: Network {
    public static let name = "depthmasknet8"
    public static let summary = "foreground mask and depth of a picture beside its background (DepthMaskNet8)"
    public static let settings: [SettingDescription] = [
        .choice("loss", "bce-rmse", "MASK-DEPTH: a term of the mask + 2 · a term of the depth", OverlayLoss.names),
        .choice(
            "feed", "code", "what the decoder of depth adds: as released (code), or as drawn (diagram)", Feed.names),
    ]

    enum Feed: String, Sendable, CaseIterable {
        case code, diagram
        static let names = allCases.map(\.rawValue)
    }

    private let loss: OverlayLoss
    private let feed: Feed

    public init(_ settings: Settings) throws {
        loss = OverlayLoss(settings.choice("loss"))
        feed = Feed(rawValue: settings.choice("feed")) ?? .code
    }

    public let sizeMultiple = 32

    public let fields = [
        NetworkField.picture(FieldName.background, encoding: OverlayStatistics.background),
        .picture(FieldName.image, encoding: OverlayStatistics.image),
        .target(FieldName.mask),
        .target(FieldName.depth),
    ]

    /// Stochastic gradient descent on batches of 128, as published.
    public let recipe = Recipe([
        ("optimizer", "sgd"), ("lr", "0.1"), ("momentum", "0.9"), ("weight-decay", "1e-8"), ("epochs", "12"),
        ("lanes", "16"), ("lane-batch", "8"),
    ])

    public func describe(_ fields: FieldValues) -> NetworkResult {
        let background = fields[FieldName.background].stem("stem_bg")
        let image = fields[FieldName.image].stem("stem_fg")
        let half = background.residualEncoder("enc_bg", to: 16).concat(image.residualEncoder("enc_fg", to: 16))
        let quarter = half.residualEncoder("enc1", to: 64)
        let eighth = quarter.residualEncoder("enc2", to: 128)
        let sixteenth = eighth.residualEncoder("enc3", to: 256)

        let mask1 = sixteenth.additiveDecoder("mask.0", adding: eighth)
        let mask2 = mask1.additiveDecoder("mask.1", adding: quarter)
        let mask3 = mask2.additiveDecoder("mask.2", adding: half)
        let mask4 = mask3.additiveDecoder("mask.3", adding: image)
        let maskLogits = mask4.conv2D("mask_out", to: 1, kernel: 1, activation: .none, initial: .torch)

        var depth = sixteenth.residualEncoder("enc4", to: 512).additiveDecoder("depth.0", adding: sixteenth)
        depth = depth.additiveDecoder("depth.1", adding: eighth).adding(mask1)
        depth = depth.additiveDecoder("depth.2", adding: quarter).adding(mask2)
        depth = depth.additiveDecoder("depth.3", adding: half).adding(feed == .code ? half : mask3)
        depth = depth.additiveDecoder("depth.4", adding: image)
        if feed == .diagram { depth = depth.adding(mask4) }
        let depthLogits = depth.conv2D("depth_out", to: 1, kernel: 1, activation: .none, initial: .torch)

        let (mask, relativeDepth) = (maskLogits.sigmoid(), depthLogits.sigmoid())
        let (value, terms) = loss.value(
            mask: .init(logits: maskLogits, probability: mask, target: fields[FieldName.mask]),
            depth: .init(logits: depthLogits, probability: relativeDepth, target: fields[FieldName.depth]))
        return NetworkResult(
            loss: value, terms: terms,
            outputs: [
                ("mask.logits", maskLogits), ("depth.logits", depthLogits), ("mask", mask), ("depth", relativeDepth),
            ],
            maps: [
                .init(.mask, "mask", truth: FieldName.mask), .init(.relativeDepth, "depth", truth: FieldName.depth),
            ])
    }
}

extension Value {
    fileprivate func stem(_ name: String) -> Value {
        scope(name) { $0.convNormReLU("0", "1", to: 16).convNormReLU("3", "4", to: 16) }
    }

    /// Half the size: ReLU(two convolutions of the pooled picture + a strided 1x1 convolution of the whole one).
    fileprivate func residualEncoder(_ name: String, to channels: Int) -> Value {
        block(name, type: "Encoder") { x in
            let main = x.scope("main") {
                $0.maxPool2D(2).convNormReLU("1", "2", to: channels).convNormReLU("4", "5", to: channels)
            }
            let skip = x.scope("skip") {
                $0.conv2D(
                    "0", to: channels, kernel: 1, stride: 2, padding: 0, activation: .none, initial: .torch,
                    hasBias: false
                ).batchNorm("1", epsilon: 1e-5, momentum: 0.1)
            }
            // A function in the original, not a layer.
            return main.adding(skip).apply(ReLU())
        }
    }

    /// Twice the size: a 1x1 convolution, enlarged, plus an encoder's features, and two convolutions.
    fileprivate func additiveDecoder(_ name: String, adding features: Value) -> Value {
        block(name, type: "Decoder") { x in
            let channels = features.channels
            let small = x.conv2D("reduce", to: channels, kernel: 1, activation: .none, initial: .torch)
            // A function in the original, not a layer.
            let enlarged = small.apply(
                BilinearResize(
                    height: features.shape[1], width: features.shape[2], alignedCorners: false))
            return enlarged.adding(features).scope("body") {
                $0.convNormReLU("0", "1", to: channels).convNormReLU("3", "4", to: channels)
            }
        }
    }
}
