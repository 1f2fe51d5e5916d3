import Foundation
import Glibc
import TestSupport
import Testing

/// What strangers may not do, whoever they are: authors of a film, of a recipe's server, of a page's words, people who look
/// at the processes of a shared machine. What readers refuse is in their own tests (limits before allocation, paths in
/// manifests, anchors in YAML, HTML in reports); here is the rest.
extension CommandTests {
    @Suite struct StrangersTests {
        /// Films are opened without a terminal and with files and pipes only.
        @Test func ffmpegIsHeldShort() throws {
            let workspace = try Workspace(pairs: 24)
            // A program that says how it was called, in both programs' place.
            for name in ["ffmpeg", "ffprobe"] {
                try workspace.write("#!/bin/sh\necho \"$@\" >> \"$CALLS\"\nexit 1\n", "bin/\(name)")
                chmod(workspace.path("bin/\(name)"), 0o755)
            }
            try workspace.write("no film", "film.mkv")
            let outcome = try ProcessRunner.run(
                ProcessRunner.product("vergence-shards"), ["convert", "film.mkv", "out", "--layout", "movie"],
                in: workspace.folder.path,
                environment: ["PATH": workspace.path("bin") + ":/usr/bin:/bin", "CALLS": workspace.path("calls")])
            #expect(outcome.exitCode == 65, "\(outcome.errors)")
            let calls = try #require(workspace.text("calls")).split(separator: "\n")
            #expect(!calls.isEmpty)
            for call in calls {
                #expect(call.contains("-protocol_whitelist file,pipe") && call.contains(" file:"), "\(call)")
                #expect(!call.contains("film.mkv"), "a name reaches the command line: \(call)")
            }
        }

