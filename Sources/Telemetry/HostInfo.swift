import Glibc

/// The machine a run runs on, for reports. Nothing that bits may depend on.
public struct HostInfo: Sendable, Equatable {
    public let name: String
    /// Logical processors this process may use (its affinity mask), which can be fewer than the machine has.
    public let usableCores: Int
    /// Logical processors of the machine.
    public let cores: Int
    /// As the kernel names it; the machine type (`aarch64`) where it does not.
    public let cpuModel: String
    public let memoryBytes: Int

    public init(name: String, usableCores: Int, cores: Int, cpuModel: String, memoryBytes: Int) {
        self.name = name
        self.usableCores = usableCores
        self.cores = cores
        self.cpuModel = cpuModel
        self.memoryBytes = memoryBytes
    }

    /// Asks the operating system.
    public static func current() -> HostInfo {
        var system = utsname()
        uname(&system)
        let cores = max(sysconf(Int32(_SC_NPROCESSORS_ONLN)), 1)
        let usable = usableCores(processStatus: readStart(of: "/proc/self/status")) ?? cores
        return HostInfo(
            name: text(system.nodename), usableCores: usable, cores: cores,
            cpuModel: cpuModel(cpuInformation: readStart(of: "/proc/cpuinfo")) ?? text(system.machine),
            memoryBytes: max(sysconf(Int32(_SC_PHYS_PAGES)), 0) * max(sysconf(Int32(_SC_PAGESIZE)), 0))
    }

    /// One line: `node7: 16 of 32 cores, AMD EPYC 7302, 125.7 GiB`.
    public var summary: String {
        let count = usableCores == cores ? "\(cores) cores" : "\(usableCores) of \(cores) cores"
        let gibibytes = ProgressFormat.decimal(Double(memoryBytes) / Double(1 << 30), digits: 1)
        return "\(name): \(count), \(cpuModel), \(gibibytes) GiB"
    }

    /// The model of the first processor in the text of `/proc/cpuinfo`; nil if it tells none.
    static func cpuModel(cpuInformation: String) -> String? {
        for line in cpuInformation.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, parts[0].split(whereSeparator: \.isWhitespace) == ["model", "name"] else {
                continue
            }
            let model = parts[1].split(whereSeparator: \.isWhitespace).joined(separator: " ")
            return model.isEmpty ? nil : model
        }
        return nil
    }

    /// Processors in the affinity mask, from the text of `/proc/self/status` (`Cpus_allowed_list: 0-3,8`); nil if it
    /// tells none. Read there because glibc declares `sched_getaffinity` to GNU sources only.
    static func usableCores(processStatus: String) -> Int? {
        for line in processStatus.split(separator: "\n") where line.hasPrefix("Cpus_allowed_list:") {
            var count = 0
            for part in line.dropFirst("Cpus_allowed_list:".count).filter({ !$0.isWhitespace }).split(separator: ",") {
                let ends = part.split(separator: "-").map { Int($0) }
                guard let first = ends.first ?? nil, let last = ends.last ?? nil, 0 <= first, first <= last,
                    last < 1 << 20
                else { return nil }
                count += last - first + 1
            }
            return count > 0 ? count : nil
        }
        return nil
    }

    private static func text<Field>(_ field: Field) -> String {
        withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    /// The first 16 KiB of a file whose size the kernel does not know; empty if unreadable.
    private static func readStart(of path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        let limit = 16 << 10
        let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            while count < limit {
                let got = read(descriptor, buffer.baseAddress! + count, limit - count)
                if got <= 0 { break }
                count += got
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
