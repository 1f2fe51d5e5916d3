import Basics
import Graphs
import Operators
import Tensors

/// DenseDepth: depth from one picture, by a densely connected encoder and a decoder of bilinear enlargements with skip
/// connections. The map has half the picture's size.
///
/// **Source:** Alhashim, Wonka, "High quality monocular depth estimation via transfer learning", arXiv 1812.11941, with the
/// released code of 2019 (Keras), and an article's U-Net made from it. Deviations: truth is halved by means of what is known
/// in 2x2 metres, before it is encoded (the release enlarges and shrinks encoded maps with a filter); unknown depth counts for
/// nothing (the release takes it for 10 cm); weights start from Glorot's distribution where no pretrained ones are
/// given. The released PyTorch decoder forgets the activation between a stage's convolutions; it stands here.
public struct DenseDepth: Network {
    public static let name = "densedepth"
    public static let summary =
        "depth of one picture, DenseNet-169 and a decoder (DenseDepth, and the U-Net made from it)"
    public static let settings: [SettingDescription] = [
        .choice(
            "style", Style.paper.rawValue,
            "paper: of reciprocal depth, no normalisation in the decoder; article: of depth in 0…1, with normalisation",
            Style.allCases.map(\.rawValue)),
        .choice(
            "loss", Loss.computed.rawValue,
            "similarity + gradients + 0.1 · difference (computed), or similarity + edges + 0.1 · cosine, as the article "
                + "describes its own (described)", Loss.allCases.map(\.rawValue)),
        .choice(
            "encoder", DenseNet.blocks[0].name, "blocks of the encoder; small: 2, 4, 6 and 4 layers",
            DenseNet.blocks.map(\.name)),
        .integer("growth", 32, "channels that a layer of the encoder adds", 2...128),
        .integer("width", 1664, "channels at the decoder's start, a multiple of 16; the release has 832", 16...4096),
        .choice(
            "corners", "published",
            "enlargement with aligned corners, or half-pixel centres; published: the former for the paper's style, the latter "
                + "for the article's", ["published", "aligned", "half-pixel"]),
        .number("max-depth", 10, "largest depth in metres; KITTI needs 80", 0.01...10_000),
    ]

    /// How depth is encoded, and what stands in the decoder.
    enum Style: String, CaseIterable { case paper, article }
    /// What the published programs compute, or what the article says.
    enum Loss: String, CaseIterable { case computed, described }

    let style: Style
    let loss: Loss
    let encoder: DenseNet
    let width: Int
    let alignsCorners: Bool
    let maximumDepth: Float

    public init(_ settings: Settings) throws {
        style = Style(rawValue: settings.choice("style")) ?? .paper
        loss = Loss(rawValue: settings.choice("loss")) ?? .computed
        let blocks = DenseNet.blocks.first { $0.name == settings.choice("encoder") } ?? DenseNet.blocks[0]
        encoder = DenseNet(blocks: blocks.blocks, growth: settings.integer("growth"))
        width = settings.integer("width")
        let corners = settings.choice("corners")
        alignsCorners = corners == "published" ? style == .paper : corners == "aligned"
        maximumDepth = Float(settings.number("max-depth"))
        if width % 16 != 0 { throw SettingError("width", "\(width)", "must be a multiple of 16") }
        if loss == .described, style == .paper {
            throw SettingError(
                "loss", loss.rawValue, "its edges need depth in 0…1; set style=article too, or loss=computed")
        }
    }

    public let sizeMultiple = 32

    public var fields: [NetworkField] {
        [
            .picture(FieldName.image, substitutes: [FieldName.left]),
            .target(FieldName.depth, encoding: encoding, grid: .averaged(step: 2)),
        ]
    }

    /// Pictures stay in 0…1 with trained weights too, as in the release, though those were trained on standardized ones.
    public var nameMaps: [NameMap] { encoder.nameMaps(scope: "encoder.") }

