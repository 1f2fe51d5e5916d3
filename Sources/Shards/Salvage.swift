import Basics
import Glibc
import Threads

/// Where an intact record lies, in a shard that may be broken all around it.
public struct SalvagedRecord: Sendable {
    public let path: String
    public let key: String
    let byteOffset: Int
    let storedByteCount: Int
    let headerStoredByteCount: Int

    /// Reads the record once more and verifies it, field by field.
    /// - Throws: `ShardError`, `FileError`.
    public func read() throws -> EncodedRecord {
        let file = try SalvageFile(path: path)
        let decoder = RecordDecoder()
        try decoder.load(file.file, entry, nil, key: nil)
        let record = try decoder.encodedRecord()
        guard record.key == key else {
            throw ShardError(path: path, key: key, byteOffset: byteOffset, "another record has taken its place")
        }
        return record
    }

    var entry: ShardReader.Entry {
        var entry = ShardReader.Entry()
        entry.byteOffset = byteOffset
        entry.storedByteCount = storedByteCount
        entry.headerStoredByteCount = headerStoredByteCount
        return entry
    }
}

/// What can be had from one shard.
public struct ShardSalvage: Sendable {
    /// In the order in which they lie in the file.
    public let records: [SalvagedRecord]
    /// What is broken: the index, or records by number and key.
    public let problems: [ShardError]

    /// Reads the whole shard. With a sound index its records are looked up; without one, everything that looks like a
    /// record is tried, wherever it lies: behind bytes that were cut out or put in, too.
    public init(path: String) {
        do {
            let shard = try ShardReader(path: path)
            (records, problems) = Self.indexed(shard)
        } catch {
            let problem = ShardError.wrapping(error, path: path)
            do {
                let scan = SalvageScan(file: try SalvageFile(path: path))
                (records, problems) = (try scan.records(), [problem])
            } catch {
                (records, problems) = ([], [problem])
            }
        }
    }

    private static func indexed(_ shard: ShardReader) -> ([SalvagedRecord], [ShardError]) {
        var records: [SalvagedRecord] = []
        var problems: [ShardError] = []
        let decoder = RecordDecoder()
        for (number, entry) in shard.entries.enumerated() {
            do {
                try decoder.load(shard, number)
                try decoder.verifyLoaded()
                records.append(
                    SalvagedRecord(
                        path: shard.path, key: decoder.key, byteOffset: entry.byteOffset,
                        storedByteCount: entry.storedByteCount, headerStoredByteCount: entry.headerStoredByteCount))
            } catch {
                problems.append(ShardError.wrapping(error, path: shard.path))
            }
        }
        return (records, problems)
    }
}

/// A file of which nothing is known but its path.
private final class SalvageFile {
    let file: ShardFile

    init(path: String) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        if descriptor < 0 { throw FileError(path: path, action: "open", code: errno) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw ShardError(path: path, "is not a regular file", remedy: "give the path of a shard")
        }
        file = ShardFile(path: path, descriptor: descriptor, byteCount: Int(status.st_size))
    }

    deinit { close(file.descriptor) }
}

/// Looks for records byte by byte.
private final class SalvageScan {
    private let source: SalvageFile
    private var file: ShardFile { source.file }
    private let decoder = RecordDecoder()
    private let window = ScratchBuffer()
    private let head = ScratchBuffer()
    private let decoded = ScratchBuffer()

    private static let windowByteCount = 1 << 20
    /// An LZ4 frame of a record header is never longer: its content, and the heads of at most as many blocks as bytes
    /// would be longer, but a writer makes one block.
    private static let headFrameLimit = ShardLimits.recordHeaderBytes + ShardLimits.recordHeaderBytes / 255 + 64

    init(file: SalvageFile) { source = file }

    func records() throws -> [SalvagedRecord] {
        var found: [SalvagedRecord] = []
        var offset = 0
        while let start = try nextFrame(from: offset) {
            if let record = try record(at: start) {
                found.append(record)
                offset = start + record.storedByteCount
            } else {
                offset = start + 1
            }
        }
        return found
    }

