import Basics

/// The left views of synthetic stereo scenes with their exact depth in metres, for networks that see one picture. Haze
/// that grows with the distance makes depth visible in a single picture.
///
/// | field | shape | what |
/// |---|---|---|
/// | `image` | `[h, w, 3]` uint8 | the view |
/// | `depth` | `[h, w, 1]` float32 | metres, along the axis; its reciprocal is linear in the scene's disparity |
public struct MonoScenes: FrameSource {
    public let scenes: SyntheticScenes
    /// Metres at the ends of the scenes' disparities.
    public let depthRange: ClosedRange<Double>

    /// - Throws: `Failure` (64) for sides, counts or a range that cannot be rendered.
    public init(
        height: Int, width: Int, count: Int, seed: UInt64, depthRange: ClosedRange<Double> = 1...10,
        lighting: Double = 1
    ) throws {
        guard depthRange.lowerBound > 0, depthRange.upperBound > depthRange.lowerBound, depthRange.upperBound < 1e6
        else {
            throw Failure(.usage, "depths \(depthRange.lowerBound)…\(depthRange.upperBound) m: give metres above 0")
        }
        scenes = try SyntheticScenes(height: height, width: width, count: count, seed: seed, lighting: lighting)
        self.depthRange = depthRange
    }

    public var name: String { "synthetic-mono" }

    public func items() -> [FrameItem] {
        (0..<scenes.count).map { index in FrameItem(key: scenes.key(index)) { self.record(index) } }
    }

    /// Renders view `index` ≥ 0.
    public func record(_ index: Int) -> Record {
        let view = scenes.leftView(index, haze: Haze(range: scenes.disparityRange))
        let (low, high) = (scenes.disparityRange.lowerBound, scenes.disparityRange.upperBound)
        let (far, near) = (1 / depthRange.upperBound, 1 / depthRange.lowerBound)
        let depth = view.disparity.withFloats { disparities in
            disparities.map { disparity -> Float in
                let part = min(max((Double(disparity) - low) / (high - low), 0), 1)
                return Float(1 / (far + (near - far) * part))
            }
        }
        return Record(
            key: scenes.key(index),
            fields: [
                .init(FieldName.image, view.picture),
                .init(
                    FieldName.depth,
                    PixelArray(height: scenes.height, width: scenes.width, channels: 1, floats: depth)),
            ])
    }
}

/// Air that takes colour away from what is far.
struct Haze {
    let range: ClosedRange<Double>
    private static let colour = SIMD3<Float>(0.78, 0.82, 0.88)

    /// Colour 0…1 of something at this disparity, as it arrives.
    func seen(_ own: SIMD3<Float>, disparity: Double) -> SIMD3<Float> {
        let part = min(max((disparity - range.lowerBound) / (range.upperBound - range.lowerBound), 0), 1)
        let clear = Float(0.25 + 0.75 * part)
        return own * clear + Self.colour * (1 - clear)
    }
}
