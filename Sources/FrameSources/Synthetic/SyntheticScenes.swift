import Basics

/// Rendered stereo pairs with exact disparity: textured shapes and slanted planes in front of a background, with
/// occlusions, disparities of both signs, and small differences of light and noise between the views.
///
/// Pair `i` is a pure function of the settings, the seed and `i`: only IEEE arithmetic and square roots are used, no
/// library function, so it is the same bits on every machine. Fields of a record:
///
/// | field | shape | what |
/// |---|---|---|
/// | `left`, `right` | `[h, w, 3]` uint8 | the views |
/// | `disparity` | `[h, w, 1]` float32 | of the left view's pixel centres, x_left − x_right, positive = nearer |
/// | `disparity_right` | `[h, w, 1]` float32 | of the right view's pixel centres, same sign |
/// | `visible`, `visible_right` | `[h, w, 1]` uint8 | 255 where the other view sees the same point, else 0 |
public struct SyntheticScenes: FrameSource {
    public let height: Int
    public let width: Int
    public let count: Int
    public let seed: UInt64
    /// Disparities in pixels; every pixel of every scene stays within.
    public let disparityRange: ClosedRange<Double>
    /// 1 = a gain of ±3 % and an offset of ±2 per view and channel and noise of σ 1.2 (of 255); 0 = none.
    public let lighting: Double
    /// Whether haze grows with the distance, so that a single view shows depth.
    public let isHazy: Bool

    /// Sides that `init` accepts.
    public static let sides = 16...4096

    /// −6…+6 pixels at a width of 96, in proportion at others, and within −16…15, the levels of W-net.
    public static func defaultDisparityRange(width: Int) -> ClosedRange<Double> {
        let reach = 6 * Double(width) / 96
        return max(-reach, -16)...min(reach, 15)
    }

    /// - Throws: `Failure` (64) for sides, counts or ranges that cannot be rendered.
    public init(
        height: Int, width: Int, count: Int, seed: UInt64, disparityRange: ClosedRange<Double>? = nil,
        lighting: Double = 1, isHazy: Bool = false
    ) throws {
        guard Self.sides.contains(height), Self.sides.contains(width) else {
            throw Failure(
                .usage,
                "size \(height)x\(width): both sides of a scene must be in "
                    + "\(Self.sides.lowerBound)…\(Self.sides.upperBound)"
            )
        }
        guard (1...10_000_000).contains(count) else {
            throw Failure(.usage, "\(count) pairs: give a number in 1…10000000")
        }
        let range = disparityRange ?? Self.defaultDisparityRange(width: width)
        guard range.upperBound - range.lowerBound >= 0.5, -range.lowerBound <= Double(width) / 4,
            range.upperBound <= Double(width) / 4
        else {
            throw Failure(
                .usage,
                "disparities \(range.lowerBound)…\(range.upperBound): give at least half a pixel, at most a quarter of "
                    + "the width"
            )
        }
        guard (0...10).contains(lighting) else {
            throw Failure(.usage, "lighting \(lighting): give a number in 0…10")
        }
        self.height = height
        self.width = width
        self.count = count
        self.seed = seed
        self.disparityRange = range
        self.lighting = lighting
        self.isHazy = isHazy
    }

    public var name: String { "synthetic" }

    public func items() -> [FrameItem] {
        (0..<count).map { index in FrameItem(key: key(index)) { self.record(index) } }
    }

    /// Key of pair `index`: `scene_000017`.
    public func key(_ index: Int) -> String {
        let digits = String(index)
        return "scene_" + String(repeating: "0", count: max(0, 6 - digits.count)) + digits
    }

    /// Renders pair `index` ≥ 0; `count` does not limit it.
    public func record(_ index: Int) -> Record {
        precondition(index >= 0, "scene \(index)")
        let scene = scene(index)
        let haze = isHazy ? Haze(range: disparityRange) : nil
        let left = view(of: scene, .left, index, haze: haze)
        let right = view(of: scene, .right, index, haze: haze)
        return Record(
            key: key(index),
            fields: [
                Record.Field(FieldName.left, left.picture),
                Record.Field(FieldName.right, right.picture),
                Record.Field(FieldName.disparity, left.disparity),
                Record.Field(FieldName.disparityRight, right.disparity),
                Record.Field(FieldName.visible, left.visible),
                Record.Field(FieldName.visibleRight, right.visible),
            ])
    }

    private func scene(_ index: Int) -> Scene {
        Scene(
            height: Double(height), width: Double(width), disparityRange: disparityRange,
            random: CounterRandom(seed, "scene", UInt64(index)))
    }

    /// The left view of pair `index` through haze.
    func leftView(_ index: Int, haze: Haze) -> RenderedView {
        precondition(index >= 0, "scene \(index)")
        return view(of: scene(index), .left, index, haze: haze)
    }

    private func view(of scene: Scene, _ eye: Eye, _ index: Int, haze: Haze? = nil) -> RenderedView {
        let camera = Camera(
            random: CounterRandom(seed, "camera", UInt64(index), eye == .left ? 0 : 1), lighting: lighting)
        return SceneRenderer(scene: scene, height: height, width: width, haze: haze).render(eye, camera)
    }
}
