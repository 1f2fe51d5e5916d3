import Basics
import Glibc

/// What happens to the colours of a picture, in this order: gamma and brightness, contrast, saturation, hue, gains of
/// channels, their order, noise. Values are 0…1 and are clipped to that after every part.
///
/// **Source:** contrast, saturation and hue as torchvision's `adjust_contrast`, `adjust_saturation` and `adjust_hue`
/// define them (ITU-R 601 gray; hue in HSV).
struct ColourChange: Equatable {
    let brightness: Double
    let gamma: Double
    let contrast: Float
    let saturation: Float
    /// −0.5…0.5 of the circle.
    let hue: Float
    let gains: SIMD3<Float>
    /// One of `orders`; 0 changes nothing.
    let order: Int
    /// Standard deviation.
    let noise: Float

    static let orders: [(Int, Int, Int)] = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]

    init(_ settings: AugmentationSettings, _ random: CounterRandom) {
        func factor(_ draw: UInt64, _ range: ClosedRange<Double>) -> Double {
            Augmentation.logUniform(random.uniform(draw), range)
        }
        brightness = factor(1, settings.brightness)
        gamma = factor(2, settings.gamma)
        contrast = Float(factor(8, settings.contrast))
        saturation = Float(factor(9, settings.saturation))
        hue = Float(settings.hue * (2 * random.uniform(10) - 1))
        gains = SIMD3(
            Float(factor(11, settings.channelGain)), Float(factor(12, settings.channelGain)),
            Float(factor(13, settings.channelGain)))
        order =
            random.uniform(14) < settings.permutationProbability
            ? 1 + random.integer(15, below: Self.orders.count - 1) : 0
        noise = Float(settings.noise * random.uniform(16))
    }

    var changesLight: Bool { gamma != 1 || brightness != 1 }

    /// Whether anything but light changes.
    private var changesPixels: Bool {
        saturation != 1 || hue != 0 || gains != SIMD3(repeating: 1) || order != 0 || noise != 0
    }

    /// The value that takes the place of `value` (0…1).
    func light(_ value: Double) -> Float {
        Float(min(1, max(0, brightness * (gamma == 1 ? value : pow(value, gamma)))))
    }

    /// Changes `[pixels, 3]` in place.
    /// - Parameter isByteValued: every value is a whole number of 255ths.
    func apply(
        to values: UnsafeMutableBufferPointer<Float>, isByteValued: Bool, noise random: @autoclosure () -> CounterRandom
    ) {
        if changesLight { light(values, isByteValued) }
        if contrast != 1 { contrast(values) }
        if changesPixels { pixels(values, random()) }
    }

    private func light(_ values: UnsafeMutableBufferPointer<Float>, _ isByteValued: Bool) {
        guard isByteValued else {
            for index in values.indices { values[index] = light(Double(values[index])) }
            return
        }
        // 256 powers instead of one for every value.
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 256) { table in
            for byte in 0...255 { table[byte] = light(Double(byte) / 255) }
            for index in values.indices { values[index] = table[Int((values[index] * 255).rounded())] }
        }
    }

    /// Away from the mean gray of the whole picture, or towards it.
    private func contrast(_ values: UnsafeMutableBufferPointer<Float>) {
        var sum = 0.0
        for start in stride(from: 0, to: values.count - 2, by: 3) {
            sum += Double(Self.gray(values[start], values[start + 1], values[start + 2]))
        }
        let mean = Float(sum / Double(max(1, values.count / 3)))
        for index in values.indices { values[index] = Self.clipped(mean + contrast * (values[index] - mean)) }
    }

    private func pixels(_ values: UnsafeMutableBufferPointer<Float>, _ random: CounterRandom) {
        let (first, second, third) = Self.orders[order]
        let turn = hue * 6
        for start in stride(from: 0, to: values.count - 2, by: 3) {
            var pixel = SIMD3(values[start], values[start + 1], values[start + 2])
            if saturation != 1 {
                let gray = Self.gray(pixel.x, pixel.y, pixel.z)
                pixel = Self.clipped(gray + saturation * (pixel - gray))
            }
            if turn != 0 { pixel = Self.turned(pixel, by: turn) }
            pixel = Self.clipped(pixel * gains)
            if order != 0 { pixel = SIMD3(pixel[first], pixel[second], pixel[third]) }
            if noise != 0 {
                let element = UInt64(start)
                pixel = Self.clipped(
                    pixel + noise
                        * SIMD3(
                            Self.normal(random.bits(element)), Self.normal(random.bits(element + 1)),
                            Self.normal(random.bits(element + 2))))
            }
            values[start] = pixel.x
            values[start + 1] = pixel.y
            values[start + 2] = pixel.z
        }
    }

    static func gray(_ red: Float, _ green: Float, _ blue: Float) -> Float {
        0.299 * red + 0.587 * green + 0.114 * blue
    }

    /// A colour with its hue turned; `turn` in sixths of the circle.
    static func turned(_ colour: SIMD3<Float>, by turn: Float) -> SIMD3<Float> {
        let (largest, smallest) = (colour.max(), colour.min())
        let chroma = largest - smallest
        guard chroma > 0 else { return colour }
        let hue: Float =
            if largest == colour.x {
                (colour.y - colour.z) / chroma
            } else if largest == colour.y {
                2 + (colour.z - colour.x) / chroma
            } else {
                4 + (colour.x - colour.y) / chroma
            }
        /// How much of the chroma a channel lacks.
        func lack(_ offset: Float) -> Float {
            var place = offset + hue + turn
            place -= 6 * (place / 6).rounded(.down)
            return max(0, min(1, min(place, 4 - place)))
        }
        return clipped(SIMD3(repeating: largest) - chroma * SIMD3(lack(5), lack(3), lack(1)))
    }

    /// A number of mean 0 and deviation 1 out of 64 random bits: the sum of four uniform ones, nearly normal and within
    /// ±3.47.
    static func normal(_ bits: UInt64) -> Float {
        let sum = Int(bits & 0xFFFF) + Int(bits >> 16 & 0xFFFF) + Int(bits >> 32 & 0xFFFF) + Int(bits >> 48)
        // Each has mean 65535/2 and variance (65536² − 1)/12.
        return Float(sum - 2 * 65535) * 2.6428965e-5
    }

    private static func clipped(_ value: Float) -> Float { min(1, max(0, value)) }

    private static func clipped(_ values: SIMD3<Float>) -> SIMD3<Float> {
        values.clamped(lowerBound: SIMD3(repeating: 0), upperBound: SIMD3(repeating: 1))
    }
}
