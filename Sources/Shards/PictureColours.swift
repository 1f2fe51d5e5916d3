import Basics
import CFilters

/// Changes of pictures' colours and cuts with enlargement, on floats in 0…1.
public enum PictureColours {
    /// What `change` does, in this order; the result of each is clipped to 0…1.
    public struct Change: Sendable, Equatable {
        /// mean + contrast · (value − mean), where mean is the picture's mean gray.
        public var contrast: Float = 1
        /// Factor on the distance from the pixel's gray.
        public var saturation: Float = 1
        /// What is added to the hue, −0.5…0.5 of the circle.
        public var hue: Float = 0
        public var gains = SIMD3<Float>(repeating: 1)
        /// Channel k of the result is channel order[k].
        public var order = SIMD3<UInt8>(0, 1, 2)
        /// Standard deviation of what is added.
        public var noise: Float = 0
        public var noiseKey: UInt32 = 0

        public init() {}

        public var isNothing: Bool {
            contrast == 1 && saturation == 1 && hue == 0 && gains == SIMD3(repeating: 1)
                && order == SIMD3<UInt8>(0, 1, 2) && noise == 0
        }
    }

    /// Changes `[pixels, 3]` in place.
    public static func change(_ values: UnsafeMutableBufferPointer<Float>, by change: Change) {
        self.change(values, by: change, level: cf_best_level())
    }

    /// `level`: of CFilters; all levels give the same bits.
    static func change(_ values: UnsafeMutableBufferPointer<Float>, by change: Change, level: Int32) {
        let pixels = values.count / 3
        guard let filters = cf_filters(level), let base = values.baseAddress, pixels > 0, !change.isNothing else {
            return
        }
        precondition(values.count == 3 * pixels && pixels < 1 << 30, "\(values.count) values are no picture")
        var colour = colour(change)
        if change.contrast != 1 { colour.mean = Float(filters.pointee.gray_sum(base, pixels) / Double(pixels)) }
        filters.pointee.colour(&colour, base, pixels)
    }

    private static func colour(_ change: Change) -> cf_colour {
        cf_colour(
            contrast: change.contrast, mean: 0, saturation: change.saturation, turn: 6 * change.hue,
            gain: (change.gains.x, change.gains.y, change.gains.z),
            order: (change.order.x, change.order.y, change.order.z), noise: change.noise, noise_key: change.noiseKey)
    }

    /// Where the rows of a picture of bytes lie.
    public struct Layout: Sendable, Equatable {
        public let height: Int
        public let width: Int
        /// 1 or 3.
        public let channels: Int
        /// Bytes from one row to the next.
        public let stride: Int

        public init(height: Int, width: Int, channels: Int, stride: Int) {
            precondition(
                height > 0 && width > 0 && width < 1 << 30 && (channels == 1 || channels == 3)
                    && stride >= width * channels, "a picture \(height)x\(width)x\(channels), rows of \(stride)")
            self.height = height
            self.width = width
            self.channels = channels
            self.stride = stride
        }

        var byteCount: Int { (height - 1) * stride + width * channels }
    }

    /// Values of bytes that nothing has changed: v / 255, of every channel.
    public static let plainTable: [Float] = (0..<768).map { Float($0 % 256) / 255 }

    /// Bytes → `[height, width, 3]` floats, each row with its changes at once, while it is in cache.
    /// - Parameters:
    ///   - bytes: from the first row on.
    ///   - table: what value v of channel k becomes, at 256 · k + v; nil is v / 255.
    ///   - change: what happens then; contrast, which needs the mean of all, must have gone into the table (`meanGray`).
    public static func expand(
        _ bytes: UnsafeRawBufferPointer, _ layout: Layout, isMirrored: Bool, table: [Float]?, change: Change,
        into target: UnsafeMutableBufferPointer<Float>
    ) {
        expand(
            bytes, layout, isMirrored: isMirrored, table: table, change: change, into: target, level: cf_best_level())
    }

