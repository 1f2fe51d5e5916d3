import Basics
import Glibc

/// One call of mpirun, from its start to its end: passes on output and signals, notes progress, listens to the hang
/// monitor, and sees to it that nothing is left.
final class JobWatch {
    /// Between two questions to the hang monitor.
    static let pollSeconds = 0.5
    /// Between the request for stacks and the end of a job that is stuck.
    static let stackSeconds = 2.0
    /// Between SIGTERM to mpirun, which ends ranks in order, and SIGKILL.
    static let killSeconds = 5.0
    /// How long to look for ranks that start; those on other hosts are never seen.
    static let rankSeconds = 10.0

    let child: ChildProcess
    private let rankCount: Int
    private let tail: OutputTail
    private let stallWatch: (any StallWatch)?
    private let isTraining: Bool
    private let say: (String) -> Void
    private let tick: () -> Double
    private(set) var stallReport: String?
    /// Local ranks' processes.
    private(set) var ranks: [Int: Int32] = [:]
    private var stopsSeen = 0
    private var killAt: Double?
    private var terminateAt: Double?

    /// - Parameters:
    ///   - rankCount: how many ranks are to start.
    ///   - isTraining: whether ranks know the signal that asks them to save.
    ///   - tick: looks at progress; returns in how many seconds to look again.
    init(
        _ child: ChildProcess, rankCount: Int, tail: OutputTail, stallWatch: (any StallWatch)?, isTraining: Bool,
        say: @escaping (String) -> Void, tick: @escaping () -> Double
    ) {
        self.child = child
        self.rankCount = rankCount
        self.tail = tail
        self.stallWatch = stallWatch
        self.isTraining = isTraining
        self.say = say
        self.tick = tick
    }

    func run() -> JobEnd {
        var nextPoll = 0.0
        var nextTick = 0.0
        while !child.hasEnded() {
            child.pump(milliseconds: 50)
            passSignals()
            let now = monotonicSeconds()
            if now >= nextPoll {
                nextPoll = now + Self.pollSeconds
                askStallWatch(now)
            }
            // They don't change, and are there within a few looks; one that dies in its first half second has a name too.
            if ranks.count < rankCount, now < start + Self.rankSeconds {
                ranks.merge(ProcessTable.ranks(of: child.processID)) { $1 }
            }
            if now >= nextTick { nextTick = now + tick() }
            if let time = terminateAt, now >= time {
                terminateAt = nil
                endAtOnce(now)
            }
            if let time = killAt, now >= time {
                killAt = nil
                child.sendToGroup(SIGKILL)
            }
        }
        child.drain()
        // Ranks whose mpirun was killed notice within a second or two, unless they are stopped; they have nothing to
        // save.
        let left = ProcessTable.endOrphans(graceSeconds: 0.5)
        if left > 0 { say("ended \(left) process\(left == 1 ? "" : "es") that mpirun left") }
        child.drain()
        _ = tick()
        return JobEnd(
            child.end ?? .signalled(0), lastLines: tail.lines, wasAskedToStop: SignalInbox.stopCount > 0,
            stallReport: stallReport)
    }

    private let start = monotonicSeconds()

    private func passSignals() {
        // What arrives while nothing runs counts too: the first wish is passed on to whatever runs next.
        let stops = SignalInbox.stopCount
        if stops > stopsSeen {
            if stops == 1 {
                say(isTraining ? "asked to stop; the ranks save and end (once more to end at once)" : "asked to stop")
                child.send(isTraining ? MPISettings.askToStop : SIGTERM)
            } else if killAt == nil {
                say("ends at once")
                endAtOnce(monotonicSeconds())
            }
            stopsSeen = stops
        }
        for signal in SignalInbox.takeUserSignals() { child.send(signal) }
    }

    private func askStallWatch(_ now: Double) {
        guard stallReport == nil, SignalInbox.stopCount < 2, let report = stallWatch?.check() else { return }
        stallReport = report
        say(report)
        stallWatch?.requestStacks()
        terminateAt = now + Self.stackSeconds
    }

    private func endAtOnce(_ now: Double) {
        child.send(SIGTERM)
        killAt = now + Self.killSeconds
    }
}