        /// A film that is a list of addresses is not a way to have them fetched.
        @Test(.enabled(if: ProcessRunner.find("ffmpeg") != nil, "ffmpeg is not installed: apt-get install ffmpeg"))
        func filmsFetchNothing() throws {
            let workspace = try Workspace(pairs: 24)
            let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(listener) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let bound = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(listener, $0, size) == 0 && listen(listener, 4) == 0 && getsockname(listener, $0, &size) == 0
                }
            }
            try #require(bound)
            let url = "http://127.0.0.1:\(UInt16(bigEndian: address.sin_port))/segment.ts"
            try workspace.write("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n\(url)\n#EXT-X-ENDLIST\n", "film.m3u8")
            try workspace.write("ffconcat version 1.0\nfile '\(url)'\n", "film.mkv")
            for name in ["film.m3u8", "film.mkv"] {
                let outcome = try workspace.shards("convert", name, "out", "--layout", "movie")
                #expect(outcome.exitCode == 65 || outcome.exitCode == 66, "\(name): \(outcome.errors)")
                #expect(!workspace.exists("out"))
            }
            // Nobody has knocked.
            var waiting = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            #expect(poll(&waiting, 1, 0) == 0)
        }

        /// Environments hold secrets: nothing of them is written but what is on the list.
        @Test func environmentsStayOutOfRuns() throws {
            let workspace = try Workspace(pairs: 24)
            let secret = [
                "API_TOKEN": "sesame-4711", "SLURM_JOB_ID_X": "sesame-4711", "OMPI_MCA_secret": "sesame-4711",
            ]
            let run = ["train", "data", "--run", "r", "--steps", "2", "--lanes", "2", "--lane-batch", "1"]
            let trained = try workspace.vergence(run + Workspace.model, environment: secret)
            let report = try workspace.vergence("report", "r", environment: secret)
            #expect(trained.exitCode == 0 && report.exitCode == 0, "\(trained.errors)\(report.errors)")
            let files = workspace.files(below: "r")
            #expect(files.count > 8 && files["report.html"] != nil && files["machine.txt"] != nil)
            for (name, data) in files {
                #expect(data.range(of: Data("sesame".utf8)) == nil, "\(name) holds the environment")
            }
            #expect(!(trained.errors + trained.output + report.errors + report.output).contains("sesame"))
        }

        /// Everybody on a machine can read the words of a command, and only its owner its environment.
        @Test(.enabled(if: Workspace.mpirun != nil, "mpirun is not installed"))
        func tokensAreOnNoCommandLine() throws {
            let workspace = try Workspace(pairs: 24)
            let launch = try workspace.start(
                ["launch", "-n", "2", "--", "train", "data", "--run", "r", "--steps", "100000", "--lanes", "2"]
                    + ["--lane-batch", "1"] + Workspace.model)
            defer { _ = launch.wait(timeoutSeconds: 30) }
            defer { launch.send(SIGINT) }
            #expect(launch.poll { workspace.exists("r/steps.csv") })
            let marker = "VERGENCE_HEARTBEAT_TOKEN="
            var tokens: Set<String> = []
            var lines: [String] = []
            for name in try FileManager.default.contentsOfDirectory(atPath: "/proc") where Int(name) != nil {
                func words(_ file: String) -> [String] {
                    (FileManager.default.contents(atPath: "/proc/\(name)/\(file)") ?? Data()).split(separator: 0)
                        .map { String(decoding: $0, as: UTF8.self) }
                }
                lines.append(words("cmdline").joined(separator: " "))
                tokens.formUnion(
                    words("environ").filter { $0.hasPrefix(marker) }.map { String($0.dropFirst(marker.count)) })
            }
            #expect(!tokens.isEmpty && tokens.allSatisfy { $0.count >= 16 })
            for token in tokens { #expect(!lines.contains { $0.contains(token) }) }
            for file in workspace.files(below: "r") {
                for token in tokens { #expect(file.value.range(of: Data(token.utf8)) == nil, "\(file.key)") }
            }
        }

        /// Machines' keys are checked, and ranks as root are asked for by nobody but test clusters and containers.
        @Test func noSwitchThatTrustsEverybody() throws {
            let words = [
                "StrictHostKeyChecking=no", "StrictHostKeyChecking no", "UserKnownHostsFile=/dev/null",
                "--allow-run-as-root",
            ]
            var count = 0
            for folder in ["Sources", "launch", "cluster", "datasets", "docs", "README.md"] {
                let path = Documents.root + "/" + folder
                let below = FileManager.default.enumerator(atPath: path)?.compactMap { "\(path)/\($0)" } ?? []
                for file in below + [path] {
                    guard let data = FileManager.default.contents(atPath: file) else { continue }
                    count += 1
                    let text = String(decoding: data, as: UTF8.self)
                    for word in words where text.contains(word) { Issue.record("\(file) holds \(word)") }
                }
            }
            #expect(count > 300)
        }

        /// Downloads come over HTTPS or not at all, and what has another checksum is not unpacked.
        @Test(.enabled(if: ProcessRunner.find("curl") != nil, "curl is not installed"))
        func downloadsAreChecked() throws {
            let workspace = try Workspace(pairs: 24)
            let fetch = Documents.root + "/datasets/fetch"
            let script = try String(contentsOfFile: fetch, encoding: .utf8)
            #expect(!script.contains("http://"))
            // What came before, and is not what it should be.
            try workspace.write("not the archive", "set/MiddEval3-data-Q.zip")
            let wrong = try ProcessRunner.run("/bin/bash", [fetch, "middeval3-q", "set"], in: workspace.folder.path)
            #expect(wrong.exitCode == 65 && wrong.errors.contains("SHA-256"), "\(wrong.errors)")
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: workspace.path("set")) == ["MiddEval3-data-Q.zip"])
            // A server that sends elsewhere without encryption is not followed, nor is such an address taken.
            let plain = script.replacing("https://", with: "http://")
            try workspace.write(plain, "fetch")
            let refused = try ProcessRunner.run("/bin/bash", ["fetch", "cones", "other"], in: workspace.folder.path)
            #expect(refused.exitCode == 74, "\(refused.errors)")
            #expect(script.contains("--proto =https --proto-redir =https"))
        }
    }
}
