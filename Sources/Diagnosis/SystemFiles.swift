import Basics
import Glibc

/// What the kernel says in `/proc` and `/sys`, parsed.
public enum SystemFiles {
    /// The first 64 KiB of a file whose size the kernel does not know; empty if it cannot be read.
    static func text(_ path: String, limit: Int = 64 << 10) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: limit)
        var count = 0
        while count < limit {
            let got = bytes.withUnsafeMutableBytes { buffer in
                read(descriptor, buffer.baseAddress.map { $0 + count }, limit - count)
            }
            if got < 0 && errno == EINTR { continue }
            if got <= 0 { break }
            count += got
        }
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    /// The word after `name:` at the start of a line.
    static func field(_ name: String, of text: String) -> Substring? {
        for line in text.split(separator: "\n") where line.hasPrefix(name + ":") {
            return line.dropFirst(name.count + 1).drop { $0 == " " || $0 == "\t" }
        }
        return nil
    }

    /// A process' affinity mask, from the text of `/proc/PID/status`.
    static func mask(status: String) -> ProcessorSet? {
        field("Cpus_allowed_list", of: status).flatMap { ProcessorSet(list: $0) }
    }

    /// Bytes, from the text of `/proc/meminfo`.
    static func meminfo(_ name: String, of text: String) -> Int? {
        field(name, of: text).flatMap { Int($0.prefix { $0.isNumber }) }.map { $0 << 10 }
    }

    /// The soft limit called `name` in the text of `/proc/self/limits`; nil if unlimited or not there.
    static func limit(_ name: String, limits: String) -> Int? {
        for line in limits.split(separator: "\n") where line.hasPrefix(name) {
            return line.dropFirst(name.count).split(separator: " ").first.flatMap { Int($0) }
        }
        return nil
    }

    /// Identifies the running kernel.
    public static func bootIdentifier() -> String {
        String(text("/proc/sys/kernel/random/boot_id").prefix { $0 != "\n" })
    }

    public static func limits() -> RankFacts.Limits {
        let text = text("/proc/self/limits")
        var limits = RankFacts.Limits()
        limits.openFiles = limit("Max open files", limits: text)
        limits.lockedByteCount = limit("Max locked memory", limits: text)
        return limits
    }

    /// - Parameter neededByteCount: what one rank will need.
    public static func memory(neededByteCount: Int?) -> RankFacts.Memory {
        let information = text("/proc/meminfo")
        var memory = RankFacts.Memory()
        memory.neededByteCount = neededByteCount
        memory.totalByteCount = meminfo("MemTotal", of: information)
        memory.availableByteCount = meminfo("MemAvailable", of: information)
        let group = ControlGroup.current()
        if let limit = group.memoryByteCount, limit < memory.totalByteCount ?? .max {
            memory.totalByteCount = limit
            let free = max(0, limit - (group.usedByteCount ?? 0))
            memory.availableByteCount = min(memory.availableByteCount ?? .max, free)
        }
        return memory
    }

    public static func cores(threads: Int, threadsAsked: Int) -> RankFacts.Cores {
        var cores = RankFacts.Cores()
        cores.threads = threads
        cores.threadsAsked = threadsAsked
        cores.mask = mask(status: text("/proc/self/status"))
        let group = ControlGroup.current()
        cores.quota = group.quota
        // What started this process may have been confined: then its cores are all there are.
        let parent = mask(status: text("/proc/\(getppid())/status"))
        let online = ProcessorSet(list: text("/sys/devices/system/cpu/online"))
        let limits = [online, group.processors, parent].compactMap { $0 }.map(\.members)
        if let first = limits.first {
            var available = limits.dropFirst().reduce(first) { $0.intersection($1) }
            // Never less than what this process has.
            if let mask = cores.mask { available.formUnion(mask.members) }
            cores.available = ProcessorSet(available)
        }
        return cores
    }
}

