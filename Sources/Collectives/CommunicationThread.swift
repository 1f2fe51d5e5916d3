import Basics
import Glibc
import Heartbeats
import Threads

/// The one thread of a rank that talks to other ranks. It makes the communicator (so that MPI starts on it, and needs to
/// allow no more than one thread), then runs what it is given in order, and leaves MPI in the end.
///
/// After a job failed no other one runs: the ranks no longer agree on what comes next.
public final class CommunicationThread: @unchecked Sendable {
    public typealias Job = @Sendable (any Communicator) throws -> Void

    /// Names a submitted job.
    public struct Ticket: Sendable, Equatable { fileprivate let number: Int }

    /// For its rank, size and host name; its collective calls belong to jobs.
    public let communicator: any Communicator
    /// Where this rank says what it is doing.
    public let board: StatusBoard?
    private let core: CommunicationCore
    private var thread: WorkerThread?

    /// - Parameters:
    ///   - board: is told of collective calls, and when somebody waits for them.
    ///   - make: called on the new thread.
    /// - Throws: what `make` throws.
    public init(board: StatusBoard? = nil, _ make: @escaping @Sendable () throws -> any Communicator) throws {
        self.board = board
        let core = CommunicationCore(board: board)
        let thread = WorkerThread(name: "communication") { core.work(make) }
        switch core.waitForCommunicator() {
        case .success(let communicator):
            self.communicator = communicator
            self.core = core
            self.thread = thread
        case .failure(let error):
            thread.join()
            throw error
        }
    }

    deinit { shutDown() }

    /// Seconds that jobs have taken so far.
    public var busySeconds: Double { core.locked { core.busySeconds } }

    /// Queues a job. Every rank must queue the same collective calls in the same order.
    @discardableResult
    public func submit(_ job: @escaping Job) -> Ticket {
        precondition(thread != nil, "a job for a communication thread that has ended")
        return Ticket(number: core.submit(job))
    }

    /// Waits for a job and those before it.
    /// - Throws: the first error of any job so far; every later call throws it again.
    public func wait(_ ticket: Ticket) throws { try core.wait(for: ticket.number) }

    /// Waits for all jobs that were submitted.
    /// - Throws: the first error of any job; every later call throws it again.
    public func waitForAll() throws { try core.wait(for: core.locked { core.submittedCount }) }

    /// Runs a job and waits for its result.
    public func run<Value: Sendable>(_ job: @escaping @Sendable (any Communicator) throws -> Value) throws -> Value {
        let box = Box<Value>()
        try wait(submit { box.value = try job($0) })
        guard let value = box.value else {
            throw CommunicationError("a job ended without result", exitCode: .internalFault)
        }
        return value
    }

    /// `Communicator.together` with a body that runs on the calling thread.
    public func together<Value>(_ body: () throws -> Value) throws -> Value {
        let result = Result { try body() }
        let outcome = Box<Result<Void, any Error>>()
        outcome.value = result.map { _ in () }
        try run { try $0.together { try outcome.value?.get() } }
        return try result.get()
    }

    /// Ends all ranks, from any thread, whatever the communication thread is doing.
    public func abort(_ code: ExitCode) -> Never {
        // An idle communication thread takes the job; one that waits in a call looks for the wish by itself.
        core.submit { $0.abort(code) }
        communicator.abort(code)
    }

    /// Ends the thread after the jobs that were submitted, leaving MPI in good order if none failed.
    public func shutDown() {
        core.close()
        thread?.join()
        thread = nil
    }
}

/// What the thread and its owner share. The thread holds this alone, so that the owner can go away.
private final class CommunicationCore: @unchecked Sendable {
    private let jobs = BoundedQueue<CommunicationThread.Job>(capacity: 4096)
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    // Under the mutex.
    private(set) var submittedCount = 0
    private var finishedCount = 0
    private var failure: (any Error)?
    private var made: Result<any Communicator, any Error>?
    private(set) var busySeconds = 0.0
    private let board: StatusBoard?

    init(board: StatusBoard?) {
        self.board = board
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(condition)
        mutex.deallocate()
        condition.deallocate()
    }

    func work(_ make: () throws -> any Communicator) {
        let result = Result { try make() }
        announce { made = result }
        guard case .success(let communicator) = result else { return }
        while let job = jobs.pop() {
            let start = monotonicSeconds()
            var error: (any Error)?
            if locked({ failure == nil }) {
                do {
                    try job(communicator)
                } catch let thrown {
                    error = thrown
                    communicator.poison(thrown)
                }
            }
            announce {
                if let error, failure == nil { failure = error }
                busySeconds += monotonicSeconds() - start
                finishedCount += 1
            }
            board?.exchanged()
        }
        if locked({ failure == nil }) { communicator.finish() }
    }

    @discardableResult
    func submit(_ job: @escaping CommunicationThread.Job) -> Int {
        // Counted first: the job may end before this function does.
        let number = locked {
            submittedCount += 1
            return submittedCount
        }
        jobs.push(job)
        return number
    }

    func close() { jobs.close() }

    func waitForCommunicator() -> Result<any Communicator, any Error> {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            if let made { return made }
            pthread_cond_wait(condition, mutex)
        }
    }

    func wait(for number: Int) throws {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if finishedCount < number && failure == nil {
            board?.beginWaiting()
            defer { board?.endWaiting() }
            while finishedCount < number && failure == nil { pthread_cond_wait(condition, mutex) }
        }
        if let failure { throw failure }
    }

    func locked<Value>(_ body: () -> Value) -> Value {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    private func announce(_ body: () -> Void) {
        locked(body)
        pthread_cond_broadcast(condition)
    }
}

/// Carries a value between the communication thread and one that waits for it.
private final class Box<Value>: @unchecked Sendable { var value: Value? }
