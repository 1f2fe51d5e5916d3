import Basics
import Glibc

/// Random changes of a training sample. All off by default.
public struct AugmentationSettings: Sendable, Equatable {
    /// Where a sample is cut out of a larger record.
    public enum Crop: Sendable { case none, center, random }

    /// Probability of mirroring all pictures and maps left to right. Where a sample has both eyes' fields they change
    /// places, which keeps disparities' sign.
    public var mirrorProbability: Double
    /// Factor on all channels of all pictures, drawn log-uniformly; results are clipped to 0…1.
    public var brightness: ClosedRange<Double>
    /// Exponent on values in 0…1 of all pictures, drawn log-uniformly, before brightness.
    public var gamma: ClosedRange<Double>
    public var crop: Crop
    /// Enlargement, drawn uniformly and raised where a record would not fill the sample.
    public var scale = 1.0...1.0
    /// Largest angle either way. For samples of one eye.
    public var rotationDegrees = 0.0
    /// Factor on the distance from the picture's mean gray, drawn log-uniformly.
    public var contrast = 1.0...1.0
    /// Factor on the distance from the pixel's gray, drawn log-uniformly.
    public var saturation = 1.0...1.0
    /// Largest turn of the hue either way, 1 = the whole circle.
    public var hue = 0.0
    /// Factor on each channel by itself, drawn uniformly.
    public var channelGain = 1.0...1.0
    /// Probability of another order of the channels, one of six.
    public var permutationProbability = 0.0
    /// Largest standard deviation of noise, drawn uniformly from 0.
    public var noise = 0.0
    /// Probability that the right eye's light and colour are drawn apart from the left one's.
    public var eyeProbability = 0.0

    /// - Throws: `Failure` (64) for a probability outside 0…1 or a range that isn't positive.
    public init(
        mirrorProbability: Double = 0, brightness: ClosedRange<Double> = 1...1, gamma: ClosedRange<Double> = 1...1,
        crop: Crop = .none
    ) throws {
        guard (0...1).contains(mirrorProbability) else {
            throw Failure(.usage, "mirror probability \(mirrorProbability) is not a probability; give 0…1")
        }
        guard brightness.lowerBound > 0, gamma.lowerBound > 0, brightness.upperBound < 100, gamma.upperBound < 100
        else {
            throw Failure(.usage, "brightness \(brightness) and gamma \(gamma) must lie in 0…100, 0 excluded")
        }
        self.mirrorProbability = mirrorProbability
        self.brightness = brightness
        self.gamma = gamma
        self.crop = crop
    }

    private init() {
        mirrorProbability = 0
        brightness = 1...1
        gamma = 1...1
        crop = .none
    }

    public static let off = AugmentationSettings()

    /// Nothing by chance: what evaluation sees.
    public static let centered: AugmentationSettings = {
        var settings = AugmentationSettings.off
        settings.crop = .center
        return settings
    }()
}

/// What happens to one record in one epoch: a pure function of (seed, epoch, record).
struct Augmentation: Equatable {
    let isMirrored: Bool
    /// 0 ..< 1 of the room.
    let cropX: Double
    let cropY: Double
    let scale: Double
    let rotationRadians: Double
    /// Of the left eye's pictures and of those of no eye, and of the right eye's.
    let colours: (left: ColourChange, right: ColourChange)
    /// Key of the noise; each field has a stream of its own.
    private let key: (seed: UInt64, epoch: UInt64, record: UInt64)

    /// Draws by number. Those of options that came first keep theirs.
    enum Draw {
        static let mirror: UInt64 = 0
        static let (cropX, cropY): (UInt64, UInt64) = (3, 4)
        static let (scale, rotation, eyes): (UInt64, UInt64, UInt64) = (5, 6, 7)
    }

    init(_ settings: AugmentationSettings, seed: UInt64, epoch: Int, record: Int) {
        let random = CounterRandom(seed, "augmentation", UInt64(epoch), UInt64(record))
        isMirrored = random.uniform(Draw.mirror) < settings.mirrorProbability
        cropX = random.uniform(Draw.cropX)
        cropY = random.uniform(Draw.cropY)
        let range = settings.scale
        scale = range.lowerBound + (range.upperBound - range.lowerBound) * random.uniform(Draw.scale)
        rotationRadians = settings.rotationDegrees * (2 * random.uniform(Draw.rotation) - 1) * .pi / 180
        let left = ColourChange(settings, random)
        colours =
            random.uniform(Draw.eyes) < settings.eyeProbability
            ? (
                left,
                ColourChange(
                    settings, CounterRandom(seed, "augmentation of the right eye", UInt64(epoch), UInt64(record)))
            ) : (left, left)
        key = (seed, UInt64(epoch), UInt64(record))
    }

    /// Pixels to skip where there is room for `room`.
    func offset(_ draw: KeyPath<Augmentation, Double>, within room: Int) -> Int {
        min(room, Int(self[keyPath: draw] * Double(room + 1)))
    }

    /// What happens to the colours of the batch's field `name`.
    func colour(of name: String) -> ColourChange { FieldName.eye(of: name) == 1 ? colours.right : colours.left }

    /// Key of the noise on the batch's field `name`.
    func noiseKey(of name: String) -> UInt32 {
        UInt32(truncatingIfNeeded: CounterRandom(key.seed, "noise of " + name, key.epoch, key.record).bits(0))
    }

    static func logUniform(_ draw: Double, _ range: ClosedRange<Double>) -> Double {
        if range.lowerBound == range.upperBound { return range.lowerBound }
        return range.lowerBound * pow(range.upperBound / range.lowerBound, draw)
    }

    static func == (a: Self, b: Self) -> Bool {
        a.isMirrored == b.isMirrored && a.cropX == b.cropX && a.cropY == b.cropY && a.scale == b.scale
            && a.rotationRadians == b.rotationRadians && a.colours == b.colours && a.key == b.key
    }
}
