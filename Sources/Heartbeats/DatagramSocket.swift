import Basics
import Glibc

/// An address and port of IPv4 or IPv6, in numbers.
struct SocketAddress: Equatable, Sendable, CustomStringConvertible {
    /// As the system's calls want it.
    private(set) var bytes: [UInt8]

    init(_ storage: UnsafePointer<sockaddr_storage>, byteCount: socklen_t) {
        bytes = Array(
            UnsafeRawBufferPointer(start: storage, count: min(Int(byteCount), MemoryLayout<sockaddr_storage>.size)))
    }

    /// - Parameter host: an address in numbers; names are not looked up, because that can take minutes.
    /// - Throws: `Failure` (usage).
    init(host: String, port: UInt16) throws {
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV
        hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        // "*" is the library's own word for any address.
        guard host != "*", getaddrinfo(host, "\(port)", &hints, &found) == 0, let found else {
            throw Failure(.usage, "'\(host)' is no address; give one in numbers, such as 10.0.0.1 or fd00::1")
        }
        defer { freeaddrinfo(found) }
        bytes = Array(UnsafeRawBufferPointer(start: found.pointee.ai_addr, count: Int(found.pointee.ai_addrlen)))
    }

    /// - Parameter endpoint: `10.0.0.1:4000` or `[fd00::1]:4000`.
    /// - Throws: `Failure` (usage).
    init(endpoint: String) throws {
        guard let colon = endpoint.lastIndex(of: ":"), let port = UInt16(endpoint[endpoint.index(after: colon)...]),
            port > 0
        else { throw Failure(.usage, "'\(endpoint)' is no address with port; write 10.0.0.1:4000 or [fd00::1]:4000") }
        var host = endpoint[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            throw Failure(.usage, "'\(endpoint)': write an address of IPv6 in brackets, [fd00::1]:4000")
        }
        try self.init(host: String(host), port: port)
    }

    func withPointer<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        // Arrays of bytes may lie anywhere; a sockaddr may not.
        var storage = sockaddr_storage()
        withUnsafeMutableBytes(of: &storage) { $0.copyBytes(from: bytes) }
        return withUnsafePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(bytes.count)) }
        }
    }

    var family: Int32 { withPointer { address, _ in Int32(address.pointee.sa_family) } }

    /// Host in numbers and port.
    private var parts: (host: String, port: String) {
        var host = [CChar](repeating: 0, count: 128)
        var port = [CChar](repeating: 0, count: 16)
        let code = withPointer {
            getnameinfo(
                $0, $1, &host, socklen_t(host.count), &port, socklen_t(port.count), NI_NUMERICHOST | NI_NUMERICSERV)
        }
        guard code == 0 else { return ("?", "?") }
        func text(_ characters: [CChar]) -> String {
            String(decoding: characters.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
        return (text(host), text(port))
    }

    var host: String { parts.host }
    var description: String {
        let (host, port) = parts
        return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    /// Whether it stands for all interfaces, or for many receivers.
    var isGeneral: Bool {
        let host = host
        if family == AF_INET6 {
            return host == "::" || host.lowercased().hasPrefix("ff") || host.hasPrefix("::ffff:0.0.0.0")
        }
        guard let first = host.split(separator: ".").first.flatMap({ Int($0) }) else { return true }
        return first == 0 || first >= 224
    }
}

/// A UDP socket that never blocks.
final class DatagramSocket: Sendable {
    let descriptor: Int32

    /// One that sends to `peer` and hears nobody else.
    /// - Throws: `Failure` (input/output).
    init(connectedTo peer: SocketAddress) throws {
        descriptor = try Self.open(peer.family)
        guard peer.withPointer({ connect(descriptor, $0, $1) }) == 0 else {
            let reason = Self.reason
            close(descriptor)
            throw Failure(.inputOutput, "cannot send heartbeats to \(peer): \(reason); is there a route?")
        }
    }

    /// One that listens at this one address.
    /// - Throws: `Failure` (input/output).
    init(boundTo address: SocketAddress) throws {
        descriptor = try Self.open(address.family)
        var one: Int32 = 1
        if address.family == AF_INET6 {
            setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &one, socklen_t(MemoryLayout<Int32>.size))
        }
        // Beats of many ranks may come at once.
        var byteCount: Int32 = 1 << 20
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &byteCount, socklen_t(MemoryLayout<Int32>.size))
        guard address.withPointer({ bind(descriptor, $0, $1) }) == 0 else {
            let reason = Self.reason
            close(descriptor)
            throw Failure(
                .inputOutput, "cannot listen at \(address.host): \(reason); give an address of this host's interfaces")
        }
    }

    deinit { close(descriptor) }

    private static func open(_ family: Int32) throws -> Int32 {
        let type = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(family, type, 0)
        guard descriptor >= 0 else {
            throw Failure(.inputOutput, "cannot open a socket for heartbeats: \(reason)")
        }
        return descriptor
    }

    private static var reason: String { String(cString: strerror(errno)) }

    /// Address and port that it has.
    var address: SocketAddress {
        var storage = sockaddr_storage()
        var byteCount = socklen_t(MemoryLayout<sockaddr_storage>.size)
        withUnsafeMutablePointer(to: &storage) { pointer in
            _ = pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &byteCount) }
        }
        return SocketAddress(&storage, byteCount: byteCount)
    }

    /// Returns whether the system took the message. That is all there is to know: nothing waits, nothing is repeated.
    @discardableResult
    func send(_ bytes: UnsafeRawBufferPointer, to address: SocketAddress? = nil) -> Bool {
        let flags = Int32(MSG_DONTWAIT | MSG_NOSIGNAL)
        guard let address else { return Glibc.send(descriptor, bytes.baseAddress, bytes.count, flags) == bytes.count }
        return address.withPointer { sendto(descriptor, bytes.baseAddress, bytes.count, flags, $0, $1) } == bytes.count
    }

    /// The next message, if there is one. Its count is the message's own, which may be more than the buffer took.
    func receive(_ buffer: UnsafeMutableRawBufferPointer) -> (byteCount: Int, sender: SocketAddress)? {
        var storage = sockaddr_storage()
        var byteCount = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let flags = Int32(MSG_DONTWAIT | MSG_TRUNC)
        // What came back for messages that nobody took (connection refused) stands before the next message.
        for _ in 0..<4 {
            let count = withUnsafeMutablePointer(to: &storage) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(descriptor, buffer.baseAddress, buffer.count, flags, $0, &byteCount)
                }
            }
            if count >= 0 { return (count, SocketAddress(&storage, byteCount: byteCount)) }
            if errno == EAGAIN || errno == EBADF { return nil }
        }
        return nil
    }
}

/// Wakes a thread that waits for a socket.
final class WakeUp: Sendable {
    private let readEnd: Int32
    private let writeEnd: Int32

    /// - Throws: `Failure` (input/output).
    init() throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            throw Failure(.inputOutput, "cannot make a pipe: \(String(cString: strerror(errno)))")
        }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        (readEnd, writeEnd) = (ends[0], ends[1])
    }

    deinit {
        close(readEnd)
        close(writeEnd)
    }

    /// For one time: the thread is to end.
    func wake() {
        var byte: UInt8 = 0
        _ = write(writeEnd, &byte, 1)
    }

    /// Returns when a message has come, when woken, or when the time is over.
    func wait(for socket: DatagramSocket, milliseconds: Int32) {
        var descriptors = [
            pollfd(fd: socket.descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: readEnd, events: Int16(POLLIN), revents: 0),
        ]
        poll(&descriptors, nfds_t(descriptors.count), milliseconds)
    }
}
