import Basics
import Execution
import FrameSources
import Kernels
import Models
import Shards
import Tensors

/// Uses a trained network on pictures of any size: they are resized to the network's size, maps back to the pictures',
/// disparities scaled with the width.
public final class Predictor {
    /// A map at the pictures' own size, float32, in the units of records: disparity in pixels of that width, depth in
    /// metres, the rest in 0…1; NaN where the network says nothing.
    public struct PredictedMap: Sendable {
        public let map: NetworkResult.Map
        public let array: PixelArray

        public init(map: NetworkResult.Map, array: PixelArray) {
            self.map = map
            self.array = array
        }
    }

    /// What a network says about one record.
    public struct Prediction: Sendable {
        /// All but views, in the network's order.
        public let maps: [PredictedMap]
        /// Rebuilt views, 8 bits, at the picture's own size.
        public let reconstructions: [(eye: Eye, picture: PixelArray)]
        /// Mean absolute error 0…1 of each rebuilt view at the network's size, where the record has the view.
        public let errors: [(eye: Eye, value: Double)]

        /// Disparity per eye whose pixels it lives in, positive = nearer.
        public var disparities: [(eye: Eye, map: PixelArray)] {
            maps.compactMap { found in
                found.map.kind == .disparity ? found.map.eye.map { ($0, found.array) } : nil
            }
        }
    }

    public let height: Int
    public let width: Int
    public let network: any Network
    private let graph: NetworkGraph
    private let executor: Executor
    private let kernels: KernelContext

    /// - Parameter size: the size at which the network runs: nil is what it was trained on.
    /// - Throws: `Failure` (usage) if no size is known, (bad data) if it does not fit the network.
    public init(_ trained: TrainedNetwork, size: (height: Int, width: Int)?, kernels: KernelContext) throws {
        guard let size = size ?? trained.network.fixedSize ?? trained.trainingSize else {
            throw Failure(.usage, "the weights do not say at which size they were trained; give --size HxW")
        }
        (height, width) = size
        network = trained.network
        self.kernels = kernels
        graph = try NetworkGraph(trained.network, .prediction, batch: 1, height: size.height, width: size.width)
        executor = Executor(
            graph.graph,
            memory: .inference(parameters: trained.state.parameterArena, statistics: trained.state.inferenceStatistics, areConstant: true),
            kernels: kernels)
    }

    /// What the network makes.
    public var maps: [NetworkResult.Map] { graph.maps }

    /// - Parameter record: holds the fields that the network reads, uint8 or uint16, 1 or 3 channels, all of one size.
    /// - Throws: `Failure` (bad data) naming the record.
    public func predict(_ record: Record) throws -> Prediction {
        var own: (height: Int, width: Int)?
        for input in network.inputs {
            guard let picture = input.streamed.candidates.lazy.compactMap({ record[$0] }).first else {
                throw Failure(
                    .badData,
                    "\(record.key): has no \(input.name) view; \(network.name) needs "
                        + network.inputs.map(\.name).joined(separator: " and "))
            }
            if let own, own != (picture.height, picture.width) {
                throw Failure(
                    .badData,
                    "\(record.key): views differ in size, \(own.height)x\(own.width) and "
                        + "\(picture.height)x\(picture.width); give views of one size")
            }
            own = (picture.height, picture.width)
            guard let view = executor.input(input.name) else { continue }
            try fill(view, input, with: picture, record)
        }
        guard let own else { preconditionFailure("a network without inputs") }
        executor.run(.deterministic)

        var maps: [PredictedMap] = []
        var reconstructions: [(eye: Eye, picture: PixelArray)] = []
        var errors: [(eye: Eye, value: Double)] = []
        for map in graph.maps {
            guard let view = executor.output(map.output) else { continue }
            if map.kind != .view {
                maps.append(PredictedMap(map: map, array: enlarged(map, view, own)))
                continue
            }
            // Networks that make pictures make them for one eye of a pair.
            guard let eye = map.eye else { continue }
            let values = map.decoded(view)
            if let rendered = try rendered(map, record, own) {
                reconstructions.append((eye, Self.picture(rendered, own.height, own.width)))
            } else {
                let picture = Self.picture(values, view.shape[1], view.shape[2])
                reconstructions.append((eye, Resizing.area(picture, height: own.height, width: own.width)))
            }
            if let target = try target(map, record), target.count == values.count {
                let sum = (0..<values.count).reduce(0.0) { $0 + abs(Double(values[$1]) - Double(target[$1])) }
                errors.append((eye, sum / Double(values.count)))
            }
        }
        return Prediction(maps: maps, reconstructions: reconstructions, errors: errors)
    }

