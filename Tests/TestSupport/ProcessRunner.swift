import Foundation
import Glibc

/// Runs the executables that were built together with the tests.
public enum ProcessRunner {
    public struct Outcome: Sendable {
        /// Exit code; 128 + the signal's number if a signal ended the process.
        public let exitCode: Int32
        public let output: String
        public let errors: String
        /// The limit of time was reached and the process killed.
        public let timedOut: Bool

        /// Lines of standard error with one of the programs' names in front, possibly behind that of a rank.
        public var complaints: [String] {
            errors.split(separator: "\n").map(String.init).filter { line in
                line.contains(#/^(rank \d+ \([^)]*\): )?vergence(-shards)?: /#)
            }
        }
    }

    /// Folder of the built products: that of the running test executable.
    public static let products: String = {
        let path = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return (path as NSString).deletingLastPathComponent
    }()

    public static func product(_ name: String) -> String { products + "/" + name }

    /// Path of a program of the system; nil if it is not installed.
    public static func find(_ program: String) -> String? {
        (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":")
            .map { "\($0)/\(program)" }.first { access($0, X_OK) == 0 }
    }

    /// The environment without what a launcher around the tests left in it.
    static func environment(_ more: [String: String]) -> [String: String] {
        var result = ProcessInfo.processInfo.environment.filter { name, _ in
            !["OMPI_", "PMIX_", "PMI_", "OPENBLAS_", "SLURM_"].contains { name.hasPrefix($0) }
        }
        // Continuous integration runs as root in a container.
        result["OMPI_ALLOW_RUN_AS_ROOT"] = "1"
        result["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
        // A crash must show as its signal at once.
        result["SWIFT_BACKTRACE"] = "enable=no"
        return result.merging(more) { $1 }
    }

    /// Starts a program and waits for it.
    public static func run(
        _ program: String, _ arguments: [String], in folder: String, environment: [String: String] = [:],
        timeoutSeconds: Double = 60
    ) throws -> Outcome {
        try Running(program, arguments, in: folder, environment: environment).wait(timeoutSeconds: timeoutSeconds)
    }

    /// A program under way.
    public final class Running {
        private let process = Process()
        private let ended = DispatchSemaphore(value: 0)
        private let outputPath: String
        private let errorsPath: String

        /// Output goes to files: whatever its length, nobody waits for a reader.
        public init(
            _ program: String, _ arguments: [String], in folder: String, environment: [String: String] = [:]
        ) throws {
            let base = NSTemporaryDirectory() + "vergence-process-\(UUID().uuidString)"
            outputPath = base + ".out"
            errorsPath = base + ".err"
            for path in [outputPath, errorsPath] { try Data().write(to: URL(fileURLWithPath: path)) }
            guard let output = FileHandle(forWritingAtPath: outputPath),
                let errors = FileHandle(forWritingAtPath: errorsPath)
            else { throw CocoaError(.fileNoSuchFile) }
            process.executableURL = URL(fileURLWithPath: program)
            process.arguments = arguments
            process.currentDirectoryURL = URL(fileURLWithPath: folder)
            process.environment = ProcessRunner.environment(environment)
            process.standardInput = FileHandle.nullDevice
            process.standardOutput = output
            process.standardError = errors
            process.terminationHandler = { [ended] _ in ended.signal() }
            try process.run()
        }

        deinit {
            if process.isRunning { kill(process.processIdentifier, SIGKILL) }
            for path in [outputPath, errorsPath] { unlink(path) }
        }

        /// Processes that this one started, such as the ranks of a launcher.
        public func children() throws -> [pid_t] {
            let path = "/proc/\(process.processIdentifier)/task/\(process.processIdentifier)/children"
            return try String(contentsOfFile: path, encoding: .utf8).split(separator: " ").compactMap { pid_t($0) }
        }

        public var isRunning: Bool { process.isRunning }
        public var processIdentifier: pid_t { process.processIdentifier }
        public var errors: String { Self.text(errorsPath) }

        public func send(_ signal: Int32) { if process.isRunning { kill(process.processIdentifier, signal) } }

        /// Waits until a condition holds or the process has ended; returns whether it holds.
        public func poll(timeoutSeconds: Double = 30, until condition: () -> Bool) -> Bool {
            let end = Date().addingTimeInterval(timeoutSeconds)
            while Date() < end {
                if condition() { return true }
                if !process.isRunning { return condition() }
                usleep(2_000)
            }
            return false
        }

        public func wait(timeoutSeconds: Double = 60) -> Outcome {
            var timedOut = false
            if ended.wait(timeout: .now() + timeoutSeconds) == .timedOut {
                timedOut = true
                // A launcher gets the chance to end its ranks.
                send(SIGTERM)
                if ended.wait(timeout: .now() + 3) == .timedOut {
                    send(SIGKILL)
                    ended.wait()
                }
            }
            let status = process.terminationStatus
            return Outcome(
                exitCode: process.terminationReason == .uncaughtSignal ? 128 + status : status,
                output: Self.text(outputPath), errors: Self.text(errorsPath), timedOut: timedOut)
        }

        private static func text(_ path: String) -> String {
            FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) } ?? ""
        }
    }
}
