import Basics
import Glibc
import Shards

/// Where the pixels of an enlarged or turned sample lie in its record: an affine map that keeps the whole sample inside
/// of the record, so that nothing has to be made up at its borders.
///
/// Coordinates are continuous; pixel i covers i ..< i + 1.
struct Resampling: Equatable {
    /// Enlargement: disparities times this, depths divided by it.
    let scale: Double
    /// Centre of the sample in the record.
    private let centerX: Double
    private let centerY: Double
    /// Steps in the record for one pixel to the right; one down is (−stepY, stepX).
    private let stepX: Double
    private let stepY: Double
    let height: Int
    let width: Int
    private let sourceHeight: Int
    private let sourceWidth: Int
    private let isMirrored: Bool

    /// nil: the sample is neither enlarged nor turned.
    init?(
        _ change: Augmentation, crop: AugmentationSettings.Crop, height: Int, width: Int, sourceHeight: Int,
        sourceWidth: Int
    ) {
        let angle = change.rotationRadians
        let (c, s) = angle == 0 ? (1, 0) : (cos(angle), sin(angle))
        // The box that the turned sample fills at scale 1.
        let boxWidth = Double(width) * c + Double(height) * abs(s)
        let boxHeight = Double(width) * abs(s) + Double(height) * c
        let scale = max(change.scale, boxWidth / Double(sourceWidth), boxHeight / Double(sourceHeight))
        if scale == 1 && angle == 0 { return nil }
        self.scale = scale
        func center(_ box: Double, _ side: Int, _ draw: Double) -> Double {
            box / scale / 2 + max(0, Double(side) - box / scale) * (crop == .random ? draw : 0.5)
        }
        centerX = center(boxWidth, sourceWidth, change.cropX)
        centerY = center(boxHeight, sourceHeight, change.cropY)
        stepX = c / scale
        stepY = s / scale
        self.height = height
        self.width = width
        self.sourceHeight = sourceHeight
        self.sourceWidth = sourceWidth
        isMirrored = change.isMirrored
    }

    /// Centre of the sample's pixel in the record.
    @inline(__always) private func place(_ y: Int, _ x: Int) -> (y: Double, x: Double) {
        let u = Double(isMirrored ? width - 1 - x : x) + 0.5 - Double(width) / 2
        let v = Double(y) + 0.5 - Double(height) / 2
        return (centerY + stepY * u + stepX * v, centerX + stepX * u - stepY * v)
    }

    /// Offset of the record's pixel that is nearest to the sample's: for maps, whose values must not be mixed.
    @inline(__always) func nearest(_ y: Int, _ x: Int) -> Int {
        let place = place(y, x)
        let row = min(sourceHeight - 1, max(0, Int(place.y.rounded(.down))))
        let column = min(sourceWidth - 1, max(0, Int(place.x.rounded(.down))))
        return row * sourceWidth + column
    }

    /// A picture `[sourceHeight, sourceWidth, channels]` → `[height, width, 3]` in 0…1, bilinear.
    /// - Parameter table: values of bytes, for pictures of three of them.
    func picture(
        _ bytes: UnsafeRawBufferPointer, _ element: ElementType, channels: Int, table: [Float]? = nil,
        into target: UnsafeMutableBufferPointer<Float>
    ) {
        if element == .uint8 && channels == 3 {
            var window = PictureColours.Window()
            (window.height, window.width) = (height, width)
            (window.sourceHeight, window.sourceWidth) = (sourceHeight, sourceWidth)
            (window.centerY, window.centerX, window.stepY, window.stepX) = (centerY, centerX, stepY, stepX)
            window.isMirrored = isMirrored
            if let table {
                table.withUnsafeBufferPointer { PictureColours.cut(bytes, window, table: $0, into: target) }
            } else {
                PictureColours.cut(bytes, window, into: target)
            }
            return
        }
        switch element {
        case .uint8: picture(bytes.bindMemory(to: UInt8.self), channels, 1 / 255, target)
        case .uint16: picture(bytes.bindMemory(to: UInt16.self), channels, 1 / 65535, target)
        case .float32: preconditionFailure("float32 pictures have no agreed range")
        }
    }

    /// Rarer kinds of pictures: gray ones, and those of 16 bits.
    private func picture<Value: UnsignedInteger & FixedWidthInteger>(
        _ source: UnsafeBufferPointer<Value>, _ channels: Int, _ unit: Float,
        _ target: UnsafeMutableBufferPointer<Float>
    ) {
        precondition(source.count == sourceHeight * sourceWidth * channels && target.count == height * width * 3)
        let second = channels == 3 ? 1 : 0
        func inside(_ place: Double, _ count: Int) -> Int { min(count - 1, max(0, Int(place))) }
        for y in 0..<height {
            for x in 0..<width {
                let place = place(y, x)
                let (top, left) = ((place.y - 0.5).rounded(.down), (place.x - 0.5).rounded(.down))
                let (down, right) = (Float(place.y - 0.5 - top), Float(place.x - 0.5 - left))
                let (above, below) = (
                    inside(top, sourceHeight) * sourceWidth, inside(top + 1, sourceHeight) * sourceWidth
                )
                let (near, far) = (inside(left, sourceWidth), inside(left + 1, sourceWidth))
                for channel in 0..<3 {
                    func at(_ row: Int, _ column: Int) -> Float {
                        Float(source[(row + column) * channels + channel * second])
                    }
                    let upper = at(above, near) + right * (at(above, far) - at(above, near))
                    let lower = at(below, near) + right * (at(below, far) - at(below, near))
                    target[(y * width + x) * 3 + channel] = min(1, (upper + down * (lower - upper)) * unit)
                }
            }
        }
    }
}

/// What enlarging does to the values of a map.
enum MapUnit {
    /// Factor on the values of a record's field.
    static func factor(_ field: String, _ element: ElementType, scale: Double) -> Float {
        switch field {
        case FieldName.disparity, FieldName.disparityRight: Float(scale)
        // What is twice as large is half as far. Depth of 8 or 16 bits has no unit, and so no scale.
        case FieldName.depth where element == .float32: Float(1 / scale)
        default: 1
        }
    }

    /// The rig's geometry (`FieldName.calibration`) for pictures that are `scale` times as large. Mirroring with an
    /// exchange of the eyes leaves it as it is, and so does cutting both views alike.
    static func calibration(_ array: PixelArray, scale: Double) -> PixelArray {
        guard array.element == .float32, array.count == 3 else { return array }
        return array.withFloats { values in
            PixelArray(
                height: array.height, width: array.width, channels: array.channels,
                floats: [values[0] * Float(scale), values[1], values[2] * Float(scale)])
        }
    }
}
