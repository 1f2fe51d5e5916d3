import Basics
import Collectives
import Glibc
import Kernels
import Supervision
import Synchronization
import Threads

/// How this process was started. Set once by the executable, before anything runs.
enum Launcher {
    private static let stored = Mutex<LaunchEnvironment>(.solo)

    static var current: LaunchEnvironment {
        get { stored.withLock { $0 } }
        set { stored.withLock { $0 = newValue } }
    }

    /// Whether `vergence launch` started this rank.
    static var isSupervised: Bool {
        current.isUnderLauncher && getenv(MPISettings.resumePrefixVariable) != nil
    }

    /// What messages start with: `rank 3 (host): ` under a launcher, nothing alone.
    static var prefix: String {
        guard current.isUnderLauncher else { return "" }
        return "rank \(current.rank) (\(HostName.current)): "
    }
}

/// The cores and kernels of this machine.
enum Machine {
    /// Compute threads and kernels of one rank.
    /// - Parameter threads: 0 shares the cores that this process may use among the host's ranks.
    static func kernels(threads: Int, ranksOnHost: Int, precision: Precision) -> KernelContext {
        BlasInfo.prepare()
        let cores = CPUAffinity.share(ranksOnHost: ranksOnHost, isBound: Launcher.current.isBound)
        let count = threads > 0 ? threads : cores
        // Spinning is right only while nobody else needs the core.
        return KernelContext(
            pool: ForkJoinPool(threadCount: count, spinMicroseconds: count <= cores ? 1000 : 0), level: .best,
            precision: precision)
    }

    /// What slows this process down, one line each.
    static func warnings(threads: Int, ranksOnHost: Int) -> [String] {
        var result: [String] = []
        if let warning = BlasInfo.warning { result.append(warning) }
        // Ranks that an in-process world or a launcher puts on the same cores are the user's choice; a mask that is smaller
        // than one rank's own threads is a mistake.
        if let warning = CPUAffinity.warning(threadCount: threads) { result.append(warning) }
        return result
    }
}

/// The wish to stop, by Ctrl-C or a scheduler's SIGTERM. The first asks; the second ends at once.
enum InterruptSignal {
    private static let wasRequested = Atomic<Bool>(false)
    private static let isQuiet = Atomic<Bool>(false)

    static var isRequested: Bool { wasRequested.load(ordering: .relaxed) }

    /// From now on a signal is noted without a word: rank 0 speaks for all.
    static func silence() { isQuiet.store(true, ordering: .relaxed) }

    /// Before the process leaves: the next signal, such as the launcher's, is told from those that came before.
    static func forget() {
        silence()
        wasRequested.store(false, ordering: .relaxed)
    }

    static func install() {
        // Evaluated here, so that the handler never runs an initialiser.
        // Under `vergence launch` signals come from it and from mpirun, and it has said why.
        if Launcher.current.rank != 0 || isRequested || Launcher.isSupervised { silence() }
        // A parent may have left them blocked (threads of a dispatch queue have, and children inherit that).
        var wanted = sigset_t()
        sigemptyset(&wanted)
        // SIGALRM is how `vergence launch` asks: mpirun hands it on, but takes the others as an order to end the ranks.
        for number in [SIGINT, SIGTERM, MPISettings.askToStop] {
            signal(number, interruptHandler)
            sigaddset(&wanted, number)
        }
        pthread_sigmask(SIG_UNBLOCK, &wanted, nil)
    }

    fileprivate static func request(_ number: Int32) {
        if wasRequested.exchange(true, ordering: .relaxed) { _exit(ExitCode.interrupted.rawValue) }
        if isQuiet.load(ordering: .relaxed) { return }
        // Only write(2) is safe here.
        let text: StaticString = "\nstopping after this step; once more to stop at once\n"
        _ = write(2, text.utf8Start, text.utf8CodeUnitCount)
    }
}

/// The wish for a checkpoint now, by SIGUSR1: the run saves after its step and goes on.
enum CheckpointSignal {
    private static let count = Atomic<Int>(0)

    /// Whether a signal has come since the last call, for one rank: each rank of this process has a question of its own.
    static func question() -> @Sendable () -> Bool {
        let answered = Answered()
        return {
            let count = count.load(ordering: .relaxed)
            return answered.count.exchange(count, ordering: .relaxed) != count
        }
    }

    private final class Answered: Sendable { let count = Atomic<Int>(0) }

    static func install() {
        // Evaluated here, so that the handler never runs an initialiser.
        request(0)
        var wanted = sigset_t()
        sigemptyset(&wanted)
        sigaddset(&wanted, SIGUSR1)
        signal(SIGUSR1, checkpointHandler)
        pthread_sigmask(SIG_UNBLOCK, &wanted, nil)
    }

    fileprivate static func request(_ times: Int) { count.add(times, ordering: .relaxed) }
}

private func checkpointHandler(_ number: Int32) { CheckpointSignal.request(1) }

private func interruptHandler(_ number: Int32) { InterruptSignal.request(number) }
