import Basics

/// A safetensors file that cannot be used.
public struct SafeTensorsError: ExitCoding, Equatable {
    public let path: String
    public let reason: String

    public init(path: String, _ reason: String) {
        self.path = path
        self.reason = reason
    }

    public var exitCode: ExitCode { .badData }
    public var description: String { "\(path): \(reason)" }
}