    /// Reciprocal depth in 1…100, or depth over the largest one.
    var encoding: FieldEncoding {
        switch style {
        case .paper: .reciprocal(numerator: maximumDepth, range: maximumDepth / 100...maximumDepth)
        case .article: .standardized(scale: 1 / maximumDepth, mean: [0], deviation: [1])
        }
    }

    /// Batches of 8 on four devices of two each, as published: statistics are those of two pictures. Keras' plateau of patience
    /// 5 is one of 4 here; its threshold is 0.01 of the loss itself, here of the best so far.
    public var recipe: Recipe {
        let common = [("lr", "1e-4"), ("amsgrad", "true"), ("lanes", "4"), ("lane-batch", "2"), ("mirror", "true")]
        return switch style {
        case .paper:
            Recipe(
                common + [
                    ("optimizer", "adam"), ("epochs", "20"), ("schedule", "plateau"), ("schedule-gamma", "0.7"),
                    ("plateau-patience", "4"), ("plateau-threshold", "0.01"), ("final-lr", "9e-5"),
                    ("permute-channels", "0.25"),
                ])
        case .article:
            Recipe(
                common + [
                    ("optimizer", "adamw"), ("weight-decay", "1e-6"), ("absolute-decay", "true"), ("epochs", "10"),
                    ("schedule", "polynomial"), ("schedule-power", "1"), ("schedule-by-epoch", "true"),
                ])
        }
    }

    public func describe(_ fields: FieldValues) -> NetworkResult {
        let map = decoded(fields[FieldName.image])
        let truth = fields[FieldName.depth]
        let similarity = map.dissimilarity(to: truth, range: style == .paper ? 100 : 1)
        let terms: [(name: String, value: Value)] =
            switch loss {
            case .computed:
                [
                    ("similarity", similarity), ("gradients", map.edgeDifference(to: truth)),
                    ("difference", map.maskedAbsoluteDifference(to: truth)),
                ]
            case .described:
                [
                    ("similarity", similarity), ("edges", map.edgeScore(to: truth, threshold: 0.5, sharpness: 10)),
                    ("cosine", map.cosineDistance(to: truth)),
                ]
            }
        return NetworkResult(
            loss: terms[0].value.combined(1, with: [(1, terms[1].value), (0.1, terms[2].value)]),
            terms: terms, outputs: [("depth", map)],
            maps: [.init(.depth, "depth", truth: FieldName.depth, encoding: encoding)])
    }

    /// picture [N, H, W, 3] → encoded depth [N, H/2, W/2, 1]
    private func decoded(_ picture: Value) -> Value {
        let features = picture.builder.scope("encoder") { encoder.features(of: picture) }
        var x = features[features.count - 1].conv2D("conv2", to: width, kernel: 1, activation: .none)
        for stage in 0..<4 {
            x = x.scope("ups.\(stage)") {
                enlarged($0, skip: features[3 - stage], to: width >> (stage + 1), isLast: stage == 3)
            }
        }
        return x.conv2D("conv3", to: 1, kernel: 3, activation: .none)
    }

    private func enlarged(_ x: Value, skip: Value, to channels: Int, isLast: Bool) -> Value {
        let pair = x.upsampledBilinearly(2, alignedCorners: alignsCorners).concat(skip)
        let first = pair.conv2D("convA", to: channels, kernel: 3, activation: .none)
        switch style {
        case .paper:
            return first.leakyReLU(Self.slope).conv2D("convB", to: channels, kernel: 3, activation: .none)
                .leakyReLU(Self.slope)
        case .article:
            let second = first.normalized("normA").conv2D("convB", to: channels, kernel: 3, activation: .none)
                .normalized("normB")
            return isLast ? second : second.leakyReLU(Self.slope)
        }
    }

    private static let slope: Float = 0.2
}

extension Value {
    /// Keras' defaults: momentum 0.99 in its sense, epsilon 1e-3.
    fileprivate func normalized(_ name: String) -> Value { batchNorm(name, epsilon: 1e-3, momentum: 0.01) }
}
