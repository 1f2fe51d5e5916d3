import Basics
import Testing

@testable import Supervision

@Suite struct ClassifierTests {
    /// As mpirun 4.1.4 prints them.
    static let killed = """
        --------------------------------------------------------------------------
        mpirun noticed that process rank 1 with PID 0 on node vm exited on signal 9 (Killed).
        --------------------------------------------------------------------------
        """
    static let left = """
        mpirun detected that one or more processes exited with non-zero status, thus causing
        the job to be terminated. The first process to do so was:

          Process name: [[21411,1],2]
          Exit code:    3
        """
    static let lost = """
        ORTE has lost communication with a remote daemon.

          HNP daemon   : [[45125,0],0] on node vch1
          Remote daemon: [[45125,0],2] on node vch3

        This is usually due to either a failure of the TCP network
        """
    static let unreachable = """
        ssh: connect to host 10.77.0.3 port 2222: No route to host
        --------------------------------------------------------------------------
        ORTE was unable to reliably start one or more daemons.
        """

    /// Codes as measured: end of mpirun, last words, verdict.
    static let table: [(ProcessEnd, String, Verdict)] = [
        (.exited(0), "", .done),
        (.exited(64), "vergence: --lanes 0", .refused(.usage)),
        (.exited(65), "", .refused(.badData)),
        (.exited(66), "", .refused(.missingInput)),
        (.exited(70), "", .refused(.internalFault)),
        (.exited(64), "vergence: run: another process is writing this run; wait for it", .runHeld),
        (.exited(74), "", .rankDied(RankDeath(.code(74)))),
        (.exited(75), "", .rankDied(RankDeath(.code(75)))),
        (.exited(130), "", .interrupted),
        (.exited(137), killed, .rankDied(RankDeath(.signal(9), rank: 1, host: "vm"))),
        (
            .exited(137), killed.replacing("PID 0", with: "PID 47"),
            .rankDied(RankDeath(.signal(9), rank: 1, host: "vm", process: 47))
        ),
        (.exited(137), "", .rankDied(RankDeath(.signal(9)))),
        (.exited(139), "", .rankDied(RankDeath(.signal(11)))),
        (.exited(134), "", .rankDied(RankDeath(.signal(6)))),
        (.exited(143), "", .rankDied(RankDeath(.signal(15)))),
        (.exited(132), "", .rankDied(RankDeath(.signal(4)))),
        (.exited(3), left, .rankDied(RankDeath(.code(3), rank: 2))),
        (.exited(1), "", .rankDied(RankDeath(.code(1)))),
        (.exited(9), "MPI_ABORT was invoked", .rankDied(RankDeath(.code(9)))),
        (.exited(205), lost, .hostLost(["vch3"])),
        (.exited(205), "", .hostLost([])),
        (.exited(205), "Connection to 10.77.0.4 closed by remote host.", .hostLost(["10.77.0.4"])),
        (.exited(255), unreachable, .hostLost(["10.77.0.3"])),
        (.exited(255), "ssh: Could not resolve hostname node9: Name or service not known", .hostLost(["node9"])),
        (.exited(1), "Host key verification failed.", .hostLost([])),
        (.signalled(9), "", .launcherDied(signal: 9)),
        (.notStarted("mpirun: cannot start"), "", .launcherTrouble(.missingInput, "mpirun: cannot start")),
    ]

    @Test(arguments: table.indices) func measuredEnds(index: Int) {
        let (end, words, verdict) = Self.table[index]
        let lines = words.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        #expect(ExitClassifier.classify(JobEnd(end, lastLines: lines)) == verdict)
    }

