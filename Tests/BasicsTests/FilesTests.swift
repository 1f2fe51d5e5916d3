import Basics
import Foundation
import TestSupport
import Testing

@Suite struct FilesTests {
    let folder = TemporaryFolder("files")

    @Test func readsWhatWasWritten() throws {
        try AtomicFileWriter.write([1, 2, 3], to: folder.file("a"))
        #expect(try Files.read(folder.file("a")) == [1, 2, 3])
        #expect(try Files.list(folder.path) == ["a"])
    }

    @Test func aMissingFileIsNamed() {
        let path = folder.file("nothing")
        #expect(throws: FileError(path: path, action: "open", code: ENOENT)) { try Files.read(path) }
    }

    @Test func aFolderIsNoFile() {
        #expect(throws: FileError(path: folder.path, action: "read", code: EISDIR)) { try Files.read(folder.path) }
    }

    /// Opening a pipe would wait for a writer for ever.
    @Test(.timeLimit(.minutes(1))) func aPipeIsNoFile() {
        let path = folder.file("pipe.png")
        #expect(mkfifo(path, 0o600) == 0)
        #expect(throws: FileError(path: path, action: "read", code: EINVAL)) { try Files.read(path) }
    }

    @Test func moreThanTheLimitIsRefused() throws {
        try AtomicFileWriter.write([1, 2, 3], to: folder.file("a"))
        #expect(throws: FileError(path: folder.file("a"), action: "read", code: EFBIG)) {
            try Files.read(folder.file("a"), limit: 2)
        }
    }

    @Test func anAbandonedFileLeavesNothing() throws {
        let writer = try AtomicFileWriter(path: folder.file("b"))
        try writer.write([1])
        writer.abandon()
        #expect(try Files.list(folder.path).isEmpty)
    }

    /// Links are not followed: neither by what writes nor by what clears up.
    @Test func linksAreNotFollowed() throws {
        try AtomicFileWriter.write([7], to: folder.file("precious"))
        let manager = FileManager.default
        for name in ["c", "c.partial"] {
            try manager.createSymbolicLink(atPath: folder.file(name), withDestinationPath: folder.file("precious"))
        }
        #expect(!AtomicFileWriter.removeIfAbandoned(folder.file("c.partial")))
        // The link is replaced, not what it names.
        try AtomicFileWriter.write([1, 2], to: folder.file("c"))
        #expect(try Files.read(folder.file("precious")) == [7] && Files.read(folder.file("c")) == [1, 2])
        #expect(try manager.attributesOfItem(atPath: folder.file("c"))[.type] as? FileAttributeType == .typeRegular)
    }

    @Test func suggestionsAreClose() {
        #expect(suggestion(for: "widht", among: ["width", "levels"]) == ", did you mean 'width'?")
        #expect(suggestion(for: "zebra", among: ["width", "levels"]).isEmpty)
    }
}
