import Foundation
import Heartbeats
import TestSupport
import Testing

/// Tests of the built programs, as a user calls them. One after the other: each uses both cores.
@Suite(.serialized) struct CommandTests {}

/// A folder with a small data set `data` (44 pairs, 4 of them for validation) in which commands run.
final class Workspace: Sendable {
    let folder = TemporaryFolder("commands")
    static let model = ["--set", "width=4", "--set", "levels=8"]
    static let oneThread = ["--threads", "1"]
    static let mpirun = ProcessRunner.find("mpirun")
    private static let mpiSessions = TemporaryFolder("mpi")

    /// A data set without a flaw; tests that break one make their own.
    init(pairs: Int = 44, size: String = "32x48") throws {
        let outcome = try shards(
            "synth", "data", "--pairs", "\(pairs)", "--size", size, "--seed", "1", "--split", "val=0.1", "--workers",
            "2")
        try #require(outcome.exitCode == 0, "\(outcome.errors)")
    }

    func path(_ name: String) -> String { folder.file(name) }

    func shards(_ arguments: String...) throws -> ProcessRunner.Outcome {
        try ProcessRunner.run(ProcessRunner.product("vergence-shards"), arguments, in: folder.path)
    }

    func vergence(_ arguments: String..., environment: [String: String] = [:]) throws -> ProcessRunner.Outcome {
        try vergence(arguments, environment: environment)
    }

    func vergence(_ arguments: [String], environment: [String: String] = [:]) throws -> ProcessRunner.Outcome {
        try ProcessRunner.run(
            ProcessRunner.product("vergence"), arguments, in: folder.path, environment: environment)
    }

    /// `vergence train` of the small network; later arguments win over none of these, so give others only.
    static func training(_ run: String, steps: Int = 30, lanes: Int = 8, _ more: [String] = []) -> [String] {
        ["train", "data", "--run", run, "--lanes", "\(lanes)", "--lane-batch", "1", "--steps", "\(steps)"] + model
            + more
    }

    @discardableResult
    func train(_ run: String, steps: Int = 30, lanes: Int = 8, _ more: [String] = oneThread) throws
        -> ProcessRunner.Outcome
    {
        try vergence(Self.training(run, steps: steps, lanes: lanes, more))
    }

    /// Arguments of mpirun before those of `vergence`.
    static func launching(_ ranks: Int) -> [String] {
        [
            "-np", "\(ranks)", "--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1",
            // A session folder of its own: one mpirun that ends can pull the common one from under another that starts.
            "--mca", "orte_tmpdir_base", mpiSessions.path,
            ProcessRunner.product("vergence"),
        ]
    }

    func mpirun(_ ranks: Int, _ arguments: [String]) throws -> ProcessRunner.Outcome {
        try ProcessRunner.run(try #require(Self.mpirun), Self.launching(ranks) + arguments, in: folder.path)
    }

    func start(_ arguments: [String], environment: [String: String] = [:]) throws -> ProcessRunner.Running {
        try ProcessRunner.Running(
            ProcessRunner.product("vergence"), arguments, in: folder.path, environment: environment)
    }

    /// Has a training run linger in every step, so that it is still under way when a signal from here reaches it: tiny steps
    /// take a few milliseconds, and a busy machine may leave this process waiting for longer.
    static let lingering = [
        HeartbeatSender.tokenVariable: String(repeating: "0", count: 32), HeartbeatSender.delayVariable: "update:20",
    ]

    /// Runs a line of shell, as a user would paste it.
    func shell(_ line: String) throws -> ProcessRunner.Outcome {
        try ProcessRunner.run("/bin/sh", ["-c", line], in: folder.path)
    }

    func bytes(_ name: String) -> Data? { FileManager.default.contents(atPath: path(name)) }
    func text(_ name: String) -> String? { bytes(name).map { String(decoding: $0, as: UTF8.self) } }
    func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path(name)) }
    func checkpoint(_ run: String) -> Data? { bytes("\(run)/checkpoints/last.safetensors") }

    func write(_ data: Data, _ name: String) throws {
        let url = URL(fileURLWithPath: path(name))
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try data.write(to: url)
    }

    func write(_ text: String, _ name: String) throws { try write(Data(text.utf8), name) }

    /// Everything below the folder, by relative path.
    func files(below name: String = "") -> [String: Data] {
        var result: [String: Data] = [:]
        for file in FileManager.default.enumerator(atPath: path(name))?.compactMap({ $0 as? String }) ?? [] {
            result[file] = FileManager.default.contents(atPath: path(name) + "/" + file) ?? Data()
        }
        return result
    }

    /// Rows of a table by column name; nil if a row does not have the header's length.
    func table(_ name: String) -> [[String: String]]? {
        guard
            var lines = text(name)?.split(separator: "\n").map({
                $0.split(separator: ",", omittingEmptySubsequences: false)
            }),
            !lines.isEmpty
        else { return nil }
        let header = lines.removeFirst().map(String.init)
        guard lines.allSatisfy({ $0.count == header.count }) else { return nil }
        return lines.map { Dictionary(uniqueKeysWithValues: zip(header, $0.map(String.init))) }
    }
}

/// What a user is owed for a mistake: one line, the documented code, and no trace left.
func expectRefusal(
    _ outcome: ProcessRunner.Outcome, _ exitCode: Int32, _ words: String...,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let shown = Comment(rawValue: "stderr: \(outcome.errors)")
    #expect(!outcome.timedOut, shown, sourceLocation: sourceLocation)
    #expect(outcome.exitCode == exitCode, shown, sourceLocation: sourceLocation)
    #expect(outcome.complaints.count == 1, shown, sourceLocation: sourceLocation)
    let line = outcome.complaints.first ?? ""
    for word in words { #expect(line.contains(word), shown, sourceLocation: sourceLocation) }
    for sign in ["Fatal error", "Backtrac", "crashed", "internal error"] {
        #expect(!outcome.errors.contains(sign), shown, sourceLocation: sourceLocation)
    }
}

/// Also: the line is all there is on standard error.
func expectOnlyRefusal(
    _ outcome: ProcessRunner.Outcome, _ exitCode: Int32, _ words: String...,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    expectRefusal(outcome, exitCode, sourceLocation: sourceLocation)
    for word in words {
        #expect(outcome.errors.contains(word), "stderr: \(outcome.errors)", sourceLocation: sourceLocation)
    }
    #expect(
        outcome.errors.split(separator: "\n").count == 1, "stderr: \(outcome.errors)", sourceLocation: sourceLocation)
}
