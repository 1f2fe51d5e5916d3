import Basics
import Glibc

/// A world of one rank: a run without a launcher.
public final class SoloCommunicator: Communicator {
    public let rank = 0
    public let worldSize = 1
    public let hostName = HostName.current

    public init() {}

    public func allToAll(
        send: UnsafePointer<Float>, sendCounts: [Int], sendOffsets: [Int],
        receive: UnsafeMutablePointer<Float>, receiveCounts: [Int], receiveOffsets: [Int]
    ) {
        precondition(
            sendCounts.count == 1 && sendCounts == receiveCounts, "solo: sends \(sendCounts), expects \(receiveCounts)")
        (receive + receiveOffsets[0]).update(from: send + sendOffsets[0], count: sendCounts[0])
    }

    public func allGather(_ buffer: UnsafeMutablePointer<Float>, counts: [Int], offsets: [Int]) {}
    public func allGather(_ bytes: [UInt8]) -> [[UInt8]] { [bytes] }
    public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, root: Int) {}
    public func barrier() {}
    public func abort(_ code: ExitCode) -> Never { exit(code.rawValue) }
    public func finish() {}
}

public enum HostName {
    /// Name of this machine.
    public static let current: String = {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "unknown host" }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }()
}
