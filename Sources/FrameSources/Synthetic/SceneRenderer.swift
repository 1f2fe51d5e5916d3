import Basics

/// What differs between the views' cameras though they look at one scene.
struct Camera {
    private let random: CounterRandom
    private let gain: SIMD3<Float>
    private let offset: SIMD3<Float>
    private let noise: Float

    init(random: CounterRandom, lighting: Double) {
        self.random = CounterRandom(key: CounterRandom.mix(random.key))
        var draws = Draws(random)
        let common = draws.uniform(-0.02, 0.02)
        gain = SIMD3(
            Float(1 + lighting * (common + draws.uniform(-0.01, 0.01))),
            Float(1 + lighting * (common + draws.uniform(-0.01, 0.01))),
            Float(1 + lighting * (common + draws.uniform(-0.01, 0.01))))
        offset = SIMD3(repeating: Float(lighting * draws.uniform(-2, 2)))
        noise = Float(1.2 * lighting)
    }

    /// Colour 0…1 → samples 0…255.
    func expose(_ colour: SIMD3<Float>, pixel: Int) -> (UInt8, UInt8, UInt8) {
        let value = colour * 255 * gain + offset
        func sample(_ channel: Int) -> UInt8 {
            var x = value[channel]
            if noise > 0 { x += noise * normal(UInt64(pixel * 3 + channel)) }
            return UInt8(min(max((x + 0.5).rounded(.down), 0), 255))
        }
        return (sample(0), sample(1), sample(2))
    }

    /// About normal: the sum of four uniforms, scaled to variance 1. One hash, and no library function.
    private func normal(_ index: UInt64) -> Float {
        let bits = random.bits(index)
        let sum = (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48)
        return (Float(sum) / 65535 - 2) * 1.7320508
    }
}

struct RenderedView {
    var picture: PixelArray
    var disparity: PixelArray
    var visible: PixelArray
}

/// Casts rays from each eye into the same scene, so that both views are views of one thing to the last bit.
struct SceneRenderer {
    let scene: Scene
    let height: Int
    let width: Int
    var haze: Haze?

    /// Where the rays of a pixel go, relative to its centre.
    private static let offsetsX = [-0.375, -0.125, 0.125, 0.375]
    private static let offsetsY = [-0.25, 0.25]

    private struct Hit {
        var surface: Int
        /// Cyclopean column.
        var x: Double
        var disparity: Double
    }

    func render(_ eye: Eye, _ camera: Camera) -> RenderedView {
        scene.surfaces.withUnsafeBufferPointer { render($0, eye, camera) }
    }

    private func render(_ surfaces: UnsafeBufferPointer<SceneSurface>, _ eye: Eye, _ camera: Camera) -> RenderedView {
        let other: Eye = eye == .left ? .right : .left
        let toOther: Double = eye == .left ? -0.5 : 0.5
        var picture = [UInt8](repeating: 0, count: height * width * 3)
        var disparities = [Float](repeating: 0, count: height * width)
        var visible = [UInt8](repeating: 0, count: height * width)
        for row in 0..<height {
            let y = Double(row)
            // Rays of a pixel row reach half a pixel up and down.
            let candidates = surfaces.indices.filter { index in
                abs(y - surfaces[index].shape.centreY) <= surfaces[index].shape.reach + 1
            }
            for column in 0..<width {
                let x = Double(column)
                let pixel = row * width + column
                let hit = cast(x, y, eye, surfaces, candidates)
                disparities[pixel] = Float(hit.disparity)
                let otherX = hit.x + toOther * hit.disparity
                if otherX >= 0, otherX <= Double(width - 1),
                    cast(otherX, y, other, surfaces, candidates).surface == hit.surface
                {
                    visible[pixel] = 255
                }
                var sum = SIMD3<Float>()
                for dy in Self.offsetsY {
                    for dx in Self.offsetsX {
                        let sample = cast(x + dx, y + dy, eye, surfaces, candidates)
                        sum += colour(sample, y + dy, surfaces[sample.surface])
                    }
                }
                let mean = sum * Float(1.0 / Double(Self.offsetsX.count * Self.offsetsY.count))
                (picture[pixel * 3], picture[pixel * 3 + 1], picture[pixel * 3 + 2]) = camera.expose(mean, pixel: pixel)
            }
        }
        return RenderedView(
            picture: PixelArray(height: height, width: width, channels: 3, element: .uint8, bytes: picture),
            disparity: PixelArray(height: height, width: width, channels: 1, floats: disparities),
            visible: PixelArray(height: height, width: width, channels: 1, element: .uint8, bytes: visible))
    }

    /// The nearest surface that an eye sees at (x, y) of its picture; among equally near ones the last.
    @inline(__always)
    private func cast(
        _ x: Double, _ y: Double, _ eye: Eye, _ surfaces: UnsafeBufferPointer<SceneSurface>, _ candidates: [Int]
    ) -> Hit {
        var hit = Hit(surface: 0, x: x, disparity: -.infinity)
        for index in candidates {
            let cyclopean = surfaces[index].plane.cyclopean(x: x, y: y, eye)
            let disparity = surfaces[index].plane.at(cyclopean, y)
            if disparity >= hit.disparity, surfaces[index].shape.contains(cyclopean, y) {
                hit = Hit(surface: index, x: cyclopean, disparity: disparity)
            }
        }
        return hit
    }

    private func colour(_ hit: Hit, _ y: Double, _ surface: SceneSurface) -> SIMD3<Float> {
        let dx = Float(hit.x - surface.shape.centreX)
        let dy = Float(y - surface.shape.centreY)
        let shade = min(max(1 + dx * surface.shadeX + dy * surface.shadeY, 0.6), 1.2)
        let own = surface.texture.at(dx, dy) * shade
        return haze?.seen(own, disparity: hit.disparity) ?? own
    }
}
