import Basics
import Foundation
import FrameSources
import Glibc
import Shards
import Streaming
import TestSupport
import Testing

extension CommandTests {
    /// A conversion that is killed, stopped, or runs out of disk is continued by the same command, to the same bytes.
    @Suite(.serialized) struct ConversionTests {
        private static func synth(_ output: String, pairs: Int = 260, _ more: [String] = ["--workers", "2"]) -> [String]
        {
            [
                "synth", output, "--pairs", "\(pairs)", "--size", "48x64", "--seed", "3", "--split", "val=0.2",
                "--shard-size", "1",
            ] + more
        }

        private let shardsTool = ProcessRunner.product("vergence-shards")

        private func run(_ folder: TemporaryFolder, _ arguments: [String]) throws -> ProcessRunner.Outcome {
            try ProcessRunner.run(shardsTool, arguments, in: folder.path)
        }

        private func files(_ folder: TemporaryFolder, _ name: String) -> [String: Data] {
            var result: [String: Data] = [:]
            for file in (try? Files.list(folder.file(name))) ?? [] {
                result[file] = FileManager.default.contents(atPath: folder.file(name) + "/" + file)
            }
            return result
        }

        @Test func workersChangeNothing() throws {
            let folder = TemporaryFolder("conversion")
            for workers in ["1", "2", "4"] {
                let outcome = try run(folder, Self.synth("w\(workers)", pairs: 120, ["--workers", workers]))
                #expect(outcome.exitCode == 0, "\(outcome.errors)")
            }
            let one = files(folder, "w1")
            #expect(one.count >= 4 && one["conversion.json"] == nil)
            #expect(files(folder, "w2") == one && files(folder, "w4") == one)
        }

        /// Kills: one behind the first finished shard, the others at random moments, some of them several times in a row.
        @Test(arguments: [LongTests.areWanted ? 10 : 3]) func killedAndContinued(kills: Int) throws {
            let folder = TemporaryFolder("conversion")
            let start = monotonicSeconds()
            #expect(try run(folder, Self.synth("whole")).exitCode == 0)
            let seconds = monotonicSeconds() - start
            let whole = files(folder, "whole")
            var generator = SystemRandomNumberGenerator()
            var continued = 0
            for trial in 0..<kills {
                let name = "killed\(trial)"
                for again in 0...(trial % 3) {
                    let workers = ["1", "2", "4"][(trial + again) % 3]
                    let running = try ProcessRunner.Running(
                        shardsTool, Self.synth(name, ["--workers", workers]), in: folder.path)
                    if trial == 0 {
                        // One surely comes behind the first finished shard.
                        #expect(running.poll { Files.exists(folder.file("\(name)/train-00000.shard.lz4")) })
                    } else {
                        let share = Double.random(in: 0.05...0.95, using: &generator)
                        usleep(UInt32(share * seconds / Double(1 + again) * 1e6))
                    }
                    running.send(SIGKILL)
                    _ = running.wait()
                }
                let wasFinished =
                    files(folder, name)["manifest.json"] != nil
                    && files(folder, name)["conversion.json"] == nil
                let outcome = try run(folder, Self.synth(name))
                if wasFinished {
                    #expect(outcome.exitCode == 64 && outcome.errors.contains("not empty"), "\(outcome.errors)")
                } else {
                    #expect(outcome.exitCode == 0, "\(outcome.errors)")
                }
                if outcome.errors.contains("continues behind") { continued += 1 }
                #expect(files(folder, name) == whole, "trial \(trial)")
            }
            #expect(continued > 0, "no kill came after the first finished shard")
        }

        /// A run stopped behind its first finished shard.
        private func interrupted(_ folder: TemporaryFolder, _ name: String, by signal: Int32) throws
            -> ProcessRunner.Outcome
        {
            let running = try ProcessRunner.Running(shardsTool, Self.synth(name), in: folder.path)
            #expect(running.poll { Files.exists(folder.file("\(name)/train-00000.shard.lz4")) })
            running.send(signal)
            return running.wait()
        }

