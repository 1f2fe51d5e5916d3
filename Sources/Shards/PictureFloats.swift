import Basics
import CFilters

/// Pictures as training wants them: float32 in 0…1, three channels.
public enum PictureFloats {
    /// `[H, W, C]` uint8 or uint16, C = 1 or 3 → `[H, W, 3]` float32: value / 255 or value / 65535, correctly rounded; one
    /// channel is repeated.
    public static func expand(
        _ picture: UnsafeRawBufferPointer, _ element: ElementType, channels: Int,
        into target: UnsafeMutableBufferPointer<Float>
    ) {
        expand(picture, element, channels: channels, into: target, level: cf_best_level())
    }

    /// `level`: of CFilters; all levels give the same bits.
    static func expand(
        _ picture: UnsafeRawBufferPointer, _ element: ElementType, channels: Int,
        into target: UnsafeMutableBufferPointer<Float>, level: Int32
    ) {
        precondition(channels == 1 || channels == 3, "a picture of \(channels) channels")
        let pixelCount = picture.count / (element.byteCount * channels)
        precondition(target.count == 3 * pixelCount, "\(pixelCount) pixels into \(target.count) floats")
        guard let filters = cf_filters(level), let source = picture.baseAddress, let out = target.baseAddress else {
            preconditionFailure("no picture, or filter level \(level) is not on this CPU")
        }
        switch element {
        case .uint8:
            filters.pointee.expand8(source.assumingMemoryBound(to: UInt8.self), pixelCount, channels, out)
        case .uint16:
            filters.pointee.expand16(source.assumingMemoryBound(to: UInt16.self), pixelCount, channels, out)
        case .float32: preconditionFailure("float32 pictures have no agreed range")
        }
    }
}
