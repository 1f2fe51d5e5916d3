import Basics
import Glibc

/// Interfaces of this host that MPI would use for tensors.
public enum NetworkFacts {
    /// Without ports and token, which a `ProbeListener` adds.
    public static func gather(environment: [String: String]) -> RankFacts.Network {
        var network = RankFacts.Network()
        network.usesTCP = usesTCP(environment)
        network.hasFastNetwork = !((try? Files.list("/sys/class/infiniband")) ?? []).isEmpty
        network.interfaces = chosen(interfaces(), environment)
        return network
    }

    /// Whether Open MPI sends over TCP between hosts, unless it finds a faster network by itself.
    static func usesTCP(_ environment: [String: String]) -> Bool {
        let messages = environment["OMPI_MCA_pml"] ?? ""
        if !messages.isEmpty && !messages.hasPrefix("^") && !messages.split(separator: ",").contains("ob1") {
            return false
        }
        let transports = environment["OMPI_MCA_btl"] ?? ""
        if transports.isEmpty { return true }
        let names = transports.drop { $0 == "^" }.split(separator: ",")
        return names.contains("tcp") != transports.hasPrefix("^")
    }

    /// What settings of Open MPI leave of the interfaces. Without any it takes all that are up but the loopback.
    static func chosen(_ all: [RankFacts.Interface], _ environment: [String: String]) -> [RankFacts.Interface] {
        func words(_ name: String) -> [Substring]? { environment[name].map { $0.split(separator: ",") } }
        if let included = words("OMPI_MCA_btl_tcp_if_include"), !included.isEmpty {
            return all.filter { interface in included.contains { IPv4.isNamed(interface, by: $0) } }
        }
        let excluded = words("OMPI_MCA_btl_tcp_if_exclude") ?? ["127.0.0.1/8", "sppp"]
        return all.filter { interface in !excluded.contains { IPv4.isNamed(interface, by: $0) } }
    }

    /// Interfaces that are bridges of this host, as those of containers and virtual machines, and the others.
    public static func bridges(
        _ interfaces: [RankFacts.Interface]
    ) -> (bridges: [RankFacts.Interface], others: [RankFacts.Interface]) {
        let isBridge = { (interface: RankFacts.Interface) in Files.exists("/sys/class/net/\(interface.name)/bridge") }
        return (interfaces.filter(isBridge), interfaces.filter { !isBridge($0) })
    }

    /// `10.0.0.0/24` of an interface with 10.0.0.7/24.
    public static func network(_ interface: RankFacts.Interface) -> String? { IPv4.network(interface) }

    /// Ports that MPI was told to use; nil if any will do.
    static func ports(_ environment: [String: String]) -> ClosedRange<Int>? {
        guard let first = environment["OMPI_MCA_btl_tcp_port_min_v4"].flatMap(Int.init),
            let count = environment["OMPI_MCA_btl_tcp_port_range_v4"].flatMap(Int.init), first > 0, count > 0,
            first + count <= 65_536
        else { return nil }
        return first...(first + count - 1)
    }

    /// IPv4 addresses of interfaces that are up.
    static func interfaces() -> [RankFacts.Interface] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return [] }
        defer { freeifaddrs(list) }
        var result: [RankFacts.Interface] = []
        var next = list
        while let entry = next {
            next = entry.pointee.ifa_next
            let isUp = entry.pointee.ifa_flags & 1 != 0
            guard isUp, let address = entry.pointee.ifa_addr, address.pointee.sa_family == UInt16(AF_INET),
                let mask = entry.pointee.ifa_netmask
            else { continue }
            result.append(
                .init(
                    name: String(cString: entry.pointee.ifa_name), address: text(number(address)),
                    prefix: number(mask).nonzeroBitCount))
        }
        return result
    }

    private static func number(_ address: UnsafeMutablePointer<sockaddr>) -> UInt32 {
        address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { UInt32(bigEndian: $0.pointee.sin_addr.s_addr) }
    }

    private static func text(_ number: UInt32) -> String {
        [24, 16, 8, 0].map { "\(number >> $0 & 0xFF)" }.joined(separator: ".")
    }
}
