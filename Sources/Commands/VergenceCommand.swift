import ArgumentParser
import Basics
import Collectives

/// `vergence`: trains networks that see depth, and uses them.
public struct VergenceCommand: ParsableCommand {
    public static let configuration = CommandConfiguration(
        commandName: "vergence",
        abstract: "Trains networks that see depth on the CPUs of one machine or a cluster, and uses them.",
        discussion: """
            A first depth map:
              vergence-shards synth data --pairs 200 --size 64x96 --seed 1 --split val=0.1
              mpirun -np 2 --bind-to none vergence train data --run run --set width=16 --set dropout=0
              vergence predict left-and-right.png --checkpoint run/checkpoints/best.safetensors --output maps

            Exit codes: 0 done, 64 usage, 65 bad data, 66 missing input, 70 own fault, 74 input/output, 75 try again (a \
            rank died), 130 interrupted.
            """,
        version: "vergence \(version)",
        groupedSubcommands: [
            CommandGroup(
                name: "Training",
                subcommands: [
                    TrainCommand.self, LaunchCommand.self, RecipeCommand.self, ImportCommand.self, ReportCommand.self,
                ]),
            CommandGroup(
                name: "Using", subcommands: [PredictCommand.self, EvaluateCommand.self, ExportCommand.self]),
            CommandGroup(
                name: "Looking inside",
                subcommands: [DoctorCommand.self, DebugCommand.self, BenchCommand.self, ScaleCommand.self]),
        ])

    static let version = "0.1.0"

    public init() {}
}

/// What the launcher gives the program. The executable sets it once, before anything else runs.
public struct LaunchEnvironment: Sendable {
    /// Whether a launcher started this process as one of several ranks.
    public let isUnderLauncher: Bool
    /// Rank, number of ranks (nil: it does not say), and number of ranks on this host, as the launcher's environment says:
    /// for what happens before ranks can talk.
    public let rank: Int
    public let statedWorldSize: Int?
    public let ranksOnHost: Int
    /// Whether the launcher bound this rank to cores of its own.
    public let isBound: Bool
    /// This rank's number on its host.
    public let localRank: Int?
    /// This task's number and how many there are, if they were started together but do not know of each other.
    public let unrelatedTasks: (number: Int, count: Int)?
    /// Name and version of the library that carries messages.
    public let communicationLibrary: @Sendable () -> String
    /// Joins the other ranks. Called on the thread that will do all communication.
    public let makeCommunicator: @Sendable () throws -> any Communicator

    public init(
        isUnderLauncher: Bool, rank: Int, worldSize: Int?, ranksOnHost: Int, isBound: Bool,
        localRank: Int?, unrelatedTasks: (number: Int, count: Int)?,
        communicationLibrary: @escaping @Sendable () -> String,
        makeCommunicator: @escaping @Sendable () throws -> any Communicator
    ) {
        self.isUnderLauncher = isUnderLauncher
        self.rank = rank
        statedWorldSize = worldSize
        self.ranksOnHost = ranksOnHost
        self.isBound = isBound
        self.localRank = localRank
        self.unrelatedTasks = unrelatedTasks
        self.communicationLibrary = communicationLibrary
        self.makeCommunicator = makeCommunicator
    }

    public var worldSize: Int { statedWorldSize ?? 1 }

    /// One process, no launcher.
    public static let solo = LaunchEnvironment(
        isUnderLauncher: false, rank: 0, worldSize: nil, ranksOnHost: 1, isBound: false, localRank: nil,
        unrelatedTasks: nil,
        communicationLibrary: { "" }
    ) { SoloCommunicator() }
}
