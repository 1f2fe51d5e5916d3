import Basics
import Metrics
import Models

extension Evaluation {
    /// Depth in metres over all records, beside the constant that fits each image best.
    struct MeasuredDepth {
        private var network = MetricAverage<DepthSums>()
        private var constant = MetricAverage<DepthSums>()

        mutating func add(_ map: PixelArray, truth: PixelArray, _ rules: DepthProtocol) throws -> DepthSums {
            let sums = try rules.measure(prediction: map, truth: truth).sums
            network.add(sums)
            let best = Baselines.constantMap(
                try Baselines.bestConstantDisparity(truth: truth), height: truth.height, width: truth.width)
            constant.add(try rules.measure(prediction: best, truth: truth).sums)
            return sums
        }

        func table(_ source: String, _ options: Options) -> Table? {
            if network.imageCount == 0 { return nil }
            return Table(
                title: "depth, cap \(options.capMetres) m, crop \(options.crop.rawValue)"
                    + (options.scalesByMedian ? ", median-scaled" : ""),
                imageCount: network.imageCount,
                rows: [
                    Evaluation.row(source, network),
                    Row(
                        name: source + ", all pixels alike", values: Array(zip(DepthSums.names, network.pooled.values))),
                    Evaluation.row("best constant", constant),
                ])
        }
    }

    /// A map in 0…1 over all records, beside an empty one and the mean of each image's truth.
    struct MeasuredMask {
        private var network = MetricAverage<MaskSums>()
        private var empty = MetricAverage<MaskSums>()
        private var constant = MetricAverage<MaskSums>()

        mutating func add(_ map: PixelArray, truth: PixelArray) throws -> MaskSums {
            let sums = try MaskSums(prediction: map, truth: truth)
            network.add(sums)
            let known = truth.withFloats { $0.filter(\.isFinite) }
            let mean = known.isEmpty ? 0 : known.reduce(0.0) { $0 + Double($1) } / Double(known.count)
            for (value, path) in [(0, \MeasuredMask.empty), (mean, \.constant)] {
                let flat = Baselines.constantMap(value, height: truth.height, width: truth.width)
                self[keyPath: path].add(try MaskSums(prediction: flat, truth: truth))
            }
            return sums
        }

        func table(_ title: String, _ source: String) -> Table? {
            if network.imageCount == 0 { return nil }
            return Table(
                title: title, imageCount: network.imageCount,
                rows: [
                    Evaluation.row(source, network), Evaluation.row("empty", empty),
                    Evaluation.row("best constant", constant),
                ])
        }

        /// Mean over images; nil without any.
        var iou: Double? { network.imageCount == 0 ? nil : network["iou"] }
        var imageCount: Int { network.imageCount }
    }

    /// A record's map as floats: float32 as it is, bytes in 0…1; nil if there is none of one channel.
    static func truth(_ record: Record, _ field: String) -> PixelArray? {
        guard let array = record[field], array.channels == 1 else { return nil }
        let floats: [Float] =
            switch array.element {
            case .float32: array.withFloats { Array($0) }
            case .uint8: array.bytes.map { Float($0) / 255 }
            case .uint16: array.withUInt16s { $0.map { Float($0) / 65535 } }
            }
        return PixelArray(height: array.height, width: array.width, channels: 1, floats: floats)
    }
}
