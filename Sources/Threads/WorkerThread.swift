import CThreads
import Glibc

/// Runs `body` on a new, named thread. The returned handle must be joined.
public final class WorkerThread: @unchecked Sendable {
    private var thread = pthread_t()
    private final class Start {
        let name: String
        let body: @Sendable () -> Void
        init(_ name: String, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    public init(name: String, _ body: @escaping @Sendable () -> Void) {
        let context = Unmanaged.passRetained(Start(String(name.prefix(15)), body)).toOpaque()
        let failure = pthread_create(
            &thread, nil,
            { context in
                let start = Unmanaged<Start>.fromOpaque(context!).takeRetainedValue()
                cthreads_set_name(start.name)
                start.body()
                return nil
            }, context)
        precondition(failure == 0, "cannot start thread \(name): error \(failure)")
    }

    public func join() { pthread_join(thread, nil) }
}
