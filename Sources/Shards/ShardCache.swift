import Glibc

/// What the threads that read one data set share: open shards and idle decoders.
///
/// Under a pthread mutex, which the thread sanitizer understands.
final class ShardCache: @unchecked Sendable {
    /// Well under the usual limit of 1,024 descriptors per process.
    private static let openShardLimit = 256

    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private var open: [Int: ShardReader] = [:]
    /// Numbers of the open shards, the one longest unused first.
    private var order: [Int] = []
    private var decoders: [RecordDecoder] = []

    init() {
        mutex = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    private func locked<R>(_ body: () -> R) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    /// An open shard, marked as used just now.
    func shard(_ number: Int) -> ShardReader? {
        locked {
            guard let shard = open[number] else { return nil }
            if order.last != number, let place = order.firstIndex(of: number) {
                order.remove(at: place)
                order.append(number)
            }
            return shard
        }
    }

    /// Keeps `shard`, or returns the one that another thread has opened meanwhile. A shard that has to make room is
    /// closed when its last reader lets go of it.
    func keep(_ shard: ShardReader, as number: Int) -> ShardReader {
        locked {
            if let other = open[number] { return other }
            if order.count >= Self.openShardLimit { open[order.removeFirst()] = nil }
            open[number] = shard
            order.append(number)
            return shard
        }
    }

    /// Puts another reader of the same shard in place.
    func replace(_ number: Int, by shard: ShardReader) -> ShardReader {
        locked {
            if open[number] == nil { order.append(number) }
            open[number] = shard
            return shard
        }
    }

    /// A decoder for one caller alone, until given back: its megabytes of scratch memory go from user to user instead
    /// of to the allocator.
    func takeDecoder() -> RecordDecoder { locked { decoders.popLast() } ?? RecordDecoder() }

    func giveBack(_ decoder: RecordDecoder) { locked { decoders.append(decoder) } }
}
