import Basics
import CProcesses
import Checkpoints
import Glibc

/// Runs a job under mpirun and, if it is a training run, heals it: what ends for a reason that may pass is taken up
/// again from the newest whole checkpoint, on the machines that answer, with as many ranks as fit. The result has the
/// same bits.
public final class Supervisor {
    /// What one call of mpirun gets.
    private struct Attempt {
        var hosts: [LaunchHost]
        var ranks: Int
        var resumes: Bool
        var step: Int
    }

    private let site: LaunchSite
    private let options: LaunchOptions
    private let job: LaunchJob
    private let cores: Int
    private let userEnvironment: [String: String]
    private let resumePrefix: [String]
    private let formatLine: (String) -> String
    private let makeStallWatch: (Int) throws -> (any StallWatch)?
    private let record: RunRecord?
    private let journal: LaunchJournal
    private let local = LocalNames.current()
    private let errors = OutputTail(to: 2)
    private let hostfile: TemporaryHostfile?
    /// Whether the run's folder was ours to make.
    private let ownsFolder: Bool
    private var restarts = 0
    // For the time to the first step after a failure.
    private var failedAt: Double?
    private var lastGrowth: Double?
    private var seen = RunRecord.Snapshot()
    private var highestStep = 0

    /// - Parameters:
    ///   - cores: that this process may use.
    ///   - resumePrefix: words that stand before `train` in a command that goes on.
    ///   - formatLine: what a line for people looks like, with its line break.
    ///   - makeStallWatch: a hang monitor for each call of mpirun; nil for none.
    /// - Throws: `FileError`.
    public init(
        site: LaunchSite, options: LaunchOptions, job: LaunchJob, cores: Int, environment: [String: String],
        resumePrefix: [String], formatLine: @escaping (String) -> String = { "launch: \($0)\n" },
        makeStallWatch: @escaping (_ ranks: Int) throws -> (any StallWatch)? = { _ in nil }
    ) throws {
        self.formatLine = formatLine
        self.site = site
        self.options = options
        self.job = job
        self.cores = cores
        userEnvironment = environment
        self.resumePrefix = resumePrefix
        self.makeStallWatch = makeStallWatch
        record = job.run.map { RunRecord(folder: $0.folder) }
        ownsFolder = job.run?.resumes == false && record?.isFree == true
        // A run that is none of ours, and will be refused, stays as it is.
        journal = LaunchJournal(ownsFolder || job.run?.resumes == true ? record : nil)
        hostfile = site.source == .local ? nil : try TemporaryHostfile()
    }

    /// Runs to the end, whatever that is.
    /// - Returns: the code to end with; ranks have said why.
    /// - Throws: `Failure` or `FileError` with what nobody has said yet.
    public func run() throws -> ExitCode {
        guard let mpirun = Programs.find("mpirun", userEnvironment) else {
            throw Failure(.missingInput, "mpirun is missing; install openmpi-bin, or load your cluster's MPI module")
        }
        SignalInbox.install()
        _ = cprocesses_adopt_orphans()
        var attempt = Attempt(
            hosts: site.hosts,
            ranks: LaunchPlan.rankCount(on: site.hosts, source: site.source, options: options, lanes: job.run?.lanes),
            resumes: false, step: 0)
        if let record, job.run?.resumes == true { (attempt.resumes, attempt.step) = try prepare(record) }
        journal.add("start", describe(attempt))
        var policy = RestartPolicy(
            maximumRestarts: job.run == nil ? 0 : options.maximumRestarts,
            step: max(attempt.step, record?.lastStep() ?? 0))
        while true {
            let before = standing()
            let (end, ranks) = try runOnce(mpirun, attempt)
            var verdict = end
            // A folder that cannot be written, or a full disk, before the first step of all: nothing that passes by itself.
            if case .rankDied(let death) = verdict, death.cause == .code(ExitCode.inputOutput.rawValue), restarts == 0,
                standing() == before
            {
                verdict = .refused(.inputOutput)
            }
            let what = verdict.text(ranks: ranks, severalHosts: site.hosts.count > 1)
            switch verdict {
            case .done, .interrupted, .refused, .launcherTrouble: return try finish(verdict, what)
            default: break
            }
            guard job.run != nil else {
                say("\(what); this command is not tried again")
                return verdict.finalCode
            }
            guard let next = try recover(verdict, what, &policy) else { return try finish(.interrupted, "stopped") }
            attempt = next
        }
    }

