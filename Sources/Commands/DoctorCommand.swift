import ArgumentParser
import Basics
import Collectives
import Diagnosis
import Foundation
import Kernels
import Telemetry
import Training

/// `vergence doctor`: looks at this machine, or under a launcher at all ranks of a launch, and trains nothing.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Checks the machine, the launch and the data before step 0; writes nothing.",
        discussion: """
            Examples:
              vergence doctor
              vergence doctor data --run runs/first --lanes 8
              mpirun -np 4 --hostfile hosts --bind-to none vergence doctor data --run runs/first --lanes 8

            Under a launcher it compares what all ranks have. `train` does the same before its first step. Each finding is a \
            line: name, what is wrong and where, the remedy; docs/doctor.md lists the names. The exit code is that of the first \
            error, 0 if there are warnings only.
            """)

    @Argument(help: "Folder of shards; without it the data is not looked at.")
    var data: String?
    @Option(
        name: .customLong("run"),
        help: ArgumentHelp(
            "Folder of a run, new or to be resumed: its disk and its configuration.", valueName: "folder"))
    var runFolder: String?
    @Option(help: ArgumentHelp("YAML file with the same names as the options of train.", valueName: "file"))
    var config: String?
    @Option(help: "Compute threads per rank; 0 = the cores this rank may use.") var threads: String?
    @Option(help: "Lanes of the run.") var lanes: String?
    @Option(help: "Records of a lane.") var laneBatch: String?
    @OptionGroup(title: "Network") var model: TrainCommand.ModelOverrides
    @OptionGroup(title: "Output") var output: BenchOutputOptions

    func run() throws {
        let start = monotonicSeconds()
        let launch = Launcher.current
        let watch = LaunchWatch(isWatching: launch.isUnderLauncher)
        watch.expect("MPI did not start", within: 60)
        let communication = try CommunicationThread(launch.makeCommunicator)
        do {
            watch.expect("no answer from the other ranks", within: 3)
            let subject: Doctor.Subject = try communication.agreeing { try self.subject() }
            defer { subject.kernels.pool.shutDown() }
            let (facts, findings) = try Doctor.examine(subject, communication, watch, within: 5)
            watch.end()
            try write(facts, findings, seconds: monotonicSeconds() - start, communication.communicator)
        } catch {
            // Not by unwinding, which would wait for ranks that wait for this one.
            VergenceCommand.leave(error)
        }
        communication.shutDown()
    }

    /// Defaults, then the run's own configuration if there is one, then the file, then the command line.
    private func subject() throws -> Doctor.Subject {
        var configuration = RunConfiguration()
        var isResumable = false
        if let runFolder {
            let folder = RunFolder(path: runFolder)
            if Files.exists(folder.configurationPath) {
                try ConfigurationFile.apply(folder.configurationPath, to: &configuration)
                isResumable = Files.exists(folder.lastCheckpoint)
            }
        }
        if let config { try ConfigurationFile.apply(config, to: &configuration) }
        let given = [
            ("data", data), ("run", runFolder), ("threads", threads), ("lanes", lanes), ("lane-batch", laneBatch),
            ("model", model.model),
        ]
        for (name, value) in given {
            if let value { try configuration.set(name, to: value, place: "--\(name)") }
        }
        for setting in model.settings {
            let (name, value) = try ModelOptions.pair(setting)
            configuration.settings[name] = value
        }
        try configuration.validate()
        _ = try configuration.makeNetwork()
        // Without data nobody has said what is to be trained: the default of lanes is no fault yet.
        let isMeant = data != nil || lanes != nil || config != nil || isResumable
        let launch = Launcher.current
        return Doctor.Subject(
            configuration: configuration, resume: isResumable,
            kernels: Machine.kernels(
                threads: configuration.threads, ranksOnHost: launch.ranksOnHost, precision: configuration.precision),
            lanes: isMeant ? configuration.lanes : nil, looksForLauncher: !launch.isUnderLauncher)
    }

    private func write(
        _ facts: [RankFacts], _ findings: [Finding], seconds: Double, _ communicator: any Communicator
    ) throws {
        let errors = findings.filter { $0.severity == .error }
        let hosts = Set(facts.map(\.host)).count
        func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
        let world = "doctor: \(counted(facts.count, "rank")) on \(counted(hosts, "host"))"
        let warnings = findings.count - errors.count
        let counts = [(errors.count, "error"), (warnings, "warning")].filter { $0.0 > 0 }.map { counted($0.0, $0.1) }
        let summary =
            findings.isEmpty ? "\(world), nothing to complain about" : "\(world), \(counts.joined(separator: " and "))"
        if communicator.rank == 0 {
            try output.write(
                [
                    "findings": try json(findings), "ranks": try json(facts.map(\.withoutSecrets)), "seconds": seconds,
                    "version": VergenceCommand.version,
                ],
                findings.map { "\($0.severity.rawValue): \(Log.singleLine($0.line))" }
                    + (errors.isEmpty ? [summary] : []))
        }
        guard let first = errors.first else { return }
        let names = Set(errors.map(\.name.rawValue)).sorted().joined(separator: ", ")
        throw CommonFailure(
            exitCode: Basics.ExitCode(rawValue: first.exitCode) ?? .usage,
            description: "\(summary): \(names); do what their lines say")
    }

    private func json(_ value: some Encodable) throws -> Any {
        try JSONSerialization.jsonObject(with: JSONEncoder().encode(value))
    }
}

extension RankFacts {
    /// Without the token, which is of no use any more, but nobody's business either.
    fileprivate var withoutSecrets: RankFacts {
        var facts = self
        facts.network.token = ""
        return facts
    }
}
