import Basics
import Foundation
import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Shards

@Suite struct LocalShardsTests {
    private let far = TemporaryFolder("far")
    private let near = TemporaryFolder("near")

    private final class Warnings: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }
        var add: @Sendable (String) -> Void { { line in self.lines.withLock { $0.append(line) } } }
    }

    /// Five shards of eight records.
    private func write() throws -> DataSet {
        let writer = try DataSetWriter(path: far.path, targetShardByteCount: 4500)
        for number in 0..<40 { try writer.append(try RecordEncoder(level: 1).encode(pair(number)), split: .train) }
        try writer.finish()
        let data = try DataSet(path: far.path)
        try #require(data.manifest.shards.count > 3)
        return data
    }

    private func copies(_ suffix: String = ".shard") throws -> [String] {
        try Files.list(near.path).filter { $0.hasSuffix(suffix) }.sorted()
    }

    private func local(
        _ byteLimit: Int = 1 << 30, idle: Double = 60, _ warnings: Warnings = Warnings()
    ) throws -> LocalShards {
        try LocalShards(path: near.path, byteLimit: byteLimit, idleSeconds: idle, warning: warnings.add)
    }

    private func expectAll(_ data: DataSet) throws {
        for index in 0..<data.count(.train) { #expect(try data.record(.train, index) == pair(index)) }
    }

    @Test func `shards that were read are copied, and read from the copy from then on`() throws {
        let original = try write()
        let local = try local()
        let data = try DataSet(path: far.path, local: local)
        try expectAll(data)
        local.settle()
        #expect(try copies() == original.manifest.shards.map { $0.hash + ".shard" }.sorted())
        #expect(try copies(".partial").isEmpty)
        for shard in original.manifest.shards {
            #expect(
                try Files.read(near.file(shard.hash + ".shard")) == (try Files.read(far.file(shard.name))))
        }
        // Where they came from may go: a reader that is open already changes over too.
        for shard in original.manifest.shards { try FileManager.default.removeItem(atPath: far.file(shard.name)) }
        for index in 0..<data.count(.train) { #expect(local.owns(try data.locate(.train, index).shard.path)) }
        try expectAll(data)
        try expectAll(try DataSet(path: far.path, local: self.local()))
    }

    @Test func `several users copy each shard once`() throws {
        let original = try write()
        let locals = try (0..<4).map { _ in try local() }
        let sets = try locals.map { try DataSet(path: far.path, local: $0) }
        DispatchQueue.concurrentPerform(iterations: 4) { rank in
            for index in 0..<40 { _ = try? sets[rank].record(.train, index) }
        }
        for local in locals { local.settle() }
        #expect(try copies().count == original.manifest.shards.count && copies(".partial").isEmpty)
        for data in sets { try expectAll(data) }
    }

    @Test func `the folder keeps to its size, and what is in use stays`() throws {
        let original = try write()
        let largest = original.manifest.shards.map(\.byteCount).max() ?? 0
        let two = 2 * largest + 100
        let busy = try local(two)
        let data = try DataSet(path: far.path, local: busy)
        for _ in 0..<3 { try expectAll(data) }
        busy.settle()
        let kept = try copies()
        #expect(kept.count == 2)
        try expectAll(data)
        busy.settle()
        #expect(try copies() == kept)
        // Nobody uses them any more, so the next ones take their place.
        let idle = try local(two, idle: 0)
        let other = try DataSet(path: far.path, local: idle)
        for _ in 0..<3 {
            for index in 0..<40 {
                #expect(try other.record(.train, index) == pair(index))
                idle.settle()
                let bytes = try copies().reduce(0) { sum, name in
                    sum + Int(try FileManager.default.attributesOfItem(atPath: near.file(name))[.size] as? Int ?? 0)
                }
                #expect(bytes <= two)
            }
        }
        #expect(try copies() != kept)
        // None fits.
        let small = try local(largest / 2, idle: 0)
        try expectAll(try DataSet(path: far.path, local: small))
    }

    @Test func `what a killed process left is removed, what a living one writes stays`() throws {
        let original = try write()
        let names = original.manifest.shards.map(\.hash)
        let dead = near.file("\(names[0]).partial")
        let stray = near.file("0123456789abcdef0123456789abcdef.partial")
        let alive = near.file("fedcba9876543210fedcba9876543210.partial")
        for path in [dead, stray, alive] { try vandalize(path, with: [UInt8](repeating: 7, count: 500)) }
        let descriptor = open(alive, O_WRONLY)
        defer { close(descriptor) }
        #expect(flock(descriptor, LOCK_EX) == 0)
        let local = try local()
        try expectAll(try DataSet(path: far.path, local: local))
        local.settle()
        #expect(try copies().count == names.count)
        #expect(try copies(".partial") == ["fedcba9876543210fedcba9876543210.partial"])
        #expect(!Files.exists(dead) && !Files.exists(stray))
    }

    @Test func `a damaged original is not copied, a damaged copy not believed`() throws {
        let original = try write()
        let shard = original.manifest.shards[0]
        var bytes = try Files.read(far.file(shard.name))
        let good = bytes
        bytes[200] ^= 4
        try vandalize(far.file(shard.name), with: bytes)
        let warnings = Warnings()
        let first = try local(1 << 30, idle: 60, warnings)
        let data = try DataSet(path: far.path, local: first)
        for index in 0..<40 { _ = try? data.record(.train, index) }
        first.settle()
        #expect(try copies().count == original.manifest.shards.count - 1)
        #expect(warnings.all.count == 1 && warnings.all[0].contains("the manifest says \(shard.hash)"))
        try vandalize(far.file(shard.name), with: good)
        let second = try local()
        let mended = try DataSet(path: far.path, local: second)
        try expectAll(mended)
        second.settle()
        #expect(try copies().count == original.manifest.shards.count)
        // Bytes of a record, of an index, and the length.
        let names = try copies()
        for (number, name) in names.enumerated() {
            var copy = try Files.read(near.file(name))
            switch number % 3 {
            case 0: copy[150] ^= 1
            case 1: copy[copy.count - 100] ^= 1
            default: copy.removeLast(10)
            }
            try vandalize(near.file(name), with: copy)
        }
        try expectAll(try DataSet(path: far.path, local: try local()))
        try expectAll(mended)
        second.settle()
        // Damaged copies are gone; what is there by now was copied anew.
        for name in try copies() {
            let shard = try #require(original.manifest.shards.first { name.contains($0.hash) }, "\(name)")
            #expect(try Files.read(near.file(name)) == Files.read(far.file(shard.name)))
        }
    }

    @Test(.enabled(if: SmallDisk.isPossible, Comment(rawValue: SmallDisk.hint)))
    func `a full disk is said once, and reading goes on`() throws {
        _ = try write()
        let disk = try #require(SmallDisk(at: near.path, kilobytes: 12))
        defer { withExtendedLifetime(disk) {} }
        let warnings = Warnings()
        let local = try local(1 << 30, idle: 60, warnings)
        let data = try DataSet(path: far.path, local: local)
        for _ in 0..<2 { try expectAll(data) }
        local.settle()
        #expect(warnings.all.count == 1, "\(warnings.all)")
        #expect(warnings.all.first?.contains("read from where they are") == true)
        #expect(try copies(".partial").isEmpty)
    }

    /// Whoever lets go last, reader or copying thread, the end is orderly.
    @Test func `ending while copies are made`() throws {
        _ = try write()
        for _ in 0..<300 {
            let data = try DataSet(path: far.path, local: try local())
            _ = try data.record(.train, 0)
        }
    }

    @Test func `closing does not wait for long copies`() throws {
        _ = try write()
        for _ in 0..<20 {
            let data = try DataSet(path: far.path, local: try local())
            _ = try data.record(.train, 0)
        }
        try expectAll(try DataSet(path: far.path, local: try local()))
    }
}
