import Foundation
import Synchronization
import Testing

@testable import Telemetry

/// A clock that stands still and a stream that remembers.
private final class Scene: Sendable {
    let seconds = Mutex(100.0)
    let text = Mutex("")

    var surroundings: ProgressReporter.Surroundings {
        .init(
            clock: { self.seconds.withLock { $0 } }, write: { piece in self.text.withLock { $0 += piece } },
            columns: { 100 })
    }
    func wait(_ duration: Double) { seconds.withLock { $0 += duration } }
    /// What was written since the last call.
    func taken() -> String {
        text.withLock { text in
            defer { text = "" }
            return text
        }
    }
}

@Suite struct TelemetryProgressTests {
    @Test func plainLinesAtIntervals() {
        let scene = Scene()
        let reporter = ProgressReporter(task: "train", total: 100, style: .lines, surroundings: scene.surroundings)
        scene.wait(2)
        reporter.update(position: 1, items: 8, loss: 0.034125, dataWaitSeconds: 0.5, communicationSeconds: 0.1)
        #expect(
            scene.taken() == "train: step 1/100 (1.0 %), loss 0.034125, 4.00 pairs/s, ETA 3 min 18 s, "
                + "data wait 25.0 %, communication 5.0 %\n")
        scene.wait(9)
        reporter.update(position: 2, items: 8)
        #expect(scene.taken() == "")
        scene.wait(1)
        reporter.update(position: 3, items: 8, loss: 0.5, detail: "epoch 2\n")
        let line = scene.taken()
        #expect(line.hasPrefix("train: step 3/100 (3.0 %), epoch 2 , loss 0.50000, 2.00 pairs/s, "))
        #expect(line.unicodeScalars.filter { $0.properties.generalCategory == .control } == ["\n"])
        reporter.finish()
        #expect(scene.taken().hasSuffix("\n"))
        reporter.finish()
        reporter.update(position: 50)
        #expect(scene.taken() == "")
    }

    @Test func estimateCountsOnlyOwnSteps() {
        // 10 own steps in 20 s; 890 remain. Counting the 100 earlier ones would say 178 s.
        let own = ProgressReporter.remainingSeconds(position: 110, total: 1000, firstPosition: 100, elapsedSeconds: 20)
        #expect(own == 1780)
        #expect(
            ProgressReporter.remainingSeconds(position: 100, total: 1000, firstPosition: 100, elapsedSeconds: 5) == nil)
        #expect(ProgressReporter.remainingSeconds(position: 9, total: nil, firstPosition: 0, elapsedSeconds: 5) == nil)
        let scene = Scene()
        let reporter = ProgressReporter(
            task: "train", position: 100, total: 1000, style: .lines, surroundings: scene.surroundings)
        scene.wait(20)
        reporter.update(position: 110, items: 40)
        #expect(scene.taken() == "train: step 110/1000 (11.0 %), 2.00 pairs/s, ETA 29 min 40 s\n")
    }

    @Test func rateForgetsTheSlowStart() {
        let scene = Scene()
        let reporter = ProgressReporter(
            task: "train", total: 1000, style: .lines, intervalSeconds: 1, surroundings: scene.surroundings)
        scene.wait(100)
        reporter.update(position: 1, items: 1)
        for step in 2...41 {
            scene.wait(1)
            reporter.update(position: step, items: 5)
        }
        #expect(scene.taken().split(separator: "\n").last?.contains("5.00 pairs/s") == true)
        reporter.finish()
        // 201 pairs in 140 s
        #expect(scene.taken().contains("1.44 pairs/s"))
    }

    @Test func barIsRedrawnInPlace() {
        let scene = Scene()
        let reporter = ProgressReporter(
            task: "train", total: 10, style: .bar(colour: false), surroundings: scene.surroundings)
        scene.wait(1)
        reporter.update(position: 5, items: 2, loss: 1)
        let line = scene.taken()
        #expect(line.hasPrefix("\rtrain [====="))
        #expect(line.count == 100)
        #expect(!line.contains("\u{1B}") && !line.contains("\n"))
        scene.wait(0.1)
        reporter.update(position: 6)
        #expect(scene.taken() == "")
        reporter.print("checkpoint written")
        let message = scene.taken()
        #expect(message.hasPrefix("\r" + String(repeating: " ", count: 99) + "\rcheckpoint written\n\rtrain ["))
        reporter.finish()
        #expect(scene.taken().hasSuffix("\n"))
    }

    @Test func colourIsTheOnlyEscape() {
        let scene = Scene()
        let reporter = ProgressReporter(
            task: "train", total: 10, style: .bar(colour: true), surroundings: scene.surroundings)
        reporter.update(position: 5)
        #expect(scene.taken().hasPrefix("\r\u{1B}[1mtrain\u{1B}[0m ["))
    }

    @Test func silentSaysNothing() {
        let scene = Scene()
        let reporter = ProgressReporter(task: "train", total: 10, style: .silent, surroundings: scene.surroundings)
        reporter.update(position: 5)
        reporter.print("hello")
        reporter.finish()
        #expect(scene.taken() == "")
    }

    @Test(
        arguments: [
            (true, "xterm", nil, ProgressStyle.bar(colour: true)), (true, "xterm", "", .bar(colour: true)),
            (true, "xterm", "1", .bar(colour: false)), (true, "dumb", nil, .lines), (true, nil, nil, .lines),
            (false, "xterm", nil, .lines),
        ] as [(Bool, String?, String?, ProgressStyle)])
    func styleFollowsTheTerminal(isTerminal: Bool, type: String?, noColour: String?, style: ProgressStyle) {
        #expect(ProgressStyle.detected(isTerminal: isTerminal, terminalType: type, noColour: noColour) == style)
    }

    @Test(arguments: 1...120)
    func barLineHasExactlyTheWidth(columns: Int) {
        let snapshot = ProgressSnapshot(
            task: "train", position: 123, total: 4567, loss: 0.0123, itemsPerSecond: 45.1, dataWait: 0.012,
            communication: 0.081, remainingSeconds: 3720)
        #expect(ProgressFormat.barLine(snapshot, columns: columns).count == max(columns, 20))
    }

    @Test func barShapes() {
        #expect(ProgressFormat.bar(0, width: 7) == "[>    ]")
        #expect(ProgressFormat.bar(0.5, width: 6) == "[==> ]")
        #expect(ProgressFormat.bar(1, width: 6) == "[====]")
        #expect(ProgressFormat.bar(7, width: 6) == "[====]")
        #expect(ProgressFormat.bar(.nan, width: 4) == "[> ]")
    }

    @Test(
        arguments: [
            (0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (3720, "1 h 02 min"),
            (183_600, "2 d 03 h"), (-1, "?"), (.nan, "?"), (1e300, "?"),
        ] as [(Double, String)])
    func durations(seconds: Double, text: String) { #expect(ProgressFormat.duration(seconds) == text) }

    @Test(
        arguments: [
            (0, "0"), (0.0312, "0.0312"), (4.512, "4.51"), (45.12, "45.1"), (1234.4, "1234"), (-2.5, "-2.50"),
            (0.00001234, "1.23e-5"), (2e9, "2.00e9"), (.infinity, "inf"), (.nan, "nan"),
        ] as [(Double, String)])
    func rates(value: Double, text: String) { #expect(ProgressFormat.rate(value) == text) }

    @Test func decimals() {
        #expect(ProgressFormat.decimal(0.05, digits: 1) == "0.1")
        #expect(ProgressFormat.decimal(-0.04, digits: 1) == "0.0")
        #expect(ProgressFormat.decimal(-3.999, digits: 2) == "-4.00")
        #expect(ProgressFormat.decimal(12.5, digits: 0) == "13")
        #expect(ProgressFormat.decimal(1e300, digits: 3) == "1e+300")
        #expect(ProgressFormat.percent(0.1234) == "12.3 %")
    }
}

@Suite struct TelemetryHostTests {
    @Test func thisMachineHasAName() {
        let host = HostInfo.current()
        #expect(!host.name.isEmpty && !host.cpuModel.isEmpty)
        #expect(host.usableCores >= 1 && host.cores >= 1)
        #expect(host.memoryBytes > 0)
        #expect(!host.summary.contains("\n"))
    }

    @Test func modelOfTheProcessor() {
        let text = "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Some  CPU @ 2.50GHz\nmodel name\t: Other\n"
        #expect(HostInfo.cpuModel(cpuInformation: text) == "Some CPU @ 2.50GHz")
        #expect(HostInfo.cpuModel(cpuInformation: "processor : 0\n") == nil)
    }

    @Test(
        arguments: [
            ("Name:\tx\nCpus_allowed_list:\t0-3,8\n", 5), ("Cpus_allowed_list:\t0\n", 1),
            ("Cpus_allowed_list:\t\n", nil),
            ("Cpus_allowed_list:\t3-1\n", nil), ("Cpus_allowed_list:\tx-y,\n", nil), ("", nil),
        ] as [(String, Int?)])
    func coresOfTheAffinityMask(status: String, count: Int?) {
        #expect(HostInfo.usableCores(processStatus: status) == count)
    }

    @Test func summaryNamesWhatMayBeUsed() {
        let host = HostInfo(name: "node7", usableCores: 16, cores: 32, cpuModel: "X", memoryBytes: 3 << 29)
        #expect(host.summary == "node7: 16 of 32 cores, X, 1.5 GiB")
    }
}
