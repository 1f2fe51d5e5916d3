import Glibc

/// Work that is shared out piece by piece, where the pieces are known only one after the other.
public enum Parallel {
    /// Calls `body` with what `next` yields, on up to `workers` threads, until that is nil. `next` is called by one
    /// thread at a time; `body` by several at once. What the bodies return comes back in the order of the pieces.
    public static func map<Piece: Sendable, Result: Sendable>(
        workers: Int, name: String, next: @escaping () -> Piece?, body: @escaping @Sendable (Piece) -> Result?
    ) -> [Result] {
        precondition(workers > 0, "\(workers) workers")
        let shared = Shared<Piece, Result>(next: next)
        let threads = (0..<workers).map { number in
            WorkerThread(name: "\(name) \(number)") {
                while let (place, piece) = shared.take() {
                    if let result = body(piece) { shared.put(place, result) }
                }
            }
        }
        for thread in threads { thread.join() }
        return shared.results.sorted { $0.place < $1.place }.map(\.result)
    }

    /// Calls `body` with 0 ..< `count`.
    public static func map<Result: Sendable>(
        _ count: Int, workers: Int, name: String, body: @escaping @Sendable (Int) -> Result?
    ) -> [Result] {
        guard count > 0 else { return [] }
        var number = 0
        let next: () -> Int? = {
            guard number < count else { return nil }
            defer { number += 1 }
            return number
        }
        return map(workers: min(workers, count), name: name, next: next, body: body)
    }

    /// Under a pthread mutex, which the thread sanitizer understands.
    private final class Shared<Piece, Result>: @unchecked Sendable {
        private let mutex: UnsafeMutablePointer<pthread_mutex_t>
        private let next: () -> Piece?
        private var taken = 0
        private(set) var results: [(place: Int, result: Result)] = []

        init(next: @escaping () -> Piece?) {
            self.next = next
            mutex = .allocate(capacity: 1)
            pthread_mutex_init(mutex, nil)
        }

        deinit {
            pthread_mutex_destroy(mutex)
            mutex.deallocate()
        }

        func take() -> (Int, Piece)? {
            pthread_mutex_lock(mutex)
            defer { pthread_mutex_unlock(mutex) }
            guard let piece = next() else { return nil }
            defer { taken += 1 }
            return (taken, piece)
        }

        func put(_ place: Int, _ result: Result) {
            pthread_mutex_lock(mutex)
            results.append((place, result))
            pthread_mutex_unlock(mutex)
        }
    }
}
