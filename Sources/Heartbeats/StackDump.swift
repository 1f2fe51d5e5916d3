import Basics
import CThreads
import Glibc
import Synchronization
import Threads

/// On SIGUSR2, or on request: where this process is, and what each of its threads is doing, to standard error. The run goes
/// on undisturbed: a thread is interrupted for the time that it takes to note its return addresses.
///
/// One thread waits for the wish and writes, so it works while all others are stuck. It does not while the process is stopped.
public enum StackDump {
    private struct Dump: Sendable {
        let prefix: String
        let status: @Sendable () -> [String]
    }

    private static let dump = Mutex<Dump?>(nil)
    private static let thread = Mutex<WorkerThread?>(nil)

    /// From now on dumps can be asked for. A second call replaces prefix and status.
    /// - Parameters:
    ///   - prefix: stands before each line, such as `rank 2: `, so that ranks can be told apart.
    ///   - status: lines that say where the process is.
    /// - Throws: `Failure` (internal fault) if the system refuses the signals.
    public static func install(prefix: String, status: @escaping @Sendable () -> [String]) throws {
        dump.withLock { $0 = Dump(prefix: prefix, status: status) }
        try thread.withLock { thread in
            guard thread == nil else { return }
            let error = cthreads_stack_dump_install()
            guard error == 0 else {
                throw Failure(
                    .internalFault, "cannot take signals for stack dumps: \(String(cString: strerror(error)))")
            }
            thread = WorkerThread(name: "stack dump") {
                while true {
                    cthreads_stack_dump_wait()
                    write()
                }
            }
        }
    }

    /// Asks for a dump and returns at once.
    public static func request() { cthreads_stack_dump_request() }

    private static func write() {
        guard let dump = dump.withLock({ $0 }) else { return }
        var text = dump.status().map { dump.prefix + $0 + "\n" }.joined()
        text.withUTF8 { _ = Glibc.write(2, $0.baseAddress, $0.count) }
        cthreads_stack_dump_write(2, dump.prefix)
    }
}
