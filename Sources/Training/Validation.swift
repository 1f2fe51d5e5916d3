import Basics
import Collectives
import Execution
import Kernels
import Models
import Shards
import Streaming
import Tensors

/// Measures a network on records: its losses, the error of each view that it rebuilds, and the end-point error where the
/// records have ground truth.
public final class Validator {
    /// Column names, in the order of `Row.values`.
    public let columns: [String]
    private let executor: Executor
    private let network: NetworkGraph
    private let inputs: [NetworkInput]
    private let height: Int
    private let width: Int

    /// - Parameter state: its inference statistics are used; the memory stays the state's, so later updates show.
    public init(
        network: any Network, state: ModelState, height: Int, width: Int, kernels: KernelContext
    ) throws {
        self.network = try NetworkGraph(network, .evaluation, batch: 1, height: height, width: width)
        executor = Executor(
            self.network.graph,
            memory: .inference(parameters: state.parameterArena, statistics: state.inferenceStatistics, areConstant: false),
            kernels: kernels)
        inputs = network.inputs
        self.height = height
        self.width = width
        columns = Self.columns(of: self.network)
    }

    /// Names of what is measured for a network's evaluation graph: losses, the error of each rebuilt view, and the
    /// end-point error of the left view's disparity.
    static func columns(of network: NetworkGraph) -> [String] {
        network.lossNames + network.reconstructions.map { "mae_\($0.eye.rawValue)" }
            + (network.maps.contains { $0.kind == .disparity && $0.eye == .left } ? [Self.endPointError] : [])
    }

    static let endPointError = "epe"

    /// Runs the network on sample `position` of a batch.
    public func run(_ batch: LaneBatch, position: Int) {
        for input in inputs {
            guard let view = executor.input(input.field) else { continue }
            let source = batch.input(input.field)
            view.base.update(from: source.base + position * view.count, count: view.count)
        }
        executor.run(.deterministic)
    }

    /// Memory of an output of the last run.
    public func output(_ name: String) -> TensorView? { executor.output(name) }

    public var maps: [NetworkResult.Map] { network.maps }
    public var reconstructions: [NetworkResult.Reconstruction] { network.reconstructions }

    /// Measures the last run against sample `position`; NaN where a record has no ground truth.
    public func measure(_ batch: LaneBatch, position: Int) -> [Double] {
        var values = network.lossNames.map { Double(executor.output($0)?.base[0] ?? .nan) }
        for reconstruction in network.reconstructions {
            guard let view = executor.output(reconstruction.output) else { continue }
            let target = batch.input(reconstruction.eye.rawValue)
            let start = target.base + position * view.count
            var sum = 0.0
            for i in 0..<view.count { sum += abs(Double(view.base[i]) - Double(start[i])) }
            values.append(sum / Double(view.count))
        }
        if let map = network.maps.first(where: { $0.kind == .disparity && $0.eye == .left }),
            let view = executor.output(map.output)
        {
            var (sum, count) = (0.0, 0)
            if let truth = batch.disparity {
                let start = truth.base + position * view.count
                for i in 0..<view.count where start[i].isFinite {
                    sum += abs(Double(view.base[i]) - Double(start[i]))
                    count += 1
                }
            }
            values.append(count > 0 ? sum / Double(count) : .nan)
        }
        return values
    }

    /// Means over records, in record order, of those that have a value.
    public static func mean(_ rows: [[Double]], columns: Int) -> [Double] {
        (0..<columns).map { column in
            var (sum, count) = (0.0, 0)
            for row in rows where !row[column].isNaN {
                sum += row[column]
                count += 1
            }
            return count > 0 ? sum / Double(count) : .nan
        }
    }
}

extension LaneBatch {
    /// The pictures of a field.
    func input(_ field: String) -> TensorView {
        switch field {
        case FieldName.left: left
        case FieldName.right: right
        default: preconditionFailure("records are not streamed with a field \(field)")
        }
    }
}

/// Rows of float64 from one rank to all.
enum RowExchange {
    static func bytes(of rows: [(index: Int, values: [Double])]) -> [UInt8] {
        var bytes: [UInt8] = []
        for (index, values) in rows {
            bytes.appendLittleEndian(UInt64(index))
            bytes.appendLittleEndian(UInt64(values.count))
            for value in values { bytes.appendLittleEndian(value.bitPattern) }
        }
        return bytes
    }

    static func rows(of bytes: [UInt8]) throws -> [(index: Int, values: [Double])] {
        try bytes.withUnsafeBytes { raw in
            var cursor = ByteCursor(raw)
            var rows: [(index: Int, values: [Double])] = []
            while cursor.remaining > 0 {
                let index: UInt64 = try cursor.integer()
                let count: UInt64 = try cursor.integer()
                var values: [Double] = []
                for _ in 0..<count { values.append(Double(bitPattern: try cursor.integer())) }
                rows.append((Int(index), values))
            }
            return rows
        }
    }

    /// Everybody's rows, sorted by index: the same on every rank.
    static func gather(
        _ rows: [(index: Int, values: [Double])], _ communication: CommunicationThread
    ) throws -> [[Double]] {
        let mine = bytes(of: rows)
        let all = try communication.run { try $0.allGather(mine) }
        return try all.flatMap { try Self.rows(of: $0) }.sorted { $0.index < $1.index }.map(\.values)
    }
}
