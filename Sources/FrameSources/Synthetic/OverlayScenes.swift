import Basics

/// Rendered pictures with a foreground pasted on a background, as data sets for finding the foreground have them:
/// shapes that stand on the floor of a room, with their mask and the depth of what is seen.
///
/// Sample `i` is a pure function of the size, the seed and `i`; four samples in a row share their background. Fields of
/// a record:
///
/// | field | shape | what |
/// |---|---|---|
/// | `background` | `[h, w, 3]` uint8 | the room alone |
/// | `image` | `[h, w, 3]` uint8 | the same room with the foreground; light and noise differ a little |
/// | `mask` | `[h, w, 1]` uint8 | 255 where the foreground is, in between along its edge |
/// | `depth` | `[h, w, 1]` uint8 | 0 nearest, 255 farthest, without a unit |
public struct OverlayScenes: FrameSource {
    public let height: Int
    public let width: Int
    public let count: Int
    public let seed: UInt64
    /// As in `SyntheticScenes`.
    public let lighting: Double

    /// Samples that share a background.
    static let samplesPerBackground = 4

    /// - Throws: `Failure` (64) for sides or counts that cannot be rendered.
    public init(height: Int, width: Int, count: Int, seed: UInt64, lighting: Double = 1) throws {
        // The limits are those of all scenes.
        let scenes = try SyntheticScenes(
            height: height, width: width, count: count, seed: seed, disparityRange: -1...1, lighting: lighting)
        (self.height, self.width, self.count) = (scenes.height, scenes.width, scenes.count)
        (self.seed, self.lighting) = (scenes.seed, scenes.lighting)
    }

    public var name: String { "synthetic-overlay" }

    public func items() -> [FrameItem] {
        (0..<count).map { index in FrameItem(key: key(index)) { self.record(index) } }
    }

    /// Key of sample `index`: `overlay_000017`.
    public func key(_ index: Int) -> String {
        let digits = String(index)
        return "overlay_" + String(repeating: "0", count: max(0, 6 - digits.count)) + digits
    }

    /// Renders sample `index` ≥ 0; `count` does not limit it.
    public func record(_ index: Int) -> Record {
        precondition(index >= 0, "sample \(index)")
        let room = Room(
            height: Double(height), width: Double(width),
            random: CounterRandom(seed, "room", UInt64(index / Self.samplesPerBackground)))
        let shapes = room.foreground(CounterRandom(seed, "foreground", UInt64(index)))
        func camera(_ number: UInt64) -> Camera {
            Camera(random: CounterRandom(seed, "overlay camera", UInt64(index), number), lighting: lighting)
        }
        let background = render(room, [], camera(0))
        let image = render(room, shapes, camera(1))
        func map(_ bytes: [UInt8]) -> PixelArray {
            PixelArray(height: height, width: width, channels: 1, element: .uint8, bytes: bytes)
        }
        return Record(
            key: key(index),
            fields: [
                .init(FieldName.background, background.picture), .init(FieldName.image, image.picture),
                .init(FieldName.mask, map(image.mask)), .init(FieldName.depth, map(image.depth)),
            ])
    }