        @Test func interruptedSaysHowToGoOn() throws {
            let folder = TemporaryFolder("conversion")
            let outcome = try interrupted(folder, "data", by: SIGINT)
            expectRefusal(outcome, 130, "interrupted after")
            #expect(outcome.errors.contains("the same command continues from there"), "\(outcome.errors)")
            let left = files(folder, "data").keys
            #expect(left.contains("conversion.json") && !left.contains { $0.hasSuffix(".partial") }, "\(left)")
            // Not a data set, and no place for anything else.
            expectOnlyRefusal(try run(folder, ["info", "data"]), 66, "manifest.json")
            let before = files(folder, "data")
            let others = [
                (["--seed", "4"], "seed"), (["--level", "3"], "level"), (["--shard-size", "2"], "shard-size"),
                (["--size", "32x48"], "size"), (["--split", "val=0.3"], "split"),
            ]
            for (more, word) in others {
                var arguments = Self.synth("data")
                if let place = arguments.firstIndex(of: more[0]) {
                    arguments[place + 1] = more[1]
                } else {
                    arguments += more
                }
                expectOnlyRefusal(try run(folder, arguments), 64, "unfinished conversion", word, "remove the folder")
                #expect(files(folder, "data") == before)
            }
            let again = try run(folder, Self.synth("data"))
            #expect(again.exitCode == 0 && again.errors.contains("continues behind"), "\(again.errors)")
            #expect(try run(folder, Self.synth("whole")).exitCode == 0)
            #expect(files(folder, "data") == files(folder, "whole"))
        }

        @Test func twoAtATime() throws {
            let folder = TemporaryFolder("conversion")
            let running = try ProcessRunner.Running(shardsTool, Self.synth("data"), in: folder.path)
            #expect(running.poll { Files.exists(folder.file("data/train-00000.shard.lz4")) })
            expectOnlyRefusal(try run(folder, Self.synth("data")), 64, "another conversion is writing here")
            let outcome = running.wait()
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            #expect(try run(folder, ["verify", "data"]).exitCode == 0)
        }

        @Test func aBrokenRestIsMadeAgain() throws {
            let folder = TemporaryFolder("conversion")
            #expect(try run(folder, Self.synth("whole")).exitCode == 0)
            let whole = files(folder, "whole")
            _ = try interrupted(folder, "data", by: SIGKILL)
            let path = folder.file("data/train-00000.shard.lz4")
            var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            bytes[bytes.count / 2] ^= 4
            try bytes.write(to: URL(fileURLWithPath: path))
            let outcome = try run(folder, Self.synth("data"))
            #expect(outcome.exitCode == 0 && outcome.errors.contains("is made again"), "\(outcome.errors)")
            #expect(files(folder, "data") == whole)
            // Killed between the manifest and the end.
            _ = try interrupted(folder, "late", by: SIGKILL)
            for (name, bytes) in whole { try bytes.write(to: URL(fileURLWithPath: folder.file("late/\(name)"))) }
            let late = try run(folder, Self.synth("late"))
            #expect(late.exitCode == 0, "\(late.errors)")
            #expect(files(folder, "late") == whole)
            // A journal that says nothing, beside shards.
            _ = try interrupted(folder, "torn", by: SIGKILL)
            try Data("{\"a".utf8).write(to: URL(fileURLWithPath: folder.file("torn/conversion.json")))
            expectOnlyRefusal(try run(folder, Self.synth("torn")), 64, "conversion.json", "broken")
        }

        @Test func picturesThatChangedMeanwhile() throws {
            let folder = TemporaryFolder("conversion")
            var draws = SystemRandomNumberGenerator()
            try Files.createFolder(folder.file("frames"))
            for number in 0..<90 {
                // Noise does not shrink: a shard of a megabyte has about 40.
                let bytes = (0..<(64 * 128 * 3)).map { _ in UInt8.random(in: 0...255, using: &draws) }
                try ImageFile.write(
                    PixelArray(height: 64, width: 128, channels: 3, element: .uint8, bytes: bytes),
                    to: folder.file("frames/\(1000 + number).png"))
            }
            try Data("no picture".utf8).write(to: URL(fileURLWithPath: folder.file("frames/1010.png")))
            let command = ["--layout", "side-by-side", "--shard-size", "1", "--max-bad", "1", "--workers", "2"]
            func convert(_ name: String) throws -> ProcessRunner.Outcome {
                try run(folder, ["convert", "frames", name] + command)
            }
            let whole = try convert("whole")
            #expect(whole.exitCode == 0 && whole.errors.contains("left out: frames/1010.png"), "\(whole.errors)")
            for name in ["a", "b"] {
                let running = try ProcessRunner.Running(
                    shardsTool, ["convert", "frames", name] + command, in: folder.path)
                #expect(running.poll { Files.exists(folder.file("\(name)/train-00000.shard.lz4")) })
                running.send(SIGKILL)
                _ = running.wait()
            }
            try #require(!Files.exists(folder.file("a/manifest.json")) && !Files.exists(folder.file("b/manifest.json")))
            // The broken one is named again, although its shard is there.
            let again = try convert("a")
            #expect(again.exitCode == 0 && again.errors.contains("left out: frames/1010.png"), "\(again.errors)")
            #expect(files(folder, "a") == files(folder, "whole"))
            try Data("other text".utf8).write(to: URL(fileURLWithPath: folder.file("frames/1010.png")))
            expectOnlyRefusal(try convert("b"), 64, "files of its input have changed")
        }