    /// Offset of the next LZ4 frame's magic number.
    private func nextFrame(from start: Int) throws -> Int? {
        var offset = start
        while offset + 4 <= file.byteCount {
            let count = min(Self.windowByteCount, file.byteCount - offset)
            let bytes = window.bytes(count)
            try file.read(bytes, at: offset)
            var place = 0
            while place + 4 <= count, let base = bytes.baseAddress,
                let hit = memchr(base + place, 0x04, count - 3 - place)
            {
                place = base.distance(to: hit)
                if bytes[place + 1] == 0x22 && bytes[place + 2] == 0x4D && bytes[place + 3] == 0x18 {
                    return offset + place
                }
                place += 1
            }
            // A magic number may lie across the border.
            offset += max(1, count - 3)
        }
        return nil
    }

    /// The record that begins at `start`, if all of it is intact.
    private func record(at start: Int) throws -> SalvagedRecord? {
        let bytes = head.bytes(min(Self.headFrameLimit, file.byteCount - start))
        try file.read(bytes, at: start)
        guard let count = Self.frameByteCount(UnsafeRawBufferPointer(bytes)) else { return nil }
        let frame = UnsafeRawBufferPointer(rebasing: bytes[..<count])
        let size = UInt64(littleEndian: frame.loadUnaligned(fromByteOffset: 6, as: UInt64.self))
        guard size <= UInt64(ShardLimits.recordHeaderBytes) else { return nil }
        let target = decoded.bytes(Int(size))
        guard (try? LZ4Frame.decode(frame, into: target, checkContent: true)) != nil,
            let header = try? RecordHeader(
                decoding: UnsafeRawBufferPointer(target), fieldsStoredByteCount: file.byteCount - start - count,
                isWhole: false)
        else { return nil }
        let record = SalvagedRecord(
            path: file.path, key: header.key, byteOffset: start,
            storedByteCount: header.fields.reduce(count) { $0 + $1.storedByteCount }, headerStoredByteCount: count)
        do {
            try decoder.load(file, record.entry, nil, key: nil)
            try decoder.verifyLoaded()
            return record
        } catch let error as FileError {
            throw error
        } catch {
            return nil
        }
    }

    /// Bytes of the LZ4 frame at the beginning of `bytes`, by the sizes of its blocks; nil if they leave it.
    private static func frameByteCount(_ bytes: UnsafeRawBufferPointer) -> Int? {
        var cursor = ByteCursor(bytes)
        do {
            _ = try cursor.take(15)
            while case let word = try cursor.integer(UInt32.self), word != 0 {
                _ = try cursor.take(Int(word & 0x7FFF_FFFF))
            }
            _ = try cursor.take(4)
        } catch {
            return nil
        }
        return cursor.byteOffset
    }
}

/// What can be had from a folder of shards, with or without a manifest.
public struct DataSetSalvage: Sendable {
    public struct Part: Sendable {
        public let split: Split
        public let salvage: ShardSalvage
        public let path: String
    }

    /// Shards in the order of the splits, then of the manifest, else of their names.
    public let parts: [Part]
    /// What the manifest says of where the records come from; empty without one.
    public let provenance: [String: String]
    /// Records that the manifest promises; nil without one.
    public let promised: Int?
    /// What is wrong with the manifest, or nil.
    public let manifestProblem: ShardError?

    /// - Throws: `FileError`, `ShardError` if there is neither a manifest nor a shard in the folder.
    public init(path: String, workers: Int) throws {
        var places: [(split: Split, path: String)] = []
        var manifest: Manifest?
        var problem: ShardError?
        do {
            manifest = try Manifest(folder: path)
        } catch {
            problem = ShardError.wrapping(error, path: path)
        }
        if let manifest {
            for split in Split.allCases {
                places += (manifest.splits[split] ?? []).map { (split, path + "/" + $0) }
            }
        } else {
            for name in try Files.list(path) {
                if let split = DataSetWriter.split(ofShardName: name) { places.append((split, path + "/" + name)) }
            }
            let order = Split.allCases
            places.sort {
                (order.firstIndex(of: $0.split) ?? 0, $0.path) < (order.firstIndex(of: $1.split) ?? 0, $1.path)
            }
            guard !places.isEmpty else {
                throw ShardError(
                    path: path, "no manifest and no shards in this folder", remedy: "give the folder of a data set",
                    exitCode: .missingInput)
            }
        }
        let list = places
        parts = Parallel.map(list.count, workers: workers, name: "salvage") {
            Part(split: list[$0].split, salvage: ShardSalvage(path: list[$0].path), path: list[$0].path)
        }
        provenance = manifest?.provenance ?? [:]
        promised = manifest.map { manifest in manifest.shards.reduce(0) { $0 + $1.recordCount } }
        manifestProblem = problem
    }
}