    /// Eight rays a pixel.
    private func render(
        _ room: Room, _ shapes: [Room.Figure], _ camera: Camera
    ) -> (picture: PixelArray, mask: [UInt8], depth: [UInt8]) {
        let offsetsX = [-0.375, -0.125, 0.125, 0.375]
        let offsetsY = [-0.25, 0.25]
        let rays = Float(offsetsX.count * offsetsY.count)
        var bytes = [UInt8](repeating: 0, count: height * width * 3)
        var (mask, depth) = ([UInt8](repeating: 0, count: height * width), [UInt8](repeating: 0, count: height * width))
        for row in 0..<height {
            for column in 0..<width {
                let pixel = row * width + column
                var colour = SIMD3<Float>()
                var covered: Float = 0
                for dy in offsetsY {
                    for dx in offsetsX {
                        let (x, y) = (Double(column) + dx, Double(row) + dy)
                        if let hit = shapes.last(where: { $0.shape.contains(x, y) }) {
                            colour += hit.colour(x, y)
                            covered += 1
                        } else {
                            colour += room.colour(x, y)
                        }
                    }
                }
                let (x, y) = (Double(column), Double(row))
                let distance = shapes.last { $0.shape.contains(x, y) }?.depth ?? room.depth(y)
                mask[pixel] = UInt8(covered / rays * 255 + 0.5)
                depth[pixel] = UInt8(min(max(distance, 0), 1) * 255 + 0.5)
                (bytes[pixel * 3], bytes[pixel * 3 + 1], bytes[pixel * 3 + 2]) = camera.expose(
                    colour * (1 / rays), pixel: pixel)
            }
        }
        return (PixelArray(height: height, width: width, channels: 3, element: .uint8, bytes: bytes), mask, depth)
    }
}

/// A wall above a floor that comes nearer towards the bottom of the picture.
private struct Room {
    let height: Double
    let width: Double
    let horizon: Double
    let wallDepth: Double
    let frontDepth: Double
    let wall: SceneTexture
    let floor: SceneTexture

    /// Something that stands in the room.
    struct Figure {
        let shape: SceneShape
        let texture: SceneTexture
        let depth: Double

        func colour(_ x: Double, _ y: Double) -> SIMD3<Float> {
            texture.at(Float(x - shape.centreX), Float(y - shape.centreY))
        }
    }

    init(height: Double, width: Double, random: CounterRandom) {
        var draws = Draws(random)
        self.height = height
        self.width = width
        horizon = height * draws.uniform(0.35, 0.6)
        wallDepth = draws.uniform(0.75, 1)
        frontDepth = draws.uniform(0.15, 0.35)
        let scale = width / 96
        wall = SceneTexture(&draws, scale: scale, upright: true)
        floor = SceneTexture(&draws, scale: scale, upright: true)
    }

    func colour(_ x: Double, _ y: Double) -> SIMD3<Float> {
        let texture = y < horizon ? wall : floor
        // What is farther has less light.
        return texture.at(Float(x - width / 2), Float(y - horizon)) * Float(1.05 - 0.4 * depth(y))
    }

    /// Distance 0…1 of the wall and the floor in a row.
    func depth(_ y: Double) -> Double {
        if y <= horizon { return wallDepth }
        let part = (y - horizon) / (height - horizon)
        return wallDepth + (frontDepth - wallDepth) * part
    }

    /// One to three figures; those that stand nearer come last.
    func foreground(_ random: CounterRandom) -> [Figure] {
        var draws = Draws(random)
        let count = 1 + draws.integer(below: 3)
        let figures = (0..<count).map { _ -> Figure in
            let foot = draws.uniform(horizon + 0.12 * (height - horizon), height)
            let nearness = (foot - horizon) / (height - horizon)
            let size = min(height, width) * draws.uniform(0.09, 0.17) * (0.6 + 0.9 * nearness)
            let stretch = draws.uniform(0.5, 1.2).squareRoot()
            let outlines: [SceneShape.Outline] = [.ellipse, .blot, .blot, .rectangle]
            let outline = outlines[draws.integer(below: outlines.count)]
            let shape = SceneShape(
                outline, centreX: draws.uniform(0.08, 0.92) * width, centreY: foot - size / stretch,
                halfWidth: size * stretch, halfHeight: size / stretch,
                axis: Draws.direction(draws.uniform(-0.03, 0.03)),
                hole: outline == .ellipse && draws.chance(0.25) ? draws.uniform(0.35, 0.55) : 0, seed: draws.bits())
            return Figure(
                shape: shape, texture: SceneTexture(&draws, scale: width / 96, upright: false),
                depth: depth(min(foot, height)))
        }
        return figures.sorted { $0.depth > $1.depth }
    }
}
