import Basics
import Execution
import FrameSources
import Kernels
import Models
import Shards
import Tensors

/// Uses a trained network on stereo pairs of any size: pictures are resized to the network's size, maps back to the
/// pictures', disparities scaled with the width.
public final class Predictor {
    /// What a network says about one pair.
    public struct Prediction: Sendable {
        /// Disparity per eye whose pixels it lives in, float32, pixels of the picture's own width, positive = nearer.
        public let disparities: [(eye: Eye, map: PixelArray)]
        /// Rebuilt views, 8 bits, at the picture's own size.
        public let reconstructions: [(eye: Eye, picture: PixelArray)]
        /// Mean absolute error 0…1 of each rebuilt view at the network's size.
        public let errors: [(eye: Eye, value: Double)]
    }

    public let height: Int
    public let width: Int
    private let network: any Network
    private let graph: NetworkGraph
    private let executor: Executor

    /// - Parameter size: the size at which the network runs: nil is what it was trained on.
    /// - Throws: `Failure` (usage) if no size is known, (bad data) if it does not fit the network.
    public init(_ trained: TrainedNetwork, size: (height: Int, width: Int)?, kernels: KernelContext) throws {
        guard let size = size ?? trained.trainingSize else {
            throw Failure(.usage, "the weights do not say at which size they were trained; give --size HxW")
        }
        (height, width) = size
        network = trained.network
        graph = try NetworkGraph(trained.network, .prediction, batch: 1, height: size.height, width: size.width)
        executor = Executor(
            graph.graph,
            memory: .inference(parameters: trained.state.parameterArena, statistics: trained.state.inferenceStatistics, areConstant: true),
            kernels: kernels)
    }

    /// - Parameter record: holds the fields that the network reads, uint8 or uint16, 1 or 3 channels, all of one size.
    /// - Throws: `Failure` (bad data) naming the record.
    public func predict(_ record: Record) throws -> Prediction {
        var own: (height: Int, width: Int)?
        for input in network.inputs {
            guard let picture = record[input.field] else {
                throw Failure(.badData, "\(record.key): has no \(input.field) view; this network needs both")
            }
            if let own, own != (picture.height, picture.width) {
                throw Failure(
                    .badData,
                    "\(record.key): views differ in size, \(own.height)x\(own.width) and "
                        + "\(picture.height)x\(picture.width); give views of one size")
            }
            own = (picture.height, picture.width)
            guard picture.element != .float32, picture.channels == 1 || picture.channels == 3 else {
                throw Failure(
                    .badData,
                    "\(record.key): \(input.field) has \(picture.channels) channels of "
                        + "\(picture.element.name); give 8- or 16-bit gray or RGB")
            }
            let fitted = Resizing.area(picture, height: height, width: width)
            guard let view = executor.input(input.field) else { continue }
            fitted.bytes.withUnsafeBytes {
                PictureFloats.expand($0, fitted.element, channels: fitted.channels, into: view.buffer)
            }
        }
        guard let own else { preconditionFailure("a network without inputs") }
        executor.run(.deterministic)

        let disparities = graph.maps.compactMap { map -> (eye: Eye, map: PixelArray)? in
            guard map.kind == .disparity, let view = executor.output(map.output) else { return nil }
            let values = MapScaling.bilinear(
                view.buffer, height: height, width: width, to: own.height, own.width,
                factor: Float(own.width) / Float(width))
            return (map.eye, PixelArray(height: own.height, width: own.width, channels: 1, floats: values))
        }
        var reconstructions: [(eye: Eye, picture: PixelArray)] = []
        var errors: [(eye: Eye, value: Double)] = []
        for reconstruction in graph.reconstructions {
            guard let view = executor.output(reconstruction.output) else { continue }
            let picture = PixelArray(
                height: height, width: width, channels: 3, element: .uint8,
                bytes: view.buffer.map { UInt8(max(0, min(255, $0 * 255 + 0.5))) })
            reconstructions.append(
                (reconstruction.eye, Resizing.area(picture, height: own.height, width: own.width)))
            if let target = executor.input(reconstruction.eye.rawValue), target.count == view.count {
                let sum = (0..<view.count).reduce(0.0) { $0 + abs(Double(view.base[$1]) - Double(target.base[$1])) }
                errors.append((reconstruction.eye, sum / Double(view.count)))
            }
        }
        return Prediction(disparities: disparities, reconstructions: reconstructions, errors: errors)
    }
}

/// Smooth maps at another size.
enum MapScaling {
    /// Linear interpolation between pixel centres, edges repeated; values times `factor`.
    static func bilinear(
        _ map: UnsafeMutableBufferPointer<Float>, height: Int, width: Int, to newHeight: Int, _ newWidth: Int,
        factor: Float
    ) -> [Float] {
        if height == newHeight && width == newWidth { return map.map { $0 * factor } }
        func taps(_ old: Int, _ new: Int) -> [(first: Int, second: Int, weight: Float)] {
            (0..<new).map { i in
                let center = (Double(i) + 0.5) * Double(old) / Double(new) - 0.5
                let clamped = min(max(center, 0), Double(old - 1))
                let first = Int(clamped)
                return (first, min(first + 1, old - 1), Float(clamped - Double(first)))
            }
        }
        let (rows, columns) = (taps(height, newHeight), taps(width, newWidth))
        var result = [Float](repeating: 0, count: newHeight * newWidth)
        for (y, row) in rows.enumerated() {
            let (upper, lower) = (row.first * width, row.second * width)
            for (x, column) in columns.enumerated() {
                let top = map[upper + column.first] * (1 - column.weight) + map[upper + column.second] * column.weight
                let bottom =
                    map[lower + column.first] * (1 - column.weight) + map[lower + column.second] * column.weight
                result[y * newWidth + x] = (top * (1 - row.weight) + bottom * row.weight) * factor
            }
        }
        return result
    }
}
