import Basics
import Models

/// The other eye's view of a picture, by a disparity map of that eye's pixels: every pixel is fetched from where its thing
/// lies in the picture, at the picture's full resolution. What the picture does not show is filled with what lies beside it.
public enum ViewWarp {
    /// - Parameters:
    ///   - source: the other view, `[h, w, 3]` uint8.
    ///   - disparity: of the wanted eye, `[h, w, 1]` float32, pixels of that width, positive = nearer; NaN counts as 0.
    ///   - eye: the wanted one. x_left − x_right = disparity.
    public static func view(of eye: Eye, source: PixelArray, disparity: PixelArray) -> PixelArray {
        let (height, width) = (source.height, source.width)
        precondition(
            disparity.height == height && disparity.width == width && source.channels == 3,
            "a disparity of \(disparity.width)x\(disparity.height) for a picture of \(width)x\(height)")
        let sign: Float = eye == .right ? 1 : -1
        var result = PixelArray(zerosOf: height, width, 3, .uint8)
        source.bytes.withUnsafeBufferPointer { pixels in
            disparity.withFloats { shifts in
                result.bytes.withUnsafeMutableBufferPointer { target in
                    for y in 0..<height {
                        for x in 0..<width {
                            let shift = shifts[y * width + x]
                            let place = min(max(Float(x) + (shift.isFinite ? sign * shift : 0), 0), Float(width - 1))
                            let left = Int(place)
                            let weight = place - Float(left)
                            let (first, second) = ((y * width + left) * 3, (y * width + min(left + 1, width - 1)) * 3)
                            for c in 0..<3 {
                                let value = Float(pixels[first + c]) * (1 - weight) + Float(pixels[second + c]) * weight
                                target[(y * width + x) * 3 + c] = UInt8(value + 0.5)
                            }
                        }
                    }
                }
            }
        }
        return result
    }
}
