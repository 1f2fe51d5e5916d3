import Basics

/// Changes the size of pictures and maps. Every function is a pure function of its arguments: the same bits everywhere.
public enum Resizing {
    /// Pictures: each axis that shrinks is averaged over exactly the area that a new pixel covers, each axis that grows
    /// is interpolated linearly between pixel centres (edges repeated). float32 arithmetic, rounded to nearest.
    /// `[h, w, c]` uint8 or uint16 → `[height, width, c]` of the same type.
    public static func area(_ array: PixelArray, height: Int, width: Int) -> PixelArray {
        precondition(height > 0 && width > 0, "resize to \(height)x\(width)")
        precondition(
            array.element != .float32, "area resize of a float map: averages over holes and edges are no values")
        if array.height == height && array.width == width { return array }
        let channels = array.channels
        let columns = Taps.along(from: array.width, to: width)
        let rows = Taps.along(from: array.height, to: height)
        var result = PixelArray(zerosOf: height, width, channels, array.element)

        // Rows of the source, resized horizontally, are kept while new rows still need them.
        let rowCount = width * channels
        var cache: [Int: [Float]] = [:]
        var sum = [Float](repeating: 0, count: rowCount)
        for y in 0..<height {
            let taps = rows[y]
            for old in cache.keys where old < taps.first { cache[old] = nil }
            for x in 0..<rowCount { sum[x] = 0 }
            for (tap, weight) in taps.weights.enumerated() {
                let source = taps.first + tap
                let row = cache[source] ?? horizontal(array, row: source, columns)
                cache[source] = row
                for x in 0..<rowCount { sum[x] += weight * row[x] }
            }
            switch array.element {
            case .uint8:
                for x in 0..<rowCount { result.bytes[y * rowCount + x] = UInt8(clamped(sum[x], 255)) }
            case .uint16:
                result.withMutableUInt16s { target in
                    for x in 0..<rowCount { target[y * rowCount + x] = UInt16(clamped(sum[x], 65535)) }
                }
            case .float32: break
            }
        }
        return result
    }

    /// Maps with holes (NaN = unknown) and discontinuities: every new pixel takes the known old value nearest to its
    /// centre within the area that it covers (one old pixel when growing), or NaN if that holds none. No two values are
    /// ever mixed. Ties go to the upper, then the left one. `[h, w, 1]` float32 → `[height, width, 1]`.
    public static func nearestKnown(_ map: PixelArray, height: Int, width: Int, scaledBy factor: Float = 1)
        -> PixelArray
    {
        precondition(map.element == .float32 && map.channels == 1, "nearestKnown wants one float32 channel")
        precondition(height > 0 && width > 0, "resize to \(height)x\(width)")
        if map.height == height && map.width == width && factor == 1 { return map }
        let columns = (0..<width).map { Coverage(of: $0, from: map.width, to: width) }
        var floats = [Float](repeating: .nan, count: height * width)
        map.withFloats { source in
            for y in 0..<height {
                let rows = Coverage(of: y, from: map.height, to: height)
                for x in 0..<width {
                    var best = Double.infinity
                    for sourceY in rows.pixels {
                        let dy = Double(sourceY) - rows.centre
                        for sourceX in columns[x].pixels {
                            let dx = Double(sourceX) - columns[x].centre
                            let value = source[sourceY * map.width + sourceX]
                            if !value.isNaN && dx * dx + dy * dy < best {
                                best = dx * dx + dy * dy
                                floats[y * width + x] = value * factor
                            }
                        }
                    }
                }
            }
        }
        return PixelArray(height: height, width: width, channels: 1, floats: floats)
    }

    /// Disparities: `nearestKnown`, times the ratio of the widths, because disparity is measured in pixels.
    public static func disparity(_ map: PixelArray, height: Int, width: Int) -> PixelArray {
        nearestKnown(map, height: height, width: width, scaledBy: Float(Double(width) / Double(map.width)))
    }

    /// Masks: the old pixel under the centre of the new one. Any element type, any channels.
    public static func nearest(_ array: PixelArray, height: Int, width: Int) -> PixelArray {
        precondition(height > 0 && width > 0, "resize to \(height)x\(width)")
        if array.height == height && array.width == width { return array }
        var bytes: [UInt8] = []
        let size = array.channels * array.element.byteCount
        bytes.reserveCapacity(height * width * size)
        for y in 0..<height {
            let sourceY = (2 * y + 1) * array.height / (2 * height)
            for x in 0..<width {
                let start = (sourceY * array.width + (2 * x + 1) * array.width / (2 * width)) * size
                bytes += array.bytes[start..<(start + size)]
            }
        }
        return PixelArray(
            height: height, width: width, channels: array.channels, element: array.element, bytes: bytes)
    }

