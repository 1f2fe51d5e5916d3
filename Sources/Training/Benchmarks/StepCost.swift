import Basics

/// Time of a training step as a sum of terms that `StepWork` gives, each times a coefficient of this machine.
public struct StepCost: Sendable {
    public struct Term: Sendable {
        public let name: String
        /// What is counted.
        public let unit: String
        public let count: @Sendable (StepWork) -> Double
    }

    /// Arithmetic, memory, what every node costs whatever its size, and what every parameter costs whatever the batch.
    public static let terms: [Term] = [
        Term(name: "products", unit: "multiply-add") { $0.multiplyAdds },
        Term(name: "tensors", unit: "byte") { $0.bytes },
        Term(name: "nodes", unit: "node") { Double($0.nodeCount) },
        Term(name: "optimizer", unit: "byte") { $0.optimizerBytes },
    ]

    /// Seconds per unit, in the order of `terms`; 0 where a term explains nothing that others do not.
    public let coefficients: [Double]

    public init(coefficients: [Double]) {
        precondition(coefficients.count == Self.terms.count, "\(coefficients.count) coefficients")
        self.coefficients = coefficients
    }

    /// The coefficients with the smallest relative errors on measured steps.
    /// - Throws: `Failure` (usage) if there are fewer points than terms.
    public init(fitting points: [(work: StepWork, seconds: Double)]) throws {
        guard points.count >= Self.terms.count else {
            throw Failure(.usage, "\(points.count) points for \(Self.terms.count) terms; measure more of them")
        }
        self.init(
            coefficients: NonnegativeFit.relative(
                rows: points.map { Self.counts($0.work) }, values: points.map(\.seconds)))
    }

    public func seconds(_ work: StepWork) -> Double {
        zip(coefficients, Self.counts(work)).reduce(0) { $0 + $1.0 * $1.1 }
    }

    private static func counts(_ work: StepWork) -> [Double] { terms.map { $0.count(work) } }
}

/// Points at which steps are measured: three curves around one base.
public struct ScalingPoint: Sendable, Hashable {
    public let batch: Int
    public let height: Int
    public let width: Int
    /// The network's setting `width`; nil for networks without one.
    public let channels: Int?

    /// Batch, size and width one after the other, each point once.
    public static func curves(hasWidth: Bool, channels: Int, quick: Bool) -> [ScalingPoint] {
        let batches = quick ? [1, 2, 4] : [1, 2, 4, 6, 12]
        let sizes = [(96, 160), (128, 224), (192, 336), (256, 448), (384, 672)].prefix(quick ? 3 : 5)
        let widths = !hasWidth ? [] : quick ? [16, 48] : [16, 32, 48, 64]
        let base = hasWidth ? channels : nil
        let all =
            batches.map { ScalingPoint(batch: $0, height: 96, width: 160, channels: base) }
            + sizes.map { ScalingPoint(batch: 2, height: $0.0, width: $0.1, channels: base) }
            + widths.map { ScalingPoint(batch: 2, height: 96, width: 160, channels: $0) }
        var seen = Set<ScalingPoint>()
        return all.filter { seen.insert($0).inserted }
    }

    public init(batch: Int, height: Int, width: Int, channels: Int?) {
        self.batch = batch
        self.height = height
        self.width = width
        self.channels = channels
    }
}
