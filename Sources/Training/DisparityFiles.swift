import Basics
import FrameSources

/// Disparity maps as files that other tools read.
public enum DisparityFiles {
    /// 16-bit PNGs hold (d + 128) · 256, rounded: signed disparities from −128 to 127.996 pixels survive within 1/512
    /// pixel; 0 means unknown. (KITTI's own encoding, d · 256, has no room for negative disparities.)
    public static let pngOffset: Float = 128
    public static let pngScale: Float = 256

    public static func png16(_ map: PixelArray) -> PixelArray {
        var result = PixelArray(zerosOf: map.height, map.width, 1, .uint16)
        map.withFloats { values in
            result.withMutableUInt16s { target in
                for (i, value) in values.enumerated() where value.isFinite {
                    target[i] = UInt16(max(1, min(65535, ((value + pngOffset) * pngScale).rounded())))
                }
            }
        }
        return result
    }

    /// A map as a network's output file or a data set's ground truth has it.
    public enum PNGEncoding: String, Sendable, CaseIterable {
        /// (d + 128) · 256, what `predict` writes.
        case signed
        /// d · 256, 0 = unknown.
        case kitti
    }

    /// Reads PFM, NPY or 16-bit PNG as `[h, w, 1]` float32, NaN = unknown.
    /// - Throws: `ImageError`, `FileError`, `Failure` (bad data).
    public static func read(_ path: String, png: PNGEncoding) throws -> PixelArray {
        let array = try ImageFile.read(path)
        guard array.channels == 1 else {
            throw Failure(.badData, "\(path): has \(array.channels) channels, a disparity map has one")
        }
        switch array.element {
        case .float32:
            return PixelArray(
                height: array.height, width: array.width, channels: 1,
                floats: array.withFloats { $0.map { $0.isFinite ? $0 : .nan } })
        case .uint16:
            let values = array.withUInt16s { samples in
                samples.map { sample -> Float in
                    if sample == 0 { return .nan }
                    let value = Float(sample) / pngScale
                    return png == .signed ? value - pngOffset : value
                }
            }
            return PixelArray(height: array.height, width: array.width, channels: 1, floats: values)
        case .uint8:
            throw Failure(.badData, "\(path): 8-bit pictures hold no disparities; give PFM, NPY or 16-bit PNG")
        }
    }
}
