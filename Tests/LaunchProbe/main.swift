import Basics
import Foundation
import Glibc
import Supervision

// launch-probe PROGRAM RUN LANES RANKS ARGUMENT…: supervises a training run with a hang monitor that believes a file:
// when RUN/stuck is there, it reports what the file says, and removes it when it asks for stacks.

final class FileWatch: StallWatch {
    let path: String
    let environment = ["VERGENCE_TEST_TOKEN": "1"]

    init(path: String) { self.path = path }

    func check() -> String? {
        (try? Files.read(path)).map { String(decoding: $0, as: UTF8.self) }
    }

    func requestStacks() { unlink(path) }
}

let words = CommandLine.arguments
signal(SIGPIPE, SIG_IGN)
do {
    var options = LaunchOptions()
    options.ranks = Int(words[4])
    let site = try LaunchSite.find(hostfile: nil, isLocal: true, environment: [:], cores: 2)
    let supervisor = try Supervisor(
        site: site, options: options,
        job: LaunchJob(
            program: words[1], arguments: Array(words.dropFirst(5)),
            run: .init(folder: words[2], lanes: Int(words[3]) ?? 1, resumes: false)),
        cores: 2, environment: ProcessInfo.processInfo.environment, resumePrefix: ["launch-probe"],
        makeStallWatch: { _ in FileWatch(path: words[2] + "/stuck") })
    exit(try supervisor.run().rawValue)
} catch {
    print("launch-probe: \(error)")
    exit((error as? any ExitCoding)?.exitCode.rawValue ?? 70)
}
