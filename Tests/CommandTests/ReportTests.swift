import Foundation
import TestSupport
import Testing

extension CommandTests {
    /// A run as a page.
    @Suite(.serialized) struct Reports {
        static let chromium = ["chromium", "chromium-browser", "google-chrome"].lazy.compactMap {
            ProcessRunner.find($0)
        }.first

        @Test func oneRun() throws {
            let workspace = try Pipeline.trained.get()
            let outcome = try workspace.vergence("report", "run", "--output", "one.html")
            #expect(outcome.exitCode == 0 && outcome.output == "one.html\n", "\(outcome.errors)")
            let page = try #require(workspace.text("one.html"))
            for text in [
                "<title>Run run</title>", "loss, training and validation", "epe, validation", "Pairs per second",
                "rank 0 (",
                "From left to right: what the network reads", "data:image/png;base64,", "root hash", "last.safetensors",
                "lane-batch", "started at step 0",
            ] {
                #expect(page.contains(text), "\(text)")
            }
            #expect(page.components(separatedBy: "<img ").count == 4, "a sheet of samples for each of three epochs")
        }

        @Test func severalRuns() throws {
            let workspace = try Pipeline.trained.get()
            let other = try workspace.train("second", steps: 6, ["--threads", "1", "--lr", "0.0005"])
            #expect(other.exitCode == 0, "\(other.errors)")
            expectRefusal(try workspace.vergence("report", "run", "second"), 64, "--output")
            let outcome = try workspace.vergence("report", "run", "second", "--output", "both.html")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            let page = try #require(workspace.text("both.html"))
            let differing = try #require(
                page.components(separatedBy: "What differs").last?.components(separatedBy: "<h2>").first)
            #expect(
                differing.contains("0.0005") && differing.contains("<td>lr</td>")
                    && !differing.contains("<td>lanes</td>"))
        }

        /// A run that has not written much yet.
        @Test func runThatHasJustBegun() throws {
            let workspace = try Pipeline.trained.get()
            let config = try #require(workspace.text("run/config.yaml"))
            try FileManager.default.createDirectory(atPath: workspace.path("begun"), withIntermediateDirectories: true)
            try config.write(toFile: workspace.path("begun/config.yaml"), atomically: true, encoding: .utf8)
            try "step,ep".write(toFile: workspace.path("begun/steps.csv"), atomically: true, encoding: .utf8)
            let outcome = try workspace.vergence("report", "begun")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            #expect(workspace.exists("begun/report.html"))
        }

        @Test func whatIsNoRun() throws {
            let workspace = try Pipeline.trained.get()
            expectRefusal(try workspace.vergence("report", "data"), 66, "data", "no run")
        }

        @Test(.enabled(if: chromium != nil, "no Chromium here")) func aBrowserShowsIt() throws {
            let workspace = try Pipeline.trained.get()
            _ = try workspace.vergence("report", "run", "--output", "shown.html")
            let browser = try #require(Self.chromium)
            let outcome = try ProcessRunner.run(
                browser,
                [
                    "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
                    "--user-data-dir=\(workspace.path("browser"))", "--window-size=1240,3000",
                    "--screenshot=\(workspace.path("shown.png"))", "file://\(workspace.path("shown.html"))",
                ], in: workspace.path("."))
            #expect(outcome.exitCode == 0)
            // What a page does wrong (bad markup that scripts or styles refuse, things it may not fetch) stands there.
            #expect(!outcome.errors.contains("CONSOLE"), "\(outcome.errors)")
            let size = try FileManager.default.attributesOfItem(atPath: workspace.path("shown.png"))[.size] as? Int ?? 0
            #expect(size > 50_000, "an empty page makes a small picture")
        }
    }
}
