import Basics

/// What is known about a job that has ended.
public struct JobEnd: Sendable {
    /// Of mpirun.
    public var end: ProcessEnd
    /// The last lines of its standard error, ranks' included.
    public var lastLines: [String]
    /// Somebody had asked to stop.
    public var wasAskedToStop: Bool
    /// Why the hang monitor had it ended.
    public var stallReport: String?

    public init(_ end: ProcessEnd, lastLines: [String] = [], wasAskedToStop: Bool = false, stallReport: String? = nil) {
        self.end = end
        self.lastLines = lastLines
        self.wasAskedToStop = wasAskedToStop
        self.stallReport = stallReport
    }
}

/// Why a job ended, as far as it matters for what to do next.
public enum Verdict: Equatable, Sendable {
    case done
    /// The user asked, and the ranks saved.
    case interrupted
    /// The program says why, and would say it again.
    case refused(ExitCode)
    case rankDied(RankDeath)
    /// Machines that mpirun names; empty if it names none.
    case hostLost([String])
    /// mpirun itself was killed.
    case launcherDied(signal: Int32)
    /// mpirun cannot work as it is called or installed.
    case launcherTrouble(ExitCode, String)
    /// The hang monitor had the job ended.
    case stalled
    /// Ranks of an earlier attempt, on a machine that was cut off, still hold the run.
    case runHeld

    public var isWorthRetrying: Bool {
        switch self {
        case .done, .interrupted, .refused, .launcherTrouble: false
        case .rankDied, .hostLost, .launcherDied, .stalled, .runHeld: true
        }
    }
}

/// How a rank came to its end.
public struct RankDeath: Equatable, Sendable {
    public enum Cause: Equatable, Sendable {
        case signal(Int32)
        case code(Int32)
    }

    public var cause: Cause
    public var rank: Int?
    public var host: String?
    public var process: Int32?

    public init(_ cause: Cause, rank: Int? = nil, host: String? = nil, process: Int32? = nil) {
        self.cause = cause
        self.rank = rank
        self.host = host
        self.process = process
    }
}

/// Tells from mpirun's last words and exit code what has happened.
///
/// Measured with Open MPI 4.1.4: mpirun ends with the code of the first rank that failed, or 128 + its signal; 205 when
/// it lost a machine; 1 when it was told to end, on a command line it does not understand, and when a rank left with 0
/// but without a word to MPI; 132 when the program is not there (as if a rank had met an illegal instruction), 255 when
/// ssh fails. So its words count before its code.
public enum ExitClassifier {
    public static func classify(_ job: JobEnd) -> Verdict {
        let text = job.lastLines.joined(separator: "\n")
        switch job.end {
        case .exited(0): return .done
        case .notStarted(let reason): return .launcherTrouble(.missingInput, reason)
        case .exited, .signalled: break
        }
        let code: Int32? = if case .exited(let code) = job.end { code } else { nil }
        if job.wasAskedToStop {
            // Trouble that came in between is said as such.
            if let code, let known = refusal(code) ?? (code == 74 ? .inputOutput : nil) { return .refused(known) }
            return .interrupted
        }
        if job.stallReport != nil { return .stalled }
        if let trouble = trouble(text) { return trouble }
        if case .signalled(let signal) = job.end { return .launcherDied(signal: signal) }
        guard let code else { return .rankDied(RankDeath(.code(-1))) }
        if code == ExitCode.usage.rawValue, text.contains("another process is writing this run") { return .runHeld }
        if let known = refusal(code) { return .refused(known) }
        if code == ExitCode.interrupted.rawValue { return .interrupted }
        if let lost = lostHosts(text, code) { return .hostLost(lost) }
        return .rankDied(death(text, code))
    }

    private static func refusal(_ code: Int32) -> ExitCode? {
        guard let known = ExitCode(rawValue: code) else { return nil }
        return [.usage, .badData, .missingInput, .internalFault].contains(known) ? known : nil
    }

    private static func trouble(_ text: String) -> Verdict? {
        let table: [(words: String, code: ExitCode, reason: String)] = [
            ("There are not enough slots available", .usage, "mpirun has fewer slots than ranks; give a smaller -n"),
            (
                "could not access\nor execute an executable", .missingInput,
                "the program is not on every machine at the same path; put it on a shared file system"
            ),
            (
                "unable to find the specified executable", .missingInput,
                "the program is not on every machine at the same path; put it on a shared file system"
            ),
            (
                "mpirun has detected an attempt to run as root", .usage,
                "mpirun does not run as root on several machines; run as another user"
            ),
            (
                "orted: command not found", .missingInput,
                "a machine does not find orted; say with --prefix where Open MPI lives, or put it on the PATH of a "
                    + "plain ssh command"
            ),
            (
                "orted: not found", .missingInput,
                "a machine does not find orted; say with --prefix where Open MPI lives, or put it on the PATH of a "
                    + "plain ssh command"
            ),
            (
                "orted: No such file", .missingInput,
                "a machine has no orted where --prefix says; correct --prefix"
            ),
            ("mpirun: Error: unknown option", .usage, "mpirun does not know an option; look at --mpirun-arg"),
        ]
        return table.first { text.contains($0.words) }.map { .launcherTrouble($0.code, $0.reason) }
    }

    /// Machines that went away or could not be reached; nil if that is not what happened.
    private static func lostHosts(_ text: String, _ code: Int32) -> [String]? {
        var names: [String] = []
        func add(_ name: Substring) {
            let name = String(name.prefix { !":.".contains($0) || $0 == "." })
            if !names.contains(name) { names.append(name) }
        }
        for match in text.matches(of: #/Remote daemon: \S+ on node (\S+)/#) { add(match.1) }
        for match in text.matches(of: #/ssh: connect to host (\S+) port/#) { add(match.1) }
        for match in text.matches(of: #/Could not resolve hostname ([^\s:]+)/#) { add(match.1) }
        let closed = #/Connection to (\S+) (?:port \d+ timed out|closed by remote host)/#
        for match in text.matches(of: closed) { add(match.1) }
        let signs = [
            "ORTE has lost communication with a remote daemon", "ORTE was unable to reliably start one or more daemons",
            "ORTE does not know how to route a message", "Host key verification failed", "Permission denied (publickey",
        ]
        return code == 205 || !names.isEmpty || signs.contains { text.contains($0) } ? names : nil
    }

    private static func death(_ text: String, _ code: Int32) -> RankDeath {
        let pattern = #/process rank (\d+) with PID (\d+) on node (\S+) exited on signal (\d+)/#
        if let match = text.matches(of: pattern).last, let signal = Int32(match.4) {
            return RankDeath(
                .signal(signal), rank: Int(match.1), host: String(match.3),
                // mpirun does not know it of ranks on its own machine, and says 0.
                process: Int32(match.2).flatMap { $0 > 0 ? $0 : nil })
        }
        let process = text.matches(of: #/Process name: \[\[\d+,\d+\],(\d+)\]/#).last.flatMap { Int($0.1) }
        // The shell's way of saying it.
        if code > 128, code <= 128 + 64 { return RankDeath(.signal(code - 128), rank: process) }
        return RankDeath(.code(code), rank: process)
    }
}
