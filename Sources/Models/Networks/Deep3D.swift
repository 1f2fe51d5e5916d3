import Basics
import Graphs
import Kernels
import Operators
import Tensors

/// Deep3D: from the left view of a stereo pair, a distribution over horizontal shifts for each pixel of the right view,
/// which the shifted left view then rebuilds.
///
/// **Source:** Xie, Girshick, Farhadi, "Deep3D", ECCV 2016 (`paper`); the graph that piiswrong/deep3d releases (`mxnet`);
/// justinttl/deep3d-tf (`tf`). They differ in depth, order of layers and shifts; `Variant` says how.
///
/// Deviations. From the picture, 0…255, one mean is taken off, not a mean image. The convolutions of VGG start from He's
/// distribution where `--init` gives no trained ones. `tf` takes off its mean from 0…255, as it was meant to; its code
/// divides by 255 once more, so that its network sees next to nothing.
public struct Deep3D: Network {
    public static let name = "deep3d"
    public static let summary = "right view of a pair from the left one alone (Deep3D)"
    public static let settings: [SettingDescription] = [
        .choice(
            "variant", "paper", "the article's VGG-16, the released smaller graph (mxnet), or deep3d-tf's VGG-19 (tf)",
            Variant.allCases.map(\.rawValue)),
        .integer("width", 64, "channels of the first stage; later ones have 2, 4, 8 and 8 times as many", 1...1024),
        .integer("fc", 0, "values of the fully connected layers; 0: the variant's 4096, 512 or 4096", 0...65_536),
        .integer("input-height", 0, "height of the input, a multiple of 32; 0: the variant's 160", 0...4096),
        .integer("input-width", 0, "width of the input, a multiple of 32; 0: the variant's 384, 384 or 288", 0...4096),
        .number("dropout", 0.5, "rate behind each fully connected layer", 0...0.95),
        .number("mean", 128, "what is taken off the picture's 0…255 for the layers", 0...255),
    ]

    public let variant: Variant
    public let width: Int
    public let fullCount: Int
    public let size: (height: Int, width: Int)
    public let dropout: Float
    public let mean: Float

    public init(_ settings: Settings) throws {
        let variant = Variant(settings.choice("variant"))
        self.variant = variant
        width = settings.integer("width")
        func given(_ name: String, or published: Int) -> Int {
            let value = settings.integer(name)
            return value > 0 ? value : published
        }
        fullCount = given("fc", or: variant.fullCount)
        size = (given("input-height", or: variant.size.height), given("input-width", or: variant.size.width))
        dropout = Float(settings.number("dropout"))
        mean = Float(settings.number("mean"))
        for (name, value) in [("input-height", size.height), ("input-width", size.width)] where value % 32 != 0 {
            throw SettingError(name, "\(value)", "give a multiple of 32")
        }
    }

    /// The fully connected layers fix it. Larger records are cropped, at random in training.
    public var fixedSize: (height: Int, width: Int)? { size }

    public var fields: [NetworkField] {
        [
            .picture(FieldName.left, encoding: .standardized(scale: 255, mean: [mean], deviation: [1])),
            .targetPicture(FieldName.right, encoding: viewEncoding),
        ]
    }

    /// Views are compared in 0…255, by `tf` in 0…1.
    private var viewEncoding: FieldEncoding {
        variant == .tf ? .plain : .standardized(scale: 255, mean: [0], deviation: [1])
    }

    public var recipe: Recipe { variant.recipe }

    public func describe(_ fields: FieldValues) -> NetworkResult {
        let (input, right) = (fields[FieldName.left], fields[FieldName.right])
        let scale: Float = variant == .tf ? 1 / 255 : 1
        let left = input.affine(scale, scale * mean)
        let logits = logits(input)
        let probability = logits.softmax()
        let shifts = variant.shifts
        // Softmax without the empty channel is the distribution, given that something is shown.
        let (shown, certain) =
            shifts.emptyChannels == 0
            ? (probability, probability)
            : (
                probability.channelGroups([shifts.emptyChannels, shifts.count])[1],
                logits.channelGroups([shifts.emptyChannels, shifts.count])[1].softmax()
            )
        let view = left.apply(
            Selection(firstShift: shifts.first, shiftStep: shifts.step, border: shifts.border), [shown])
        let disparity = certain.apply(ChannelDot(coefficients: shifts.all.map(Float.init)))

        let difference = view.absoluteDifferenceMean(to: right)
        // deep3d-tf adds up the pixels of a sample.
        let loss =
            variant == .tf
            ? difference.combined(Float(right.shape.count / max(1, right.shape[0])), with: []) : difference
        return NetworkResult(
            loss: loss, terms: [],
            outputs: [
                ("logits", logits), ("prob", probability), ("right_hat", view), ("disparity", disparity),
            ],
            maps: [
                .disparity(of: .right, "disparity"),
                .view(
                    of: .right, "right_hat", encoding: viewEncoding,
                    rendering: .init(probability: "prob", source: FieldName.left, shifts: shifts)),
            ])
    }

