import Basics

/// A rank's link to the other ranks. All calls are collective: every rank makes the same calls in the same order, from
/// one thread of its own.
public protocol Communicator: AnyObject, Sendable {
    var rank: Int { get }
    var worldSize: Int { get }
    /// Name of the machine, for messages.
    var hostName: String { get }

    /// Sends `sendCounts[r]` floats from `send + sendOffsets[r]` to each rank r and receives `receiveCounts[r]` floats
    /// from it at `receive + receiveOffsets[r]`.
    func allToAll(
        send: UnsafePointer<Float>, sendCounts: [Int], sendOffsets: [Int],
        receive: UnsafeMutablePointer<Float>, receiveCounts: [Int], receiveOffsets: [Int]) throws

    /// Every rank r contributes the `counts[r]` floats at `buffer + offsets[r]`; afterwards all ranks hold all.
    func allGather(_ buffer: UnsafeMutablePointer<Float>, counts: [Int], offsets: [Int]) throws

    /// Everybody's bytes, by rank.
    func allGather(_ bytes: [UInt8]) throws -> [[UInt8]]

    func barrier() throws

    /// Ends all ranks with this exit code. Of use when a rank cannot reach the next collective call.
    func abort(_ code: ExitCode) -> Never

    /// Leaves in good order. No call may follow.
    func finish()
}

/// A failure of the communication itself.
public struct CommunicationError: ExitCoding, Equatable {
    public let description: String
    public let exitCode: ExitCode

    public init(_ description: String, exitCode: ExitCode = .tryAgain) {
        self.description = description
        self.exitCode = exitCode
    }
}

extension Communicator {
    /// Runs `body` on every rank; if it throws on any, every rank throws: the rank itself its own error, the others one
    /// that names the first rank that failed. So trouble that one rank has while setting up ends all of them in words.
    public func together<Result>(_ body: () throws -> Result) throws -> Result {
        let result = Swift.Result { try body() }
        var report: [UInt8] = []
        if case .failure(let error) = result {
            let code = (error as? any ExitCoding)?.exitCode ?? .internalFault
            report = [UInt8(truncatingIfNeeded: code.rawValue)] + Array("\(error)".utf8.prefix(4096))
        }
        let reports = try allGather(report)
        if case .failure(let error) = result { throw error }
        if let failed = reports.firstIndex(where: { !$0.isEmpty }) {
            let code = ExitCode(rawValue: Int32(reports[failed][0])) ?? .internalFault
            throw PeerFailure(rank: failed, exitCode: code, description: String(decoding: reports[failed].dropFirst(), as: UTF8.self))
        }
        return try result.get()
    }
}

/// Another rank failed; it says so itself, so nobody repeats its message.
public struct PeerFailure: ExitCoding, Equatable {
    public let rank: Int
    public let exitCode: ExitCode
    public let description: String
}
