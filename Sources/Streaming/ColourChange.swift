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

    /// Logarithms of the bytes' values, so that a power costs an exponential.
    private static let logarithms: [Double] = (0...255).map { log(Double($0) / 255) }

    /// nil if a table would change nothing. 256 powers instead of one for every value; gains, and contrast where the mean
    /// is known beforehand, for nothing.
    /// - Parameter meanGray: the mean gray of the picture after light, given light's table.
    func table(meanGray: (([Float]?) -> Double)? = nil) -> Table? {
        var rest = rest
        var light: [Float]?
        if changesLight {
            light = (0..<256).map { byte in
                let value = gamma == 1 ? Double(byte) / 255 : byte == 0 ? 0 : exp(gamma * Self.logarithms[byte])
                return Float(min(1, max(0, brightness * value)))
            }
        }
        if rest.contrast != 1, let meanGray {
            let mean = Float(meanGray(light.map { $0 + $0 + $0 }))
            let values = light ?? Array(PictureColours.plainTable[..<256])
            light = values.map { min(1, max(0, mean + rest.contrast * ($0 - mean))) }
            rest.contrast = 1
        }
        var gains = SIMD3<Float>(repeating: 1)
        if rest.contrast == 1 && rest.saturation == 1 && rest.hue == 0 {
            gains = rest.gains
            rest.gains = SIMD3(repeating: 1)
        }
        guard light != nil || gains != SIMD3(repeating: 1) else { return nil }
        var values = PictureColours.plainTable
        for byte in 0...255 {
            let value = light?[byte] ?? PictureColours.plainTable[byte]
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
