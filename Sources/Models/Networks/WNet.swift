import Basics
import Graphs
import Operators
import Tensors

/// W-net: a self-supervised stereo network. From a stereo pair it predicts, for each view, a distribution over horizontal
/// shifts such that the shifted other view rebuilds it; the expected shift is the disparity.
///
/// **Source:** LouisFoucard/w-net, version 11 (= V12): separable encoder of five stages, decoder with skip connections,
/// a head per view that averages the decoder with three transposed convolutions of pooled encoder features. Deviations:
/// the expected disparity is summed over levels per sample, gray is divided by each image's own maximum, and 1e-12
/// stands under the root of the gradient magnitude.
///
/// Settings beyond `edges` are not W-net's: levels that are positive only, structural similarity in the loss, agreement
/// of the two maps, occluded pixels left out, disparities of the most probable levels. Their defaults leave the published
/// network, bit by bit; `WNetPlus` has others.
///
/// The head `left` rebuilds the right view from the left one, so its map lives in the **right** view's pixels, and
/// conversely.
public struct WNet: Network {
    public static let name = "wnet"
    public static let summary = "self-supervised stereo: each view rebuilt from the other (W-net)"
    public static let settings: [SettingDescription] = [
        .integer("width", 32, "channels of the first encoder stage", 1...1024),
        .integer("levels", 32, "disparity levels, a pixel each; even", 2...512),
        .number("dropout", 0.4, "rate behind each decoder stage", 0...0.95),
        .number("smoothness", 0.001, "weight of the smoothness loss", 0...1000),
        .choice(
            "edges", "published",
            "image whose edges relax a map's smoothness: of the view that is shifted (published) "
                + "or of the map's own view (aligned)", ["published", "aligned"]),
        .choice(
            "range", "centred",
            "disparities: −levels/2 … levels/2 − 1 pixels (centred) or 0 … levels − 1 (positive)",
            ["centred", "positive"]),
        .number("similarity", 0, "share of structural similarity in the reconstruction loss; the rest is L1", 0...1),
        .number("consistency", 0, "weight of the loss of disparities that the other view's contradict", 0...1000),
        .choice(
            "occlusion", "none", "pixels that the other view does not see: count (none) or not (masked)",
            ["none", "masked"]),
        .integer(
            "peak", 0, "levels on either side of the most probable one that make up a map's disparity; 0: all levels",
            0...511),
    ]

    public let width: Int
    public let levels: Int
    public let dropout: Float
    public let smoothness: Float
    public let alignedEdges: Bool
    /// Disparity of the first level.
    public let lowest: Int
    public let similarity: Float
    public let consistency: Float
    public let masksOcclusions: Bool
    public let peak: Int

    public init(_ settings: Settings) throws {
        width = settings.integer("width")
        levels = settings.integer("levels")
        dropout = Float(settings.number("dropout"))
        smoothness = Float(settings.number("smoothness"))
        alignedEdges = settings.choice("edges") == "aligned"
        lowest = settings.choice("range") == "positive" ? 0 : -levels / 2
        similarity = Float(settings.number("similarity"))
        consistency = Float(settings.number("consistency"))
        masksOcclusions = settings.choice("occlusion") == "masked"
        peak = settings.integer("peak")
        if levels % 2 != 0 { throw SettingError("levels", "\(levels)", "must be even") }
    }

    public let sizeMultiple = 16
    public let fields = [
        NetworkField.picture(FieldName.left), .picture(FieldName.right), .truth(FieldName.disparity),
    ]

    /// Disparity of level k: lowest + k, in pixels of the training width.
    public var disparities: [Float] { (0..<levels).map { Float(lowest + $0) } }

