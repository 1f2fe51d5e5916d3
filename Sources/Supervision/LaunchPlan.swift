import Basics

/// What the user asked of `vergence launch`.
public struct LaunchOptions: Sendable {
    /// nil: as many as fit.
    public var ranks: Int?
    /// Compute threads of each rank; nil leaves it to `train`, which shares out the cores.
    public var threads: Int?
    public var isPinned = false
    public var minimumRanks = 1
    public var maximumRestarts = 10
    public var network: String?
    /// Where Open MPI lives on every machine.
    public var prefix: String?
    public var mpirunArguments: [String] = []

    public init() {}
}

/// What runs on the ranks.
public struct LaunchJob: Sendable {
    /// Path of the program, the same on every machine.
    public var program: String
    /// Its arguments: the command and what belongs to it.
    public var arguments: [String]
    /// A training run can be taken up again; anything else is run once.
    public var run: Run?

    public struct Run: Sendable {
        public var folder: String
        /// No rank may be without one.
        public var lanes: Int
        public var resumes: Bool

        public init(folder: String, lanes: Int, resumes: Bool) {
            self.folder = folder
            self.lanes = lanes
            self.resumes = resumes
        }
    }

    public init(program: String, arguments: [String], run: Run?) {
        self.program = program
        self.arguments = arguments
        self.run = run
    }
}

/// How many ranks run where, and the call of mpirun that does it.
public struct LaunchPlan: Equatable, Sendable {
    public let ranks: Int
    public let hosts: [LaunchHost]
    /// Of mpirun, up to the program's own.
    public let arguments: [String]

    /// The largest number of ranks that fits on these hosts: at most what was asked for, a slot each, a lane each.
    public static func rankCount(
        on hosts: [LaunchHost], source: LaunchSite.Source, options: LaunchOptions, lanes: Int?
    ) -> Int {
        let slots = hosts.reduce(0) { $0 + $1.slots }
        // One rank with all cores as its threads is usually fastest on one machine; more ranks than cores only on
        // demand.
        if source == .local { return min(options.ranks ?? 1, lanes ?? .max) }
        return min(options.ranks ?? slots, slots, lanes ?? .max)
    }

    /// Refuses what cannot be before anything starts.
    /// - Returns: warnings.
    /// - Throws: `Failure` (usage).
    public static func check(
        _ site: LaunchSite, options: LaunchOptions, lanes: Int?, cores: Int
    ) throws -> [String] {
        if let ranks = options.ranks {
            if let lanes, ranks > lanes {
                throw Failure(
                    .usage, "\(ranks) ranks for \(lanes) lanes: each rank needs one; give -n \(lanes) or more --lanes")
            }
            if site.source != .local, ranks > site.slots {
                throw Failure(
                    .usage,
                    "\(ranks) ranks for \(site.slots) slots; give -n \(site.slots), or more slots in the hostfile")
            }
        }
        let ranks = rankCount(on: site.hosts, source: site.source, options: options, lanes: lanes)
        if options.minimumRanks > ranks {
            throw Failure(.usage, "--min-ranks \(options.minimumRanks) is more than the \(ranks) ranks that fit")
        }
        if options.isPinned, options.threads == nil, site.source != .local {
            throw Failure(.usage, "--pin needs --threads: the cores of each rank")
        }
        if site.source == .local, ranks * (options.threads ?? 1) > cores {
            let threads = options.threads.map { " of \($0) thread\($0 == 1 ? "" : "s")" } ?? ""
            return ["\(ranks) ranks\(threads) share \(cores) core\(cores == 1 ? "" : "s"): right, but slow"]
        }
        return []
    }

    /// - Parameters:
    ///   - hosts: those that answer.
    ///   - hostfile: path of a file that lists them; nil on one machine.
    ///   - environment: of mpirun; says what has to be carried to other machines.
    ///   - more: names of further variables to carry.
    public init(
        hosts: [LaunchHost], ranks: Int, source: LaunchSite.Source, options: LaunchOptions, hostfile: String?,
        cores: Int, environment: [String: String], more: [String] = []
    ) {
        self.hosts = hosts
        self.ranks = ranks
        var words = ["-np", "\(ranks)"]
        if let hostfile { words += ["--hostfile", hostfile] }
        if let prefix = options.prefix { words += ["--prefix", prefix] }
        if options.isPinned {
            let threads = options.threads ?? max(1, cores / max(1, ranks))
            words += ["--map-by", "slot:PE=\(threads)", "--bind-to", "core"]
        }
        if source != .local {
            for name in (MPISettings.carried + more).filter({ environment[$0] != nil }) { words += ["-x", name] }
        }
        arguments = words + options.mpirunArguments
    }

    /// The program's arguments: `train` gets the number of threads if one was asked for, and `--resume` if the run goes
    /// on.
    public static func programArguments(_ job: LaunchJob, threads: Int?, resumes: Bool) -> [String] {
        var words = job.arguments
        if words.first == "train", let threads, !has("--threads", words) { words += ["--threads", "\(threads)"] }
        if resumes, !has("--resume", words) { words.append("--resume") }
        return words
    }

    /// Whether an option is among the words of a command, in either form.
    public static func has(_ option: String, _ words: [String]) -> Bool {
        words.contains { $0 == option || $0.hasPrefix(option + "=") }
    }
}

/// Words as a shell would have to be given them.
public enum ShellWords {
    public static func quoted(_ words: [String]) -> String { words.map(quoted).joined(separator: " ") }

    private static func quoted(_ word: String) -> String {
        let isPlain =
            !word.isEmpty && word.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "./-_+=:,@".contains($0)) }
        return isPlain
            ? word : "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}
