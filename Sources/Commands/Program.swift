import ArgumentParser
import Basics
import Collectives
import Glibc

extension VergenceCommand {
    /// The whole program: parses, runs, and is the one place that turns an error into a message and an exit code.
    public static func run(_ launch: LaunchEnvironment) -> Never {
        // A reader that goes away (`| head`) is no reason to die without a word.
        signal(SIGPIPE, SIG_IGN)
        Launcher.current = launch
        do {
            var command = try parseAsRoot()
            try command.run()
            fflush(nil)
            exit(withCode: .done)
        } catch let error as PeerFailure {
            // The rank that failed says why itself; this one leaves with the same code.
            exit(withCode: error.exitCode)
        } catch let error as any ExitCoding {
            Console.write("\(Launcher.prefix)vergence: \(error)\n")
            exit(withCode: error.exitCode)
        } catch {
            // Help, version and usage errors of the argument parser: 0 or 64.
            if exitCode(for: error).isSuccess || exitCode(for: error) == .validationFailure {
                if Launcher.current.rank == 0 { exit(withError: error) }
                exit(withCode: exitCode(for: error).isSuccess ? .done : .usage)
            }
            Console.write("\(Launcher.prefix)vergence: internal error: \(error)\n")
            exit(withCode: .internalFault)
        }
    }

    private static func exit(withCode code: Basics.ExitCode) -> Never {
        fflush(nil)
        // Without finalizing MPI: other ranks may be waiting in it, and the launcher ends them when a rank leaves like this.
        Glibc.exit(code.rawValue)
    }
}