    static func expand(
        _ bytes: UnsafeRawBufferPointer, _ layout: Layout, isMirrored: Bool, table: [Float]?, change: Change,
        into target: UnsafeMutableBufferPointer<Float>, level: Int32
    ) {
        guard let filters = cf_filters(level), let out = target.baseAddress, let source = bytes.baseAddress else {
            return
        }
        precondition(
            bytes.count >= layout.byteCount && target.count == 3 * layout.height * layout.width
                && change.contrast == 1 && table?.count ?? 768 == 768,
            "\(bytes.count) bytes, \(target.count) floats, contrast \(change.contrast)")
        var rows = cf_layout(
            height: layout.height, width: layout.width, channels: layout.channels, stride: layout.stride,
            is_mirrored: isMirrored ? 1 : 0)
        var colour = colour(change)
        withUnsafeTemporaryAllocation(of: Float.self, capacity: cf_picture_scratch(layout.width)) { scratch in
            guard let scratch = scratch.baseAddress else { return }
            let picture = source.assumingMemoryBound(to: UInt8.self)
            func run(_ table: UnsafePointer<Float>?) {
                filters.pointee.picture8(picture, &rows, table, &colour, out, scratch)
            }
            guard let table else { return run(nil) }
            table.withUnsafeBufferPointer { run($0.baseAddress) }
        }
    }

    /// Mean gray of a picture whose bytes go through `table`.
    public static func meanGray(_ bytes: UnsafeRawBufferPointer, _ layout: Layout, table: [Float]?) -> Double {
        meanGray(bytes, layout, table: table, level: cf_best_level())
    }

    static func meanGray(
        _ bytes: UnsafeRawBufferPointer, _ layout: Layout, table: [Float]?, level: Int32
    ) -> Double {
        guard let filters = cf_filters(level), let source = bytes.baseAddress else { return 0 }
        precondition(bytes.count >= layout.byteCount && table?.count ?? 768 == 768, "\(bytes.count) bytes")
        var rows = cf_layout(
            height: layout.height, width: layout.width, channels: layout.channels, stride: layout.stride,
            is_mirrored: 0)
        let picture = source.assumingMemoryBound(to: UInt8.self)
        guard let table else { return filters.pointee.gray8(picture, &rows, nil) }
        return table.withUnsafeBufferPointer { filters.pointee.gray8(picture, &rows, $0.baseAddress) }
    }

    /// A cut out of a picture, enlarged or turned.
    public struct Window: Sendable, Equatable {
        public var height = 0
        public var width = 0
        public var sourceHeight = 0
        public var sourceWidth = 0
        /// Centre of the cut in the source; pixel i covers i … i + 1.
        public var centerY = 0.0
        public var centerX = 0.0
        /// Steps in the source for one pixel to the right; one down is (stepX, −stepY).
        public var stepY = 0.0
        public var stepX = 0.0
        public var isMirrored = false

        public init() {}
    }

    /// `[sourceHeight, sourceWidth, 3]` uint8 → `[height, width, 3]` in 0…1, bilinear; borders are repeated.
    /// - Parameter table: what takes the place of v / 255, as in `expand`.
    public static func cut(
        _ picture: UnsafeRawBufferPointer, _ window: Window, table: UnsafeBufferPointer<Float>? = nil,
        into target: UnsafeMutableBufferPointer<Float>
    ) {
        cut(picture, window, table: table, into: target, level: cf_best_level())
    }

    static func cut(
        _ picture: UnsafeRawBufferPointer, _ window: Window, table: UnsafeBufferPointer<Float>? = nil,
        into target: UnsafeMutableBufferPointer<Float>, level: Int32
    ) {
        guard let filters = cf_filters(level), let source = picture.baseAddress, let out = target.baseAddress else {
            return
        }
        precondition(
            picture.count == 3 * window.sourceHeight * window.sourceWidth
                && target.count == 3 * window.height * window.width && window.sourceWidth < 1 << 30
                && table?.count ?? 768 == 768,
            "\(picture.count) bytes, \(target.count) floats")
        var place = cf_window(
            center_y: window.centerY, center_x: window.centerX, step_x: window.stepX, step_y: window.stepY,
            source_height: window.sourceHeight, source_width: window.sourceWidth, height: window.height,
            width: window.width, is_mirrored: window.isMirrored ? 1 : 0)
        withUnsafeTemporaryAllocation(
            of: Float.self, capacity: cf_window_scratch(window.sourceWidth, window.width)
        ) { scratch in
            guard let scratch = scratch.baseAddress else { return }
            filters.pointee.window8(
                source.assumingMemoryBound(to: UInt8.self), &place, table?.baseAddress, out, scratch)
        }
    }
}
