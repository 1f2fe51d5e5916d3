import Basics
import Diagnosis
import Glibc
import Heartbeats
import Supervision

/// The hang monitor of a launch: listens to the ranks' heartbeats, which do not go through MPI.
final class HeartbeatWatch: StallWatch {
    private let monitor: RunMonitor
    private var hasWarned = false
    private let warn: (String) -> Void

    /// - Throws: `Failure` if it cannot listen.
    init(address: String, worldSize: Int, timeoutSeconds: Double, warn: @escaping (String) -> Void) throws {
        self.warn = warn
        monitor = try RunMonitor(
            address: address, worldSize: worldSize, detector: HangDetector(timeoutSeconds: timeoutSeconds))
    }

    deinit { monitor.stop() }

    var environment: [String: String] { monitor.environment }

    func check() -> String? {
        if !hasWarned, let warning = monitor.warning {
            hasWarned = true
            warn(warning)
        }
        return monitor.check()?.description
    }

    func requestStacks() { monitor.requestStackDump() }

    /// The one address of this machine at which the ranks' machines reach it; nil if there is none to be found.
    static func address(_ site: LaunchSite, network: String?, environment: [String: String]) -> String? {
        if site.source == .local { return "127.0.0.1" }
        if let network {
            var environment = environment
            environment["OMPI_MCA_btl_tcp_if_include"] = network
            return NetworkFacts.gather(environment: environment).interfaces.first?.address
        }
        return site.hosts.lazy.compactMap { route(to: $0.name) }.first { !$0.hasPrefix("127.") } ?? "127.0.0.1"
    }

    /// The address that this machine would send from; nothing is sent.
    private static func route(to host: String) -> String? {
        var hints = addrinfo()
        hints.ai_family = AF_INET
        hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, "9", &hints, &found) == 0, let found else { return nil }
        defer { freeaddrinfo(found) }
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var own = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isKnown = withUnsafeMutablePointer(to: &own) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, found.pointee.ai_addr, found.pointee.ai_addrlen) == 0
                    && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard isKnown else { return nil }
        let number = UInt32(bigEndian: own.sin_addr.s_addr)
        return [24, 16, 8, 0].map { "\(number >> $0 & 0xFF)" }.joined(separator: ".")
    }
}