    /// The end of it all: says what ranks have not said.
    private func finish(_ verdict: Verdict, _ what: String) throws -> ExitCode {
        journal.add(
            verdict == .done ? "done" : "end",
            [
                ("verdict", .text(verdict.name)), ("reason", .text(what)),
                ("code", .whole(Int(verdict.finalCode.rawValue))),
                ("restarts", .whole(restarts)), ("step", .whole(standing())),
            ])
        switch verdict {
        case .done where restarts > 0: say("done, after \(counted(restarts, "restart"))")
        case .refused where job.run != nil: say("\(what), which another try would not change")
        case .launcherTrouble(let code, let reason): throw Failure(code, reason)
        case .interrupted:
            if let run = job.run {
                let words =
                    resumePrefix
                    + (record?.exists == true ? ["train", "--run", run.folder, "--resume"] : job.arguments)
                throw Failure(.interrupted, "stopped; go on with: \(ShellWords.quoted(words))")
            }
        default: break
        }
        return verdict.finalCode
    }

    // MARK: One attempt

    private func runOnce(_ mpirun: String, _ attempt: Attempt) throws -> (Verdict, [Int: Int32]) {
        let stallWatch = try makeStallWatch(attempt.ranks)
        var environment = MPISettings.environment(
            for: site, network: options.network, isRoot: geteuid() == 0, from: userEnvironment)
        environment.merge(stallWatch?.environment ?? [:]) { $1 }
        environment[MPISettings.resumePrefixVariable] = ShellWords.quoted(resumePrefix)
        try hostfile?.write(attempt.hosts)
        let plan = LaunchPlan(
            hosts: attempt.hosts, ranks: attempt.ranks, source: site.source, options: options, hostfile: hostfile?.path,
            cores: cores, environment: environment, more: (stallWatch?.environment ?? [:]).keys.sorted())
        let words = LaunchPlan.programArguments(job, threads: options.threads, resumes: attempt.resumes)
        errors.forget()
        seen = record?.snapshot() ?? RunRecord.Snapshot()
        let child = try ChildProcess(
            path: mpirun, arguments: plan.arguments + [job.program] + words, environment: environment,
            // It ends the ranks in order. They do not outlive it even if it can't.
            deathSignal: SIGTERM,
            output: { OutputTail.write($0, to: 1) }, errors: { [errors] in errors.take($0) })
        let watch = JobWatch(
            child, rankCount: attempt.ranks, tail: errors, stallWatch: stallWatch, isTraining: job.run != nil,
            say: { [unowned self] in self.say($0) },
            tick: { [unowned self] in
                self.noteProgress(from: attempt.step)
                // The first step after a failure is timed.
                return self.failedAt == nil ? 0.5 : 0.05
            })
        let end = watch.run()
        return (ExitClassifier.classify(end), watch.ranks)
    }

    /// Looks whether steps are being done.
    private func noteProgress(from step: Int) {
        guard let record else { return }
        journal.flush()
        let now = record.snapshot()
        // Until the resumed run has taken up its table, the rows are those of the run before.
        guard now != seen else { return }
        let last = record.lastStep()
        guard last > step else { return }
        seen = now
        highestStep = max(highestStep, last)
        if let failed = failedAt {
            failedAt = nil
            // Since the last step before the failure, if there was one.
            let pause = lastGrowth.map { monotonicSeconds() - $0 }
            let since = monotonicSeconds() - failed
            let stood = pause.map { ", \(seconds($0)) s after their last step" } ?? ""
            say("step \(last) is done, \(seconds(since)) s after the end of the ranks\(stood)")
            journal.add(
                "going_again",
                [
                    ("step", .whole(last)), ("seconds_since_failure", .number(since)),
                    ("seconds_without_step", .number(pause ?? .nan)),
                ])
        }
        lastGrowth = monotonicSeconds()
    }

    // MARK: Going on

    /// What has to be known and done before the next attempt; nil if somebody asked to stop meanwhile.
    /// - Throws: `Failure` with the reason for giving up.
    private func recover(_ verdict: Verdict, _ what: String, _ policy: inout RestartPolicy) throws -> Attempt? {
        guard let run = job.run, let record else { return nil }
        failedAt = failedAt ?? monotonicSeconds()
        var (what, signature) = (what, verdict.signature)
        while true {
            let decision = policy.failed(signature, at: standing())
            guard case .restart(let pause, let repeats) = decision else {
                try giveUp(verdict, what, decision)
            }
            let decided = monotonicSeconds()
            let probe = HostProbe(source: site.source, environment: userEnvironment)
            let (there, gone) = probe.answering(site.hosts, local: local) { SignalInbox.stopCount > 0 }
            if SignalInbox.stopCount > 0 { return nil }
            let ranks = LaunchPlan.rankCount(on: there, source: site.source, options: options, lanes: run.lanes)
            let missing = gone.map(\.name)
            let names = missing.joined(separator: ", ")
            restarts = policy.restarts
            // Asking took a part of the pause.
            let delay = max(0, pause - (monotonicSeconds() - decided))
            if there.isEmpty || ranks < options.minimumRanks {
                let need = counted(options.minimumRanks, "rank")
                let state = "\(there.count) of \(counted(site.hosts.count, "machine")) answer, too few for \(need)"
                say("\(what); \(state) (without \(names)); asking again in \(seconds(delay)) s")
                journal.add(
                    "waiting",
                    [("reason", .text(what)), ("missing_hosts", .texts(missing)), ("delay_seconds", .number(delay))])
                (what, signature) = ("\(state)", "missing \(missing)")
                if !wait(delay) { return nil }
                continue
            }
            let (resumes, step) = try prepare(record)
            let attempt = Attempt(hosts: there, ranks: ranks, resumes: resumes, step: step)
            var line = "\(what)\(repeats > 1 ? ", for the \(ordinal(repeats)) time in a row at this step" : "")"
            line += "; going on with \(counted(ranks, "rank"))"
            if !missing.isEmpty {
                line += " on \(there.count) of \(counted(site.hosts.count, "machine")) (without \(names))"
            }
            say("\(line) from step \(step) in \(seconds(delay)) s (restart \(restarts))")
            journal.add(
                "restart",
                [
                    ("verdict", .text(verdict.name)), ("reason", .text(what)), ("restart", .whole(restarts)),
                    ("delay_seconds", .number(delay)), ("missing_hosts", .texts(missing)),
                ] + describe(attempt))
            return wait(delay) ? attempt : nil
        }
    }

