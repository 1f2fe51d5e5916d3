import Basics
import Models

/// Maps as files that other tools read, beside disparities.
public enum MapFiles {
    /// 0…1 as 0…255, rounded; unknown is 0.
    public static func gray(_ map: PixelArray) -> PixelArray {
        PixelArray(
            height: map.height, width: map.width, channels: 1, element: .uint8,
            bytes: map.withFloats { $0.map { $0.isFinite ? UInt8(max(0, min(255, $0 * 255 + 0.5))) : 0 } })
    }

    /// Depth: metres · 256, at least 1, 0 = unknown, as KITTI has it. Maps in 0…1: · 65535.
    public static func png16(_ map: PixelArray, _ kind: NetworkResult.Map.Kind) -> PixelArray {
        let (scale, least): (Float, Float) = kind == .depth ? (256, 1) : (65535, 0)
        var result = PixelArray(zerosOf: map.height, map.width, 1, .uint16)
        map.withFloats { values in
            result.withMutableUInt16s { target in
                for (i, value) in values.enumerated() where value.isFinite {
                    target[i] = UInt16(max(least, min(65535, (value * scale).rounded())))
                }
            }
        }
        return result
    }
}
