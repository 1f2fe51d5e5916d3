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

    /// The same of a picture whose rows are turned round: pixel x comes from pixel `width` − 1 − x.
    public static func expandMirrored(
        _ picture: UnsafeRawBufferPointer, _ element: ElementType, width: Int, channels: Int,
        into target: UnsafeMutableBufferPointer<Float>
    ) {
        expandMirrored(picture, element, width: width, channels: channels, into: target, level: cf_best_level())
    }

    static func expandMirrored(
        _ picture: UnsafeRawBufferPointer, _ element: ElementType, width: Int, channels: Int,
        into target: UnsafeMutableBufferPointer<Float>, level: Int32
    ) {
        guard element == .uint8, channels == 3, let filters = cf_filters(level), let source = picture.baseAddress,
            let out = target.baseAddress
        else {
            expand(picture, element, channels: channels, into: target, level: level)
            mirror(target, width: width, channels: 3)
            return
        }
        let height = picture.count / (3 * width)
        precondition(
            width > 0 && picture.count == 3 * width * height && target.count == picture.count,
            "\(picture.count) bytes of width \(width) into \(target.count) floats")
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 3 * width + 16) { row in
            guard let row = row.baseAddress else { return }
            filters.pointee.expand8_mirrored(
                source.assumingMemoryBound(to: UInt8.self), height, width, out, row)
        }
    }

    /// Turns rows of `width` pixels of `channels` floats round, in place.
    public static func mirror(_ values: UnsafeMutableBufferPointer<Float>, width: Int, channels: Int) {
        let rowCount = width * channels
        for start in stride(from: 0, to: values.count / rowCount * rowCount, by: rowCount) {
            for x in 0..<(width / 2) {
                for c in 0..<channels {
                    values.swapAt(start + x * channels + c, start + (width - 1 - x) * channels + c)
                }
            }
        }
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
