/// What a process tells its caller (sysexits where one fits). The table is part of the documented command line.
public enum ExitCode: Int32, Sendable {
    case done = 0
    /// The command line or configuration is wrong.
    case usage = 64
    /// Input was read but is broken or unfit.
    case badData = 65
    /// Input is not there.
    case missingInput = 66
    /// A broken promise of our own code.
    case internalFault = 70
    /// Reading or writing failed.
    case inputOutput = 74
    /// Worth trying again: a rank died.
    case tryAgain = 75
    case interrupted = 130
}

/// An error that knows its exit code. `description` is one line: what, where, what to do.
public protocol ExitCoding: Error, CustomStringConvertible {
    var exitCode: ExitCode { get }
}

extension FileError: ExitCoding {
    /// A place that cannot be written to is no missing input, whatever the system calls it.
    public var exitCode: ExitCode { isMissing && !action.hasPrefix("create") ? .missingInput : .inputOutput }
}

/// A plain error with a line and an exit code, for places that own no closed set of errors.
public struct Failure: ExitCoding, Equatable {
    public let exitCode: ExitCode
    public let description: String

    public init(_ exitCode: ExitCode, _ description: String) {
        self.exitCode = exitCode
        self.description = description
    }
}
