import Basics
import Checkpoints
import Foundation
import Tensors
import TestSupport
import Testing

@Suite struct SafeTensorsTests {
    /// Written by the reference implementation: `w` = [[0, 1], [2, 3]], `b` = [4, 5], metadata format = pt.
    static let reference = bytes(
        "90000000000000007b225f5f6d657461646174615f5f223a7b22666f726d6174223a227074227d2c2277223a7b226474"
            + "797065223a22463332222c227368617065223a5b322c325d2c22646174615f6f666673657473223a5b302c31365d7d2c"
            + "2262223a7b226474797065223a22463332222c227368617065223a5b325d2c22646174615f6f666673657473223a5b31"
            + "362c32345d7d7d20000000000000803f0000004000004040000080400000a040")

    static func bytes(_ hexadecimal: String) -> [UInt8] {
        let digits = Array(hexadecimal)
        return stride(from: 0, to: digits.count, by: 2).compactMap { UInt8(String(digits[$0...($0 + 1)]), radix: 16) }
    }

    let folder = TemporaryFolder("safetensors")

    func write(_ bytes: [UInt8]) throws -> String {
        let path = folder.file("\(UUID().uuidString).safetensors")
        try AtomicFileWriter.write(bytes, to: path)
        return path
    }

    @Test func readsTheReferenceFile() throws {
        let file = try SafeTensorsFile(path: try write(Self.reference))
        #expect(file.names == ["w", "b"])
        #expect(file.metadata == ["format": "pt"])
        #expect(file.shape(of: "w") == [2, 2] && file.shape(of: "b") == [2] && file.shape(of: "x") == nil)
        #expect(try file.floats(of: "w") == [0, 1, 2, 3])
        #expect(try file.floats(of: "b") == [4, 5])
        #expect(!file.hasChecksums)
    }

    @Test func writesTheReferenceFile() throws {
        let path = folder.file("t.safetensors")
        try SafeTensorsWriter.write(
            path: path, tensors: [("w", [2, 2], [0, 1, 2, 3]), ("b", [2], [4, 5])], metadata: ["format": "pt"],
            checksums: false)
        #expect(try Files.read(path) == Self.reference)
    }

    @Test func everyKindComesBack() throws {
        let path = folder.file("kinds.safetensors")
        let values: [Float] = [1, -0.0, .infinity, .leastNonzeroMagnitude, 5, 6]
        try values.withUnsafeBufferPointer { span in
            try SafeTensorsWriter.write(
                path: path,
                tensors: [
                    .init("naïve \"w\" \\ \n\u{1}", [2, 3], .span(span)), .init("empty", [0, 4], []),
                    .init("second empty", [0], []), .init("scalar", [], [7]),
                    .init("blob", [3], .bytes([1, 2, 255])), .init("steps", [2], .integers([.min, .max])),
                ],
                metadata: ["b": "2", "a": "ü\t"])
        }
        let file = try SafeTensorsFile(path: path)
        #expect(file.hasChecksums)
        // Whole numbers first and bytes last: everything is aligned.
        #expect(file.names == ["steps", "naïve \"w\" \\ \n\u{1}", "empty", "second empty", "scalar", "blob"])
        #expect(file.metadata == ["b": "2", "a": "ü\t"])
        #expect(try file.floats(of: "naïve \"w\" \\ \n\u{1}").map(\.bitPattern) == values.map(\.bitPattern))
        #expect(try file.floats(of: "empty") == [] && file.shape(of: "empty") == [0, 4])
        #expect(try file.floats(of: "scalar") == [7] && file.shape(of: "scalar") == [])
        #expect(try file.bytes(of: "blob") == [1, 2, 255])
        #expect(try file.integers(of: "steps") == [.min, .max])
        var buffer = [Float](repeating: 0, count: 6)
        try buffer.withUnsafeMutableBufferPointer { try file.readFloats(of: "naïve \"w\" \\ \n\u{1}", into: $0) }
        #expect(buffer.map(\.bitPattern) == values.map(\.bitPattern))
        try file.verify()
    }

    @Test func sameContentSameBytes() throws {
        let paths = [folder.file("a"), folder.file("b")]
        for (path, keys) in zip(paths, [["x", "y", "z"], ["z", "y", "x"]]) {
            let metadata = Dictionary(uniqueKeysWithValues: keys.map { ($0, $0 + $0) })
            try SafeTensorsWriter.write(path: path, tensors: [("t", [2], [1, 2])], metadata: metadata)
        }
        #expect(try Files.read(paths[0]) == Files.read(paths[1]))
        #expect(try Files.read(paths[0]).count % 8 == 0)
    }

