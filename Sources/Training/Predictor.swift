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
    /// Whether maps are means of the picture's own and of its mirror image's, mirrored back.
    public let averagesMirrored: Bool
    private let graph: NetworkGraph
    private let executor: Executor
    private let kernels: KernelContext

    /// - Parameters:
    ///   - size: the size at which the network runs: nil is what it was trained on.
    ///   - averagesMirrored: whether to look at each picture in a mirror as well, at twice the time.
    /// - Throws: `Failure` (usage) if no size is known or the network's maps cannot be mirrored, (bad data) if the size
    ///   does not fit the network.
    public init(
        _ trained: TrainedNetwork, size: (height: Int, width: Int)?, averagesMirrored: Bool = false,
        kernels: KernelContext
    ) throws {
        guard let size = size ?? trained.network.fixedSize ?? trained.trainingSize else {
            throw Failure(.usage, "the weights do not say at which size they were trained; give --size HxW")
        }
        (height, width) = size
        network = trained.network
        self.averagesMirrored = averagesMirrored
        self.kernels = kernels
        graph = try NetworkGraph(trained.network, .prediction, batch: 1, height: size.height, width: size.width)
        if averagesMirrored, let map = graph.maps.first(where: { $0.eye != nil || $0.kind == .view }) {
            throw Failure(
                .usage,
                "--flip: the mirror image of \(map.name) is another map; leave --flip out for \(trained.network.name)")
        }
        executor = Executor(
            graph.graph,
            memory: .inference(
                parameters: trained.state.parameterArena, statistics: trained.state.inferenceStatistics,
                areConstant: true),
            kernels: kernels)
    }

    /// What the network makes.
    public var maps: [NetworkResult.Map] { graph.maps }

    /// - Parameter record: holds the fields that the network reads, uint8 or uint16, 1 or 3 channels, all of one size.
    /// - Throws: `Failure` (bad data) naming the record.
    public func predict(_ record: Record) throws -> Prediction {
        let own = try fill(from: record, isMirrored: false)
        executor.run(.deterministic)
        var values = decodedMaps()
        if averagesMirrored {
            _ = try fill(from: record, isMirrored: true)
            executor.run(.deterministic)
            values = zip(values, decodedMaps()).map { Self.mean($0, mirrored: $1) }
        }

        var maps: [PredictedMap] = []
        var reconstructions: [(eye: Eye, picture: PixelArray)] = []
        var errors: [(eye: Eye, value: Double)] = []
        for found in values {
            let map = found.map
            if map.kind != .view {
                maps.append(PredictedMap(map: map, array: enlarged(found, own)))
                continue
            }
            // Networks that make pictures make them for one eye of a pair.
            guard let eye = map.eye else { continue }
            let values = found.values
            if let rendered = try rendered(map, record, own) {
                reconstructions.append((eye, Self.picture(rendered, own.height, own.width)))
            } else {
                let picture = Self.picture(values, found.height, found.width)
                reconstructions.append((eye, Resizing.area(picture, height: own.height, width: own.width)))
            }
            if let target = try target(map, record), target.count == values.count {
                let sum = (0..<values.count).reduce(0.0) { $0 + abs(Double(values[$1]) - Double(target[$1])) }
                errors.append((eye, sum / Double(values.count)))
            }
        }
        return Prediction(maps: maps, reconstructions: reconstructions, errors: errors)
    }

    /// A map at the network's own size, in the units of records.
    private struct DecodedMap {
        let map: NetworkResult.Map
        let height: Int
        let width: Int
        var values: [Float]
    }

    private func decodedMaps() -> [DecodedMap] {
        graph.maps.compactMap { map in
            executor.output(map.output).map {
                DecodedMap(map: map, height: $0.shape[1], width: $0.shape[2], values: map.decoded($0))
            }
        }
    }

    /// The mean of a map and of one that was made in the mirror.
    private static func mean(_ own: DecodedMap, mirrored: DecodedMap) -> DecodedMap {
        var result = own
        for row in 0..<own.height {
            let (first, last) = (row * own.width, (row + 1) * own.width - 1)
            for x in 0..<own.width {
                result.values[first + x] = 0.5 * (own.values[first + x] + mirrored.values[last - x])
            }
        }
        return result
    }

    /// Writes a record's pictures into the network's inputs.
    /// - Returns: the pictures' own size.
    private func fill(from record: Record, isMirrored: Bool) throws -> (height: Int, width: Int) {
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
            var values = try floats(of: picture, input.name, record, height: height, width: width)
            if isMirrored { mirror(&values) }
            values.withUnsafeBufferPointer { NetworkFeed.encode($0, input, into: view, known: nil) }
        }
        guard let own else { preconditionFailure("a network without inputs") }
        return own
    }

    /// Left and right of a picture at the network's size.
    private func mirror(_ values: inout [Float]) {
        for row in 0..<height {
            for x in 0..<(width / 2) {
                let (near, far) = (3 * (row * width + x), 3 * (row * width + width - 1 - x))
                for channel in 0..<3 { values.swapAt(near + channel, far + channel) }
            }
        }
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
    private func enlarged(_ found: DecodedMap, _ own: (height: Int, width: Int)) -> PixelArray {
        let map = found.map
        let factor = map.kind == .disparity ? Float(own.width) / Float(width) : 1
        func scaled(_ height: Int, _ width: Int) -> [Float] {
            found.values.withUnsafeBufferPointer {
                MapScaling.bilinear(
                    $0, height: found.height, width: found.width, to: height, width, factor: factor)
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