    /// picture [N, H, W, 3] → logits [N, H, W, 33]
    private func logits(_ picture: Value) -> Value {
        let channels = variant.shifts.emptyChannels + variant.shifts.count
        let isTF = variant == .tf
        var x = picture
        var branches: [Value] = []
        for (stage, count) in variant.stages.enumerated() {
            let own = width * [1, 2, 4, 8, 8][stage]
            for number in 0..<count {
                x = x.scope("convs.\(stage)") {
                    $0.conv2D("\(number)", to: own, kernel: 3, activation: .relu, initial: .he)
                }
            }
            x = x.maxPool2D(2)
            // The fifth goes through the fully connected layers instead.
            guard stage < 4 else { break }
            let branch = x.scope("norms") {
                $0.batchNorm("\(stage)", epsilon: isTF ? 1e-6 : 1e-3, momentum: isTF ? 0.4 : 0.1)
            }
            branches.append(
                branch.scope("preds") {
                    $0.conv2D("\(stage)", to: channels, kernel: 3, activation: .relu, initial: variant.initial)
                })
        }
        branches.append(full(x, channels))

        let enlarged = branches.enumerated().map { number, branch in
            branch.scope("ups") { $0.enlarged("\(number)", 1 << number, to: channels, variant) }
        }
        var sum = enlarged[0].adding(enlarged[1], enlarged[2], enlarged[3], enlarged[4])
        if !isTF { sum = sum.relu() }
        return sum.enlarged("up", 2, to: channels, variant, activates: false).relu()
            .conv2D("head", to: channels, kernel: 3, activation: isTF ? .relu : .none, initial: variant.initial)
    }

    /// The last features, fully connected: [N, H/32, W/32, channels].
    private func full(_ features: Value, _ channels: Int) -> Value {
        let initial = variant.initial
        let grid: Shape = [size.height / 32, size.width / 32, channels]
        // A scope for each dropout, so that each draws its own mask.
        let hidden = features.linear("fc6", to: [fullCount], activation: .relu, initial: initial)
            .scope("drop6") { $0.dropout(dropout) }
            .linear("fc7", to: [fullCount], activation: .relu, initial: initial)
            .scope("drop7") { $0.dropout(dropout) }
        return variant == .tf
            ? hidden.linearChannelsLast("fc8", to: grid, activation: .relu, initial: initial)
                .scope("drop8") { $0.dropout(dropout) }
            : hidden.linear("fc8", to: grid, activation: .relu, initial: initial)
    }
}

extension Deep3D {
    /// Published networks of this name.
    public enum Variant: String, Sendable, CaseIterable {
        case paper, mxnet, tf

        /// - Parameter name: one of the cases', as settings check.
        init(_ name: String) { self = Variant(rawValue: name) ?? .paper }

        /// Convolutions of each stage.
        var stages: [Int] {
            switch self {
            case .paper: [2, 2, 3, 3, 3]
            case .mxnet: [1, 1, 2, 2, 2]
            case .tf: [2, 2, 4, 4, 4]
            }
        }

        var fullCount: Int { self == .mxnet ? 512 : 4096 }

        var size: (height: Int, width: Int) { self == .tf ? (160, 288) : (160, 384) }

        /// The right view's pixel x shows the left view's x + shift. `paper` and `mxnet`: an empty channel, then 15 … −16,
        /// the row's last pixel repeated; `tf`: −16 … 16, mirrored.
        var shifts: ViewRendering.Shifts {
            self == .tf
                ? .init(first: -16, step: 1, count: 33, emptyChannels: 0, border: .reflect)
                : .init(first: 15, step: -1, count: 32, emptyChannels: 1, border: .edge)
        }

        /// Of all layers but VGG's convolutions and enlargement.
        var initial: Initialization {
            self == .tf ? .truncatedNormal(deviation: 0.01) : .uniform(bound: 0.01)
        }

        /// `paper` with the schedule of the release, which fits the article: 100,000 steps of 64.
        var recipe: Recipe {
            self == .tf
                ? Recipe([
                    ("optimizer", "adam"), ("lr", "5e-5"), ("lanes", "5"), ("lane-batch", "6"), ("epochs", "5"),
                ])
                : Recipe([
                    ("optimizer", "sgd"), ("lr", "0.002"), ("momentum", "0.9"), ("schedule", "step"),
                    ("schedule-steps", "20000"), ("schedule-gamma", "0.1"), ("lanes", "8"), ("lane-batch", "8"),
                    ("steps", "100000"),
                ])
        }
    }
}

extension Value {
    /// Transposed convolution that enlarges `scale` times; deep3d-tf's has no bias, and 2x2 taps where nothing is enlarged.
    /// - Parameter activates: false keeps ReLU out, which deep3d-tf has behind all branches but the last.
    fileprivate func enlarged(
        _ name: String, _ scale: Int, to channels: Int, _ variant: Deep3D.Variant, activates: Bool = true
    ) -> Value {
        guard variant == .tf else {
            return transposedConv2D(
                name, to: channels, kernel: scale == 1 ? 1 : 2 * scale, stride: scale, padding: scale / 2,
                initial: .bilinear)
        }
        var result = transposedConv2D(
            name, to: channels, kernel: 2 * scale, stride: scale, padding: scale / 2, initial: variant.initial,
            hasBias: false)
        if scale == 1 {
            // One row and one column too many.
            result = result.cropped(top: 0, left: 0, height: shape[1], width: shape[2])
        }
        return activates && scale < 16 ? result.relu() : result
    }
}
