import Glibc

/// A queue between one or more producers and consumers that blocks when it is full or empty. Closing it wakes everybody:
/// producers are told to stop, consumers get what is left and then nil.
public final class BoundedQueue<Element: Sendable>: @unchecked Sendable {
    public let capacity: Int
    private var elements: [Element] = []
    private var isClosed = false
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    public init(capacity: Int) {
        precondition(capacity > 0)
        self.capacity = capacity
        elements.reserveCapacity(capacity)
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(condition)
        mutex.deallocate()
        condition.deallocate()
    }

    /// Waits for room. Returns false if the queue was closed: the element is dropped and the producer should end.
    @discardableResult
    public func push(_ element: Element) -> Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while elements.count >= capacity && !isClosed { pthread_cond_wait(condition, mutex) }
        if isClosed { return false }
        elements.append(element)
        pthread_cond_broadcast(condition)
        return true
    }

    /// Waits for an element; nil when the queue is closed and empty.
    public func pop() -> Element? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while elements.isEmpty && !isClosed { pthread_cond_wait(condition, mutex) }
        if elements.isEmpty { return nil }
        let element = elements.removeFirst()
        pthread_cond_broadcast(condition)
        return element
    }

    public func close() {
        pthread_mutex_lock(mutex)
        isClosed = true
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }
}
