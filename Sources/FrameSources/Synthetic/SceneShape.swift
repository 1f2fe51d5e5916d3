import Basics

/// Draws numbers one after the other from a counter-based stream.
struct Draws {
    private let random: CounterRandom
    private var next: UInt64 = 0

    init(_ random: CounterRandom) { self.random = random }

    mutating func uniform(_ low: Double = 0, _ high: Double = 1) -> Double {
        defer { next += 1 }
        return low + (high - low) * random.uniform(next)
    }

    mutating func integer(below bound: Int) -> Int {
        defer { next += 1 }
        return random.integer(next, below: bound)
    }

    mutating func bits() -> UInt32 {
        defer { next += 1 }
        return UInt32(truncatingIfNeeded: random.bits(next))
    }

    mutating func chance(_ probability: Double) -> Bool { uniform() < probability }

    /// A unit vector `turn` of the way around, 0 ..< 1: along the diamond |x| + |y| = 1 and normalised, because
    /// sines differ between libraries. Not quite uniform in angle.
    static func direction(_ turn: Double) -> (x: Double, y: Double) {
        let quarter = (turn - turn.rounded(.down)) * 4
        let part = quarter - quarter.rounded(.down)
        let (x, y): (Double, Double) =
            switch Int(quarter) {
            case 0: (1 - part, part)
            case 1: (-part, 1 - part)
            case 2: (part - 1, -part)
            default: (part, part - 1)
            }
        let length = (x * x + y * y).squareRoot()
        return (x / length, y / length)
    }
}

/// The outline of a surface, around its own centre.
struct SceneShape {
    enum Outline: UInt8 {
        case everywhere
        /// Everything on one side of a line through the centre: n · p > 0.
        case halfPlane
        case rectangle
        case ellipse
        /// A star-shaped blot whose radius varies with the direction.
        case blot
        /// Convex: n_i · p ≤ r_i in the shape's normalised frame.
        case polygon
    }

    /// Sides of a polygon; unused ones have r = ∞. Vectors, not the payload of a case: every ray looks at them.
    struct Sides {
        var normalX = SIMD8<Double>()
        var normalY = SIMD8<Double>()
        var distance = SIMD8<Double>(repeating: .infinity)
    }

    let outline: Outline
    let centreX: Double
    let centreY: Double
    /// Half extents along the shape's own axes, pixels.
    let halfWidth: Double
    let halfHeight: Double
    /// Unit vector of the shape's own x axis.
    let axisX: Double
    let axisY: Double
    /// A hole of this fraction of the extents, 0 = none.
    let hole: Double
    /// Of a blot's edge.
    let seed: UInt32
    let sides: Sides
    /// No point of the shape is farther from the centre than this.
    let reach: Double

    init(
        _ outline: Outline, centreX: Double, centreY: Double, halfWidth: Double = 1, halfHeight: Double = 1,
        axis: (x: Double, y: Double), hole: Double = 0, seed: UInt32 = 0, sides: Sides = Sides()
    ) {
        self.outline = outline
        self.centreX = centreX
        self.centreY = centreY
        self.halfWidth = halfWidth
        self.halfHeight = halfHeight
        axisX = axis.x
        axisY = axis.y
        self.hole = hole
        self.seed = seed
        self.sides = sides
        reach =
            switch outline {
            case .everywhere, .halfPlane: .infinity
            case .rectangle: (halfWidth * halfWidth + halfHeight * halfHeight).squareRoot()
            case .ellipse: max(halfWidth, halfHeight)
            case .blot: max(halfWidth, halfHeight) * 1.45
            case .polygon: max(halfWidth, halfHeight) * 1.5
            }
    }

    @inline(__always)
    func contains(_ x: Double, _ y: Double) -> Bool {
        let dx = x - centreX
        let dy = y - centreY
        // Most rays miss most shapes.
        return dx <= reach && dx >= -reach && dy <= reach && dy >= -reach && holds(dx, dy)
    }

    private func holds(_ dx: Double, _ dy: Double) -> Bool {
        if outline == .everywhere { return true }
        if outline == .halfPlane { return dx * axisX + dy * axisY > 0 }
        let u = (dx * axisX + dy * axisY) / halfWidth
        let v = (dy * axisX - dx * axisY) / halfHeight
        let square = u * u + v * v
        if square > 2.25 || square < hole * hole { return false }
        switch outline {
        case .rectangle: return abs(u) <= 1 && abs(v) <= 1
        case .ellipse: return square <= 1
        case .blot:
            let radius = square.squareRoot()
            if radius < 0.5 { return true }
            let wave = gradientNoise(Float(u / radius) * 1.6, Float(v / radius) * 1.6, seed)
            return radius <= 0.95 + 0.7 * Double(min(max(wave, -0.6), 0.6))
        case .polygon: return all(sides.normalX * u + sides.normalY * v .<= sides.distance)
        case .everywhere, .halfPlane: return true
        }
    }
}

/// A plane in (x, y, disparity): disparity = offset + slopeX · x + slopeY · y, x and y in cyclopean pixels.
struct DisparityPlane {
    let offset: Double
    let slopeX: Double
    let slopeY: Double

    /// `value` at (x, y).
    init(value: Double, x: Double, y: Double, slopeX: Double, slopeY: Double) {
        offset = value - slopeX * x - slopeY * y
        self.slopeX = slopeX
        self.slopeY = slopeY
    }

    func at(_ x: Double, _ y: Double) -> Double { offset + slopeX * x + slopeY * y }

    /// Cyclopean x of the point that an eye sees at its column `x`: x = X ± d(X, y) / 2, solved for X.
    func cyclopean(x: Double, y: Double, _ eye: Eye) -> Double {
        let half = eye == .left ? 0.5 : -0.5
        return (x - half * (offset + slopeY * y)) / (1 + half * slopeX)
    }
}

enum Eye {
    case left, right
}
