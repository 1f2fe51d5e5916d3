import Basics
import Glibc
import Threads

/// The one thread of a rank that talks to other ranks. It makes the communicator (so that MPI is started here too), then
/// runs what it is given, in order.
public final class CommunicationThread: @unchecked Sendable {
    private typealias Job = @Sendable (any Communicator) throws -> Void
    private let jobs = BoundedQueue<Job>(capacity: 1024)
    private var thread: WorkerThread?
    // Under the mutex.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var submittedCount = 0
    private var finishedCount = 0
    private var failure: (any Error)?
    private var madeCommunicator: (any Communicator)?
    /// Seconds that jobs have taken so far.
    public private(set) var busySeconds = 0.0

    /// The communicator, for its rank and size; its collective calls belong to this thread.
    public private(set) var communicator: any Communicator = SoloCommunicator()

    /// - Parameter make: called on the new thread.
    /// - Throws: what `make` throws.
    public init(_ make: @escaping @Sendable () throws -> any Communicator) throws {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
        thread = WorkerThread(name: "communication") { [unowned self] in work(make) }
        wait(forJob: 1)
        if let failure {
            shutDown()
            throw failure
        }
        guard let madeCommunicator else { preconditionFailure("no communicator and no error") }
        communicator = madeCommunicator
    }

    deinit {
        shutDown()
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(condition)
        mutex.deallocate()
        condition.deallocate()
    }

    private func work(_ make: () throws -> any Communicator) {
        do {
            let communicator = try make()
            locked {
                madeCommunicator = communicator
                submittedCount += 1
                finishedCount += 1
            }
            while let job = jobs.pop() {
                // After a failure ranks no longer agree on what comes next: nothing more is sent.
                let start = monotonicSeconds()
                let result = Result { if locked({ failure == nil }) { try job(communicator) } }
                locked {
                    if case .failure(let error) = result, failure == nil { failure = error }
                    busySeconds += monotonicSeconds() - start
                    finishedCount += 1
                }
            }
            if locked({ failure == nil }) { communicator.finish() }
        } catch {
            locked {
                failure = error
                submittedCount += 1
                finishedCount += 1
            }
            while jobs.pop() != nil {}
        }
    }

    private func locked<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
        return body()
    }

    private func wait(forJob number: Int) {
        pthread_mutex_lock(mutex)
        while finishedCount < number { pthread_cond_wait(condition, mutex) }
        pthread_mutex_unlock(mutex)
    }

    /// Queues a job. Every rank must queue the same jobs in the same order.
    public func submit(_ job: @escaping @Sendable (any Communicator) throws -> Void) {
        locked { submittedCount += 1 }
        jobs.push(job)
    }

    /// Waits for all jobs that were submitted.
    /// - Throws: the first error of any job; every later call throws it again.
    public func waitForAll() throws {
        wait(forJob: locked { submittedCount })
        if let failure = locked({ failure }) { throw failure }
    }

    /// Runs a job and waits for its result.
    public func run<Value: Sendable>(_ job: @escaping @Sendable (any Communicator) throws -> Value) throws -> Value {
        let box = ResultBox<Value>()
        submit { communicator in box.value = try job(communicator) }
        try waitForAll()
        guard let value = box.value else { throw CommunicationError("the communication thread has ended") }
        return value
    }

    /// Like `Communicator.together`, from another thread.
    public func together<Value: Sendable>(_ body: () throws -> Value) throws -> Value {
        let result = Result { try body() }
        let outcome = result.map { _ in () }.mapError { $0 as any Error }
        let shared = UncheckedSendable(outcome)
        try run { communicator in try communicator.together { try shared.value.get() } }
        return try result.get()
    }

    /// Ends the thread after the jobs that were submitted.
    public func shutDown() {
        jobs.close()
        thread?.join()
        thread = nil
    }
}

private final class ResultBox<Value>: @unchecked Sendable { var value: Value? }

private struct UncheckedSendable<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}