    @Test func otherFloatsAreConverted() throws {
        // 1, −2 and 0.5 in each type.
        let header =
            #"{"d":{"dtype":"F64","shape":[3],"data_offsets":[0,24]},"#
            + #""h":{"dtype":"F16","shape":[3],"data_offsets":[24,30]},"#
            + #""b":{"dtype":"BF16","shape":[3],"data_offsets":[30,36]}}"#
        var data: [UInt8] = []
        for value in [1.0, -2, 0.5] { data.appendLittleEndian(value.bitPattern) }
        for value: UInt16 in [0x3C00, 0xC000, 0x3800, 0x3F80, 0xC000, 0x3F00] { data.appendLittleEndian(value) }
        let file = try SafeTensorsFile(path: try write(HostileSafeTensorsTests.file(header, data)))
        for name in ["d", "h", "b"] { #expect(try file.floats(of: name) == [1, -2, 0.5]) }
    }

    @Test func errorsNameFileAndTensor() throws {
        let path = folder.file("model.safetensors")
        try SafeTensorsWriter.write(
            path: path, tensors: [.init("w", [2], [1, 2]), .init("n", [1], .integers([3]))])
        let file = try SafeTensorsFile(path: path)
        let missing = #expect(throws: SafeTensorsError.self) { try file.floats(of: "v") }
        #expect(missing?.description == "\(path): has no tensor v; is this a file of another model?")
        #expect(missing?.exitCode == .badData)
        let type = #expect(throws: SafeTensorsError.self) { try file.floats(of: "n") }
        #expect(type?.description == "\(path): tensor n holds I64, expected floating-point numbers; convert it")
        let absent = #expect(throws: FileError.self) { try SafeTensorsFile(path: folder.file("absent")) }
        #expect(absent?.exitCode == .missingInput)
        #expect(throws: FileError.self) { try SafeTensorsFile(path: folder.path) }
        var three = [Float](repeating: 0, count: 3)
        let mismatch = SafeTensorsError.sizeMismatch(
            path: path, tensor: "w", expectedByteCount: 12, foundByteCount: 8)
        #expect(throws: mismatch) {
            try three.withUnsafeMutableBufferPointer { try file.readFloats(of: "w", into: $0) }
        }
    }
}

@Suite struct CheckpointFolderTests {
    let folder = TemporaryFolder("checkpoints")

    private func write(_ value: Float, _ checkpoints: CheckpointFolder) throws {
        try SafeTensorsWriter.write(
            path: checkpoints.path(of: .last), tensors: [.init("w", [1], [value])], metadata: [:])
    }

    @Test func keepsTheLastFewBySteps() throws {
        let checkpoints = try CheckpointFolder(path: folder.file("run/checkpoints"))
        #expect(!checkpoints.has(.last))
        #expect(try checkpoints.resumable().isEmpty)
        for step in [9, 10, 1000, 1000] {
            try write(Float(step), checkpoints)
            try checkpoints.keepLast(step: step, count: 2)
        }
        let names = ["step_000000000010.safetensors", "step_000000001000.safetensors"]
        #expect(try Files.list(checkpoints.path) == ["last.safetensors"] + names)
        #expect(
            try checkpoints.resumable()
                == ([checkpoints.path(of: .last)] + names.reversed().map { "\(checkpoints.path)/\($0)" }))
        #expect(try SafeTensorsFile(path: "\(checkpoints.path)/\(names[0])").floats(of: "w") == [10])
        // A new last does not reach what was kept.
        try write(7, checkpoints)
        #expect(try SafeTensorsFile(path: "\(checkpoints.path)/\(names[1])").floats(of: "w") == [1000])
        try checkpoints.keepLast(step: 1001, count: 0)
        #expect(try Files.list(checkpoints.path) == ["last.safetensors"])
        try checkpoints.repeatFile(checkpoints.path(of: .last), as: checkpoints.path(of: .best))
        try checkpoints.repeatFile(checkpoints.path(of: .last), as: checkpoints.path(of: .best))
        #expect(try Files.list(checkpoints.path) == ["best.safetensors", "last.safetensors"])
        #expect(throws: FileError.self) {
            try checkpoints.repeatFile(folder.file("missing"), as: checkpoints.path(of: .best))
        }
        #expect(try Files.list(checkpoints.path) == ["best.safetensors", "last.safetensors"])
    }

    @Test func onlyFilesOfDeadWritersAreRemoved() throws {
        let checkpoints = try CheckpointFolder(path: folder.path)
        for name in [
            "last.safetensors.abc.partial", "step_000000000003.safetensors.7.partial", "mine.partial",
            "last.safetensors",
        ] {
            try AtomicFileWriter.write("x", to: folder.file(name))
        }
        let writer = try AtomicFileWriter(path: checkpoints.path(of: .best))
        try writer.write("half")
        #expect(
            try checkpoints.removeStalePartials()
                == ["last.safetensors.abc.partial", "step_000000000003.safetensors.7.partial"])
        try writer.publish()
        #expect(try Files.list(folder.path) == ["best.safetensors", "last.safetensors", "mine.partial"])
    }
}
