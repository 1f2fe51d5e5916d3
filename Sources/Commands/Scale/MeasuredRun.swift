import Basics
import Collectives
import Foundation
import Training

/// What the tables of a training run say about its time.
struct MeasuredRun {
    let path: String
    let configuration: RunConfiguration
    let ranks: Int
    /// Steps that count: those after the first, which warm up.
    let stepCount: Int
    /// Medians. Of the slowest rank of each step: a lane, and what the exchange took after its last one.
    let laneSeconds: Double
    let exposedSeconds: Double
    let dataWaitSeconds: Double
    /// Of a step beside computing, data and exchange.
    let restSeconds: Double
    let stepSeconds: Double

    private static let warmUpCount = 2
    private static let leastCount = 3

    /// Of a run whose number of ranks changed, the steps on the most ranks count.
    /// - Throws: `FileError`; `Failure` for folders that are no run, or one that is too short.
    init(path: String) throws {
        let folder = RunFolder(path: path)
        guard Files.exists(folder.configurationPath) else {
            throw Failure(.missingInput, "\(folder.configurationPath): no run; give the folder of one")
        }
        var configuration = RunConfiguration()
        try ConfigurationFile.apply(folder.configurationPath, to: &configuration)
        let steps = try NumberTable(path: folder.stepsPath, columns: ["step", "seconds"])
        let ranks = try NumberTable(
            path: folder.ranksPath,
            columns: ["step", "rank", "compute_seconds", "data_wait_seconds", "communication_seconds"])
        var seconds: [Int: Double] = [:]
        for row in steps.rows { seconds[Int(row[0])] = row[1] }
        let groups = Dictionary(grouping: ranks.rows) { Int($0[0]) }
        let size = groups.values.map(\.count).max() ?? 0
        // A step whose ranks are not all there yet is still being written, or was cut off.
        let whole = groups.filter { $0.value.count == size && seconds[$0.key] != nil }.keys.sorted()
            .dropFirst(Self.warmUpCount)
        guard whole.count >= Self.leastCount else {
            throw Failure(
                .badData,
                "\(path): has \(whole.count) whole steps after the first \(Self.warmUpCount) in steps.csv and "
                    + "ranks.csv; train at least \(Self.warmUpCount + Self.leastCount + 1)")
        }
        var (lanes, exposed, waits, rests, all) = ([Double](), [Double](), [Double](), [Double](), [Double]())
        for step in whole {
            guard let rows = groups[step], let total = seconds[step],
                let slowest = rows.max(by: { $0[2] + $0[3] < $1[2] + $1[3] }),
                let first = rows.first(where: { $0[1] == 0 })
            else { throw Failure(.badData, "\(folder.ranksPath): step \(step) has no rank 0") }
            let share = try LaneTree.share(rank: Int(slowest[1]), worldSize: size, lanes: configuration.lanes)
            lanes.append(slowest[2] / Double(share.count))
            waits.append(slowest[3])
            exposed.append(slowest[4])
            rests.append(max(0, total - first[2] - first[3] - first[4]))
            all.append(total)
        }
        self.path = path
        self.configuration = configuration
        self.ranks = size
        stepCount = whole.count
        laneSeconds = Self.median(lanes)
        exposedSeconds = Self.median(exposed)
        dataWaitSeconds = Self.median(waits)
        restSeconds = Self.median(rests)
        stepSeconds = Self.median(all)
    }

    private static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}

/// Columns of numbers of a CSV file with a header, by name.
struct NumberTable {
    let rows: [[Double]]

    /// - Throws: `FileError`; `Failure` (bad data) naming the column or the line. A last line that is cut off is left
    ///   out.
    init(path: String, columns: [String]) throws {
        let lines = String(decoding: try Files.read(path), as: UTF8.self).split(separator: "\n")
        let header = lines.first?.split(separator: ",", omittingEmptySubsequences: false).map(String.init) ?? []
        let places = try columns.map { name in
            guard let place = header.firstIndex(of: name) else {
                throw Failure(.badData, "\(path): has no column \(name); a run of this version has")
            }
            return place
        }
        var rows: [[Double]] = []
        for (number, line) in lines.enumerated().dropFirst() {
            let cells = line.split(separator: ",", omittingEmptySubsequences: false)
            let values = places.compactMap { $0 < cells.count ? Double(cells[$0]) : nil }
            // Cells become whole numbers: none that has no such form.
            guard cells.count == header.count, values.count == places.count,
                values.allSatisfy({ (0..<1e15).contains($0) })
            else {
                if number == lines.count - 1 { break }
                throw Failure(.badData, "\(path): line \(number + 1) has not the numbers of its header; remove it")
            }
            rows.append(values)
        }
        self.rows = rows
    }
}

/// A file of `bench allreduce --json`.
struct MeasuredExchanges {
    let path: String
    let ranks: Int
    let measurements: [ExchangeCost.Measurement]

    /// - Throws: `FileError`; `Failure` (bad data) for anything else than such a file.
    init(path: String) throws {
        let bytes = try Files.read(path, limit: 1 << 20)
        let object = (try? JSONSerialization.jsonObject(with: Data(bytes))) as? [String: Any]
        guard let object, object["benchmark"] as? String == "allreduce", let ranks = object["ranks"] as? Int,
            (1...1_000_000).contains(ranks), let sizes = object["sizes"] as? [[String: Any]]
        else {
            throw Failure(.badData, "\(path): is not what 'vergence bench allreduce --json FILE' writes; write it anew")
        }
        self.path = path
        self.ranks = ranks
        measurements = try sizes.map { size in
            guard let bytes = size["bytes"] as? Int, let seconds = size["median_seconds"] as? Double,
                (1...(1 << 40)).contains(bytes), seconds > 0, seconds.isFinite
            else { throw Failure(.badData, "\(path): a size without bytes and median_seconds; write it anew") }
            return ExchangeCost.Measurement(ranks: ranks, byteCount: bytes, seconds: seconds)
        }
    }
}
