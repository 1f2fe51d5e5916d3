/// What a network's tensors are called in files of others, so that `--init` can read them.
public struct NameMap: Sendable {
    /// A layer that reads the picture, which others encode otherwise.
    public struct PictureLayer: Sendable {
        /// Name of a convolution of this network.
        public let name: String
        /// Of a picture in 0…1, as this layer gets it.
        public let encoding: FieldEncoding
        /// As the other's layer gets it, in the same order of channels.
        public let otherEncoding: FieldEncoding
        /// The batch normalisation behind it, which takes the constant part where the convolution has no bias.
        public let norm: String?

        public init(
            _ name: String, encoding: FieldEncoding, otherEncoding: FieldEncoding = .imageNet, norm: String? = nil
        ) {
            self.name = name
            self.encoding = encoding
            self.otherEncoding = otherEncoding
            self.norm = norm
        }

        /// The other's value of a channel is scale · this network's + offset.
        public func change(channel: Int) -> (scale: Float, offset: Float) {
            let own = (encoding.encoded(0, channel: channel), encoding.encoded(1, channel: channel))
            let other = (otherEncoding.encoded(0, channel: channel), otherEncoding.encoded(1, channel: channel))
            let scale = (other.1 - other.0) / (own.1 - own.0)
            return (scale, other.0 - scale * own.0)
        }
    }

    /// Whose names they are: `torchvision's VGG-16`.
    public let source: String
    /// Beginnings of names, of this network and of the other, e.g. `encoder.conv1_1.` and `features.0.`. The first pair
    /// that fits decides; other tensors are not taken.
    public let prefixes: [(own: String, other: String)]
    /// The layer whose weights and bias are changed so that they see what they were trained on.
    public let pictureLayer: PictureLayer?
    /// Whether a smaller tensor becomes the first part of a larger one, along all axes, and the rest stays as drawn. Else
    /// it is not taken.
    public let takesParts: Bool

    public init(
        _ source: String, _ prefixes: [(own: String, other: String)], pictureLayer: PictureLayer? = nil,
        takesParts: Bool = false
    ) {
        self.source = source
        self.prefixes = prefixes
        self.pictureLayer = pictureLayer
        self.takesParts = takesParts
    }

    /// The other's name of a tensor of this network; nil if it has none.
    public func name(of own: String) -> String? {
        guard let pair = prefixes.first(where: { own.hasPrefix($0.own) }) else { return nil }
        return pair.other + own.dropFirst(pair.own.count)
    }
}

extension FieldEncoding {
    /// What torchvision's trained classifiers read, from RGB in 0…1.
    public static let imageNet = FieldEncoding.standardized(
        scale: 1, mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225])
}
