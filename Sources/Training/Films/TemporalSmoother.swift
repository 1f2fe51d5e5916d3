import Basics
import FrameSources

/// Takes flicker out of the maps of a film: each map is mixed with the one before, moved as the picture moved. Where the
/// picture before does not explain this one (cuts, what comes into view, what moves otherwise) the new map stays as it is.
///
/// out = map + strength · weight · (moved − map), weight by how well the moved picture fits; a steady place averages over
/// about (1 + strength) / (1 − strength) frames.
public struct TemporalSmoother {
    /// 0…0.95: share of the map before.
    public let strength: Float
    private var before: (guide: PictureMotion.Guide, map: PixelArray)?

    public init(strength: Float) { self.strength = strength }

    /// - Parameters:
    ///   - map: `[h, w, 1]` float32, NaN = unknown.
    ///   - picture: whose pixels it is of, `[h, w, 3]` uint8.
    public mutating func smooth(_ map: PixelArray, of picture: PixelArray) -> PixelArray {
        guard strength > 0 else { return map }
        let guide = PictureMotion.Guide(picture)
        guard let last = before, last.guide.height == guide.height, last.guide.width == guide.width,
            last.map.height == map.height, last.map.width == map.width
        else {
            before = (guide, map)
            return map
        }
        let motion = PictureMotion(from: last.guide, to: guide)
        let result = mixed(map, last.map, motion, guide)
        before = (guide, result)
        return result
    }

    private func mixed(_ map: PixelArray, _ old: PixelArray, _ motion: PictureMotion, _ guide: PictureMotion.Guide)
        -> PixelArray
    {
        let (height, width) = (map.height, map.width)
        var result = map
        let (scaleY, scaleX) = (Float(height) / Float(guide.height), Float(width) / Float(guide.width))
        old.withFloats { old in
            result.withMutableFloats { values in
                for y in 0..<height {
                    let smallY = min(guide.height - 1, y * guide.height / height)
                    for x in 0..<width {
                        let smallX = min(guide.width - 1, x * guide.width / width)
                        let weight = strength * motion.weights[smallY * guide.width + smallX]
                        if weight <= 0 { continue }
                        let vector =
                            motion.vectors[
                                smallY / PictureMotion.block * motion.columns + smallX / PictureMotion.block]
                        let oldY = min(max(Float(y) + vector.y * scaleY, 0), Float(height - 1))
                        let oldX = min(max(Float(x) + vector.x * scaleX, 0), Float(width - 1))
                        let (top, left) = (Int(oldY), Int(oldX))
                        let (bottom, right) = (min(top + 1, height - 1), min(left + 1, width - 1))
                        let (fy, fx) = (oldY - Float(top), oldX - Float(left))
                        let upper = old[top * width + left] * (1 - fx) + old[top * width + right] * fx
                        let lower = old[bottom * width + left] * (1 - fx) + old[bottom * width + right] * fx
                        let moved = upper * (1 - fy) + lower * fy
                        let own = values[y * width + x]
                        if moved.isFinite && own.isFinite { values[y * width + x] = own + weight * (moved - own) }
                    }
                }
            }
        }
        return result
    }

    /// What later maps depend on, as bytes.
    public var state: [UInt8] {
        guard let before else { return [] }
        var bytes: [UInt8] = []
        for side in [before.guide.height, before.guide.width, before.map.height, before.map.width] {
            withUnsafeBytes(of: UInt32(side).littleEndian) { bytes += $0 }
        }
        before.guide.luma.withUnsafeBytes { bytes += $0 }
        return bytes + before.map.bytes
    }

    /// Puts back what `state` gave; returns the bytes behind it, nil if they are none.
    public mutating func restore(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        guard bytes.count >= 16 else { return nil }
        func number(_ index: Int) -> Int {
            (0..<4).reduce(0) { $0 | Int(bytes[bytes.startIndex + index * 4 + $1]) << (8 * $1) }
        }
        let sides = (0..<4).map(number)
        guard sides.allSatisfy({ (1...65_536).contains($0) }) else { return nil }
        let (guideBytes, mapBytes) = (sides[0] * sides[1] * 4, sides[2] * sides[3] * 4)
        guard bytes.count >= 16 + guideBytes + mapBytes else { return nil }
        let start = bytes.startIndex + 16
        let guide = PixelArray(
            height: sides[0], width: sides[1], channels: 1, element: .float32,
            bytes: Array(bytes[start..<(start + guideBytes)]))
        before = (
            .init(height: sides[0], width: sides[1], luma: guide.withFloats { Array($0) }),
            PixelArray(
                height: sides[2], width: sides[3], channels: 1, element: .float32,
                bytes: Array(bytes[(start + guideBytes)..<(start + guideBytes + mapBytes)]))
        )
        return bytes[(start + guideBytes + mapBytes)...]
    }
}
