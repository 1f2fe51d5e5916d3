import Basics

/// Something that can be seen: an outline, where it is in depth, what it looks like.
struct SceneSurface {
    let shape: SceneShape
    let plane: DisparityPlane
    let texture: SceneTexture
    /// Brightness falls by this much per pixel along x and y, around 1 at the centre.
    let shadeX: Float
    let shadeY: Float
}

/// Surfaces in cyclopean coordinates: the frame in the middle between the eyes, where the left eye sees a point of
/// disparity d at x + d/2 and the right eye at x − d/2.
struct Scene {
    /// Background first. The nearest one at a ray is seen, whatever the order.
    let surfaces: [SceneSurface]

    init(height: Double, width: Double, disparityRange: ClosedRange<Double>, random: CounterRandom) {
        var builder = SceneBuilder(height: height, width: width, range: disparityRange, random: random)
        surfaces = builder.build()
    }
}

/// Draws one scene.
private struct SceneBuilder {
    let height: Double
    let width: Double
    let range: ClosedRange<Double>
    var draws: Draws
    var surfaces: [SceneSurface] = []

    init(height: Double, width: Double, range: ClosedRange<Double>, random: CounterRandom) {
        self.height = height
        self.width = width
        self.range = range
        draws = Draws(random)
    }

    var scale: Double { width / 96 }
    var span: Double { range.upperBound - range.lowerBound }
    /// How far beyond the frame the eyes look, in cyclopean pixels.
    var margin: Double { max(abs(range.lowerBound), abs(range.upperBound)) / 2 + 1 }

    mutating func build() -> [SceneSurface] {
        let far = range.lowerBound + span * draws.uniform(0.04, 0.3)
        addBackground(far)
        if draws.chance(0.6) { addFloor(far) }
        if draws.chance(0.25) { addWall(far) }
        let count = 4 + draws.integer(below: 6)
        for _ in 0..<count { addShape(far) }
        return surfaces
    }

    private mutating func add(_ shape: SceneShape, _ plane: DisparityPlane, extent: Double, upright: Bool) {
        let texture = SceneTexture(&draws, scale: scale, upright: upright)
        let light = Draws.direction(draws.uniform())
        let strength = draws.uniform(0.05, 0.3) / extent
        surfaces.append(
            SceneSurface(
                shape: shape, plane: plane, texture: texture, shadeX: Float(light.x * strength),
                shadeY: Float(light.y * strength)))
    }

    /// The largest slopes in the ratio of the given ones that keep a plane within the range over its extents.
    private func limited(_ value: Double, _ slopeX: Double, _ slopeY: Double, _ reachX: Double, _ reachY: Double)
        -> (x: Double, y: Double)
    {
        let room = min(value - range.lowerBound, range.upperBound - value)
        let wanted = abs(slopeX) * reachX + abs(slopeY) * reachY
        let factor = wanted > room ? max(room, 0) / wanted : 1
        return (slopeX * factor, slopeY * factor)
    }

    private mutating func addBackground(_ far: Double) {
        let slope = span / width
        let slopes = limited(
            far, draws.uniform(-0.12, 0.12) * slope, draws.uniform(-0.1, 0.2) * slope, width / 2 + margin, height / 2)
        add(
            SceneShape(.everywhere, centreX: width / 2, centreY: height / 2, axis: (1, 0)),
            DisparityPlane(value: far, x: width / 2, y: height / 2, slopeX: slopes.x, slopeY: slopes.y),
            extent: max(width, height) / 2, upright: true)
    }

    /// A ground that comes nearer towards the bottom of the picture.
    private mutating func addFloor(_ far: Double) {
        let horizon = height * draws.uniform(0.45, 0.72)
        let near = far + (range.upperBound - far) * draws.uniform(0.45, 0.9)
        let normal = Draws.direction(0.25 + draws.uniform(-0.015, 0.015))
        // Across the tilted horizon the plane leaves the background's disparity only downwards.
        let fall = height + abs(normal.x) * (width / 2 + margin) - horizon
        let slope = (near - far) / max(fall, 1)
        add(
            SceneShape(.halfPlane, centreX: width / 2, centreY: horizon, axis: normal),
            DisparityPlane(
                value: far, x: width / 2, y: horizon, slopeX: slope * normal.x, slopeY: slope * normal.y),
            extent: height / 2, upright: true)
    }

    /// A side wall that comes nearer towards the left or the right edge of the picture.
    private mutating func addWall(_ far: Double) {
        let side: Double = draws.chance(0.5) ? 1 : -1
        let corner = width / 2 + side * width * draws.uniform(0.15, 0.35)
        let near = far + (range.upperBound - far) * draws.uniform(0.3, 0.8)
        let distance = (side > 0 ? width - corner : corner) + margin
        let slope = min((near - far) / distance, 0.3)
        add(
            SceneShape(.halfPlane, centreX: corner, centreY: height / 2, axis: (side, 0)),
            DisparityPlane(value: far, x: corner, y: height / 2, slopeX: slope * side, slopeY: 0),
            extent: distance, upright: true)
    }

    private mutating func addShape(_ far: Double) {
        let gap = span * 0.12
        let value = draws.uniform(far + gap, range.upperBound)
        let nearness = (value - far) / (range.upperBound - far)
        let size = min(height, width) * draws.uniform(0.1, 0.27) * (0.75 + 0.5 * nearness)
        let stretch = draws.uniform(0.65, 1.5).squareRoot()
        var (halfWidth, halfHeight) = (size * stretch, size / stretch)
        var turn = draws.uniform()
        let outline: SceneShape.Outline
        var seed: UInt32 = 0
        var sides = SceneShape.Sides()
        switch draws.integer(below: 10) {
        case 0, 1: outline = .rectangle
        case 2:
            // A post.
            outline = .rectangle
            (halfWidth, halfHeight) = (size * 0.3, size * 2.2)
            turn = draws.uniform(-0.02, 0.02)
        case 3, 4: outline = .ellipse
        case 5, 6, 7:
            outline = .blot
            seed = draws.bits()
        default:
            outline = .polygon
            let count = 3 + draws.integer(below: 5)
            for side in 0..<count {
                (sides.normalX[side], sides.normalY[side]) = Draws.direction(
                    (Double(side) + draws.uniform(-0.25, 0.25)) / Double(count))
                sides.distance[side] = draws.uniform(0.6, 0.95)
            }
        }
        let axis = Draws.direction(turn)
        var hole = 0.0
        if outline == .ellipse, draws.chance(0.35) { hole = draws.uniform(0.4, 0.65) }
        let shape = SceneShape(
            outline, centreX: draws.uniform(0.04, 0.96) * width, centreY: draws.uniform(0.08, 0.95) * height,
            halfWidth: halfWidth, halfHeight: halfHeight, axis: axis, hole: hole, seed: seed, sides: sides)
        // A slope along x squeezes one view against the other: beyond a third, matching is no longer well posed.
        let slopes = limited(
            value, draws.uniform(-0.22, 0.22), draws.uniform(-0.22, 0.22), shape.reach, shape.reach)
        add(
            shape,
            DisparityPlane(value: value, x: shape.centreX, y: shape.centreY, slopeX: slopes.x, slopeY: slopes.y),
            extent: shape.reach, upright: false)
    }
}