    /// Every field of a record by the rule of its name: pictures averaged, disparities picked and scaled, depths and
    /// other float maps picked, masks and object numbers picked, focal length and offset of the calibration scaled.
    ///
    /// Maps are picked and not averaged because a mean over a hole or over the edge of a thing is a distance at which
    /// nothing is, and a mean of two object numbers is a third object.
    public static func record(_ record: Record, height: Int, width: Int) -> Record {
        let oldWidth = record.fields.first { $0.name != FieldName.calibration }?.array.width ?? width
        return Record(
            key: record.key,
            fields: record.fields.map { field in
                if field.name == FieldName.calibration, let calibration = Calibration(field.array) {
                    return calibration.scaled(by: Float(Double(width) / Double(oldWidth))).field
                }
                return Record.Field(field.name, resized(field, height: height, width: width))
            })
    }

    private static func resized(_ field: Record.Field, height: Int, width: Int) -> PixelArray {
        switch field.name {
        case FieldName.visible, FieldName.visibleRight, FieldName.mask, FieldName.objects:
            return nearest(field.array, height: height, width: width)
        default:
            guard field.array.element == .float32 else { return area(field.array, height: height, width: width) }
            guard field.array.channels == 1 else { return nearest(field.array, height: height, width: width) }
            let isDisparity = field.name.hasPrefix(FieldName.disparity)
            return isDisparity
                ? disparity(field.array, height: height, width: width)
                : nearestKnown(field.array, height: height, width: width)
        }
    }

    private static func clamped(_ value: Float, _ maximum: Float) -> Float {
        min(max((value + 0.5).rounded(.down), 0), maximum)
    }

    private static func horizontal(_ array: PixelArray, row y: Int, _ columns: [Taps]) -> [Float] {
        let channels = array.channels
        let start = y * array.width * channels
        var row = [Float](repeating: 0, count: columns.count * channels)
        func run(_ value: (Int) -> Float) {
            for (x, taps) in columns.enumerated() {
                for channel in 0..<channels {
                    var sum: Float = 0
                    var source = start + taps.first * channels + channel
                    for weight in taps.weights {
                        sum += weight * value(source)
                        source += channels
                    }
                    row[x * channels + channel] = sum
                }
            }
        }
        switch array.element {
        case .uint8: array.bytes.withUnsafeBufferPointer { bytes in run { Float(bytes[$0]) } }
        case .uint16: array.withUInt16s { samples in run { Float(samples[$0]) } }
        case .float32: array.withFloats { floats in run { floats[$0] } }
        }
        return row
    }
}

/// Which old samples make a new one, along one axis.
private struct Taps {
    var first: Int
    var weights: [Float]

    static func along(from old: Int, to new: Int) -> [Taps] {
        (0..<new).map { new <= old ? box($0, from: old, to: new) : linear($0, from: old, to: new) }
    }

    /// In units of 1/new of an old pixel every bound is an integer, so the overlaps are exact.
    private static func box(_ index: Int, from old: Int, to new: Int) -> Taps {
        let start = index * old
        let end = start + old
        let first = start / new
        let last = (end - 1) / new
        return Taps(
            first: first,
            weights: (first...last).map {
                Float(Double(min(end, ($0 + 1) * new) - max(start, $0 * new)) / Double(old))
            })
    }

    private static func linear(_ index: Int, from old: Int, to new: Int) -> Taps {
        let position = (Double(index) + 0.5) * Double(old) / Double(new) - 0.5
        let first = Int(position.rounded(.down))
        let fraction = Float(position - Double(first))
        if first < 0 { return Taps(first: 0, weights: [1]) }
        if first >= old - 1 { return Taps(first: old - 1, weights: [1]) }
        return Taps(first: first, weights: [1 - fraction, fraction])
    }
}

/// The old pixels whose centres a new pixel covers (at least the one under its own centre), and its centre among them.
private struct Coverage {
    let pixels: ClosedRange<Int>
    let centre: Double

    init(of index: Int, from old: Int, to new: Int) {
        centre = (Double(index) + 0.5) * Double(old) / Double(new) - 0.5
        let nearest = (2 * index + 1) * old / (2 * new)
        // Centre c + 1/2 lies in [index * old / new, (index + 1) * old / new).
        let first = (2 * index * old + new - 1) / (2 * new)
        let last = (2 * (index + 1) * old - new + 2 * new - 1) / (2 * new) - 1
        pixels = min(first, nearest)...max(min(last, old - 1), nearest)
    }
}