    @Test(arguments: [
        (
            Int32(132),
            "mpirun was unable to launch the specified application as it could not access\nor execute an executable:"
        ),
        (127, "bash: line 1: orted: command not found\nORTE was unable to reliably start one or more daemons."),
        (1, "There are not enough slots available in the system to satisfy the 4"),
        (1, "mpirun has detected an attempt to run as root."),
        (1, "mpirun: Error: unknown option \"--nope\""),
    ])
    func troubleWithMpirunIsNotTriedAgain(code: Int32, words: String) {
        let verdict = ExitClassifier.classify(
            JobEnd(.exited(code), lastLines: words.split(separator: "\n").map(String.init)))
        guard case .launcherTrouble = verdict else { return #expect(Bool(false), "\(verdict)") }
        #expect(!verdict.isWorthRetrying)
    }

    @Test func whatWasAskedForComesFirst() {
        func classify(_ end: ProcessEnd, asked: Bool = false, stall: String? = nil) -> Verdict {
            ExitClassifier.classify(JobEnd(end, lastLines: [Self.killed], wasAskedToStop: asked, stallReport: stall))
        }
        #expect(classify(.exited(130), asked: true) == .interrupted)
        #expect(classify(.exited(1), asked: true) == .interrupted)
        #expect(classify(.signalled(15), asked: true) == .interrupted)
        #expect(classify(.exited(0), asked: true) == .done)
        #expect(classify(.exited(65), asked: true) == .refused(.badData))
        #expect(classify(.exited(137), stall: "rank 2 is stuck") == .stalled)
        #expect(classify(.exited(137), asked: true, stall: "rank 2 is stuck") == .interrupted)
        #expect(classify(.exited(0), stall: "late") == .done)
    }

    @Test func whatIsTriedAgain() {
        let again: [Verdict] = [
            .rankDied(RankDeath(.signal(9))), .hostLost([]), .launcherDied(signal: 9), .stalled, .runHeld,
        ]
        let never: [Verdict] = [.done, .interrupted, .refused(.usage), .launcherTrouble(.usage, "")]
        #expect(again.allSatisfy { $0.isWorthRetrying })
        #expect(!never.contains { $0.isWorthRetrying })
        #expect(again.map(\.finalCode) == [.tryAgain, .tryAgain, .tryAgain, .tryAgain, .usage])
        #expect(Verdict.rankDied(RankDeath(.code(74))).finalCode == .inputOutput)
    }
}

@Suite struct RestartPolicyTests {
    private func delay(_ decision: RestartPolicy.Decision) -> Double? {
        if case .restart(let delay, _) = decision { delay } else { nil }
    }

    @Test func delaysDoubleUntilThereIsProgress() {
        var policy = RestartPolicy(maximumRestarts: 20, step: 0)
        #expect((0..<8).map { delay(policy.failed("\($0)", at: 0)) } == [1, 2, 4, 8, 16, 32, 60, 60])
        #expect(delay(policy.failed("x", at: 5)) == 1)
        #expect(delay(policy.failed("y", at: 5)) == 2)
        // Steps that were reached before are no progress.
        #expect(delay(policy.failed("z", at: 4)) == 4)
        #expect(policy.restarts == 11)
    }

    @Test func givesUpOnlyWithoutProgress() {
        var policy = RestartPolicy(maximumRestarts: 2, step: 10)
        for step in 11..<40 { #expect(delay(policy.failed("x", at: step)) == 1) }
        #expect(delay(policy.failed("x", at: 39)) == 2)
        #expect(policy.failed("x", at: 39) == .giveUp(repeats: 3))
        var none = RestartPolicy(maximumRestarts: 0, step: 0)
        #expect(none.failed("x", at: 0) == .giveUp(repeats: 1))
    }

    @Test func theSameAgainIsCounted() {
        var policy = RestartPolicy(maximumRestarts: 9, step: 0)
        #expect(policy.failed("rank 1", at: 3) == .restart(delaySeconds: 1, repeats: 1))
        #expect(policy.failed("rank 1", at: 3) == .restart(delaySeconds: 2, repeats: 2))
        #expect(policy.failed("rank 2", at: 3) == .restart(delaySeconds: 4, repeats: 1))
        #expect(policy.failed("rank 2", at: 4) == .restart(delaySeconds: 1, repeats: 1))
    }
}