    public func describe(_ fields: FieldValues) -> NetworkResult {
        let (left, right) = (fields[FieldName.left], fields[FieldName.right])
        let (probabilityLeft, probabilityRight) = probabilities(left.concat(right))
        // The right view from the left one, and the left view from the right one.
        let rightHat = left.apply(Selection(firstShift: lowest, shiftStep: 1), [probabilityLeft])
        let leftHat = right.apply(Selection(firstShift: -lowest, shiftStep: -1), [probabilityRight])
        let disparityLeft = probabilityLeft.apply(ChannelDot(coefficients: disparities))
        let disparityRight = probabilityRight.apply(ChannelDot(coefficients: disparities))

        // A pixel x of the right view is the left view's x + d.
        let seen = (
            left: masksOcclusions ? disparityLeft.coverage(sign: 1) : nil,
            right: masksOcclusions ? disparityRight.coverage(sign: -1) : nil
        )
        let rightLoss = rightHat.reconstructionLoss(of: right, weight: seen.right, similarity: similarity)
        let leftLoss = leftHat.reconstructionLoss(of: left, weight: seen.left, similarity: similarity)
        let reconstruction = rightLoss.combined(0.5, with: [(0.5, leftLoss)])
        let roughness = disparityLeft.smoothness(weightedBy: alignedEdges ? right : left)
            .combined(1, with: [(1, disparityRight.smoothness(weightedBy: alignedEdges ? left : right))])
        var terms = [("reconstruction", reconstruction), ("smoothness", roughness)]
        var parts = [(smoothness, roughness)]
        if consistency > 0 {
            let rightDoubt = disparityLeft.consistency(with: disparityRight, sign: 1, weight: seen.right)
            let leftDoubt = disparityRight.consistency(with: disparityLeft, sign: -1, weight: seen.left)
            let contradiction = rightDoubt.combined(0.5, with: [(0.5, leftDoubt)])
            terms.append(("consistency", contradiction))
            parts.append((consistency, contradiction))
        }
        let loss = reconstruction.combined(1, with: parts)
        let maps = (
            left: peak > 0 ? probabilityLeft.peakExpectation(of: disparities, radius: peak) : disparityLeft,
            right: peak > 0 ? probabilityRight.peakExpectation(of: disparities, radius: peak) : disparityRight
        )

        return NetworkResult(
            loss: loss,
            terms: terms.map { (name: $0.0, value: $0.1) },
            outputs: [
                ("prob.left", probabilityLeft), ("prob.right", probabilityRight),
                ("right_hat", rightHat), ("left_hat", leftHat),
                ("disparity.left", maps.left), ("disparity.right", maps.right),
            ],
            maps: [
                .disparity(of: .right, "disparity.left"),
                .disparity(of: .left, "disparity.right", truth: FieldName.disparity),
                .view(of: .right, "right_hat"), .view(of: .left, "left_hat"),
            ])
    }

    /// views [N, H, W, 6] → two distributions over levels [N, H, W, levels]
    func probabilities(_ views: Value) -> (left: Value, right: Value) {
        var x = views
        var skips: [Value] = []
        var pooled: [Value] = []
        for stage in 1...5 {
            if stage > 1 {
                skips.append(x)
                x = x.maxPool2D(2)
                pooled.append(x)
            }
            let channels = width << (stage - 1)
            x = x.scope("encoder\(stage)") {
                $0.separableConv2D("conv1", to: channels, kernel: 3, activation: .relu).normalized("norm1")
                    .separableConv2D("conv2", to: channels, kernel: 3, activation: .relu).normalized("norm2")
            }
        }
        x = decode(x, "decoder6", skip: skips[3], up: 8 * width, to: 8 * width)
        x = decode(x, "decoder7", skip: skips[2], up: 4 * width, to: 4 * width)
        x = decode(x, "decoder8", skip: skips[1], up: 2 * width, to: 2 * width)
        x = decode(x, "decoder9", skip: skips[0], up: 2 * width, to: 2 * levels)

        let decoded = x.halves()
        // The left head takes the upper halves of the pooled features, the right head the lower ones.
        let (pool2, pool3, pool4) = (pooled[1].halves(), pooled[2].halves(), pooled[3].halves())
        return (
            head("left", decoded.lower, pool2.upper, pool3.upper, pool4.upper),
            head("right", decoded.upper, pool2.lower, pool3.lower, pool4.lower)
        )
    }

    private func decode(_ x: Value, _ name: String, skip: Value, up: Int, to channels: Int) -> Value {
        x.scope(name) {
            $0.upsample2D("upsample", to: up, scale: 2).concat(skip)
                .conv2D("conv1", to: channels, kernel: 3, activation: .relu).normalized("norm1")
                .separableConv2D("conv2", to: channels, kernel: 3, activation: .relu).normalized("norm2")
                .dropout(dropout)
        }
    }

    private func head(_ name: String, _ decoded: Value, _ pool2: Value, _ pool3: Value, _ pool4: Value) -> Value {
        decoded.scope(name) {
            $0.average(with: [
                pool2.upsample2D("level2", to: levels, scale: 4),
                pool3.upsample2D("level3", to: levels, scale: 8),
                pool4.upsample2D("level4", to: levels, scale: 16),
            ])
            .separableConv2D("head", to: levels, kernel: 3, activation: .none)
            .softmax()
        }
    }
}

extension Value {
    /// Keras' defaults: momentum 0.99 in its sense, epsilon 1e-3.
    fileprivate func normalized(_ name: String) -> Value { batchNorm(name, epsilon: 1e-3, momentum: 0.01) }
}
