import Glibc
import Synchronization

/// Signals that this process got and has not acted upon yet.
enum SignalInbox {
    private static let stops = Atomic<Int>(0)
    private static let users1 = Atomic<Int>(0)
    private static let users2 = Atomic<Int>(0)

    /// How often somebody has asked to stop: by Ctrl-C, a scheduler's SIGTERM, or a terminal that has gone.
    static var stopCount: Int { stops.load(ordering: .relaxed) }

    /// SIGUSR1 and SIGUSR2 since the last call.
    static func takeUserSignals() -> [Int32] {
        var result: [Int32] = []
        if users1.exchange(0, ordering: .relaxed) > 0 { result.append(SIGUSR1) }
        if users2.exchange(0, ordering: .relaxed) > 0 { result.append(SIGUSR2) }
        return result
    }

    static func install() {
        var wanted = sigset_t()
        sigemptyset(&wanted)
        for number in [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2] {
            // Evaluated here, so that the handler never runs an initialiser.
            _ = (stopCount, users1.load(ordering: .relaxed), users2.load(ordering: .relaxed))
            // `nohup` means it.
            let before = signal(number, inboxHandler)
            if number == SIGHUP, unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) {
                signal(SIGHUP, SIG_IGN)
            }
            sigaddset(&wanted, number)
        }
        // A parent may have left them blocked.
        pthread_sigmask(SIG_UNBLOCK, &wanted, nil)
    }

    fileprivate static func take(_ number: Int32) {
        switch number {
        case SIGUSR1: users1.wrappingAdd(1, ordering: .relaxed)
        case SIGUSR2: users2.wrappingAdd(1, ordering: .relaxed)
        default: stops.wrappingAdd(1, ordering: .relaxed)
        }
    }
}

private func inboxHandler(_ number: Int32) { SignalInbox.take(number) }