    private func giveUp(_ verdict: Verdict, _ what: String, _ decision: RestartPolicy.Decision) throws -> Never {
        guard case .giveUp(let repeats) = decision else { preconditionFailure("not given up: \(decision)") }
        let tries = counted(options.maximumRestarts, "restart")
        var reason = "gave up after \(tries) without progress, at step \(standing()): \(what)"
        if repeats > 1 { reason += ", \(repeats) times in a row in the same way" }
        reason += "; \(verdict.advice)"
        journal.add(
            "gave_up",
            [
                ("verdict", .text(verdict.name)), ("reason", .text(reason)),
                ("code", .whole(Int(verdict.finalCode.rawValue))),
                ("restarts", .whole(restarts)), ("step", .whole(standing())),
            ])
        throw Failure(verdict.finalCode, reason)
    }

    /// Makes the run's folder fit to go on from: the newest whole checkpoint is `last`.
    /// - Returns: whether there is a run to resume, and from which step.
    private func prepare(_ record: RunRecord) throws -> (resumes: Bool, step: Int) {
        guard record.exists else {
            // Ranks died before they had begun the run; what they left would be refused.
            if ownsFolder { record.removeShell() }
            return (job.run?.resumes ?? false, 0)
        }
        let result = try CheckpointScan.repair(record.checkpointFolder)
        for (_, reason) in result.damaged { say("damaged: \(reason)") }
        if !result.damaged.isEmpty {
            say(result.newest.map { "taking \($0.path), step \($0.step)" } ?? "no whole checkpoint: starting at step 0")
        }
        return (true, result.newest?.step ?? 0)
    }

    /// The highest step that is known to be done.
    private func standing() -> Int {
        guard let record else { return 0 }
        return max(highestStep, record.lastStep(), CheckpointScan.step(ofLastIn: record.checkpointFolder) ?? 0)
    }

    /// Returns whether nobody asked to stop meanwhile.
    private func wait(_ seconds: Double) -> Bool {
        let end = monotonicSeconds() + seconds
        while SignalInbox.stopCount == 0 {
            let left = end - monotonicSeconds()
            if left <= 0 { return true }
            usleep(UInt32(min(left, 0.05) * 1e6))
        }
        return false
    }

    private func describe(_ attempt: Attempt) -> [(String, LaunchJournal.Value)] {
        [
            ("ranks", .whole(attempt.ranks)), ("hosts", .texts(attempt.hosts.map(\.name))),
            ("step", .whole(attempt.step)),
        ]
    }

    /// A line for people, on a line of its own.
    private func say(_ text: String) {
        let start = errors.endsWithLine ? "" : "\n"
        let lines = text.split(separator: "\n").map { formatLine(String($0)) }.joined()
        OutputTail.write(ArraySlice((start + lines).utf8), to: 2)
        errors.hasNewLine()
    }
}

private func ordinal(_ number: Int) -> String {
    switch number {
    case 2: "second"
    case 3: "third"
    default: "\(number)th"
    }
}

/// A hostfile of ours, rewritten for each attempt, that nobody else can write; gone when this is.
private final class TemporaryHostfile {
    let path: String

    /// - Throws: `FileError`.
    init() throws {
        let folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var name = Array("\(folder)/vergence-hosts-XXXXXX".utf8CString)
        let descriptor = mkstemp(&name)
        let text = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if descriptor < 0 { throw FileError(path: text, action: "create", code: errno) }
        close(descriptor)
        path = text
    }

    func write(_ hosts: [LaunchHost]) throws {
        try AtomicFileWriter.write(hosts.map { $0.line + "\n" }.joined(), to: path)
    }

    deinit { unlink(path) }
}
