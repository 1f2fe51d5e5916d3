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
        var colour = cf_colour()
        colour.contrast = change.contrast
        if change.contrast != 1 { colour.mean = Float(filters.pointee.gray_sum(base, pixels) / Double(pixels)) }
        colour.saturation = change.saturation
        colour.turn = 6 * change.hue
        colour.gain = (change.gains.x, change.gains.y, change.gains.z)
        colour.order = (change.order.x, change.order.y, change.order.z)
        colour.noise = change.noise
        colour.noise_key = change.noiseKey
        filters.pointee.colour(&colour, base, pixels)
    }

    /// `[pixels, channels]` uint8, channels = 1 or 3 → `[pixels, 3]`: value v of channel k becomes table[256 · k + v].
    public static func expand(
        _ picture: UnsafeRawBufferPointer, channels: Int, table: UnsafeBufferPointer<Float>,
        into target: UnsafeMutableBufferPointer<Float>
    ) {
        guard let filters = cf_filters(cf_best_level()), let source = picture.baseAddress, let out = target.baseAddress,
            let values = table.baseAddress
        else { return }
        let pixels = picture.count / channels
        precondition(
            channels == 1 || channels == 3, "pictures of \(channels) channels")
        precondition(target.count == 3 * pixels && table.count == 768, "\(picture.count) bytes, \(target.count) floats")
        filters.pointee.expand8_table(source.assumingMemoryBound(to: UInt8.self), pixels, channels, values, out)
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
