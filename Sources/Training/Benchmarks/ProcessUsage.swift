import CAllocationCounter
import Glibc

/// What this process has used so far.
public enum ProcessUsage {
    /// Allocations since this was first asked, of all threads; nil where they cannot be counted.
    ///
    /// The program's own `malloc` counts and hands the call on (`CAllocationCounter`), so libraries are counted too.
    public static func allocationCount() -> Int? {
        let count = allocation_counter_read()
        return count < 0 ? nil : count
    }

    /// The most memory that was resident at one time, bytes (`VmHWM`); nil where the system does not tell.
    public static func peakResidentByteCount() -> Int? { status("VmHWM:") }

    /// The memory that is resident now, bytes (`VmRSS`); nil where the system does not tell.
    public static func residentByteCount() -> Int? { status("VmRSS:") }

    private static func status(_ name: String) -> Int? {
        guard let descriptor = fopen("/proc/self/status", "r") else { return nil }
        defer { fclose(descriptor) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), descriptor) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            guard text.hasPrefix(name) else { continue }
            return text.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
        }
        return nil
    }
}