        /// Converts and streams an epoch: memory and open files must not grow with the number of records.
        @Test(.enabled(if: LongTests.areWanted, Comment(rawValue: LongTests.hint)))
        func aHundredThousandRecords() throws {
            let folder = TemporaryFolder("conversion")
            func converted(_ name: String, _ count: Int) throws -> (seconds: Double, peak: Int) {
                let start = monotonicSeconds()
                let running = try ProcessRunner.Running(
                    shardsTool,
                    [
                        "synth", name, "--pairs", "\(count)", "--size", "16x16", "--seed", "1", "--shard-size", "1",
                        "--level", "1", "--workers", "2",
                    ], in: folder.path)
                var peak = 0
                _ = running.poll(timeoutSeconds: 600) {
                    peak = max(peak, Self.kilobytes("VmHWM", running.processIdentifier) ?? 0)
                    return false
                }
                let outcome = running.wait(timeoutSeconds: 600)
                #expect(outcome.exitCode == 0, "\(outcome.errors)")
                return (monotonicSeconds() - start, peak)
            }
            let few = try converted("few", 10_000)
            let many = try converted("many", 100_000)
            // Names and places of records, a few hundred bytes each, but no pictures: those are 3 kB and more each.
            #expect(many.peak - few.peak < 90_000, "\(few.peak) kB for 10,000, \(many.peak) kB for 100,000")

            let data = try DataSet(path: folder.file("many"))
            #expect(data.count(.train) == 100_000 && data.manifest.shards.count > 256)
            let order = try SampleOrder(seed: 3, recordCount: 100_000, lanes: 4, laneBatch: 5)
            let settings = BatchLoader.Settings(height: 16, width: 16, fields: [.picture("left"), .picture("right")])
            let loader = BatchLoader(
                data: data, split: .train,
                schedule: order.schedule(lanes: [0, 1, 2, 3], steps: 0..<order.stepsPerEpoch),
                settings: settings)
            defer { loader.shutDown() }
            var seen = [Bool](repeating: false, count: 100_000)
            var early: (memory: Int, files: Int)?
            let start = monotonicSeconds()
            var count = 0
            while let batch = try loader.nextBatch() {
                for sample in batch.samples { seen[sample.record] = true }
                count += batch.count
                loader.recycle(batch)
                if early == nil && count >= 20_000 {
                    early = (Self.kilobytes("VmRSS", getpid()) ?? 0, try Files.list("/proc/self/fd").count)
                }
            }
            let seconds = monotonicSeconds() - start
            let late = (memory: Self.kilobytes("VmRSS", getpid()) ?? 0, files: try Files.list("/proc/self/fd").count)
            let first = try #require(early)
            #expect(count == 100_000 && seen.allSatisfy { $0 })
            #expect(late.files <= first.files + 2, "\(first.files) open files, then \(late.files)")
            #expect(late.memory < first.memory + 16_000, "\(first.memory) kB, then \(late.memory) kB")
            print(
                "converted 10,000 in \(few.seconds) s with \(few.peak) kB, 100,000 in \(many.seconds) s with "
                    + "\(many.peak) kB; an epoch of 100,000 in \(seconds) s (\(Double(count) / seconds) records/s), "
                    + "\(first.memory) kB and \(first.files) files after a fifth, \(late.memory) kB and \(late.files) at "
                    + "the end, \(data.manifest.shards.count) shards")
        }

