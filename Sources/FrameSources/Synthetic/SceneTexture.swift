import Basics

/// Gradient noise: smooth, zero at integer points, about −0.7…0.7, features of about one unit.
/// **Source:** K. Perlin, "Improving noise", SIGGRAPH 2002 (quintic fade), with hashed gradients.
@inline(__always)
func gradientNoise(_ x: Float, _ y: Float, _ seed: UInt32) -> Float {
    let cellX = x.rounded(.down)
    let cellY = y.rounded(.down)
    let ix = Int32(cellX)
    let iy = Int32(cellY)
    let fx = x - cellX
    let fy = y - cellY
    @inline(__always) func corner(_ dx: Int32, _ dy: Int32) -> Float {
        let hash = latticeHash(ix &+ dx, iy &+ dy, seed)
        let gx = Float(Int32(hash & 0xFFFF) - 0x8000) * (1.7 / 32768)
        let gy = Float(Int32(hash >> 16) - 0x8000) * (1.7 / 32768)
        return gx * (fx - Float(dx)) + gy * (fy - Float(dy))
    }
    let u = fx * fx * fx * (fx * (fx * 6 - 15) + 10)
    let v = fy * fy * fy * (fy * (fy * 6 - 15) + 10)
    let top = corner(0, 0) * (1 - u) + corner(1, 0) * u
    let bottom = corner(0, 1) * (1 - u) + corner(1, 1) * u
    return top * (1 - v) + bottom * v
}

/// 32 random bits per point. **Source:** C. Wellons, "Prospecting for hash functions" (lowbias32, public domain).
@inline(__always)
func latticeHash(_ x: Int32, _ y: Int32, _ seed: UInt32) -> UInt32 {
    var hash = UInt32(bitPattern: x) &* 0x9E37_79B1 ^ UInt32(bitPattern: y) &* 0x85EB_CA77 ^ seed
    hash = (hash ^ (hash >> 16)) &* 0x7FEB_352D
    hash = (hash ^ (hash >> 15)) &* 0x846C_A68B
    return hash ^ (hash >> 16)
}

/// Noise octaves from `wavelength` down to `finest`, each half as long and `persistence` as strong: about −1…1.
private func octaves(
    _ x: Float, _ y: Float, _ seed: UInt32, wavelength: Float, finest: Float, persistence: Float
) -> Float {
    var sum: Float = 0
    var total: Float = 0
    var amplitude: Float = 1
    var length = wavelength
    var octave: UInt32 = 0
    while octave == 0 || length >= finest {
        sum += amplitude * gradientNoise(x / length, y / length, seed &+ octave &* 0x632B_E59B)
        total += amplitude
        amplitude *= persistence
        length /= 2
        octave += 1
    }
    return sum / total * 1.4
}

/// The look of a surface: a procedural pattern between colours, with fine grain so that every place can be matched.
struct SceneTexture {
    enum Pattern: Int, CaseIterable {
        case clouds, stripes, tiles, bricks, dots, marble, cells
    }

    typealias Colour = SIMD3<Float>

    let pattern: Pattern
    let seed: UInt32
    /// Length of the pattern's period, pixels.
    let period: Float
    let grainWavelength: Float
    let grainStrength: Float
    /// Grain and pattern hold nothing shorter than this: pixels could not show it, and matching would suffer.
    static let finest: Float = 3.6
    let colours: (Colour, Colour, Colour)
    let axisX: Float
    let axisY: Float

    /// - Parameter scale: Width of the view / 96.
    init(_ draws: inout Draws, scale: Double, upright: Bool) {
        pattern = Pattern.allCases[draws.integer(below: Pattern.allCases.count)]
        seed = draws.bits()
        // Larger pictures show larger and also more detail.
        let growth = scale.squareRoot() * scale.squareRoot().squareRoot()
        period = Float(draws.uniform(6, 15) * growth)
        grainWavelength = Float(draws.uniform(5, 11) * scale.squareRoot())
        grainStrength = Float(draws.uniform(0.28, 0.5))
        let axis = Draws.direction(upright ? draws.uniform(-0.03, 0.03) : draws.uniform())
        (axisX, axisY) = (Float(axis.x), Float(axis.y))
        let hue = draws.uniform()
        let saturation = draws.uniform(0.15, 0.75)
        let value = draws.uniform(0.45, 0.95)
        // A neighbouring or an opposite hue, and always another brightness: what is equally bright cannot be matched.
        let otherHue = hue + (draws.chance(0.7) ? draws.uniform(-0.12, 0.12) : draws.uniform(0.35, 0.65))
        let otherValue = value > 0.68 ? value * draws.uniform(0.35, 0.65) : min(value * draws.uniform(1.35, 1.9), 1)
        colours = (
            Self.colour(hue, saturation, value),
            Self.colour(otherHue, saturation * draws.uniform(0.5, 1.2), otherValue),
            Self.colour(hue + draws.uniform(-0.2, 0.2), saturation * 0.8, draws.uniform(0.12, 0.35))
        )
    }

