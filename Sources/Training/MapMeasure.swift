import Metrics
import Models
import Streaming
import Tensors

/// How a map is measured against the truth of a batch, by its kind.
struct MapMeasure {
    let map: NetworkResult.Map
    /// Names of what is measured.
    let columns: [String]

    /// Nil for a map without truth.
    init?(_ map: NetworkResult.Map) {
        guard map.truth != nil else { return nil }
        self.map = map
        columns =
            switch map.kind {
            case .view: [map.eye.map { "mae_\($0.rawValue)" } ?? "mae"]
            case .disparity: ["epe"]
            case .depth: ["depth_abs_rel", "depth_rmse", "depth_a1"]
            case .relativeDepth: ["depth_iou", "depth_rmse"]
            case .mask: ["mask_iou", "mask_rmse"]
            }
    }

    /// Largest depth that counts, metres.
    static let depthCap = 80.0

    /// - Parameters:
    ///   - found: the network's map of one sample, in its own encoding.
    ///   - truth: the field's values of that sample, as records have them; NaN = unknown.
    /// - Returns: values in the order of `columns`, NaN where nothing is known.
    func measure(_ found: TensorView, truth: UnsafeBufferPointer<Float>) -> [Double] {
        precondition(truth.count == found.count, "\(map.output) \(found.shape) against \(truth.count) values")
        switch map.kind {
        case .view:
            var sum = 0.0
            for i in 0..<found.count { sum += abs(Double(value(found, i)) - Double(truth[i])) }
            return [sum / Double(found.count)]
        case .disparity:
            var (sum, count) = (0.0, 0)
            for i in 0..<found.count where truth[i].isFinite {
                sum += abs(Double(value(found, i)) - Double(truth[i]))
                count += 1
            }
            return [count > 0 ? sum / Double(count) : .nan]
        case .depth:
            let sums = decoded(found).withUnsafeBufferPointer {
                DepthProtocol(maximumMetres: Self.depthCap)
                    .measure(prediction: $0, truth: truth, height: 1, width: truth.count).sums
            }
            return ["abs_rel", "rmse", "a1"].map { sums[$0] ?? .nan }
        case .relativeDepth, .mask:
            let sums = decoded(found).withUnsafeBufferPointer { MaskSums(prediction: $0, truth: truth) }
            return ["iou", "rmse"].map { sums[$0] ?? .nan }
        }
    }

    private func value(_ found: TensorView, _ index: Int) -> Float {
        map.encoding == .plain
            ? found.base[index] : map.encoding.decoded(found.base[index], channel: index % map.channels)
    }

    private func decoded(_ found: TensorView) -> [Float] { map.decoded(found) }
}

extension NetworkResult.Map {
    /// Values of an output as records have them.
    func decoded(_ found: TensorView) -> [Float] {
        if encoding == .plain { return Array(found.buffer) }
        return (0..<found.count).map { encoding.decoded(found.base[$0], channel: $0 % channels) }
    }
}
