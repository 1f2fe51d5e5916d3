import Basics

/// A rank's link to the other ranks. All calls but `abort` and `poison` are collective: every rank makes the same calls
/// in the same order, from the one thread that owns the communicator.
public protocol Communicator: AnyObject, Sendable {
    var rank: Int { get }
    var worldSize: Int { get }
    /// Name of the machine, for messages.
    var hostName: String { get }

    /// Sends `sendCounts[r]` floats from `send + sendOffsets[r]` to each rank r and receives `receiveCounts[r]` floats
    /// from it at `receive + receiveOffsets[r]`. Counts are in floats and have no 32-bit limit. What r expects from us
    /// must be what we send to it. Nothing is moved from a rank to itself if `receiveCounts[rank]` is 0.
    func allToAll(
        send: UnsafePointer<Float>, sendCounts: [Int], sendOffsets: [Int],
        receive: UnsafeMutablePointer<Float>, receiveCounts: [Int], receiveOffsets: [Int]) throws

    /// Every rank r contributes the `counts[r]` floats at `buffer + offsets[r]`; afterwards all ranks hold all. `counts`
    /// and `offsets` are the same on every rank.
    func allGather(_ buffer: UnsafeMutablePointer<Float>, counts: [Int], offsets: [Int]) throws

    /// Everybody's bytes, by rank: for reports and settings, not for arrays (2 GiB together at most).
    func allGather(_ bytes: [UInt8]) throws -> [[UInt8]]

    /// Overwrites `bytes`, of the same length on every rank, with those of rank `root`.
    func broadcast(_ bytes: UnsafeMutableRawBufferPointer, root: Int) throws

    /// Returns when every rank has called it.
    func barrier() throws

    /// Ends the processes of all ranks with this exit code. May be called from any thread: of use when a rank cannot
    /// reach the next collective call.
    func abort(_ code: ExitCode) -> Never

    /// Tells ranks that wait for this one, where that is possible without ending their process, that it failed.
    func poison(_ error: any Error)

    /// Leaves in good order. No call may follow.
    func finish()
}

/// A failure of the communication itself: a rank that died, a network that broke.
public struct CommunicationError: ExitCoding, Equatable {
    public let exitCode: ExitCode
    public let description: String

    public init(_ description: String, exitCode: ExitCode = .tryAgain) {
        self.description = description
        self.exitCode = exitCode
    }
}

/// Another rank failed. It reports the failure itself, so nobody need repeat its message.
public struct PeerFailure: ExitCoding, Equatable {
    public let rank: Int
    public let hostName: String
    public let exitCode: ExitCode
    /// The other rank's own line.
    public let reason: String

    public init(rank: Int, hostName: String, exitCode: ExitCode, reason: String) {
        self.rank = rank
        self.hostName = hostName
        self.exitCode = exitCode
        self.reason = reason
    }

    public var description: String { "rank \(rank) (\(hostName)) failed: \(reason)" }
}

extension Communicator {
    public func poison(_ error: any Error) {}

    /// Root's bytes, of any length; what other ranks pass is ignored.
    public func broadcast(_ bytes: [UInt8], root: Int = 0) throws -> [UInt8] {
        var byteCount = Int64(bytes.count)
        try withUnsafeMutableBytes(of: &byteCount) { try broadcast($0, root: root) }
        var result = rank == root ? bytes : [UInt8](repeating: 0, count: Int(byteCount))
        try result.withUnsafeMutableBytes { try broadcast($0, root: root) }
        return result
    }

    /// Runs `body` on every rank; if it throws on any, every rank throws: the failing rank its own error, the others a
    /// `PeerFailure` that names the lowest rank that failed. So trouble that one rank has alone (a file that only it
    /// cannot read) ends all of them in words instead of leaving the others waiting.
    public func together<Value>(_ body: () throws -> Value) throws -> Value {
        let result = Result { try body() }
        var report: [UInt8] = []
        if case .failure(let error) = result {
            let failure = error as? any ExitCoding
            report.appendLittleEndian((failure?.exitCode ?? .internalFault).rawValue)
            report.appendLittleEndian(UInt16(hostName.utf8.prefix(255).count))
            report += hostName.utf8.prefix(255)
            report += "\(error)".utf8.prefix(4096)
        }
        let reports = try allGather(report)
        let value = try result.get()
        for (other, report) in reports.enumerated() where !report.isEmpty {
            throw report.withUnsafeBytes { Self.peerFailure(of: other, $0) }
        }
        return value
    }

    private static func peerFailure(of rank: Int, _ report: UnsafeRawBufferPointer) -> PeerFailure {
        var cursor = ByteCursor(report)
        let code = (try? cursor.integer(Int32.self)).flatMap(ExitCode.init) ?? .internalFault
        let hostByteCount = (try? cursor.integer(UInt16.self)) ?? 0
        let host = (try? cursor.take(Int(hostByteCount))).map { String(decoding: $0, as: UTF8.self) } ?? "unknown host"
        let reason = (try? cursor.take(cursor.remaining)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return PeerFailure(rank: rank, hostName: host, exitCode: code, reason: reason)
    }
}

/// A communicator whose library has a sum of its own, in an order of its own: for comparing speeds, never for training,
/// whose bits must not depend on the library.
public protocol PlainSum: Communicator {
    /// Replaces `count` floats by their sum over all ranks. Collective.
    func sum(_ values: UnsafeMutablePointer<Float>, count: Int) throws
}
