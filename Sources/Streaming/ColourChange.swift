import Basics
import Glibc
import Shards

/// What happens to the colours of a picture, in this order: gamma, brightness, contrast, saturation, hue, gains of
/// channels, their order, noise. Values are 0…1 and are clipped to that after every part.
///
/// **Source:** contrast, saturation and hue as torchvision's `adjust_contrast`, `adjust_saturation` and `adjust_hue`
/// define them (ITU-R 601 gray; hue in HSV).
struct ColourChange: Equatable {
    let brightness: Double
    let gamma: Double
    private(set) var rest = PictureColours.Change()

    /// Orders of channels; the first one changes nothing.
    static let orders: [SIMD3<UInt8>] = [
        SIMD3(0, 1, 2), SIMD3(0, 2, 1), SIMD3(1, 0, 2), SIMD3(1, 2, 0), SIMD3(2, 0, 1), SIMD3(2, 1, 0),
    ]

    init(_ settings: AugmentationSettings, _ random: CounterRandom) {
        func factor(_ draw: UInt64, _ range: ClosedRange<Double>) -> Double {
            Augmentation.logUniform(random.uniform(draw), range)
        }
        brightness = factor(1, settings.brightness)
        gamma = factor(2, settings.gamma)
        rest.contrast = Float(factor(8, settings.contrast))
        rest.saturation = Float(factor(9, settings.saturation))
        rest.hue = Float(settings.hue * (2 * random.uniform(10) - 1))
        let gains = settings.channelGain
        for channel in 0..<3 where gains != 1...1 {
            rest.gains[channel] = Float(
                gains.lowerBound + (gains.upperBound - gains.lowerBound) * random.uniform(11 + UInt64(channel)))
        }
        if random.uniform(14) < settings.permutationProbability {
            rest.order = Self.orders[1 + random.integer(15, below: Self.orders.count - 1)]
        }
        rest.noise = Float(settings.noise * random.uniform(16))
    }

    private var changesLight: Bool { gamma != 1 || brightness != 1 }

    /// The value that takes the place of `value` (0…1).
    func light(_ value: Double) -> Float {
        Float(min(1, max(0, brightness * (gamma == 1 ? value : pow(value, gamma)))))
    }

    /// What is left to do once a picture of bytes has been read through a table.
    struct Table {
        /// Value v of channel k at 256 · k + v.
        let values: [Float]
        let rest: PictureColours.Change
    }

    /// nil if a table would change nothing. 256 powers a channel instead of one for every value, and gains for nothing.
    func table() -> Table? {
        var rest = rest
        var gains = SIMD3<Float>(repeating: 1)
        if rest.contrast == 1 && rest.saturation == 1 && rest.hue == 0 {
            gains = rest.gains
            rest.gains = SIMD3(repeating: 1)
        }
        guard changesLight || gains != SIMD3(repeating: 1) else { return nil }
        var values = [Float](repeating: 0, count: 768)
        for byte in 0...255 {
            let value = changesLight ? light(Double(byte) / 255) : Float(byte) / 255
            for channel in 0..<3 { values[256 * channel + byte] = min(1, value * gains[channel]) }
        }
        return Table(values: values, rest: rest)
    }

    /// Changes `[pixels, 3]` in place.
    func apply(to values: UnsafeMutableBufferPointer<Float>, noiseKey: @autoclosure () -> UInt32) {
        if changesLight {
            for index in values.indices { values[index] = light(Double(values[index])) }
        }
        Self.apply(rest, to: values, noiseKey: noiseKey())
    }

    static func apply(
        _ rest: PictureColours.Change, to values: UnsafeMutableBufferPointer<Float>, noiseKey: @autoclosure () -> UInt32
    ) {
        guard !rest.isNothing else { return }
        var change = rest
        if change.noise != 0 { change.noiseKey = noiseKey() }
        PictureColours.change(values, by: change)
    }
}