    private static func picture(_ values: [Float], _ height: Int, _ width: Int) -> PixelArray {
        PixelArray(
            height: height, width: width, channels: 3, element: .uint8,
            bytes: values.map { UInt8(max(0, min(255, $0 * 255 + 0.5))) })
    }

    /// A view at the size of the picture that it follows from, where that is larger than the network's.
    private func rendered(
        _ map: NetworkResult.Map, _ record: Record, _ own: (height: Int, width: Int)
    ) throws -> [Float]? {
        guard let rendering = map.rendering, own != (height, width), own.height >= height, own.width >= width,
            let probability = executor.output(rendering.probability),
            let field = network.inputs.first(where: { $0.name == rendering.source }),
            let picture = field.streamed.candidates.lazy.compactMap({ record[$0] }).first
        else { return nil }
        return ViewRenderer.render(
            rendering.shifts, probability: probability,
            source: try floats(of: picture, field.name, record, height: own.height, width: own.width),
            height: own.height, width: own.width, pool: kernels.pool)
    }

    private func fill(_ view: TensorView, _ field: NetworkField, with picture: PixelArray, _ record: Record) throws {
        let values = try floats(of: picture, field.name, record, height: height, width: width)
        values.withUnsafeBufferPointer { NetworkFeed.encode($0, field, into: view, known: nil) }
    }

    /// A picture at another size, 0…1.
    private func floats(
        of picture: PixelArray, _ name: String, _ record: Record, height: Int, width: Int
    ) throws -> [Float] {
        guard picture.element != .float32, picture.channels == 1 || picture.channels == 3 else {
            throw Failure(
                .badData,
                "\(record.key): \(name) has \(picture.channels) channels of "
                    + "\(picture.element.name); give 8- or 16-bit gray or RGB")
        }
        let fitted = Resizing.area(picture, height: height, width: width)
        return [Float](unsafeUninitializedCapacity: height * width * 3) { buffer, count in
            fitted.bytes.withUnsafeBytes {
                PictureFloats.expand(
                    $0, fitted.element, channels: fitted.channels,
                    into: UnsafeMutableBufferPointer(rebasing: buffer[0..<(height * width * 3)]))
            }
            count = height * width * 3
        }
    }

    /// What a rebuilt view should be, at the network's size.
    private func target(_ map: NetworkResult.Map, _ record: Record) throws -> [Float]? {
        guard let name = map.truth, let picture = record[name] else { return nil }
        return try floats(of: picture, name, record, height: height, width: width)
    }

    /// A map at the size of the pictures; NaN in a margin that the network leaves out.
    private func enlarged(
        _ map: NetworkResult.Map, _ view: TensorView, _ own: (height: Int, width: Int)
    ) -> PixelArray {
        let factor = map.kind == .disparity ? Float(own.width) / Float(width) : 1
        func scaled(_ height: Int, _ width: Int) -> [Float] {
            map.decoded(view).withUnsafeBufferPointer {
                MapScaling.bilinear(
                    $0, height: view.shape[1], width: view.shape[2], to: height, width, factor: factor)
            }
        }
        if map.margin == 0 {
            return PixelArray(
                height: own.height, width: own.width, channels: 1, floats: scaled(own.height, own.width))
        }
        let top = (map.margin * own.height + height / 2) / height
        let left = (map.margin * own.width + width / 2) / width
        let (rows, columns) = (own.height - 2 * top, own.width - 2 * left)
        var floats = [Float](repeating: .nan, count: own.height * own.width)
        let inner = scaled(rows, columns)
        for y in 0..<rows {
            for x in 0..<columns { floats[(top + y) * own.width + left + x] = inner[y * columns + x] }
        }
        return PixelArray(height: own.height, width: own.width, channels: 1, floats: floats)
    }
}

/// Smooth maps at another size.
enum MapScaling {
    /// Linear interpolation between pixel centres, edges repeated; values times `factor`.
    static func bilinear(
        _ map: UnsafeBufferPointer<Float>, height: Int, width: Int, to newHeight: Int, _ newWidth: Int,
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