        private static func kilobytes(_ name: String, _ process: Int32) -> Int? {
            let text = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
            let line = text?.split(separator: "\n").first { $0.hasPrefix(name + ":") }
            return line?.split(separator: " ").compactMap { Int($0) }.first
        }

        @Test func salvageMergeSplitReshard() throws {
            let folder = TemporaryFolder("conversion")
            #expect(try run(folder, Self.synth("a.data", pairs: 120)).exitCode == 0)
            let whole = files(folder, "a.data")
            #expect(try run(folder, ["reshard", "a.data", "b.data", "--shard-size", "8"]).exitCode == 0)
            #expect(
                try run(folder, ["reshard", "b.data", "c.data", "--shard-size", "1", "--workers", "3"]).exitCode == 0)
            #expect(files(folder, "c.data") == whole)
            #expect(
                try run(folder, ["reshard", "b.data", "l.data", "--shard-size", "1", "--level", "9"]).exitCode == 0)
            #expect(files(folder, "l.data") == whole)
            expectOnlyRefusal(
                try run(folder, ["merge", "a.data", "b.data", "-o", "m.data"]), 64,
                "is a record of a.data and of b.data",
                "--prefix")
            #expect(try run(folder, ["merge", "a.data", "b.data", "-o", "m.data", "--prefix"]).exitCode == 0)
            let merged = try DataSet(path: folder.file("m.data"))
            let a = try DataSet(path: folder.file("a.data"))
            #expect(merged.count(.train) == 192 && merged.count(.val) == 48)
            #expect(try merged.key(.val, 24) == "b/\(a.key(.val, 0))")
            #expect(try merged.record(.val, 24).fields == a.record(.val, 0).fields)
            #expect(merged.verify().isEmpty)
            let split = try run(folder, ["split", "a.data", "s.data", "--split", "val=0.5", "--split", "test=every:3"])
            #expect(split.exitCode == 0, "\(split.errors)")
            let divided = try DataSet(path: folder.file("s.data"))
            #expect(Split.allCases.map { divided.count($0) } == [40, 60, 20])
            var keys: Set<String> = []
            for part in Split.allCases {
                for index in 0..<divided.count(part) { keys.insert(try divided.key(part, index)) }
            }
            #expect(keys.count == 120)

            // A flip in a record, a lost end, a manifest that is not one.
            let names = try Files.list(folder.file("a.data")).filter { $0.hasPrefix("train") }
            func change(_ name: String, _ body: (inout Data) -> Void) throws {
                let url = URL(fileURLWithPath: folder.file("a.data/\(name)"))
                var bytes = try Data(contentsOf: url)
                body(&bytes)
                try bytes.write(to: url)
            }
            try change(names[0]) { $0[100] ^= 1 }
            try change(names[1]) { $0.removeLast(90) }
            let first = try run(folder, ["verify", "a.data"])
            #expect(first.exitCode == 65 && first.errors.contains("record 0 (scene_000000)"), "\(first.errors)")
            #expect(first.errors.contains(names[1]) && !first.errors.contains("internal"), "\(first.errors)")
            let salvaged = try run(folder, ["salvage", "a.data", "whole.data"])
            #expect(salvaged.exitCode == 0 && salvaged.output.contains("119 of 120 records recovered"), "\(salvaged)")
            try change("manifest.json") { $0[40] ^= 1 }
            #expect(try run(folder, ["salvage", "a.data", "again.data", "--workers", "1"]).exitCode == 0)
            let (one, two) = (files(folder, "whole.data"), files(folder, "again.data"))
            #expect(one.keys.sorted() == two.keys.sorted())
            for (name, bytes) in one where name != "manifest.json" { #expect(two[name] == bytes) }
            #expect(try run(folder, ["verify", "again.data"]).exitCode == 0)
            let stats = try run(folder, ["stats", "again.data", "--json"])
            let report = try JSONSerialization.jsonObject(with: Data(stats.output.utf8)) as? [String: Any]
            #expect(report?["records"] as? Int == 119 && (report?["fields"] as? [Any])?.count == 6)
            expectOnlyRefusal(try run(folder, ["stats", "nowhere"]), 66, "nowhere")
            expectOnlyRefusal(try run(folder, ["salvage", "nowhere", "x"]), 66, "nowhere")
        }
    }
}
