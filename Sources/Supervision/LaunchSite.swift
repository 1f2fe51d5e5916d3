import Basics
import Glibc

/// Where ranks can run, and who says so.
public struct LaunchSite: Equatable, Sendable {
    public enum Source: Equatable, Sendable {
        /// This machine, and nobody named another.
        case local
        case hostfile(String)
        case slurm
        /// The launcher of a Kubernetes MPIJob; the hostfile that its operator wrote.
        case kubernetes(String)
    }

    public var source: Source
    public var hosts: [LaunchHost]

    public init(source: Source, hosts: [LaunchHost]) {
        self.source = source
        self.hosts = hosts
    }

    public var slots: Int { hosts.reduce(0) { $0 + $1.slots } }

    static let operatorHostfile = "/etc/mpi/hostfile"

    /// Looks for machines: a hostfile that was named, the one in Open MPI's own variable, Slurm's allocation, the
    /// hostfile of a Kubernetes MPIJob; else this machine.
    /// - Parameters:
    ///   - isLocal: look no further than this machine.
    ///   - cores: of this machine.
    /// - Throws: `FileError`, `Failure`.
    public static func find(
        hostfile: String?, isLocal: Bool, environment: [String: String], cores: Int,
        read: (String) throws -> [LaunchHost] = Hostfile.read, exists: (String) -> Bool = Files.exists
    ) throws -> LaunchSite {
        let local = LaunchSite(source: .local, hosts: [LaunchHost(name: "localhost", slots: max(1, cores))])
        if isLocal { return local }
        if let hostfile {
            guard exists(hostfile) else {
                throw Failure(.missingInput, "\(hostfile): no such hostfile; see cluster/hostfile.example")
            }
            return LaunchSite(source: .hostfile(hostfile), hosts: try read(hostfile))
        }
        let isKubernetes = environment["KUBERNETES_SERVICE_HOST"] != nil
        if let path = environment["OMPI_MCA_orte_default_hostfile"], exists(path) {
            return LaunchSite(source: isKubernetes ? .kubernetes(path) : .hostfile(path), hosts: try read(path))
        }
        if let list = environment["SLURM_JOB_NODELIST"] ?? environment["SLURM_NODELIST"],
            environment["SLURM_JOB_ID"] != nil
        {
            let names = try SlurmNodes.expand(list)
            var counts = [Int](repeating: 1, count: names.count)
            if let text = environment["SLURM_TASKS_PER_NODE"] {
                counts = try SlurmNodes.counts(text)
                guard counts.count == names.count else {
                    throw Failure(
                        .usage,
                        "SLURM_JOB_NODELIST names \(names.count) nodes, SLURM_TASKS_PER_NODE \(counts.count); "
                            + "name a hostfile with --hostfile")
                }
            }
            return LaunchSite(source: .slurm, hosts: zip(names, counts).map { LaunchHost(name: $0, slots: $1) })
        }
        if isKubernetes, exists(operatorHostfile) {
            return LaunchSite(source: .kubernetes(operatorHostfile), hosts: try read(operatorHostfile))
        }
        return local
    }
}

/// The names and addresses of this machine.
public struct LocalNames: Sendable {
    let names: Set<String>

    public init(_ names: Set<String>) { self.names = names }

    public static func current() -> LocalNames {
        var names: Set = ["localhost", "127.0.0.1", "::1"]
        var buffer = [CChar](repeating: 0, count: 256)
        if gethostname(&buffer, buffer.count - 1) == 0 {
            names.insert(String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        }
        var list: UnsafeMutablePointer<ifaddrs>?
        if getifaddrs(&list) == 0 {
            defer { freeifaddrs(list) }
            var next = list
            while let entry = next {
                next = entry.pointee.ifa_next
                guard let address = entry.pointee.ifa_addr else { continue }
                let family = Int32(address.pointee.sa_family)
                guard family == AF_INET || family == AF_INET6 else { continue }
                let size = family == AF_INET ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
                if getnameinfo(address, socklen_t(size), &buffer, socklen_t(buffer.count), nil, 0, NI_NUMERICHOST) == 0
                {
                    names.insert(
                        String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
                }
            }
        }
        return LocalNames(names)
    }

    /// A full name is this machine if its first label is: `node1.cluster` of `node1`.
    public func contains(_ name: String) -> Bool {
        if names.contains(name) { return true }
        // Addresses have no labels.
        guard name.contains(where: \.isLetter), !name.contains(":") else { return false }
        func label(_ name: String) -> Substring { name.prefix { $0 != "." } }
        return names.contains { $0.contains(where: \.isLetter) && !$0.contains(":") && label($0) == label(name) }
    }
}
