import ArgumentParser
import Basics
import Checkpoints
import Collectives
import Foundation
import Tensors
import Training

/// `vergence debug replay`: what one rank of a run computed in one step, without its cluster.
struct DebugReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay", abstract: "Computes again, in one process, what a rank computed in a step of a run.",
        discussion: """
            Starts from the newest checkpoint of the run before that step, trains up to it in memory, and compares the \
            step's lanes with the checksums that the run wrote. Nothing in the run's folder changes.

            Example: vergence debug replay --run runs/films --step 137 --rank 2 --dump lanes.safetensors
            """)

    @Option(name: .customLong("run"), help: ArgumentHelp("Folder of the run.", valueName: "folder"))
    var runFolder: String
    @Option(help: "Step, counted from 1 as in steps.csv.")
    var step: Int
    @Option(help: "Rank whose lanes are computed. (default: all lanes)")
    var rank: Int?
    @Option(help: "Safetensors file for the lanes' losses and gradients.")
    var dump: String?
    @OptionGroup var machine: MachineOptions
    @Option(help: "Write the result as JSON to this file; - for standard output.")
    var json: String?

    func run() throws {
        let folder = RunFolder(path: runFolder)
        guard Files.exists(folder.configurationPath) else {
            throw Failure(.missingInput, "\(folder.configurationPath): no run to replay; give its folder with --run")
        }
        var configuration = RunConfiguration()
        try ConfigurationFile.apply(folder.configurationPath, to: &configuration)
        configuration.run = runFolder
        let journal = try LaneJournal(path: folder.lanesPath)
        let rows = journal.rows(ofStep: step)
        guard !rows.isEmpty else {
            throw Failure(
                .missingInput, "\(folder.lanesPath): has no step \(step); it has \(journal.stepRange ?? "none")")
        }
        let wanted = rows.filter { rank == nil || $0.rank == rank }.sorted { $0.lane < $1.lane }
        guard !wanted.isEmpty else {
            let ranks = Set(rows.map(\.rank)).sorted().map(String.init).joined(separator: ", ")
            throw Failure(.usage, "--rank \(rank ?? 0): step \(step) was computed by ranks \(ranks)")
        }
        let kernels = try machine.kernels()
        defer { kernels.pool.shutDown() }
        let communication = try CommunicationThread { SoloCommunicator() }
        defer { communication.shutDown() }
        let session = try TrainingSession(
            configuration: configuration, start: .replaying(after: step - 1), communication: communication,
            kernels: kernels, observer: nil, writeConfiguration: { _ in }, shouldStop: { false })
        Console.note(
            "from step \(session.startStep) to \(step), lanes \(wanted.map { "\($0.lane)" }.joined(separator: ", "))")
        let lanes = try session.replay(step: step, lanes: wanted.map(\.lane)) { _ in }
        if let dump {
            let tensors = lanes.flatMap { lane in
                lane.losses.map { SafeTensorsWriter.Tensor("lane\(lane.lane).\($0.name)", [], [$0.value]) }
                    + lane.gradients.map {
                        SafeTensorsWriter.Tensor("lane\(lane.lane).grad.\($0.name)", $0.shape, $0.values)
                    }
            }
            try SafeTensorsWriter.write(path: dump, tensors: tensors, metadata: ["step": "\(step)"])
        }
        try report(lanes, wanted)
    }

    private func report(_ lanes: [LaneReplay], _ rows: [LaneJournal.Row]) throws {
        let results = zip(lanes, rows).map { lane, row in
            let hash = Hash.hexadecimal(lane.hash)
            return (
                lane: lane.lane, rank: row.rank, hash: hash, journal: row.hash, equal: hash == row.hash,
                records: lane.records
            )
        }
        if let json {
            let lanes = results.map { result -> [String: Any] in
                [
                    "lane": result.lane, "rank": result.rank, "hash": result.hash, "journal": result.journal,
                    "equal": result.equal, "records": result.records,
                ]
            }
            try JSONOutput.write(["step": step, "lanes": lanes], to: json)
        } else {
            for (result, lane) in zip(results, lanes) {
                let losses = lane.losses.map { "\($0.name) \($0.value)" }.joined(separator: ", ")
                print(
                    "step \(step), lane \(result.lane), rank \(result.rank): \(result.hash) "
                        + (result.equal ? "as the run had it" : "but the run had \(result.journal)")
                        + "; \(losses); records \(result.records)")
            }
        }
        if let different = results.first(where: { !$0.equal }) {
            throw Failure(
                .badData,
                "step \(step), lane \(different.lane): what rank \(different.rank) computed is not what its inputs give "
                    + "here; where kernels or libraries differ last bits may, otherwise suspect that host")
        }
    }
}

/// `lanes.csv` of a run.
struct LaneJournal {
    struct Row: Equatable {
        let step: Int
        let lane: Int
        let rank: Int
        let hash: String
    }

    private(set) var rows: [Row] = []

    /// - Throws: `FileError`; `Failure` (bad data) naming the line.
    init(path: String) throws {
        let lines = String(decoding: try Files.read(path), as: UTF8.self).split(separator: "\n")
        for (number, line) in lines.enumerated().dropFirst() {
            let cells = line.split(separator: ",")
            guard cells.count == 4, let step = Int(cells[0]), let lane = Int(cells[1]), let rank = Int(cells[2]) else {
                // A run that is being written may end in half a line.
                if number == lines.count - 1 { break }
                throw Failure(.badData, "\(path): line \(number + 1) is no row of step, lane, rank, hash; remove it")
            }
            rows.append(Row(step: step, lane: lane, rank: rank, hash: String(cells[3])))
        }
    }

    func rows(ofStep step: Int) -> [Row] { rows.filter { $0.step == step } }

    var stepRange: String? {
        guard let first = rows.first, let last = rows.last else { return nil }
        return "\(first.step)…\(last.step)"
    }
}
