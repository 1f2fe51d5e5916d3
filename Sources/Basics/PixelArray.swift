/// A picture or a map in memory: `[height, width, channels]`, row-major, channels interleaved, native little-endian.
///
/// Units are those of the field that holds it: colour 0…255 (uint8) or 0…65535 (uint16), disparity in pixels of this
/// array's width (float32, NaN = unknown, positive = nearer), depth in metres (float32, NaN = unknown), masks 0…255.
public struct PixelArray: Sendable, Equatable {
    public let height: Int
    public let width: Int
    public let channels: Int
    public let element: ElementType
    /// `height * width * channels * element.byteCount` bytes.
    public var bytes: [UInt8]

    public init(height: Int, width: Int, channels: Int, element: ElementType, bytes: [UInt8]) {
        precondition(
            bytes.count == height * width * channels * element.byteCount,
            "PixelArray: \(bytes.count) bytes for \(height)x\(width)x\(channels) \(element.name)")
        self.height = height
        self.width = width
        self.channels = channels
        self.element = element
        self.bytes = bytes
    }

    public init(zerosOf height: Int, _ width: Int, _ channels: Int, _ element: ElementType) {
        self.init(
            height: height, width: width, channels: channels, element: element,
            bytes: [UInt8](repeating: 0, count: height * width * channels * element.byteCount))
    }

    public init(height: Int, width: Int, channels: Int, floats: [Float]) {
        self.init(
            height: height, width: width, channels: channels, element: .float32,
            bytes: floats.withUnsafeBytes { Array($0) })
    }

    public var count: Int { height * width * channels }

    public static func byteCount(height: Int, width: Int, channels: Int, element: ElementType) -> Int {
        height * width * channels * element.byteCount
    }

    /// Calls `body` with the elements as floats-in-memory. Requires `element == .float32`.
    public func withFloats<R>(_ body: (UnsafeBufferPointer<Float>) throws -> R) rethrows -> R {
        precondition(element == .float32, "withFloats on \(element.name)")
        return try bytes.withUnsafeBytes { try body($0.bindMemory(to: Float.self)) }
    }

    public mutating func withMutableFloats<R>(_ body: (UnsafeMutableBufferPointer<Float>) throws -> R) rethrows -> R {
        precondition(element == .float32, "withMutableFloats on \(element.name)")
        return try bytes.withUnsafeMutableBytes { try body($0.bindMemory(to: Float.self)) }
    }

    public func withUInt16s<R>(_ body: (UnsafeBufferPointer<UInt16>) throws -> R) rethrows -> R {
        precondition(element == .uint16, "withUInt16s on \(element.name)")
        return try bytes.withUnsafeBytes { try body($0.bindMemory(to: UInt16.self)) }
    }

    public mutating func withMutableUInt16s<R>(_ body: (UnsafeMutableBufferPointer<UInt16>) throws -> R) rethrows -> R {
        precondition(element == .uint16, "withMutableUInt16s on \(element.name)")
        return try bytes.withUnsafeMutableBytes { try body($0.bindMemory(to: UInt16.self)) }
    }
}

/// One sample of a data set: named arrays that belong together, e.g. `left`, `right` and `disparity` of a stereo pair.
public struct Record: Sendable, Equatable {
    public struct Field: Sendable, Equatable {
        public let name: String
        public let array: PixelArray

        public init(_ name: String, _ array: PixelArray) {
            self.name = name
            self.array = array
        }
    }

    /// Where the sample came from, unique within a data set, e.g. `000017_10` or `movie24_clips_500`.
    public let key: String
    /// In the order in which they are stored.
    public let fields: [Field]

    public init(key: String, fields: [Field]) {
        self.key = key
        self.fields = fields
    }

    public subscript(_ name: String) -> PixelArray? {
        fields.first { $0.name == name }?.array
    }
}

/// The field names that Vergence gives a meaning. Other names are stored and returned untouched.
public enum FieldName {
    public static let left = "left"
    public static let right = "right"
    /// Disparity of the left view's pixels: x_left − x_right, float32, NaN = unknown.
    public static let disparity = "disparity"
    /// Disparity of the right view's pixels, same sign convention.
    public static let disparityRight = "disparity_right"
    /// 255 where a pixel of the left view is also seen by the right view, 0 where it is not.
    public static let visible = "visible"
    /// The same for the right view's pixels.
    public static let visibleRight = "visible_right"
    /// The picture of a data set that has one view only.
    public static let image = "image"
    /// Metres, float32, NaN = unknown; without a unit 0…1, or 0…255 in 8 bits, as sets of overlaid pictures have it.
    public static let depth = "depth"
    /// 255 where the foreground is.
    public static let mask = "mask"
    /// The picture without its foreground.
    public static let background = "background"
    /// Numbers of things, 0 = background, uint8.
    public static let objects = "objects"
    /// Geometry of the rig: `[1, 1, 3]` float32: focal length (pixels of the stored width), baseline (metres), x of the
    /// right principal point minus that of the left (pixels). depth = focal · baseline / (disparity + offset).
    public static let calibration = "calibration"

    /// Pairs of fields of which one is to the left eye what the other is to the right eye.
    private static let pairs = [(left, right), (disparity, disparityRight), (visible, visibleRight)]

    /// 0 for a field of the left view, 1 for one of the right view, nil for others.
    public static func eye(of name: String) -> Int? {
        for pair in pairs {
            if name == pair.0 { return 0 }
            if name == pair.1 { return 1 }
        }
        return nil
    }

    /// The same of the other eye; the name itself where there is no other.
    public static func otherEye(_ name: String) -> String {
        for pair in pairs {
            if name == pair.0 { return pair.1 }
            if name == pair.1 { return pair.0 }
        }
        return name
    }
}