/// Limits of the container or job that this process runs in.
struct ControlGroup: Equatable {
    var processors: ProcessorSet?
    /// Processor time, in processors.
    var quota: Double?
    var memoryByteCount: Int?
    /// Without what the kernel can drop.
    var usedByteCount: Int?

    static func current() -> ControlGroup {
        of(SystemFiles.text("/proc/self/cgroup"), root: "/sys/fs/cgroup") { SystemFiles.text($0) }
    }

    /// - Parameters:
    ///   - membership: text of `/proc/self/cgroup`.
    ///   - root: where control groups are mounted.
    ///   - read: a file's text; empty if it is not there.
    static func of(_ membership: String, root: String, read: (String) -> String) -> ControlGroup {
        var group = ControlGroup()
        for line in membership.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3, !parts[2].contains("..") else { continue }
            let controllers = parts[1].split(separator: ",")
            if controllers.isEmpty {
                for base in [root, root + "/unified"] { group.readUnified(base, String(parts[2]), read) }
            } else {
                for controller in controllers { group.readOld(root, String(controller), String(parts[2]), read) }
            }
        }
        return group
    }

    /// The folder and those above it: a limit of each holds. Inside a container the path may be that of the outside.
    private static func folders(_ base: String, _ path: String) -> [String] {
        var parts = path.split(separator: "/")
        var result: [String] = []
        while true {
            result.append(([base] + parts.map(String.init)).joined(separator: "/"))
            if parts.popLast() == nil { return result }
        }
    }

    private mutating func lower(_ limit: Int?, used: Int?, reclaimable: Int?) {
        guard let limit, limit < memoryByteCount ?? .max else { return }
        memoryByteCount = limit
        usedByteCount = used.map { max(0, $0 - (reclaimable ?? 0)) }
    }

    private mutating func lower(quota value: Double?) {
        if let value, value > 0 { quota = min(quota ?? .infinity, value) }
    }

    private static func number(_ text: some StringProtocol) -> Int? { Int(String(text.filter { !$0.isWhitespace })) }

    private static func statistic(_ name: String, _ text: String) -> Int? {
        text.split(separator: "\n").first { $0.hasPrefix(name + " ") }.flatMap { number($0.dropFirst(name.count)) }
    }

    private mutating func readUnified(_ base: String, _ path: String, _ read: (String) -> String) {
        for folder in Self.folders(base, path) {
            if processors == nil { processors = ProcessorSet(list: read(folder + "/cpuset.cpus.effective")) }
            let quota = read(folder + "/cpu.max").split(whereSeparator: \.isWhitespace).map { Double($0) }
            if quota.count == 2, let time = quota[0], let period = quota[1], period > 0 { lower(quota: time / period) }
            lower(
                Self.number(read(folder + "/memory.max")), used: Self.number(read(folder + "/memory.current")),
                reclaimable: Self.statistic("inactive_file", read(folder + "/memory.stat")))
        }
    }

    private mutating func readOld(_ root: String, _ controller: String, _ path: String, _ read: (String) -> String) {
        for folder in Self.folders(root + "/" + controller, path) {
            switch controller {
            case "cpuset" where processors == nil:
                processors =
                    ProcessorSet(list: read(folder + "/cpuset.effective_cpus"))
                    ?? ProcessorSet(list: read(folder + "/cpuset.cpus"))
            case "cpu":
                if let time = Self.number(read(folder + "/cpu.cfs_quota_us")), time > 0,
                    let period = Self.number(read(folder + "/cpu.cfs_period_us")), period > 0
                {
                    lower(quota: Double(time) / Double(period))
                }
            case "memory":
                lower(
                    Self.number(read(folder + "/memory.limit_in_bytes")),
                    used: Self.number(read(folder + "/memory.usage_in_bytes")),
                    reclaimable: Self.statistic("total_inactive_file", read(folder + "/memory.stat")))
            default: break
            }
        }
    }
}
