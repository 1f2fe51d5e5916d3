import Basics
import Collectives
import Execution
import Kernels
import Models
import Shards
import Streaming
import Tensors

/// Measures a network on records: its losses, and each of its maps whose truth the records have.
public final class Validator {
    /// Column names, in the order of `Row.values`.
    public let columns: [String]
    public let network: NetworkGraph
    private let executor: Executor
    private let feed: NetworkFeed
    private let measures: [MapMeasure]

    /// - Parameters:
    ///   - state: its inference statistics are used; the memory stays the state's, so later updates show.
    ///   - data: says which truths there are.
    public init(network: any Network, state: ModelState, data: TrainingData, kernels: KernelContext) throws {
        self.network = try NetworkGraph(network, .evaluation, batch: 1, height: data.height, width: data.width)
        let executor = Executor(
            self.network.graph,
            memory: .inference(
                parameters: state.parameterArena, statistics: state.inferenceStatistics, areConstant: false),
            kernels: kernels)
        self.executor = executor
        feed = NetworkFeed(network) { executor.input($0) }
        measures = Self.measures(of: self.network, data)
        columns = Self.columns(of: self.network, data)
    }

    /// Rebuilt views first.
    private static func measures(of network: NetworkGraph, _ data: TrainingData) -> [MapMeasure] {
        let known = network.maps.compactMap(MapMeasure.init).filter { $0.map.truth.map(data.has) ?? false }
        return known.filter { $0.map.kind == .view } + known.filter { $0.map.kind != .view }
    }

    /// Names of what is measured for a network's evaluation graph: losses, then each map that has a truth.
    static func columns(of network: NetworkGraph, _ data: TrainingData) -> [String] {
        network.lossNames + measures(of: network, data).flatMap(\.columns)
    }

    /// Runs the network on sample `position` of a batch.
    public func run(_ batch: LaneBatch, position: Int) {
        feed.fill(batch, from: position)
        executor.run(.deterministic)
    }

    /// Memory of an output of the last run.
    public func output(_ name: String) -> TensorView? { executor.output(name) }

    /// Measures the last run against sample `position`; NaN where a record has no ground truth.
    public func measure(_ batch: LaneBatch, position: Int) -> [Double] {
        network.lossNames.map { Double(executor.output($0)?.base[0] ?? .nan) }
            + measures.flatMap { measure in
                guard let found = executor.output(measure.map.output),
                    let truth = measure.map.truth.flatMap({ batch.sample($0, at: position) })
                else { return measure.columns.map { _ in Double.nan } }
                return measure.measure(found, truth: truth)
            }
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
    /// A field's values of one sample.
    func sample(_ field: String, at position: Int) -> UnsafeBufferPointer<Float>? {
        self[field].map { view in
            let count = view.count / view.shape[0]
            return UnsafeBufferPointer(start: view.base + position * count, count: count)
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
