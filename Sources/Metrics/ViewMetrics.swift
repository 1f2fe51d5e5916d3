import Basics
import Glibc

/// Errors of a synthesised view, `[H, W, C]`.
///
/// * `mae`: mean |p − g| over pixels and channels, always in units of 0…255.
/// * `psnr`: 10 log₁₀(peak² / mean (p − g)²) in decibel; +∞ for equal pictures.
/// * `ssim`: structural similarity with a Gaussian window of 11 taps, σ = 1.5, K₁ = 0.01, K₂ = 0.03, population
///   covariance, averaged over the positions where the window lies inside the picture (so 5 pixels from each edge are
///   left out) and over channels. The same as scikit-image's `structural_similarity(gaussian_weights=True, sigma=1.5,
///   use_sample_covariance=False)`. NaN for pictures smaller than 11x11.
///
/// **Source:** Wang et al., Image Quality Assessment (IEEE TIP 2004), section III.B (ssim).
public struct ViewSums: MetricSums {
    /// Samples (pixels × channels) compared.
    public private(set) var validCount = 0
    private var absoluteSum = 0.0
    private var squaredSum = 0.0
    private var similaritySum = 0.0
    private var similarityCount = 0

    public init() {}

    /// Compares two pictures `[H, W, C]`, interleaved, with samples in 0…peak.
    /// - Parameter columns: the part to be compared as if both pictures were cut to it; nil is all. Used to leave out
    ///   the band that no disparity can fill.
    public init(
        prediction: UnsafeBufferPointer<Float>, truth: UnsafeBufferPointer<Float>, height: Int, width: Int,
        channels: Int, peak: Double = 255, columns: Range<Int>? = nil
    ) {
        let columns = columns ?? 0..<width
        precondition(
            prediction.count == height * width * channels && truth.count == prediction.count,
            "ViewSums: \(prediction.count) and \(truth.count) samples for \(height)x\(width)x\(channels)")
        precondition(
            columns.lowerBound >= 0 && columns.upperBound <= width, "ViewSums: columns \(columns) of width \(width)")
        for row in 0..<height {
            let start = row * width * channels
            for index in start + columns.lowerBound * channels..<start + columns.upperBound * channels {
                let error = abs(Double(prediction[index]) - Double(truth[index]))
                absoluteSum += error
                squaredSum += error * error
            }
        }
        validCount = height * columns.count * channels
        // Stored in units of 0…1 so that pictures of unlike peaks can be pooled.
        absoluteSum /= peak
        squaredSum /= peak * peak
        for channel in 0..<channels {
            let (sum, count) = structuralSimilarity(
                prediction, truth, height: height, width: width, channels: channels, channel: channel, columns: columns,
                peak: peak)
            similaritySum += sum
            similarityCount += count
        }
    }

    /// Compares two pictures of one size and element type: uint8 (0…255), uint16 (0…65535) or float32 (0…`floatPeak`).
    public init(
        prediction: PixelArray, truth: PixelArray, floatPeak: Double = 1, columns: Range<Int>? = nil
    ) throws(MetricError) {
        try checkPictures(prediction, truth)
        let peak = truth.element == .uint8 ? 255 : truth.element == .uint16 ? 65535 : floatPeak
        self = samples(of: prediction).withUnsafeBufferPointer { p in
            samples(of: truth).withUnsafeBufferPointer {
                Self(
                    prediction: p, truth: $0, height: truth.height, width: truth.width, channels: truth.channels,
                    peak: peak, columns: columns)
            }
        }
    }

    public static func += (total: inout Self, other: Self) {
        total.validCount += other.validCount
        total.absoluteSum += other.absoluteSum
        total.squaredSum += other.squaredSum
        total.similaritySum += other.similaritySum
        total.similarityCount += other.similarityCount
    }

    public static let names = ["mae", "psnr", "ssim"]

    public var values: [Double] { [mae, psnr, ssim] }

    public var mae: Double { 255 * quotient(absoluteSum, validCount) }
    public var psnr: Double { -10 * log10(quotient(squaredSum, validCount)) }
    public var ssim: Double { quotient(similaritySum, similarityCount) }
}

/// Checks that two pictures have one size and one element type.
func checkPictures(_ prediction: PixelArray, _ truth: PixelArray) throws(MetricError) {
    let found = [prediction.height, prediction.width, prediction.channels]
    let expected = [truth.height, truth.width, truth.channels]
    if found != expected { throw .sizesDiffer(what: "picture", found: found, expected: expected) }
    if prediction.element != truth.element {
        throw .elementsDiffer(found: prediction.element.name, expected: truth.element.name)
    }
}

/// The samples of a picture as floats, unscaled (uint16 is exact in a float).
func samples(of picture: PixelArray) -> [Float] {
    switch picture.element {
    case .uint8: picture.bytes.map(Float.init)
    case .uint16: picture.withUInt16s { $0.map(Float.init) }
    case .float32: picture.withFloats { Array($0) }
    }
}
