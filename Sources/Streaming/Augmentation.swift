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
    let brightness: Double
    let gamma: Double
    /// 0 ..< 1 of the room.
    let cropX: Double
    let cropY: Double

    init(_ settings: AugmentationSettings, seed: UInt64, epoch: Int, record: Int) {
        let random = CounterRandom(seed, "augmentation", UInt64(epoch), UInt64(record))
        isMirrored = random.uniform(0) < settings.mirrorProbability
        brightness = Self.logUniform(random.uniform(1), settings.brightness)
        gamma = Self.logUniform(random.uniform(2), settings.gamma)
        cropX = random.uniform(3)
        cropY = random.uniform(4)
    }

    /// Pixels to skip where there is room for `room`.
    func offset(_ draw: KeyPath<Augmentation, Double>, within room: Int) -> Int {
        min(room, Int(self[keyPath: draw] * Double(room + 1)))
    }

    private static func logUniform(_ draw: Double, _ range: ClosedRange<Double>) -> Double {
        if range.lowerBound == range.upperBound { return range.lowerBound }
        return range.lowerBound * pow(range.upperBound / range.lowerBound, draw)
    }

    var changesLight: Bool { gamma != 1 || brightness != 1 }

    /// The value that takes the place of `value` (0…1).
    func light(_ value: Double) -> Float {
        Float(min(1, max(0, brightness * (gamma == 1 ? value : pow(value, gamma)))))
    }
}
