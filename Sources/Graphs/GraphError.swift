import Basics

/// All that is wrong with a network that was described, with the lines of the description.
public struct GraphError: ExitCoding, Equatable {
    public struct Problem: Equatable, Sendable {
        public let file: String
        public let line: Int
        public let path: String
        public let reason: String
    }

    public let problems: [Problem]

    public var exitCode: ExitCode { .usage }

    public var description: String {
        problems.map { "\($0.file):\($0.line): \($0.path.isEmpty ? "" : $0.path + ": ")\($0.reason)" }
            .joined(separator: "; ")
    }
}
