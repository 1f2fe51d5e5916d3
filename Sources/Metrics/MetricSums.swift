import Basics

/// Sums over pixels from which a family of metrics is derived. One image gives one value; adding values of several
/// images gives the pooled one, in which every pixel counts alike.
public protocol MetricSums: Sendable, Equatable {
    /// Zero pixels.
    init()
    static func += (total: inout Self, other: Self)
    /// Names of the metrics in the order of `values`, fit for CSV columns and JSON keys.
    static var names: [String] { get }
    /// The metrics; NaN where no pixel was measured.
    var values: [Double] { get }
    /// Pixels that have a known truth. An image without any says nothing and is left out of means.
    var validCount: Int { get }
}

extension MetricSums {
    /// The value of the metric of that name; nil if this family has no such metric.
    public subscript(name: String) -> Double? {
        Self.names.firstIndex(of: name).map { values[$0] }
    }
}

/// Metrics of a set of images: the mean over images of per-image values (what leaderboards and papers print), and the
/// values pooled over all pixels.
///
/// Images without any known truth are counted in `skippedImageCount` and left out. An image that has truth but no
/// usable prediction has NaN metrics, and so has then the mean: a diverged network must not look good by omission.
public struct MetricAverage<Sums: MetricSums>: Sendable, Equatable {
    /// Images that entered the mean.
    public private(set) var imageCount = 0
    /// Images without a pixel of known truth.
    public private(set) var skippedImageCount = 0
    /// Sums over the pixels of all images.
    public private(set) var pooled = Sums()
    private var totals: [Double]

    public init() { totals = [Double](repeating: 0, count: Sums.names.count) }

    /// Takes in one image.
    public mutating func add(_ image: Sums) {
        guard image.validCount > 0 else {
            skippedImageCount += 1
            return
        }
        imageCount += 1
        pooled += image
        for (index, value) in image.values.enumerated() { totals[index] += value }
    }

    /// Takes in what another average has seen, e.g. another rank's or worker's part.
    public mutating func merge(_ other: Self) {
        imageCount += other.imageCount
        skippedImageCount += other.skippedImageCount
        pooled += other.pooled
        for (index, total) in other.totals.enumerated() { totals[index] += total }
    }

    /// Mean over images of each metric, in the order of `Sums.names`; NaN without images.
    public var mean: [Double] { totals.map { $0 / Double(imageCount) } }

    /// The mean of the metric of that name; nil if this family has no such metric.
    public subscript(name: String) -> Double? {
        Sums.names.firstIndex(of: name).map { mean[$0] }
    }
}

/// What can be wrong with two maps that are to be compared.
public enum MetricError: ExitCoding, Equatable {
    case sizesDiffer(what: String, found: [Int], expected: [Int])
    case notFloat(what: String, found: String)
    case elementsDiffer(found: String, expected: String)

    public var exitCode: ExitCode { .badData }

    public var description: String {
        switch self {
        case .sizesDiffer(let what, let found, let expected):
            return "\(what): is \(Self.text(found)), but \(Self.text(expected)) (height x width x channels) is needed; "
                + "compare maps of one size"
        case .notFloat(let what, let found):
            return "\(what): has \(found) elements, but float32 is needed; convert it to pixels or metres first"
        case .elementsDiffer(let found, let expected):
            return "picture: has \(found) samples, but \(expected) is needed; compare pictures of one type"
        }
    }

    private static func text(_ size: [Int]) -> String { size.map(String.init).joined(separator: "x") }
}

/// Checks that a prediction and its truth are float maps of one channel and one size.
func checkMaps(_ what: String, _ prediction: PixelArray, _ truth: PixelArray) throws(MetricError) {
    for (name, map) in [("\(what) prediction", prediction), ("\(what) truth", truth)] {
        if map.element != .float32 { throw .notFloat(what: name, found: map.element.name) }
    }
    let expected = [truth.height, truth.width, 1]
    for (name, map) in [("\(what) truth", truth), ("\(what) prediction", prediction)] {
        let found = [map.height, map.width, map.channels]
        if found != expected { throw .sizesDiffer(what: name, found: found, expected: expected) }
    }
}

/// Numbers that always fit into an average: NaN if nothing was counted.
func quotient(_ sum: Double, _ count: Int) -> Double { count == 0 ? .nan : sum / Double(count) }