    /// Colour 0…1 (may leave it a little) at a place relative to the surface's centre.
    func at(_ dx: Float, _ dy: Float) -> Colour {
        let u = dx * axisX + dy * axisY
        let v = dy * axisX - dx * axisY
        let grain = octaves(
            u, v, seed ^ 0x5bd1_e995, wavelength: grainWavelength, finest: Self.finest, persistence: 0.75)
        let (tone, dark) = patternValue(u, v)
        var colour = colours.0 + (colours.1 - colours.0) * min(max(tone, 0), 1)
        colour += (colours.2 - colour) * min(max(dark, 0), 1)
        return colour * (1 + grainStrength * grain)
    }

    /// Mix of the first two colours, and how much of the third covers them.
    private func patternValue(_ u: Float, _ v: Float) -> (tone: Float, dark: Float) {
        let x = u / period
        let y = v / period
        let slow = gradientNoise(x * 0.4, y * 0.4, seed)
        switch pattern {
        case .clouds:
            let noise = octaves(
                u, v, seed, wavelength: period * 2.2, finest: Self.finest, persistence: 0.55)
            return (0.5 + 0.9 * noise, 0)
        case .stripes:
            return (wave(x + 0.5 * slow) + 0.3 * slow, 0)
        case .marble:
            let bend = octaves(u, v, seed, wavelength: period * 2.5, finest: 5, persistence: 0.5)
            let vein = wave(x * 0.6 + 1.6 * bend)
            return (vein, 0.7 * max(0, 1 - 7 * abs(vein - 0.12)))
        case .tiles:
            return tile(x, y, mortar: 0.07)
        case .bricks:
            let row = (y * 1.9).rounded(.down)
            return tile(x * 0.85 + 0.5 * (row - 2 * (row / 2).rounded(.down)), y * 1.9, mortar: 0.1)
        case .dots:
            let (ix, iy) = (x.rounded(.down), y.rounded(.down))
            let hash = latticeHash(Int32(ix), Int32(iy), seed)
            let radius = 0.18 + 0.24 * Float(hash & 0xFF) / 255
            let (cx, cy) = (x - ix - 0.5, y - iy - 0.5)
            let distance = (cx * cx + cy * cy).squareRoot()
            let edge = min(max((radius - distance) * period * 0.5 + 0.5, 0), 1)
            let inside = Float(hash >> 8 & 0xFF) / 255
            return (0.15 + slow * 0.5 + edge * (0.55 + 0.45 * inside), hash >> 16 & 3 == 0 ? edge * 0.8 : 0)
        case .cells:
            return cells(x * 0.9, y * 0.9)
        }
    }

    /// 0…1…0 with period 1, flattened at both ends.
    private func wave(_ x: Float) -> Float {
        let triangle = abs(2 * (x - x.rounded(.down)) - 1)
        let t = min(max((triangle - 0.5) * 1.8 + 0.5, 0), 1)
        return t * t * (3 - 2 * t)
    }

    /// Every tile has its own tone, so that the pattern does not repeat.
    private func tile(_ x: Float, _ y: Float, mortar: Float) -> (Float, Float) {
        let (ix, iy) = (x.rounded(.down), y.rounded(.down))
        let hash = latticeHash(Int32(ix), Int32(iy), seed)
        let (fx, fy) = (x - ix, y - iy)
        let edge = min(min(fx, 1 - fx), min(fy, 1 - fy))
        let parity: Float = Int32(ix + iy) & 1 == 0 ? 0.1 : 0.6
        return (parity + 0.4 * Float(hash & 0xFFFF) / 65535, max(0, 1 - edge / mortar) * 0.8)
    }

    /// Voronoi cells, each with its own tone, dark along their borders.
    private func cells(_ x: Float, _ y: Float) -> (Float, Float) {
        let ix = Int32(x.rounded(.down))
        let iy = Int32(y.rounded(.down))
        var nearest: Float = 9
        var second: Float = 9
        var tone: Float = 0
        for dy: Int32 in -1...1 {
            for dx: Int32 in -1...1 {
                let hash = latticeHash(ix &+ dx, iy &+ dy, seed)
                let px = Float(ix &+ dx) + 0.15 + 0.7 * Float(hash & 0x3FF) / 1023 - x
                let py = Float(iy &+ dy) + 0.15 + 0.7 * Float(hash >> 10 & 0x3FF) / 1023 - y
                let distance = px * px + py * py
                if distance < nearest {
                    (second, nearest) = (nearest, distance)
                    tone = Float(hash >> 20 & 0xFF) / 255
                } else if distance < second {
                    second = distance
                }
            }
        }
        return (tone, max(0, 1 - (second.squareRoot() - nearest.squareRoot()) * 7) * 0.7)
    }

    /// Hue (turns), saturation and value → red, green, blue.
    static func colour(_ hue: Double, _ saturation: Double, _ value: Double) -> Colour {
        func channel(_ shift: Double) -> Float {
            let turn = hue + shift - (hue + shift).rounded(.down)
            let ramp = min(max(abs(turn * 6 - 3) - 1, 0), 1)
            return Float(value * (1 - min(max(saturation, 0), 1) * (1 - ramp)))
        }
        return Colour(channel(0), channel(2.0 / 3), channel(1.0 / 3))
    }
}
