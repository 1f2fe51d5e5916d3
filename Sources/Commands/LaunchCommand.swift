import ArgumentParser
import Basics
import Foundation
import Kernels
import Supervision
import Telemetry

/// `vergence launch`: ranks under mpirun, on this machine or on many, and somebody who sees to it that the run goes on.
struct LaunchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "launch",
        abstract: "Runs a command as ranks under mpirun; a training run goes on by itself after failures.",
        discussion: """
            Examples:
              vergence launch -n 2 -- train data --run runs/first --lanes 2 --lane-batch 3
              vergence launch --hostfile hosts --network 10.0.0.0/24 -- train /data/films --run /data/run1 --lanes 16
              vergence launch --dry-run -n 4 -- train data --run runs/first --lanes 4

            Machines come from --hostfile, from Slurm inside an allocation, or from the hostfile of a Kubernetes \
            MPIJob; else all ranks run here. The program, the data and the run's folder must be at the same path on \
            every machine, this one included.

            When a rank dies, a machine is lost or ranks are stuck, training goes on from its newest whole checkpoint, \
            on the machines that answer, with as many ranks as fit; the weights have the same bits as those of a run \
            without a break. What another try would not change (exit codes 64, 65, 66, 70, and 74 before the first step) is \
            not tried again. Events stand on standard error and in launch.jsonl in the run's folder.

            Ctrl-C or SIGTERM saves and ends with 130, a second one ends at once; SIGUSR1 and SIGUSR2 go to the ranks.
            """)

    @Option(
        name: [.customShort("n"), .customLong("ranks")],
        help: ArgumentHelp(
            "Number of ranks. (default: a rank a slot, at most one a lane; 1 on this machine alone)", valueName: "N"))
    var ranks: Int?
    @Option(
        name: [.customShort("f"), .customLong("hostfile")],
        help: ArgumentHelp("Machines and ranks on each, in Open MPI's syntax.", valueName: "file"))
    var hostfile: String?
    @Flag(help: "Use this machine only, whatever Slurm or Kubernetes offer.")
    var local = false
    @Option(
        name: [.customShort("i"), .customLong("network")],
        help: ArgumentHelp(
            "Networks or interfaces to use, where machines have addresses that the others cannot reach.",
            valueName: "CIDR|interface"))
    var network: String?
    @Option(
        name: [.customShort("t"), .customLong("threads")],
        help: ArgumentHelp(
            "Compute threads of each rank, given to train. (default: its share of the cores)", valueName: "T"))
    var threads: Int?
    @Flag(help: "Give each rank cores of its own (bare metal; not in containers that share cores).")
    var pin = false
    @Option(help: ArgumentHelp("Wait for machines rather than go on with fewer ranks than these.", valueName: "M"))
    var minRanks = 1
    @Option(help: ArgumentHelp("Give up after this many restarts in a row without progress.", valueName: "R"))
    var maxRestarts = 10
    @Option(
        name: .customLong("hang-timeout"),
        help: ArgumentHelp(
            "A rank that stands still for this long ends the attempt; 0 = never.", valueName: "seconds"))
    var hangTimeout = 60.0
    @Option(
        help: ArgumentHelp(
            "Where Open MPI lives on every machine, if not on the PATH of a plain ssh command.", valueName: "folder"))
    var prefix: String?
    @Option(
        name: .customLong("mpirun-arg"), parsing: .unconditionalSingleValue,
        help: ArgumentHelp("One more argument for mpirun; may be given several times.", valueName: "argument"))
    var mpirunArguments: [String] = []
    @Flag(name: .customLong("dry-run"), help: "Print the call of mpirun and its settings; run nothing.")
    var dryRun = false
    @OptionGroup var logging: LogOptions
    @Argument(parsing: .captureForPassthrough, help: "The command and its arguments, after --.")
    var command: [String] = []

    func run() throws {
        if Launcher.current.isUnderLauncher {
            throw Failure(.usage, "launch starts ranks itself; call it without mpirun")
        }
        let words = try commandWords()
        let environment = ProcessInfo.processInfo.environment
        var options = LaunchOptions()
        options.ranks = ranks
        options.threads = threads
        options.isPinned = pin
        options.minimumRanks = minRanks
        options.maximumRestarts = maxRestarts
        options.network = network
        options.prefix = prefix
        options.mpirunArguments = mpirunArguments
        let cores = max(1, CPUAffinity.allowedCores)
        let site = try LaunchSite.find(hostfile: hostfile, isLocal: local, environment: environment, cores: cores)
        if site.source == .slurm, threads == nil {
            options.threads = environment["SLURM_CPUS_PER_TASK"].flatMap { Int($0) }
        }
        let run = try Self.trainingRun(words)
        // Ranks that are started again must not choose another folder.
        let named = run.map { LaunchPlan.has("--run", words) ? words : words + ["--run", $0.folder] } ?? words
        let job = LaunchJob(program: try Self.program(), arguments: named, run: run)
        for warning in try LaunchPlan.check(site, options: options, lanes: job.run?.lanes, cores: cores) {
            Console.say(warning, .warning, source: "launch")
        }
        if dryRun { return show(site, options, job, cores, environment) }
        let supervisor = try Supervisor(
            site: site, options: options, job: job, cores: cores, environment: environment,
            resumePrefix: resumePrefix(),
            // Whoever asks for quiet wants to know of failures, and these lines are about little else.
            formatLine: { Log.line($0, .info, source: "launch", style: Log.style == .json ? .json : .text) ?? "" },
            makeStallWatch: { [hangTimeout] in
                // Only training sends heartbeats.
                guard job.run != nil, hangTimeout > 0 else { return nil }
                func say(_ text: String) { Console.say(text, .info, source: "launch") }
                guard let address = HeartbeatWatch.address(site, network: options.network, environment: environment)
                else {
                    say("no address of this machine is in \(options.network ?? "reach"): hangs will not be noticed")
                    return nil
                }
                return try HeartbeatWatch(address: address, worldSize: $0, timeoutSeconds: hangTimeout, warn: say)
            })
        let code = try supervisor.run()
        if code != .done { throw EchoedFailure(exitCode: code) }
    }

    /// The command, without the `--` in front of it.
    private func commandWords() throws -> [String] {
        for (name, value) in [("-n", ranks), ("--threads", threads), ("--min-ranks", minRanks)] {
            if let value, !(1...65_536).contains(value) { throw Failure(.usage, "\(name) \(value): give 1…65536") }
        }
        guard (0...1_000_000).contains(maxRestarts) else {
            throw Failure(.usage, "--max-restarts \(maxRestarts): give 0…1000000")
        }
        guard hangTimeout == 0 || (1...86_400).contains(hangTimeout) else {
            throw Failure(.usage, "--hang-timeout \(hangTimeout): give 1…86400 seconds, or 0 for never")
        }
        let words = command.first == "--" ? Array(command.dropFirst()) : command
        guard let first = words.first else {
            throw Failure(.usage, "which command shall the ranks run? vergence launch -n 2 -- train DATA --run DIR")
        }
        if first == "--help" || first == "-h" { throw CleanExit.helpRequest(self) }
        if command.first != "--", first.hasPrefix("-") {
            let names = [
                "--ranks", "--hostfile", "--local", "--network", "--threads", "--pin", "--min-ranks", "--max-restarts",
                "--hang-timeout", "--prefix", "--mpirun-arg", "--dry-run", "--help",
            ]
            throw Failure(
                .usage, "unknown option '\(first)'\(suggestion(for: first, among: names)); see 'vergence launch --help'"
            )
        }
        let commands = VergenceCommand.configuration.subcommands.map { $0._commandName }
        if !first.hasPrefix("-"), !commands.contains(first) {
            throw Failure(
                .usage, "unknown command '\(first)'\(suggestion(for: first, among: commands)); see 'vergence --help'")
        }
        if first == "launch" { throw Failure(.usage, "launch cannot launch itself; name another command") }
        return words
    }

    /// What is known about a training run before it starts, which also finds mistakes in its command line; nil for
    /// other commands, and for a dry run.
    /// - Throws: `Failure`, or what asks for help.
    private static func trainingRun(_ words: [String]) throws -> LaunchJob.Run? {
        let parsed: any ParsableCommand
        do {
            parsed = try VergenceCommand.parseAsRoot(words)
        } catch {
            if VergenceCommand.exitCode(for: error).isSuccess { throw error }
            throw Failure(.usage, UsageMessage.line(for: error, root: VergenceCommand.self, arguments: words[...]))
        }
        guard let train = parsed as? TrainCommand, !train.dryRun else { return nil }
        if train.ranks > 1 {
            throw Failure(.usage, "--ranks is for one process; give launch -n \(train.ranks) instead")
        }
        let configuration = try train.resolved()
        return LaunchJob.Run(folder: configuration.run, lanes: configuration.lanes, resumes: train.resume)
    }

    /// This program, by a path that holds on every machine.
    private static func program() throws -> String {
        do {
            return try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        } catch {
            throw Failure(.internalFault, "/proc/self/exe cannot be read: \(error.localizedDescription)")
        }
    }

    /// What stands before the command, as it was given.
    private func resumePrefix() -> [String] {
        let words = CommandLine.arguments
        return Array(words.dropLast(command.count)) + ["--"]
    }

    /// What would be called, for people and for a shell.
    private func show(
        _ site: LaunchSite, _ options: LaunchOptions, _ job: LaunchJob, _ cores: Int, _ environment: [String: String]
    ) {
        let full = MPISettings.environment(for: site, network: network, isRoot: getuid() == 0, from: environment)
        for (name, value) in full.sorted(by: { $0.key < $1.key })
        where name.hasPrefix("OMPI_") || name.hasPrefix("OPENBLAS_") {
            print("\(name)=\(ShellWords.quoted([value]))")
        }
        if site.source != .local {
            for host in site.hosts { print("# \(host.name) slots=\(host.slots)") }
        }
        let plan = LaunchPlan(
            hosts: site.hosts,
            ranks: LaunchPlan.rankCount(on: site.hosts, source: site.source, options: options, lanes: job.run?.lanes),
            source: site.source, options: options, hostfile: site.source == .local ? nil : hostfile ?? "HOSTS",
            cores: cores, environment: full)
        let words = LaunchPlan.programArguments(job, threads: options.threads, resumes: false)
        print(ShellWords.quoted(["mpirun"] + plan.arguments + [job.program] + words))
    }
}
