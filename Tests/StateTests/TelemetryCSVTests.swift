import Basics
import Foundation
import Telemetry
import TestSupport
import Testing

private func content(_ path: String) throws -> String { String(decoding: try Files.read(path), as: UTF8.self) }

private func put(_ text: String, _ path: String) throws { try AtomicFileWriter.write(text, to: path) }

@Suite struct TelemetryCSVTests {
    let folder = TemporaryFolder("csv")
    var path: String { folder.file("metrics.csv") }

    @Test func rowsAreInTheFileAtOnce() throws {
        let table = try MetricsCSV(path: path, columns: ["step", "loss", "note"])
        #expect(try content(path) == "step,loss,note\n")
        try table.append([1, 0.1, nil])
        #expect(try content(path) == "step,loss,note\n1,0.1,\n")
        try table.append([2, CSVCell(Float(0.1)), "a \"b\",\nc"])
        #expect(try content(path) == "step,loss,note\n1,0.1,\n2,0.1,\"a \"\"b\"\", c\"\n")
    }

    @Test func resumeDropsLaterRowsAndTheTornOne() throws {
        try put("epoch,loss\n0,5\n1,4\n2,3\n3,2\n4,1.", path)
        let table = try MetricsCSV(path: path, columns: ["epoch", "loss"], resumeBelow: 2)
        #expect(try content(path) == "epoch,loss\n0,5\n1,4\n")
        try table.append([2, 3.5])
        #expect(try content(path) == "epoch,loss\n0,5\n1,4\n2,3.5\n")
        #expect(try Files.list(folder.path) == ["metrics.csv"])
    }

    @Test(arguments: [
        ("", "step,loss\n"), ("ste", "step,loss\n"), ("step,loss\n", "step,loss\n"),
        ("step,loss\n7,1\n8", "step,loss\n7,1\n"), ("step,loss\n7,1\n8,\n", "step,loss\n7,1\n8,\n"),
        ("step,loss\n7,1\n8\n", "step,loss\n7,1\n"), ("step,loss\n7,1\n\0\0\0\n", "step,loss\n7,1\n"),
        ("step,loss\n7,1\n100,2\n3,9\n", "step,loss\n7,1\n3,9\n"),
    ])
    func whatAResumedTableKeeps(old: String, kept: String) throws {
        try put(old, path)
        _ = try MetricsCSV(path: path, columns: ["step", "loss"], resumeBelow: 100)
        #expect(try content(path) == kept)
    }

    @Test func missingFileIsStartedOnResume() throws {
        _ = try MetricsCSV(path: path, columns: ["step"], resumeBelow: 5)
        #expect(try content(path) == "step\n")
    }

    @Test func anIntactFileIsNotRewritten() throws {
        try put("step,loss\n1,2\n", path)
        func inode() throws -> Int? {
            try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? Int
        }
        let before = try inode()
        _ = try MetricsCSV(path: path, columns: ["step", "loss"], resumeBelow: 2)
        #expect(try inode() == before)
    }

    @Test func aNewTableDoesNotOverwriteRows() throws {
        try put("step,loss\n", path)
        _ = try MetricsCSV(path: path, columns: ["step", "loss", "lr"])
        #expect(try content(path) == "step,loss,lr\n")
        try put("step,loss\n1,2\n", path)
        let error = #expect(throws: MetricsCSVError.exists(path: path)) {
            try MetricsCSV(path: path, columns: ["step", "loss"])
        }
        #expect(error?.exitCode == .usage)
        #expect(error?.description == "\(path): already holds rows; resume that run or choose another folder")
        #expect(try content(path) == "step,loss\n1,2\n")
    }

    @Test func foreignTablesAreRefused() throws {
        try put("step,error\n1,2\n", path)
        let differs = #expect(throws: MetricsCSVError.self) {
            try MetricsCSV(path: path, columns: ["step", "loss"], resumeBelow: 5)
        }
        #expect(
            differs?.description == "\(path): its columns are 'step,error', but this run writes 'step,loss'; "
                + "move the file away to start a new one")
        try put("step,loss\n1,2,3\n2,3\n", path)
        let bad = #expect(throws: MetricsCSVError.self) {
            try MetricsCSV(path: path, columns: ["step", "loss"], resumeBelow: 5)
        }
        #expect(
            bad?.description == "\(path): line 2 is not a row of 2 cells that starts with a whole number; "
                + "mend or remove that line")
        #expect(bad?.exitCode == .badData)
        #expect(try content(path) == "step,loss\n1,2,3\n2,3\n")
    }

    @Test func folderThatIsNotThere() {
        #expect(throws: FileError.self) { try MetricsCSV(path: folder.file("no/metrics.csv"), columns: ["step"]) }
    }

    @Test(arguments: [
        (0.1, "0.1"), (100000, "100000"), (-0.0, "-0"), (1e-05, "1e-05"), (1e300, "1e+300"), (.nan, "nan"),
        (.infinity, "inf"), (-.infinity, "-inf"), (1.0 / 3, "0.3333333333333333"), (.leastNonzeroMagnitude, "5e-324"),
    ])
    func numbersAreShortAndReadBack(value: Double, text: String) {
        #expect(NumberFormat.text(value) == text)
        #expect(value.isNaN || Double(text)?.bitPattern == value.bitPattern)
        #expect(CSVCell(value).text == text)
    }
}
