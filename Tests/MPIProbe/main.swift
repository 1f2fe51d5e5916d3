import Foundation

// Only this line is here: what runs on other threads must not inherit the main actor.
exit(Probe.main(Array(CommandLine.arguments.dropFirst())))
