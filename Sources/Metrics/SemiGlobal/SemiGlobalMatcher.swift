import Basics

/// Semi-global matching: disparities of a rectified pair without learning, the classical answer that a learned one has to
/// be compared with.
///
/// 1. Census: 62 bits a pixel say which of its 9x7 neighbours are darker (grey values; rows and columns beyond the border
///    repeat it). The cost of a disparity is the number of bits in which left(x) and right(x − d) differ.
/// 2. Along 8 paths to each pixel p, from its neighbour q on the path:
///    L(p, d) = C(p, d) + min(L(q, d), L(q, d ± 1) + P₁, minₖ L(q, k) + P₂) − minₖ L(q, k). S is the sum over paths.
/// 3. The least S over d gives the left map, the least S(x + d, d) the right one (ties: the smaller d); a parabola through
///    the neighbouring levels gives the fraction.
/// 4. A pixel has no disparity where another level, not a neighbour of the best, is within `uniquenessPercent`, where the
///    other view's map disagrees by more than `maximumDifference`, or where it lies in a patch of fewer than
///    `smallestPatch` pixels. A median over 3x3 known pixels comes before that last check.
///
/// Work: for H · W pixels and D levels some 20 operations on 64-bit words and 8 · 10 on bytes for each of H · W · D cells, most
/// of them 16 at a time; memory H · W · D · 3 bytes (a byte of cost and two of sums), each read twice and written twice at
/// most. One thread. Integers only up to the fraction: the same result everywhere.
///
/// **Source:** Hirschmüller, Stereo Processing by Semiglobal Matching and Mutual Information (PAMI 2008), with the census
/// cost of Zabih and Woodfill (ECCV 1994).
public struct SemiGlobalMatcher: Sendable {
    public struct Options: Sendable, Equatable {
        /// The smallest disparity in pixels.
        public var lowest: Int
        /// How many disparities, `lowest` … `lowest + levels − 1`; a multiple of 16.
        public var levels: Int
        /// P₁: of a step by one level.
        public var smallPenalty = 12
        /// P₂: of any larger step.
        public var largePenalty = 160
        public var uniquenessPercent = 5
        public var maximumDifference: Float = 1
        public var smallestPatch = 60

        public init(lowest: Int, levels: Int) {
            self.lowest = lowest
            self.levels = levels
        }

        /// From a sixteenth of the width behind the screen to three sixteenths in front of it at least: films have both
        /// signs, cameras of cars positive disparities up to a fifth of the width.
        public static func forWidth(_ width: Int) -> Options {
            let lowest = -((width + 15) / 16)
            return Options(lowest: lowest, levels: (width / 5 - lowest + 16) / 16 * 16)
        }
    }

    public let options: Options

    public init(_ options: Options) {
        precondition(
            options.levels > 0 && options.levels % 16 == 0 && options.levels <= 4096 && abs(options.lowest) <= 1 << 16,
            "SemiGlobalMatcher: \(options.levels) levels from \(options.lowest)")
        precondition(
            0 <= options.smallPenalty && options.smallPenalty <= options.largePenalty
                && Census.bits + options.largePenalty + options.smallPenalty <= 255,
            "SemiGlobalMatcher: penalties \(options.smallPenalty), \(options.largePenalty)")
        precondition((0..<100).contains(options.uniquenessPercent), "uniqueness \(options.uniquenessPercent) %")
        self.options = options
    }

    /// Disparities of both views' pixels, float32 `[H, W, 1]`; NaN where there is none.
    public func match(
        left: PixelArray, right: PixelArray
    ) throws(MetricError) -> (left: PixelArray, right: PixelArray) {
        try checkPictures(left, right)
        let (height, width) = (left.height, left.width)
        guard height > 0, width > 0 else { return (left, right) }
        let costs = Census.costs(left: grey(left), right: grey(right), height: height, width: width, options)
        let volume = PathSums(height: height, width: width, options: options)
        var maps = volume.maps(costs)
        for index in maps.indices { maps[index] = DisparityFilters.median(maps[index], height: height, width: width) }
        let agreed = [
            DisparityFilters.agreeing(
                maps[0], with: maps[1], sign: -1, within: options.maximumDifference, height: height, width: width),
            DisparityFilters.agreeing(
                maps[1], with: maps[0], sign: 1, within: options.maximumDifference, height: height, width: width),
        ].map {
            PixelArray(
                height: height, width: width, channels: 1,
                floats: DisparityFilters.withoutSpeckles(
                    $0, smallest: options.smallestPatch, height: height, width: width))
        }
        return (agreed[0], agreed[1])
    }

    /// Grey values 0…255: (77 R + 150 G + 29 B) / 256 of three channels, the first of any other number.
    private func grey(_ picture: PixelArray) -> [UInt8] {
        let channels = picture.channels
        let bytes: [UInt8] =
            switch picture.element {
            case .uint8: picture.bytes
            case .uint16: picture.withUInt16s { $0.map { UInt8($0 >> 8) } }
            case .float32: picture.withFloats { $0.map { UInt8(min(max($0 * 255, 0), 255)) } }
            }
        guard channels != 1 else { return bytes }
        return (0..<picture.height * picture.width).map { pixel in
            let at = pixel * channels
            guard channels == 3 else { return bytes[at] }
            let sum: Int = 77 * Int(bytes[at]) + 150 * Int(bytes[at + 1]) + 29 * Int(bytes[at + 2])
            return UInt8(sum >> 8)
        }
    }
}
