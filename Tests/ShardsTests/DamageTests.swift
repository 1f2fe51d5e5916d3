import Basics
import Foundation
import TestSupport
import Testing

@testable import Shards

/// Random damage to every file of a data set: always noticed, never a crash, and nothing is lost that was not touched.
@Suite struct DamageTests {
    @Test func `four hundred kinds of damage`() throws { try damage(count: 400, seed: 71) }

    @Test(.enabled(if: LongTests.areWanted, Comment(rawValue: LongTests.hint)))
    func `ten thousand kinds of damage`() throws { try damage(count: 10_000, seed: 72) }

    private func damage(count: Int, seed: UInt64) throws {
        let folder = TemporaryFolder("damage")
        let writer = try DataSetWriter(path: folder.path, targetShardByteCount: 3000, provenance: ["layout": "test"])
        var stored: [String: [UInt8]] = [:]
        var draws = Draws(seed)
        for number in 0..<24 {
            let record = number % 3 == 0 ? draws.record("odd \(number)") : pair(number)
            let encoded = try RecordEncoder(level: 3).encode(record)
            stored[record.key] = encoded.bytes
            try writer.append(encoded, split: number % 6 == 5 ? .val : .train)
        }
        let manifest = try writer.finish()
        #expect(DataSet.verify(path: folder.path).isEmpty)
        let names = manifest.shards.map(\.name) + [Manifest.fileName]
        let whole = try Dictionary(uniqueKeysWithValues: names.map { ($0, try Files.read(folder.file($0))) })
        var homes: [String: String] = [:]
        for shard in manifest.shards {
            let reader = try ShardReader(path: folder.file(shard.name))
            for number in 0..<reader.recordCount { homes[reader.key(number)] = shard.name }
        }
        var kinds: [Int: Int] = [:]
        var lost = 0
        for trial in 0..<count {
            // One to three wounds, in one or two files.
            var changed: [String: [UInt8]] = [:]
            for _ in 0..<[1, 1, 1, 2, 3][draws.integer(0...4)] {
                let name = changed.count == 2 ? changed.keys.sorted()[0] : names[draws.integer(0...(names.count - 1))]
                let kind = draws.integer(0...5)
                kinds[kind, default: 0] += 1
                changed[name] = wounded(changed[name] ?? whole[name] ?? [], kind, &draws)
            }
            changed = changed.filter { $0.value != whole[$0.key] }
            for (name, bytes) in changed { try vandalize(folder.file(name), with: bytes) }
            let problems = DataSet.verify(path: folder.path, workers: 1 + trial % 2)
            #expect(changed.isEmpty || !problems.isEmpty, "trial \(trial): damage to \(changed.keys) not noticed")
            for name in changed.keys where name != Manifest.fileName {
                #expect(
                    problems.contains { $0.path.hasSuffix(name) }, "trial \(trial): damage to \(name) not named")
            }
            let salvage = try DataSetSalvage(path: folder.path, workers: 1)
            var found: Set<String> = []
            for record in salvage.parts.flatMap(\.salvage.records) {
                let bytes = try record.read().bytes
                #expect(bytes == stored[record.key], "trial \(trial): \(record.key) came back changed")
                found.insert(record.key)
            }
            // Untouched is what still stands in its file, wherever it was moved to.
            for (key, bytes) in stored {
                let home = try #require(homes[key])
                let isUntouched = changed[home].map { contains($0, bytes) } ?? true
                #expect(found.contains(key) == isUntouched, "trial \(trial): \(key) of \(home)")
                if !isUntouched { lost += 1 }
            }
            for name in changed.keys { try vandalize(folder.file(name), with: whole[name] ?? []) }
        }
        #expect(kinds.count == 6 && lost > count / 4)
        #expect(DataSet.verify(path: folder.path).isEmpty)
    }

    private func wounded(_ bytes: [UInt8], _ kind: Int, _ draws: inout Draws) -> [UInt8] {
        var bytes = bytes
        let place = draws.integer(0...max(0, bytes.count - 1))
        switch kind {
        case 0 where !bytes.isEmpty:
            bytes[place] ^= UInt8(draws.integer(1...255))
        case 1 where !bytes.isEmpty:
            // The end of a file is where index and footer are.
            bytes[bytes.count - 1 - draws.integer(0...min(500, bytes.count - 1))] ^= UInt8(draws.integer(1...255))
        case 2:
            bytes.removeLast(bytes.count - place)
        case 3:
            bytes += (0...draws.integer(0...200)).map { _ in UInt8(truncatingIfNeeded: draws.bits()) }
        case 4:
            bytes.removeSubrange(place..<min(bytes.count, place + draws.integer(1...300)))
        default:
            bytes.insert(
                contentsOf: (0...draws.integer(0...300)).map { _ in UInt8(truncatingIfNeeded: draws.bits()) }, at: place
            )
        }
        return bytes
    }

    private func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
        guard part.count <= bytes.count else { return false }
        return bytes.withUnsafeBytes { bytes in
            part.withUnsafeBytes { part in
                (0...(bytes.count - part.count)).contains {
                    bytes[$0] == part[0] && bytes[$0 + 15] == part[15]
                        && memcmp(bytes.baseAddress! + $0, part.baseAddress!, part.count) == 0
                }
            }
        }
    }

    @Test func `whatever is asked for, workers change nothing`() throws {
        let folder = TemporaryFolder("workers")
        let writer = try DataSetWriter(path: folder.path, targetShardByteCount: 4000)
        var draws = Draws(5)
        for number in 0..<200 {
            try writer.append(try RecordEncoder(level: 1).encode(draws.record("\(number)")), split: .train)
        }
        let manifest = try writer.finish()
        let path = folder.file(manifest.shards[1].name)
        var bytes = try Files.read(path)
        bytes[40] ^= 1
        try vandalize(path, with: bytes)
        let data = try DataSet(path: folder.path)
        let problems = data.verify(workers: 1)
        #expect(problems.count >= 2 && problems.allSatisfy { $0.path == path })
        #expect(problems.contains { $0.record != nil && $0.key != nil })
        for workers in 2...4 { #expect(data.verify(workers: workers) == problems) }
        try vandalize(
            path,
            with: {
                bytes[40] ^= 1
                return bytes
            }())
        let one = DataSetStatistics.measure(data, split: nil, workers: 1)
        let encoded = try JSONEncoder.sorted.encode(one.fields)
        #expect(one.problems.isEmpty && one.recordCount == 200)
        for workers in 2...4 {
            let other = DataSetStatistics.measure(data, split: nil, workers: workers)
            #expect(try JSONEncoder.sorted.encode(other.fields) == encoded)
        }
    }

    @Test func `a manifest that is right about everything but the fields is noticed`() throws {
        let folder = TemporaryFolder("fields")
        let writer = try DataSetWriter(path: folder.path)
        for number in 0..<3 { try writer.append(try RecordEncoder().encode(pair(number)), split: .train) }
        let manifest = try writer.finish()
        var fields = manifest.fields
        fields[0].recordCount = 2
        let other = Manifest(
            shards: manifest.shards, splits: manifest.splits, fields: fields, provenance: manifest.provenance)
        try vandalize(folder.file(Manifest.fileName), with: Array(other.encoded().utf8))
        let problems = DataSet.verify(path: folder.path)
        #expect(problems.count == 1 && problems[0].problem.contains("summary of the fields"))
    }

    @Test func `statistics are those of a plain loop`() throws {
        let folder = TemporaryFolder("statistics")
        let writer = try DataSetWriter(path: folder.path, targetShardByteCount: 3000)
        var (values, maps): ([[Double]], [Double]) = ([[], [], []], [])
        var unknown = 0
        for number in 0..<40 {
            let views = pair(number)
            for (place, byte) in (views["left"]?.bytes ?? []).enumerated() {
                values[place % 3].append(Double(byte) / 255)
            }
            let map = (0..<96).map { ($0 + number) % 10 == 0 ? Float.nan : Float(($0 * 7 + number * 3) % 101) / 4 - 5 }
            for value in map { if value.isNaN { unknown += 1 } else { maps.append(Double(value)) } }
            let fields =
                views.fields + [
                    .init("disparity", PixelArray(height: 8, width: 12, channels: 1, floats: map))
                ]
            try writer.append(try RecordEncoder().encode(Record(key: views.key, fields: fields)), split: .train)
        }
        try writer.finish()
        let outcome = DataSetStatistics.measure(try DataSet(path: folder.path), split: .train, workers: 2)
        let left = try #require(outcome.fields.first { $0.name == "left" })
        for channel in 0..<3 {
            let mean = values[channel].reduce(0, +) / Double(values[channel].count)
            let variance = values[channel].reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values[channel].count)
            #expect(abs((left.channels[channel].mean ?? 0) - mean) < 1e-12)
            #expect(abs((left.channels[channel].deviation ?? 0) - variance.squareRoot()) < 1e-9)
        }
        let map = try #require(outcome.fields.first { $0.name == "disparity" })
        maps.sort()
        #expect(map.channels[0].unknownShare == Double(unknown) / Double(unknown + maps.count))
        #expect(map.channels[0].minimum == maps.first && map.channels[0].maximum == maps.last)
        for percentile in try #require(map.percentiles) {
            let exact = maps[Int((Double(maps.count - 1) * percentile.percent / 100).rounded())]
            #expect(abs(percentile.value - exact) <= abs(exact) * 0.0005 + 1e-6, "\(percentile)")
        }
        #expect(map.histogram?.reduce(0) { $0 + $1.count } == maps.count && map.histogram?.count == 20)
        #expect(map.sizes.map(\.records) == [40])
    }
}

extension JSONEncoder {
    fileprivate static var sorted: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return encoder
    }
}
