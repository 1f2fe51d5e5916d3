import ArgumentParser
import Basics
import Checkpoints
import Foundation
import Training

/// `vergence debug compare`: where two runs, or two checkpoints, part.
struct DebugCompareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare", abstract: "Finds the first difference between two runs or two safetensors files.",
        discussion: """
            Of two runs, the first lane of the first step that gave something else (from lanes.csv), then the tensors of \
            their last checkpoints. Exit code 65 if they differ.

            Example: vergence debug compare runs/four-ranks runs/one-rank
            """)

    @Argument(help: "Folder of a run, or a safetensors file.")
    var first: String
    @Argument(help: "The other one.")
    var second: String
    @Option(help: "Write the result as JSON to this file; - for standard output.")
    var json: String?

    private struct TensorDifference {
        let tensor: String
        let index: Int
        let first: Float
        let second: Float
        let largest: Float
        let elements: Int
    }

    private struct LaneDifference {
        let step: Int
        let lane: Int
        let firstRank: Int
        let secondRank: Int
    }

    private struct Result {
        var commonSteps: Int?
        var lane: LaneDifference?
        var tensorCount = 0
        var differentTensors = 0
        var onlyInOne: [String] = []
        var tensor: TensorDifference?
        var steps: [String?] = []
    }

    func run() throws {
        var result = Result()
        var files = [first, second]
        if Files.isFolder(first) && Files.isFolder(second) {
            let folders = [RunFolder(path: first), RunFolder(path: second)]
            try compareLanes(folders, &result)
            files = folders.map(\.lastCheckpoint)
        } else if Files.isFolder(first) || Files.isFolder(second) {
            throw Failure(.usage, "give two folders of runs or two files, not one of each")
        }
        try compareTensors(files, &result)
        if let json { try JSONOutput.write(object(result), to: json) }
        var lines: [String] = []
        if let lane = result.lane {
            lines.append(
                "first difference in step \(lane.step), lane \(lane.lane) (rank \(lane.firstRank) of \(first), "
                    + "rank \(lane.secondRank) of \(second))")
        }
        if let tensor = result.tensor {
            lines.append(
                "\(tensor.tensor) differs first at element \(tensor.index): \(tensor.first) and \(tensor.second); "
                    + "\(tensor.elements) elements by at most \(tensor.largest); \(result.differentTensors) of "
                    + "\(result.tensorCount) tensors differ")
        }
        if !result.onlyInOne.isEmpty {
            lines.append("only in one of them: \(result.onlyInOne.joined(separator: ", "))")
        }
        if lines.isEmpty {
            if json == nil {
                print(
                    "equal: \(result.tensorCount) tensors" + (result.commonSteps.map { ", lanes of \($0) steps" } ?? "")
                )
            }
            return
        }
        let steps = result.steps.map { $0 ?? "?" }
        if steps.count == 2, steps[0] != steps[1] { lines.append("checkpoints of steps \(steps[0]) and \(steps[1])") }
        throw Failure(.badData, lines.joined(separator: "; "))
    }

    private func object(_ result: Result) -> [String: Any] {
        var object: [String: Any] = [
            "equal": result.lane == nil && result.tensor == nil && result.onlyInOne.isEmpty,
            "tensors": result.tensorCount, "different_tensors": result.differentTensors,
            "only_in_one": result.onlyInOne,
        ]
        if let steps = result.commonSteps { object["common_steps"] = steps }
        if let lane = result.lane {
            object["lane"] = [
                "step": lane.step, "lane": lane.lane, "first_rank": lane.firstRank, "second_rank": lane.secondRank,
            ]
        }
        if let tensor = result.tensor {
            object["tensor"] =
                [
                    "name": tensor.tensor, "index": tensor.index, "first": Double(tensor.first),
                    "second": Double(tensor.second), "largest": Double(tensor.largest), "elements": tensor.elements,
                ] as [String: Any]
        }
        return object
    }

    private func compareLanes(_ folders: [RunFolder], _ result: inout Result) throws {
        let journals = try folders.map { try LaneJournal(path: $0.lanesPath) }
        let other = Dictionary(journals[1].rows.map { ([$0.step, $0.lane], $0) }, uniquingKeysWith: { $1 })
        var steps: Set<Int> = []
        for row in journals[0].rows.sorted(by: { ($0.step, $0.lane) < ($1.step, $1.lane) }) {
            guard let theirs = other[[row.step, row.lane]] else { continue }
            steps.insert(row.step)
            if theirs.hash != row.hash {
                result.lane = LaneDifference(
                    step: row.step, lane: row.lane, firstRank: row.rank, secondRank: theirs.rank)
                break
            }
        }
        result.commonSteps = steps.count
    }

    private func compareTensors(_ paths: [String], _ result: inout Result) throws {
        let files = try paths.map { try SafeTensorsFile(path: $0) }
        result.steps = files.map { $0.metadata["step"] }
        let names = files.map { Set($0.names) }
        result.onlyInOne = names[0].symmetricDifference(names[1]).sorted()
        for name in files[0].names where names[1].contains(name) {
            result.tensorCount += 1
            guard files[0].shape(of: name) == files[1].shape(of: name) else {
                result.onlyInOne.append("\(name) (in this shape)")
                continue
            }
            let (a, b) = (try Self.values(files[0], name), try Self.values(files[1], name))
            // Bits, so that NaN equals itself.
            guard let index = a.indices.first(where: { a[$0].bitPattern != b[$0].bitPattern }) else { continue }
            result.differentTensors += 1
            guard result.tensor == nil else { continue }
            let different = a.indices.filter { a[$0].bitPattern != b[$0].bitPattern }
            result.tensor = TensorDifference(
                tensor: name, index: index, first: a[index], second: b[index],
                largest: different.reduce(0) { max($0, abs(a[$1] - b[$1])) }, elements: different.count)
        }
    }

    /// Counters are whole numbers.
    private static func values(_ file: SafeTensorsFile, _ name: String) throws -> [Float] {
        switch file.element(of: name) {
        case .int64, .int32, .uint8: try file.integers(of: name).map { Float($0) }
        default: try file.floats(of: name)
        }
    }
}
