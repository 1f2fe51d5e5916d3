import Basics
import Glibc
import Synchronization
import Threads

/// Listens on each of a rank's addresses while the ranks meet, and tells whoever connects its token. It reads nothing, so
/// strangers can say nothing; it ends by itself after a minute.
final class ProbeListener: @unchecked Sendable {
    /// A port for each address; 0 where nothing could be bound.
    let ports: [Int]
    let token: String
    private let sockets: [Int32]
    private let mustEnd = Flag()
    private var thread: WorkerThread?

    /// What the thread and its owner share.
    private final class Flag: Sendable { let value = Atomic<Bool>(false) }

    static let tokenByteCount = 32
    /// All hosts of a large launch knock at rank 0 at once, and whom the queue has no room for must wait a second.
    private static let backlog: Int32 = 4096

    init(addresses: [String], ports wanted: ClosedRange<Int>?) {
        let token = Hash.hexadecimal(UInt64.random(in: 0 ... .max)) + Hash.hexadecimal(UInt64.random(in: 0 ... .max))
        self.token = token
        var sockets: [Int32] = []
        var ports: [Int] = []
        for address in addresses {
            guard let (socket, port) = Self.listen(address, wanted) else {
                ports.append(0)
                continue
            }
            sockets.append(socket)
            ports.append(port)
        }
        self.ports = ports
        self.sockets = sockets
        guard !sockets.isEmpty else { return }
        let mustEnd = mustEnd
        thread = WorkerThread(name: "probe") { [sockets] in
            Self.serve(sockets, Array(token.utf8)) { mustEnd.value.load(ordering: .relaxed) }
        }
    }

    deinit { close() }

    func close() {
        mustEnd.value.store(true, ordering: .relaxed)
        guard let thread else { return }
        thread.join()
        self.thread = nil
        for socket in sockets { Glibc.close(socket) }
    }

    private static func listen(_ address: String, _ wanted: ClosedRange<Int>?) -> (Int32, Int)? {
        // A few tries within a range; a port that is taken is no news.
        for port in wanted.map({ Array($0.prefix(32)) }) ?? [0] {
            let descriptor = TCP.socket(isBlocking: false)
            guard descriptor >= 0 else { return nil }
            if TCP.withAddress(address, port, { bind(descriptor, $0, $1) }) == 0,
                Glibc.listen(descriptor, backlog) == 0,
                let bound = TCP.boundPort(descriptor)
            {
                return (descriptor, bound)
            }
            Glibc.close(descriptor)
        }
        return nil
    }

    private static func serve(_ sockets: [Int32], _ token: [UInt8], until mustEnd: () -> Bool) {
        let end = monotonicSeconds() + 60
        var waiting = sockets.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        while !mustEnd() && monotonicSeconds() < end {
            guard poll(&waiting, nfds_t(waiting.count), 20) > 0 else { continue }
            for one in waiting where one.revents != 0 {
                // Everybody who waits, then back to sleep.
                while !mustEnd() {
                    let guest = accept(one.fd, nil, nil)
                    guard guest >= 0 else { break }
                    let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
                    _ = token.withUnsafeBytes { send(guest, $0.baseAddress, $0.count, flags) }
                    Glibc.close(guest)
                }
            }
        }
    }
}

/// Tries to reach addresses, many at a time.
enum Prober {
    struct Target {
        let rank: Int
        let interface: RankFacts.Interface
        let port: Int
        let token: String
    }

    private static let atOnce = 256

    /// Those that could not be reached, in three seconds at most.
    /// - Parameter seconds: for one connection; enough for a lost first packet, which is sent again after a second.
    static func failures(_ targets: [Target], seconds: Double = 1.2) -> [RankFacts.FailedProbe] {
        let end = monotonicSeconds() + 3
        var result: [RankFacts.FailedProbe] = []
        for start in stride(from: 0, to: targets.count, by: atOnce) {
            // What there was no time for is not held against anybody.
            if monotonicSeconds() >= end { break }
            let part = Array(targets[start..<min(start + atOnce, targets.count)])
            result += probe(part, end: min(end, monotonicSeconds() + seconds))
        }
        return result
    }

    private static func probe(_ targets: [Target], end: Double) -> [RankFacts.FailedProbe] {
        var reasons = [String?](repeating: "no answer", count: targets.count)
        var received = [[UInt8]](repeating: [], count: targets.count)
        var waiting = targets.map { target -> pollfd in
            let descriptor = TCP.socket(isBlocking: false)
            return pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        }
        defer { for one in waiting where one.fd >= 0 { Glibc.close(one.fd) } }
        func settle(_ index: Int, _ reason: String?) {
            reasons[index] = reason
            Glibc.close(waiting[index].fd)
            waiting[index].fd = -1
        }
        for (index, target) in targets.enumerated() {
            // No descriptors left: nothing is known.
            if waiting[index].fd < 0 {
                reasons[index] = nil
                continue
            }
            let outcome = TCP.withAddress(target.interface.address, target.port) { connect(waiting[index].fd, $0, $1) }
            if outcome != 0 && errno != EINPROGRESS { settle(index, words(errno)) }
        }
        while waiting.contains(where: { $0.fd >= 0 }) {
            let left = end - monotonicSeconds()
            guard left > 0 else { break }
            guard poll(&waiting, nfds_t(waiting.count), Int32(left * 1000) + 1) >= 0 || errno == EINTR else { break }
            for index in waiting.indices where waiting[index].fd >= 0 && waiting[index].revents != 0 {
                var buffer = [UInt8](repeating: 0, count: ProbeListener.tokenByteCount + 1)
                let got = recv(waiting[index].fd, &buffer, buffer.count, Int32(MSG_DONTWAIT))
                if got < 0 {
                    if errno != EAGAIN { settle(index, words(errno)) }
                    continue
                }
                received[index] += buffer.prefix(got)
                if received[index].count > ProbeListener.tokenByteCount {
                    settle(index, "somebody else answers")
                } else if got == 0 || received[index].count == ProbeListener.tokenByteCount {
                    let isRight = received[index] == Array(targets[index].token.utf8)
                    settle(index, isRight ? nil : "somebody else answers")
                }
            }
        }
        return zip(targets, reasons).compactMap { target, reason in
            reason.map { RankFacts.FailedProbe(rank: target.rank, interface: target.interface, reason: $0) }
        }
    }

    private static func words(_ code: Int32) -> String { String(cString: strerror(code)).lowercased() }
}

/// IPv4 sockets.
enum TCP {
    static func socket(isBlocking: Bool = true) -> Int32 {
        let flags = isBlocking ? 0 : Int32(SOCK_NONBLOCK.rawValue)
        return Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | flags, 0)
    }

    static func withAddress(
        _ address: String, _ port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        guard let number = IPv4.number(address), let port = UInt16(exactly: port) else {
            errno = EINVAL
            return -1
        }
        var socketAddress = sockaddr_in()
        socketAddress.sin_family = sa_family_t(AF_INET)
        socketAddress.sin_port = port.bigEndian
        socketAddress.sin_addr.s_addr = number.bigEndian
        return withUnsafePointer(to: &socketAddress) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
    }

    static func boundPort(_ descriptor: Int32) -> Int? {
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let outcome = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
        }
        return outcome == 0 ? Int(UInt16(bigEndian: address.sin_port)) : nil
    }
}
